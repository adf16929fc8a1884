//! What builders and the machine use while a job runs: processor time and memory of each builder's processes, and how full memory and
//! disk were at most.
//!
//! Sampled from `/proc` once a second by a thread of its own, so that it works with and without a daemon and whatever cgroups there are; less often where there are so many processes
//! that it would take more than a hundredth of one core. A builder's processes are those that have its output in their environment, and their children. What lives and ends between two
//! samples is not seen. Where there is no `/proc`, nothing is known.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::history::jobs::is_model;

/// Between two samples, at least and at most.
const EVERY: Duration = Duration::from_secs(1);
const AT_MOST: Duration = Duration::from_secs(30);

/// Sampling may take this part of one core's time, after some milliseconds that it may take at once: builds that take a few seconds are to be seen more than once.
const PART: u32 = 100;
const AT_ONCE: u64 = 300;

/// Longest environment of a process that is read, in bytes.
const MAX_ENVIRONMENT: u64 = 256 << 10;

/// Most processes that are looked at in one sample.
const MAX_PROCESSES: usize = 20_000;

/// Most bytes of the description of a process or of memory that are read.
const MAX_STATUS: u64 = 64 << 10;

/// What the processes of one builder have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuilderUsage {
    /// Processor time, milliseconds.
    pub cpu: u64,
    /// Memory of all its processes at once, at most, bytes.
    pub memory: u64,
}

/// What was seen while the job ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By the path of an output.
    pub builders: HashMap<String, BuilderUsage>,
    /// Memory of the machine in use at most, bytes; 0 where it is not known.
    pub memory: u64,
    /// Bytes of the store's disk in use at most; 0 where it is not known.
    pub disk: u64,
    /// Processor time that the sampling itself took, milliseconds.
    pub cost: u64,
}

/// Samples until it is asked what it has seen.
pub struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Usage>,
}

impl Sampler {
    /// Begins. `store` is a folder on the store's disk.
    pub fn start(store: PathBuf) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (mut samples, begun) = (Samples::new(Path::new("/proc")), Instant::now());
            loop {
                samples.take();
                samples.machine(&store);
                let pause = pause(samples.cost(), begun.elapsed());
                if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                    // In a short job there was nothing on the disk before.
                    samples.machine(&store);
                    return samples.into_usage();
                }
            }
        });
        Self { stop, thread }
    }

    /// Ends, and gives what was seen.
    pub fn finish(self) -> Usage {
        // It has ended by itself where this cannot be sent.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_default()
    }
}

/// Until the next sample, after all so far have taken `cost` milliseconds of processor time.
fn pause(cost: u64, elapsed: Duration) -> Duration {
    (Duration::from_millis(cost.saturating_sub(AT_ONCE)) * PART).saturating_sub(elapsed).clamp(EVERY, AT_MOST)
}

/// A process in one sample.
struct Process {
    parent: u32,
    /// Ticks since the machine began: tells two processes with one number apart.
    started: u64,
    /// Ticks of itself and of its children that have ended and been waited for.
    ticks: u64,
    /// Bytes.
    resident: u64,
}

/// What was seen so far.
struct Samples {
    proc: PathBuf,
    /// The output that a process has in its environment, where it has one.
    outputs: HashMap<(u32, u64), Option<String>>,
    usage: Usage,
    /// Milliseconds of a tick.
    tick: u64,
    page: u64,
}

impl Samples {
    fn new(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            outputs: HashMap::new(),
            usage: Usage::default(),
            tick: 1000 / rustix::param::clock_ticks_per_second().max(1),
            page: rustix::param::page_size() as u64,
        }
    }

    /// Looks at all processes.
    fn take(&mut self) {
        let processes = self.processes();
        let mut owners: HashMap<u32, Option<String>> = HashMap::new();
        let mut memory: HashMap<String, u64> = HashMap::new();
        let mut cpu: HashMap<String, u64> = HashMap::new();
        for (&pid, process) in &processes {
            let Some(output) = self.owner(pid, &processes, &mut owners) else { continue };
            *memory.entry(output.clone()).or_default() += process.resident;
            // What its children that are gone have used is in its own count.
            *cpu.entry(output).or_default() += process.ticks;
        }
        for (output, bytes) in memory {
            let seen = self.usage.builders.entry(output).or_default();
            seen.memory = seen.memory.max(bytes);
        }
        for (output, ticks) in cpu {
            let seen = self.usage.builders.entry(output).or_default();
            // A tree that becomes smaller has been waited for: the count of what is left never says less.
            seen.cpu = seen.cpu.max(ticks * self.tick);
        }
        let alive: HashSet<(u32, u64)> = processes.iter().map(|(&pid, process)| (pid, process.started)).collect();
        self.outputs.retain(|process, _| alive.contains(process));
    }

    /// The output whose builder a process is of.
    fn owner(
        &mut self,
        pid: u32,
        processes: &HashMap<u32, Process>,
        owners: &mut HashMap<u32, Option<String>>,
    ) -> Option<String> {
        let mut path = Vec::new();
        let mut at = pid;
        let found = loop {
            if let Some(known) = owners.get(&at) {
                break known.clone();
            }
            let Some(process) = processes.get(&at).filter(|_| path.len() < MAX_PROCESSES) else { break None };
            path.push(at);
            let proc = &self.proc;
            let own = self.outputs.entry((at, process.started)).or_insert_with(|| output_of(proc, at));
            if own.is_some() {
                break own.clone();
            }
            at = process.parent;
        };
        for seen in path {
            owners.insert(seen, found.clone());
        }
        found
    }

    fn processes(&self) -> HashMap<u32, Process> {
        let entries = fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        numbers.take(MAX_PROCESSES).filter_map(|pid| Some((pid, self.process(pid)?))).collect()
    }

    fn process(&self, pid: u32) -> Option<Process> {
        let text = read(&self.proc.join(pid.to_string()).join("stat"), MAX_STATUS)?;
        parse(&text, self.page)
    }

    /// Looks at the whole machine.
    fn machine(&mut self, store: &Path) {
        if let Some((all, available)) = read(&self.proc.join("meminfo"), MAX_STATUS).as_deref().and_then(memory) {
            self.usage.memory = self.usage.memory.max(all.saturating_sub(available));
        }
        if let Ok(disk) = rustix::fs::statvfs(store) {
            let used = disk.f_blocks.saturating_sub(disk.f_bfree).saturating_mul(disk.f_frsize);
            self.usage.disk = self.usage.disk.max(used);
        }
    }

    /// Processor time of the thread that asks, milliseconds.
    fn cost(&self) -> u64 {
        own_cost(&self.proc, self.tick).unwrap_or(0)
    }

    fn into_usage(mut self) -> Usage {
        self.usage.cost = self.cost();
        self.usage
    }
}

/// No start of a job takes longer; a machine that is older serves others too.
const LONGEST_START: u64 = 30 * 60 * 1000;

/// How long ago the machine or the container of this job began, milliseconds; none where that is not known or it serves other jobs too.
pub fn age_of_the_machine() -> Option<u64> {
    let proc = Path::new("/proc");
    let first = parse(&read(&proc.join("1/stat"), MAX_STATUS)?, 1)?;
    let up = read(&proc.join("uptime"), MAX_STATUS)?;
    let up: f64 = std::str::from_utf8(&up).ok()?.split_ascii_whitespace().next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let age = (up * 1000.0) as u64;
    Some(age.saturating_sub(first.started.saturating_mul(1000) / ticks)).filter(|&age| age <= LONGEST_START)
}

/// What the machine calls its processors; none where it does not say.
pub fn processor() -> Option<String> {
    model(&read(Path::new("/proc/cpuinfo"), MAX_STATUS)?)
}

/// The name in the first lines of `/proc/cpuinfo`, which ARM's kernels do not give.
fn model(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    let name = line.split_once(':')?.1.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    Some(name).filter(|name| is_model(name))
}

/// Milliseconds that the thread which asks has used.
fn own_cost(proc: &Path, tick: u64) -> Option<u64> {
    let text = read(&proc.join("thread-self/stat"), MAX_STATUS)?;
    Some(parse(&text, 1)?.ticks * tick)
}

/// A line of `/proc/PID/stat` (proc_pid_stat(5)); a name may hold anything, so the fields are counted from its end.
fn parse(text: &[u8], page: u64) -> Option<Process> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(&text[end + 1..]).ok()?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // The state is field 3.
    let ticks = [11, 12, 13, 14].into_iter().filter_map(number).fold(0, u64::saturating_add);
    Some(Process {
        parent: u32::try_from(number(1)?).ok()?,
        started: number(19)?,
        ticks,
        resident: number(21)?.saturating_mul(page),
    })
}

/// All memory and what of it is available, bytes.
fn memory(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
    };
    Some((field("MemTotal:")?, field("MemAvailable:")?))
}

/// The output in the environment that a process was started with, as Nix sets it for a builder.
fn output_of(proc: &Path, pid: u32) -> Option<String> {
    let text = read(&proc.join(pid.to_string()).join("environ"), MAX_ENVIRONMENT)?;
    let mut variables = text.split(|&byte| byte == 0);
    let is_builder = text.split(|&byte| byte == 0).any(|variable| variable.starts_with(b"NIX_BUILD_TOP="));
    let out = variables.find_map(|variable| variable.strip_prefix(b"out="))?;
    let out = std::str::from_utf8(out).ok().filter(|out| is_builder && out.starts_with('/'))?;
    Some(out.to_owned())
}

fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(most).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a process.
    fn process(proc: &Path, (pid, parent): (u32, u32), name: &str, (ticks, pages): (u64, u64), environment: &str) {
        let dir = proc.join(pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        let stat = format!("{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 77 0 {pages} 0 0");
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("environ"), environment).unwrap();
    }

    #[test]
    fn a_builder_is_its_process_and_all_below_it_at_their_largest() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        let builder = |output: &str| format!("NIX_BUILD_TOP=/build\0out={output}\0");
        process(proc, (10, 1), "nix-store", (900, 900), "out=/not/a/builder\0");
        process(proc, (11, 10), "sh) S 1 (", (5, 100), &builder("/nix/store/a"));
        process(proc, (12, 11), "cc", (30, 400), "");
        process(proc, (13, 10), "sh", (7, 50), &builder("/nix/store/b"));
        let mut samples = Samples::new(proc);
        (samples.tick, samples.page) = (10, 4096);
        samples.take();
        let of = |samples: &Samples, output: &str| {
            let seen = samples.usage.builders[output];
            (seen.cpu, seen.memory / 4096)
        };
        assert_eq!((of(&samples, "/nix/store/a"), of(&samples, "/nix/store/b")), ((350, 500), (70, 50)));
        // The child has ended, and its time is in its parent's count.
        fs::remove_dir_all(proc.join("12")).unwrap();
        process(proc, (11, 10), "sh", (45, 120), &builder("/nix/store/a"));
        samples.take();
        assert_eq!(of(&samples, "/nix/store/a"), (450, 500));
        assert_eq!(samples.usage.builders.len(), 2, "Nix itself is no builder");
    }

    /// The most memory that this process has used so far, bytes.
    fn most_memory() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    #[test]
    fn looking_at_four_hundred_processes_takes_little_memory() {
        use std::os::unix::process::CommandExt;
        if !Path::new("/proc/self/status").exists() {
            return;
        }
        let script = "for each in $(seq 400); do sleep 600 & done; echo there; wait";
        let mut tree = std::process::Command::new("sh");
        tree.args(["-c", script]).env("NIX_BUILD_TOP", "/build").env("out", "/nix/store/tree").process_group(0);
        let mut tree = tree.stdout(std::process::Stdio::piped()).spawn().unwrap();
        tree.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        let (mut samples, before) = (Samples::new(Path::new("/proc")), most_memory());
        let count = 30;
        for _ in 0..count {
            samples.take();
            samples.machine(Path::new("/"));
        }
        let group = rustix::process::Pid::from_raw(tree.id().cast_signed()).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        tree.wait().unwrap();
        let usage = samples.into_usage();
        assert!(usage.builders["/nix/store/tree"].memory > 400 * 4096, "all of them are seen: {usage:?}");
        let grown = most_memory() - before;
        println!("{} ms of processor time for {count} samples, {grown} bytes more memory", usage.cost);
        assert!(grown < 20_000_000, "{grown} bytes");
    }

    #[test]
    fn where_looking_takes_long_it_is_rarer() {
        let pause = |cost, elapsed| pause(cost, Duration::from_millis(elapsed)).as_millis();
        assert_eq!([pause(0, 5), pause(300, 0), pause(360, 3_000), pause(90_000, 1)], [1_000, 1_000, 3_000, 30_000]);
        // However long a sample takes: a hundredth, but for the first few.
        for each in [1, 16, 50, 200] {
            let (mut cost, mut elapsed) = (0, 0);
            while elapsed < 600_000 {
                cost += each;
                elapsed += each + u64::try_from(pause(cost, elapsed + each)).unwrap();
            }
            assert!(cost <= elapsed / 100 + AT_ONCE + each, "{each}: {cost} of {elapsed}");
        }
    }

    #[test]
    fn a_processor_has_the_name_that_the_kernel_gives() {
        let text = b"processor\t: 0\nmodel name\t: AMD  EPYC 9R14\nmodel name\t: other\n";
        assert_eq!(model(text).as_deref(), Some("AMD EPYC 9R14"));
        assert_eq!(model(b"processor\t: 0\nBogoMIPS\t: 2100.00\n"), None);
        assert_eq!(model(b"model name\t: a\x1b[31m\n"), None);
    }

    #[test]
    fn what_is_no_process_is_passed_over() {
        for text in ["", "1", "1 (x", "1 (x) S", "1 (x) S 1 1 1 0 -1 0 0 0 0 0 a b c d 20 0 1 0 x 0 1 0 0"] {
            assert!(parse(text.as_bytes(), 1).is_none(), "{text}");
        }
        assert!(memory(b"MemTotal: x kB\nMemAvailable: 1 kB").is_none());
        assert_eq!(memory(b"MemTotal: 3 kB\nMemAvailable: 1 kB"), Some((3072, 1024)));
    }
}
