//! The elevator watch: detector, tracks, ride.
