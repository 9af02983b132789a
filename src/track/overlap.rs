//! Tracks of large things from frame to frame, by overlap.
