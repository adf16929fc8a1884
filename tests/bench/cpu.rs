//! CPU time of a benchmark.

/// CPU seconds of this process.
pub fn seconds() -> f64 {
    // SAFETY: the kernel fills the whole structure, which has no invalid bit patterns.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
