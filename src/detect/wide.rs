//! Byte loops in the widest registers that the processor has.
//!
//! The program is built for any x86-64, whose registers hold 16 bytes; nearly all of them have AVX2
//! and hold 32. The arithmetic is the same to the bit either way. For what waits for memory and not
//! for arithmetic, as the three-frame difference does, it gains nothing.

/// Runs `work` compiled for AVX2 where the processor has it. Worth it for loops over bytes that are
/// inlined into `work`; what is called out of line stays as it is, and so does `work` itself when it is
/// large: a row at a time.
#[inline(always)]
pub(super) fn widest<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(
            unsafe_code,
            reason = "a function for AVX2 may be called only where it was found; measured: benches/README.md"
        )]
        // SAFETY: the processor has AVX2, as the line above found.
        return unsafe { with_avx2(work) };
    }
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<T>(work: impl FnOnce() -> T) -> T {
    work()
}
