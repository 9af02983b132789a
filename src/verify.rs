//! The falling-object model over patches along a live track.
