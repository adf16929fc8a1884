//! CPU time of a benchmark.

#![allow(dead_code, reason = "each benchmark asks for one of the two")]

/// CPU seconds, user and system, of this process.
pub fn seconds() -> f64 {
    used(libc::RUSAGE_SELF)
}

/// The same of the children that have ended so far.
pub fn of_children() -> f64 {
    used(libc::RUSAGE_CHILDREN)
}

fn used(whose: libc::c_int) -> f64 {
    // SAFETY: the kernel fills the whole structure, which has no invalid bit patterns.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(whose, &raw mut usage), 0);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
