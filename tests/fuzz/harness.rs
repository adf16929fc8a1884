//! Gives a reader one input after another. What is found is written to a file, and how to see it again is said.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::mutate::Corpus;
use super::random::Random;

/// Inputs for each reader in the suite.
const INPUTS: u64 = 1_000;

/// Most memory that a reader may take, in bytes.
const MAX_MEMORY: u64 = 100 << 20;

/// After this time without an end an input counts as one that hangs.
const HANGS: Duration = Duration::from_secs(120);

/// An input that takes longer is kept, for somebody to look at.
const SLOW: Duration = Duration::from_secs(2);

/// How far a reader got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// It stopped at the first check: not of that format at all.
    Refused,
    /// It stopped later.
    PastFirst,
    /// It took the whole.
    Everything,
}

impl Got {
    /// From whether it is of the format, and whether it was taken.
    pub fn of<T, E>(is_of_format: bool, read: &Result<T, E>) -> Self {
        match (read, is_of_format) {
            (Ok(_), _) => Self::Everything,
            (Err(_), true) => Self::PastFirst,
            (Err(_), false) => Self::Refused,
        }
    }
}

/// Runs a reader on all seeds, which it has to take, and on as many inputs as `NIXDAG_FUZZ_INPUTS` says, or as fit into
/// `NIXDAG_FUZZ_SECONDS`.
pub fn fuzz(name: &str, corpus: &Corpus, mut read: impl FnMut(&[u8]) -> Got) {
    // What is measured is the process.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for seed in corpus.seeds() {
        assert!(read(seed) == Got::Everything, "{name} does not take a real input:\n{}", seed.escape_ascii());
    }
    let number = |variable| std::env::var(variable).ok().map(|text| text.parse::<u64>().unwrap());
    let seconds = number("NIXDAG_FUZZ_SECONDS");
    let (end, until) = match seconds {
        Some(seconds) => (u64::MAX, Some(Instant::now() + Duration::from_secs(seconds))),
        None => (number("NIXDAG_FUZZ_INPUTS").unwrap_or(INPUTS), None),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seed = number("NIXDAG_FUZZ_SEED").unwrap_or(if seconds.is_some() { now } else { 1 });
    let again = |input: u64| format!("{name}, input {input} of NIXDAG_FUZZ_SEED={seed}");

    let current: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let (running, finished) = (AtomicU64::new(0), AtomicU64::new(0));
    let keep = |number: u64| {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}-{number}"));
        fs::write(&file, &*current.lock().unwrap()).unwrap();
        format!("{}: it is in {}", again(number), file.display())
    };
    let (mut counts, mut slowest) = ([0u64; 3], (Duration::ZERO, 0));
    let before = peak_memory(true);
    let mut peak = before;
    std::thread::scope(|scope| {
        let watch = || {
            let (mut seen, mut since) = (u64::MAX, Instant::now());
            while finished.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(50));
                let now = running.load(Ordering::Relaxed);
                if now != seen {
                    (seen, since) = (now, Instant::now());
                } else if since.elapsed() > HANGS {
                    eprintln!("hangs: {}", keep(now));
                    std::process::exit(1);
                }
            }
        };
        scope.spawn(watch);
        let ran = catch_unwind(AssertUnwindSafe(|| {
            for number in 0..end {
                if until.is_some_and(|until| Instant::now() > until) {
                    break;
                }
                let mut random = Random(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
                let input = corpus.input(&mut random);
                running.store(number, Ordering::Relaxed);
                current.lock().unwrap().clone_from(&input);
                let begun = Instant::now();
                let Ok(got) = catch_unwind(AssertUnwindSafe(|| read(&input))) else {
                    panic!("panics: {}", keep(number));
                };
                let took = begun.elapsed();
                if took > slowest.0.max(SLOW) {
                    eprintln!("slow: {}", keep(number));
                }
                slowest = slowest.max((took, number));
                counts[got as usize] += 1;
                peak = peak.max(peak_memory(false));
                assert!(peak - before <= MAX_MEMORY, "takes {} MB: {}", (peak - before) >> 20, keep(number));
            }
        }));
        finished.store(1, Ordering::Relaxed);
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let total: u64 = counts.iter().sum();
    let share = |count: u64| 100.0 * count as f64 / total.max(1) as f64;
    eprintln!(
        "{name}: {total} inputs of seed {seed}, {:.1} % past the first check, {:.1} % read whole, slowest {:.1} ms (input {}), {:.1} MB more memory",
        share(total - counts[Got::Refused as usize]),
        share(counts[Got::Everything as usize]),
        slowest.0.as_secs_f64() * 1e3,
        slowest.1,
        (peak - before) as f64 / f64::from(1 << 20),
    );
    assert!(counts[Got::Refused as usize] < total, "{name}: no input gets past the first check");
}

/// The most memory that the process has had, in bytes; with `forget` that of now. 0 where the system does not say.
fn peak_memory(forget: bool) -> u64 {
    if forget {
        let _ = fs::write("/proc/self/clear_refs", "5");
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
}
