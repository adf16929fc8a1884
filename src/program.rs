//! Runs other programs within limits: one that shows no sign of life, or that takes too long, is ended, and an error says so.
//!
//! In: a command, what it reads, [`TimeLimits`]. Out: how it ended and what it printed. A sign of life is anything that it prints, and time that
//! it has the processor for: a client that uploads a large file prints nothing.

mod processor_time;

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use self::processor_time::processor_time;
use crate::duration::in_words;

/// How often ends and limits are looked for.
const TICK: Duration = Duration::from_millis(50);

/// How often the end is looked for of a program that has closed its output: mostly it is there already.
const ENDING: Duration = Duration::from_millis(1);

/// How often the processor's time is looked at, once nothing has been printed for that long.
const LOOK: Duration = Duration::from_secs(1);

/// Hundredths of a second on the processor that count as a sign of life: programs that wait have timers, too.
const ALIVE: u64 = 5;

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Most bytes of what it prints that are kept: the paths of millions of files.
const MAX_OUTPUT: usize = 256 << 20;

/// How long what it has left running may keep its output open.
const LEFT_OPEN: Duration = Duration::from_secs(2);

/// How long a program may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Without a sign of life.
    pub idle: Duration,
    /// Altogether.
    pub total: Duration,
}

impl TimeLimits {
    /// Both in seconds.
    pub const fn seconds(idle: u64, total: u64) -> Self {
        Self { idle: Duration::from_secs(idle), total: Duration::from_secs(total) }
    }
}

/// A program that was ended since it reached a limit.
#[derive(Debug)]
pub struct OutOfTime(String);

impl OutOfTime {
    fn new(name: &str, reason: &str) -> Self {
        Self(format!("`{name}` {reason}, and was ended"))
    }
}

impl std::fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OutOfTime {}

/// Something that a program has printed.
enum Printed {
    Output(Vec<u8>),
    Error(Vec<u8>),
}

/// Runs a command to its end; `stopped` is asked again and again whether that is wanted no more, and why. A command with a process group
/// of its own (`is_group`) is ended with everything that it has started.
pub fn output(
    command: &mut Command,
    input: Vec<u8>,
    limits: TimeLimits,
    is_group: bool,
    stopped: impl Fn() -> Option<String>,
) -> Result<Output> {
    let name = command.get_program().to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run `{name}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing says by its status what it thinks.
        thread::spawn(move || stdin.write_all(&input));
    }
    let (sender, printed) = mpsc::channel();
    pass_on(child.stdout.take(), sender.clone(), Printed::Output);
    pass_on(child.stderr.take(), sender, Printed::Error);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut clock = Clock::new(&child, is_group, limits);
    let mut ended: Option<Instant> = None;
    loop {
        match printed.recv_timeout(TICK) {
            Ok(Printed::Output(bytes)) => stdout.extend(bytes),
            Ok(Printed::Error(bytes)) => stderr.extend(bytes),
            Err(RecvTimeoutError::Disconnected) if ended.is_some() => break,
            // It has closed its pipes and is about to end, or goes on without.
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(ENDING);
                clock.look();
            }
            Err(RecvTimeoutError::Timeout) if ended.is_some_and(|end| end.elapsed() > LEFT_OPEN) => break,
            Err(RecvTimeoutError::Timeout) => clock.look(),
        }
        if ended.is_some() {
            continue;
        }
        if let Some(reason) = stopped() {
            end(&mut child, is_group);
            return Err(anyhow!(reason));
        }
        let printed = stdout.len() + stderr.len();
        let too_much = (printed > MAX_OUTPUT).then(|| format!("printed more than {} MB", MAX_OUTPUT >> 20));
        if let Some(reason) = too_much.or_else(|| clock.is_up(printed)) {
            end(&mut child, is_group);
            return Err(OutOfTime::new(&name, &reason).into());
        }
        if child.try_wait().with_context(|| format!("cannot wait for `{name}`"))?.is_some() {
            ended = Some(Instant::now());
        }
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
    Ok(Output { status, stdout, stderr })
}

/// Signs of life of a program whose pipes somebody else reads and writes.
#[derive(Debug, Default)]
pub struct Life(AtomicUsize);

impl Life {
    /// There was one.
    pub fn sign(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Has `work` read and write a program's pipes, and waits for the program then; both within limits.
pub fn within<T>(
    child: &mut Child,
    name: &str,
    limits: TimeLimits,
    work: impl FnOnce(&mut Child, &Life) -> T,
) -> Result<(T, ExitStatus)> {
    let done = watched(child, name, limits, work)?;
    let mut clock = Clock::new(child, false, limits);
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for `{name}`"))? {
            return Ok((done, status));
        }
        if let Some(reason) = clock.reason(0) {
            end(child, false);
            return Err(OutOfTime::new(name, &reason).into());
        }
        thread::sleep(ENDING);
    }
}

/// Has `work` read and write a program's pipes within limits, but not wait for it. A program that is ended closes its pipes, and so ends the work.
pub fn watched<T>(
    child: &mut Child,
    name: &str,
    limits: TimeLimits,
    work: impl FnOnce(&mut Child, &Life) -> T,
) -> Result<T> {
    let (life, is_done) = (Life::default(), AtomicBool::new(false));
    let mut clock = Clock::new(child, false, limits);
    let (done, reason) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut ended: Option<(String, Instant)> = None;
            while !is_done.load(Ordering::Relaxed) {
                thread::park_timeout(TICK);
                // Nobody has waited for it yet, so the number is still its own.
                match &ended {
                    Some((_, since)) if since.elapsed() > GRACE => send(clock.process, Signal::KILL),
                    Some(_) => {}
                    None => {
                        ended = clock.reason(life.0.load(Ordering::Relaxed)).map(|reason| (reason, Instant::now()));
                        ended.iter().for_each(|_| send(clock.process, Signal::TERM));
                    }
                }
            }
            ended.map(|(reason, _)| reason)
        });
        let done = work(child, &life);
        is_done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        (done, watch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    match reason {
        Some(reason) => {
            end(child, false);
            Err(OutOfTime::new(name, &reason).into())
        }
        None => Ok(done),
    }
}

fn send(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    // It fails only for what has ended.
    let _ = process.map(|process| kill_process(process, signal));
}

/// Lets a program, and all that it starts, have so many bytes of writable memory of its own each. It says itself that it is out of memory then.
pub fn bound_memory(command: &mut Command, bytes: u64) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        use std::os::unix::process::CommandExt;
        // SAFETY: `setrlimit` is async-signal-safe and nothing is allocated.
        #[expect(unsafe_code, reason = "the standard library sets no limits")]
        unsafe {
            // A limit that is lower already stays.
            command.pre_exec(move || {
                let _ = setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: Some(bytes) });
                Ok(())
            });
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (command, bytes);
}

/// Reads a stream in a thread of its own.
fn pass_on(stream: Option<impl Read + Send + 'static>, to: Sender<Printed>, what: fn(Vec<u8>) -> Printed) {
    let Some(mut stream) = stream else { return };
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 && to.send(what(buffer[..count].to_vec())).is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    });
}

/// Watches the limits.
#[derive(Debug)]
pub struct Clock {
    process: u32,
    is_group: bool,
    limits: TimeLimits,
    begin: Instant,
    last_sign: Instant,
    looked: Instant,
    printed: usize,
    processor: u64,
}

impl Clock {
    /// Begins now; `is_group` as in [`output`].
    pub fn new(child: &Child, is_group: bool, limits: TimeLimits) -> Self {
        let now = Instant::now();
        let process = child.id();
        Self { process, is_group, limits, begin: now, last_sign: now, looked: now, printed: 0, processor: 0 }
    }

    fn look(&mut self) {
        if self.looked.elapsed() < LOOK.min(self.limits.idle / 2) {
            return;
        }
        self.looked = Instant::now();
        let used = processor_time(self.process, self.is_group);
        if used >= self.processor + ALIVE {
            self.processor = used;
            self.last_sign = Instant::now();
        }
    }

    /// Why the program has to end, where it has to; `signs` is the number of signs of life so far.
    pub fn reason(&mut self, signs: usize) -> Option<String> {
        self.look();
        self.is_up(signs)
    }

    /// The same, without a look at the processor.
    fn is_up(&mut self, printed: usize) -> Option<String> {
        if printed > self.printed {
            self.printed = printed;
            self.last_sign = Instant::now();
        }
        let words = |limit: Duration| in_words(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        if self.begin.elapsed() > self.limits.total {
            return Some(format!("did not finish within {}", words(self.limits.total)));
        }
        (self.last_sign.elapsed() > self.limits.idle)
            .then(|| format!("showed no activity for {}", words(self.limits.idle)))
    }
}

/// Ends a child: SIGTERM, and SIGKILL where that takes too long.
pub fn end(child: &mut Child, is_group: bool) {
    // It fails only for what has ended; the child has not been waited for, so the number is still its own.
    let signal = |child: &Child, signal| match is_group {
        true => drop(kill_process_group(Pid::from_child(child), signal)),
        false => drop(kill_process(Pid::from_child(child), signal)),
    };
    signal(child, Signal::TERM);
    let start = Instant::now();
    while start.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    signal(child, Signal::KILL);
    // Nothing survives SIGKILL; what the status says is of no interest.
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str, limits: TimeLimits) -> Result<Output> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        output(&mut command, input.into(), limits, true, || None)
    }

    #[test]
    fn a_program_within_its_limits_is_read_to_its_end() {
        let ran = shell("cat; echo error >&2; exit 3", &"x".repeat(1_000_000), TimeLimits::seconds(60, 60)).unwrap();
        assert_eq!((ran.status.code(), ran.stdout.len(), &*ran.stderr), (Some(3), 1_000_000, &b"error\n"[..]));
        // What it leaves running is not waited for.
        shell("sleep 10 & exit 0", "", TimeLimits::seconds(60, 60)).unwrap();
    }

    #[test]
    fn silence_and_slowness_are_ended_and_named() {
        let error =
            shell("sleep 1000", "", TimeLimits { idle: Duration::from_millis(300), total: LOOK * 100 }).unwrap_err();
        assert!(error.to_string().starts_with("`sh` showed no activity for "), "{error}");
        assert!(error.downcast_ref::<OutOfTime>().is_some());
        let script = "while :; do echo x; sleep 0.05; done";
        let error = shell(script, "", TimeLimits { idle: LOOK * 100, total: Duration::from_millis(300) }).unwrap_err();
        assert!(error.to_string().starts_with("`sh` did not finish within "), "{error}");
    }

    #[test]
    fn what_it_prints_and_what_it_holds_is_bounded() {
        let error = shell("yes", "", TimeLimits::seconds(600, 600)).unwrap_err();
        assert_eq!(error.to_string(), "`sh` printed more than 256 MB, and was ended");
        let mut command = Command::new("sh");
        bound_memory(command.args(["-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x)"]), 64 << 20);
        assert!(
            !output(&mut command, Vec::new(), TimeLimits::seconds(600, 600), false, || None).unwrap().status.success()
        );
    }

    #[test]
    fn who_reads_and_writes_is_freed_from_a_program_that_hangs() {
        let run = |script: &str| {
            let mut command = Command::new("sh");
            let mut child = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let limits = TimeLimits { idle: Duration::from_millis(300), total: LOOK * 100 };
            within(&mut child, "sh", limits, |child, life| {
                // More than a pipe holds.
                let mut pipe = child.stdin.take().unwrap();
                let written = (0..1000).try_for_each(|_| pipe.write_all(&[b'x'; 1000]).map(|()| life.sign()));
                drop(pipe);
                let mut text = String::new();
                child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
                (written.is_ok(), text)
            })
        };
        let ((written, text), status) = run("wc -c").unwrap();
        assert_eq!((written, text.trim(), status.success()), (true, "1000000", true));
        for script in [
            "exec sleep 1000",
            "cat > /dev/null; exec sleep 1000",
            "exec > /dev/null; cat > /dev/null; exec sleep 1000",
        ] {
            let error = run(script).unwrap_err();
            assert!(error.to_string().starts_with("`sh` showed no activity for "), "{error}");
        }
    }

    #[test]
    fn work_without_a_word_is_a_sign_of_life() {
        let before = processor_time(std::process::id(), false);
        while processor_time(std::process::id(), false) < before + ALIVE {}
    }
}
