//! How the C library's allocator hands out memory: for FFmpeg, ONNX Runtime and this program alike.

/// Pools of memory ("arenas") that threads share. The allocator would make one for each thread, up to
/// eight a core, and keep in each as much as its camera ever had at once, of which most cameras need the
/// most at different moments.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Lets threads share a few pools of memory. Call it before there is a second thread. Does nothing where
/// the C library is not glibc.
pub fn share_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "glibc's own call, of which there is no safe form"
    )]
    // SAFETY: takes two integers, and is called while there is one thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}
