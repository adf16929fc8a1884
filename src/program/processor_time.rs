//! How much of the processor a program has had, as the kernel counts it: a sign of life of one that prints nothing.

use std::fs;

/// Hundredths of a second that a process, or all of a group, has had the processor for; 0 where the system does not say.
pub(super) fn processor_time(process: u32, is_group: bool) -> u64 {
    if !is_group {
        return stat(process).map_or(0, |stat| stat.time);
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(stat).filter(|stat| stat.group == process).map(|stat| stat.time).sum()
}

struct Stat {
    group: u32,
    time: u64,
}

/// What `/proc/<process>/stat` says, see proc(5); the name in it may hold anything.
fn stat(process: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat { group: u32::try_from(number(2)?).ok()?, time: number(11)? + number(12)? })
}
