//! The last seconds of encoded packets of one camera, for the pre-roll of evidence.
