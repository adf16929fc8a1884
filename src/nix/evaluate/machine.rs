//! What this machine, or the container on it, has to give to evaluation.
//!
//! Out: processors and bytes of memory. A container sees all of the host's memory; what it may use stands in its control groups.

use std::fs;
use std::path::Path;
use std::thread;

/// Where control groups are, of the second version and of the first, with the file that limits memory.
const CONTROL_GROUPS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// Processors that may be used at the same time; quotas count.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory that may be used.
pub fn memory() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    memory_limit(&groups, Path::new("/")).into_iter().fold(installed_memory(), u64::min)
}

/// The least limit of the control groups that `/proc/self/cgroup` lists, below `root`.
fn memory_limit(groups: &str, root: &Path) -> Option<u64> {
    // `0::/path` in the second version, `4:memory:/path` in the first.
    let path_of = |line: &'_ str| -> Option<(usize, String)> {
        let mut fields = line.splitn(3, ':').skip(1);
        let version = match fields.next()? {
            "" => 0,
            controllers if controllers.split(',').any(|name| name == "memory") => 1,
            _ => return None,
        };
        Some((version, fields.next()?.trim_start_matches('/').to_owned()))
    };
    let limits = groups.lines().filter_map(path_of).flat_map(|(version, path)| {
        let (base, file) = CONTROL_GROUPS[version];
        let base = root.join(base.trim_start_matches('/'));
        // In a container the path may be the host's, and the files of its own group be those at the base.
        let folders: Vec<_> = Path::new(&path).ancestors().map(|folder| base.join(folder).join(file)).collect();
        folders.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok())
    });
    limits.min()
}

/// Bytes in a page of memory.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(target_os = "linux")]
fn installed_memory() -> u64 {
    let machine = rustix::system::sysinfo();
    // The types of these fields differ between platforms.
    #[allow(clippy::useless_conversion)]
    u64::from(machine.totalram).saturating_mul(u64::from(machine.mem_unit))
}

#[cfg(not(target_os = "linux"))]
fn installed_memory() -> u64 {
    let answer = std::process::Command::new("sysctl").args(["-n", "hw.memsize"]).output();
    let bytes = answer.ok().and_then(|answer| String::from_utf8_lossy(&answer.stdout).trim().parse().ok());
    // A machine that does not say gets what is known to be enough for small flakes.
    bytes.unwrap_or(2 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/fs/cgroup/a/memory.max", "4294967296\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000000\n");
        assert_eq!(memory_limit("0::/a/b\n", root.path()), Some(4 << 30));
        assert_eq!(memory_limit("0::/\n", root.path()), None);
        assert_eq!(memory_limit("5:cpu:/x\n4:memory,hugetlb:/x\n0::/\n", root.path()), Some(1_000_000));
        // The host's path, which the container does not have.
        assert_eq!(memory_limit("4:memory:/docker/1\n", root.path()), Some(9_223_372_036_854_771_712));
        assert_eq!(memory_limit("what\n:::\n", root.path()), None);
    }

    #[test]
    fn this_machine_has_something() {
        assert!(processors() > 0 && memory() > 1 << 20 && page_size() >= 4096);
    }
}
