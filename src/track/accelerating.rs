//! Constant-acceleration tracks on presentation time.
