//! Part of detect.
