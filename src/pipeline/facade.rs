//! The facade watch: motion, tracks, gravity, verifier, look-back.
