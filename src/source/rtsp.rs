//! Cameras over RTSP, through retina.
