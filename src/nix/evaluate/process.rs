//! One evaluating process, read while it runs and ended when it goes over its budget.
//!
//! In: a command, its mark, [`ProcessLimits`]. Out: each marked line as it comes, with what was said before it, then [`ProcessEnd`], how the process
//! ended. Its memory is what
//! the kernel says it holds, looked at many times a second; a limit on writable addresses, which count untouched too, stands behind
//! that for a machine that is too busy to look.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::message;
use crate::nix::command::{Running, STDERR_KEPT};
use crate::program::bound_memory;

/// How long the process may go unwatched.
const TICK: Duration = Duration::from_millis(20);

/// How often its memory is looked at; what it takes in between goes over the limit.
const WATCH: Duration = Duration::from_millis(5);

/// What part of the limit it may take between two looks.
const MARGIN: u64 = 32;

/// Bytes of addresses for what is no heap: stacks of threads, buffers.
const SLACK: u64 = 128 << 20;

/// Bytes of one marked line that are read: the names of millions of attributes.
const MAX_LINE: usize = 128 << 20;

/// The mark stands within so many bytes of a line's beginning, behind what Nix writes before a trace.
const MARK_WITHIN: usize = 128;

/// What a process may take.
#[derive(Clone, Copy, Debug)]
pub struct ProcessLimits {
    /// Bytes that it may hold.
    pub memory: u64,
    /// Whether its children are bound, too: builders must not be.
    pub inherits: bool,
    /// Time between two marked lines.
    pub answer: Duration,
    /// Time to the first marked line: inputs may have to be fetched.
    pub start: Duration,
}

/// What to do after a marked line, or while there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Continue,
    /// Nobody wants the rest.
    Stop,
}

/// What a process said.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// Nothing for a while; the processor time that the process has had so far, where that is known.
    Nothing { spent: Duration },
    /// A marked line: what stands behind the mark, and the end of what came between the marked line before and this one, its ends if it is long.
    Line { text: &'a [u8], before: &'a [u8] },
}

/// How a process ended.
#[derive(Debug)]
pub enum ProcessEnd {
    /// By itself, with the end of what it said after the last marked line.
    Exited(ExitStatus, String),
    /// The reader had enough.
    Stopped,
    OverMemory,
    OverTime,
}

/// True for a process that ended as the system, or its own collector, had no more memory to give.
pub fn ran_out_of_memory(status: ExitStatus, stderr: &str) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
        || !status.success() && message::from_stderr(stderr).is_some_and(|said| said == "out of memory")
}

/// Says how a process ended that had nothing to say itself.
pub fn died(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) if signal == Signal::SEGV.as_raw() => "the evaluator crashed (infinite recursion?)".to_owned(),
        Some(signal) => format!("the evaluator was ended by signal {signal}"),
        None => format!("the evaluator failed without a message ({status})"),
    }
}

/// Runs a process. `hear` gets what it says, and is called now and then while that is nothing.
pub fn run(
    mut command: Command,
    mark: &str,
    limits: &ProcessLimits,
    mut hear: impl FnMut(Heard) -> Result<Next>,
) -> Result<ProcessEnd> {
    if limits.inherits {
        // Stands behind the watch, which is what counts.
        bound_memory(&mut command, limits.memory + SLACK);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Running(command.spawn().context("cannot run `nix`")?);
    let Some(mut pipe) = child.0.stderr.take() else { bail!("cannot read the output of `nix`") };
    let mut lines = Lines { mark: mark.as_bytes(), line: Vec::new(), kept: Vec::new() };
    let mut buffer = vec![0; 64 << 10];
    let (mut heard, mut watched) = (Instant::now(), Instant::now());
    let (mut patience, mut spent) = (limits.start, Duration::ZERO);
    loop {
        let mut next = hear(Heard::Nothing { spent })?;
        if readable(&pipe, TICK)? {
            let count = match pipe.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot read the output of `nix`"),
            };
            if count == 0 {
                break;
            }
            lines.add(&buffer[..count], |line| {
                (heard, patience) = (Instant::now(), limits.answer);
                if next == Next::Continue {
                    next = hear(line)?;
                }
                Ok(())
            })?;
        }
        let end = if next == Next::Stop {
            Some(ProcessEnd::Stopped)
        } else if heard.elapsed() > patience {
            Some(ProcessEnd::OverTime)
        } else if watched.elapsed() > WATCH {
            watched = Instant::now();
            let taken = taken(child.0.id());
            spent = taken.map_or(spent, |taken| taken.processor);
            taken.filter(|taken| taken.memory > limits.memory - limits.memory / MARGIN).map(|_| ProcessEnd::OverMemory)
        } else {
            None
        };
        if let Some(end) = end {
            child.kill();
            return Ok(end);
        }
    }
    let status = child.0.wait().context("cannot wait for `nix`")?;
    Ok(ProcessEnd::Exited(status, String::from_utf8_lossy(&lines.kept).into_owned()))
}

/// Standard error, cut into lines.
struct Lines<'m> {
    mark: &'m [u8],
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The end of what came after the last marked line.
    kept: Vec<u8>,
}

impl Lines<'_> {
    fn add(&mut self, mut bytes: &[u8], mut marked: impl FnMut(Heard) -> Result<()>) -> Result<()> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.line.extend_from_slice(&bytes[..=end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            match self.after_mark(&line) {
                Some(at) => {
                    marked(Heard::Line { text: line[at..].trim_ascii(), before: &self.kept })?;
                    self.kept.clear();
                }
                None => self.keep(&line),
            }
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > MAX_LINE {
            bail!("it printed a line of more than {MAX_LINE} bytes");
        }
        if self.line.len() > STDERR_KEPT && self.after_mark(&self.line).is_none() {
            let line = std::mem::take(&mut self.line);
            self.keep(&line);
        }
        Ok(())
    }

    /// Where the text behind the mark begins.
    fn after_mark(&self, line: &[u8]) -> Option<usize> {
        let start = &line[..line.len().min(MARK_WITHIN + self.mark.len())];
        memchr::memmem::find(start, self.mark).map(|at| at + self.mark.len())
    }

    fn keep(&mut self, line: &[u8]) {
        self.kept.extend_from_slice(line);
        // 2.8 prints an error before its trace, newer versions print it behind: both ends count.
        if self.kept.len() > 3 * STDERR_KEPT {
            self.kept.drain(STDERR_KEPT..self.kept.len() - STDERR_KEPT);
        }
    }
}

/// Waits until there is something to read, an end included.
fn readable(pipe: impl AsFd, most: Duration) -> Result<bool> {
    let most = Timespec::try_from(most).ok();
    match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], most.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error).context("cannot wait for the output of `nix`"),
    }
}

/// What a process has taken so far.
#[derive(Clone, Copy)]
struct Taken {
    /// Bytes that it holds.
    memory: u64,
    processor: Duration,
}

/// What a process has taken so far; none if it has ended.
#[cfg(target_os = "linux")]
fn taken(process: u32) -> Option<Taken> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may hold anything.
    let mut numbers = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11).map(|word| word.parse::<u64>().ok());
    let ticks = numbers.next()?? + numbers.next()??;
    let pages = numbers.nth(8)??;
    let processor = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1));
    Some(Taken { memory: pages * super::machine::page_size(), processor })
}

/// What a process has taken so far; none if it has ended.
#[cfg(not(target_os = "linux"))]
fn taken(process: u32) -> Option<Taken> {
    let output = Command::new("ps").args(["-o", "rss=", "-p", &process.to_string()]).output().ok()?;
    let kilobytes: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some(Taken { memory: kilobytes << 10, processor: Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ProcessLimits = ProcessLimits {
        memory: 64 << 20,
        inherits: true,
        answer: Duration::from_secs(600),
        start: Duration::from_secs(600),
    };

    fn shell(script: &str, limits: &ProcessLimits) -> (Vec<String>, ProcessEnd) {
        let mut heard = Vec::new();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let end = run(command, "MARK", limits, |said| {
            if let Heard::Line { text, before } = said {
                heard.push(String::from_utf8([before, text].concat()).unwrap());
            }
            Ok(if heard.last().is_some_and(|rest| rest == "enough") { Next::Stop } else { Next::Continue })
        });
        (heard, end.unwrap())
    }

    #[test]
    fn marked_lines_are_told_from_the_rest() {
        let script =
            "printf 'trace: MARK a\\nplain\\ntrace: MA' >&2; sleep 0.1; printf 'RK b\\nmore\\nend' >&2; exit 3";
        let (heard, end) = shell(script, &LIMITS);
        assert_eq!(heard, ["a", "plain\nb"]);
        let ProcessEnd::Exited(status, kept) = end else { panic!("{end:?}") };
        assert_eq!((status.code(), kept.as_str()), (Some(3), "more\n"));
    }

    #[test]
    fn an_endless_process_is_ended_for_each_reason() {
        let (heard, end) = shell("echo MARK enough >&2; exec sleep 1000", &LIMITS);
        assert!(matches!(end, ProcessEnd::Stopped), "{end:?}");
        assert_eq!(heard, ["enough"]);
        let short = ProcessLimits { answer: Duration::from_millis(50), ..LIMITS };
        let (_, end) = shell("sleep 0.2; echo MARK x >&2; exec sleep 1000", &short);
        assert!(matches!(end, ProcessEnd::OverTime), "{end:?}");
        let (_, end) = shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x); exec sleep 1000", &LIMITS);
        assert!(matches!(end, ProcessEnd::OverMemory), "{end:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_processor_time_of_a_process_is_known_while_it_runs() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "while :; do :; done"]);
        let mut most = Duration::ZERO;
        let end = run(command, "MARK", &LIMITS, |said| {
            if let Heard::Nothing { spent } = said {
                most = spent;
            }
            Ok(if most > Duration::from_millis(30) { Next::Stop } else { Next::Continue })
        });
        assert!(matches!(end, Ok(ProcessEnd::Stopped)));
    }

    #[test]
    fn what_is_not_marked_is_bounded() {
        let (_, end) =
            shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; yes | head -c 300000 >&2; echo end >&2", &LIMITS);
        let ProcessEnd::Exited(_, kept) = end else { panic!("{end:?}") };
        assert!(kept.len() <= 3 * STDERR_KEPT && kept.ends_with("y\nend\n"));
    }
}
