//! How much memory a job's machine has: the least of what is built in and of what the job's control groups allow, as containers have it.
//!
//! Sources: proc_meminfo(5); `memory.max` of control groups, version 2, and `memory.limit_in_bytes` of version 1 (cgroups(7)).

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes; none where nobody says.
pub fn bytes() -> Option<u64> {
    in_root(Path::new("/"))
}

fn in_root(root: &Path) -> Option<u64> {
    let built_in = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
    });
    let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = own.lines().flat_map(|line| files(root, line)).filter_map(|file| fs::read_to_string(file).ok());
    // Without a limit there is `max`, or a number that no machine reaches.
    let limits = limits.filter_map(|text| text.trim().parse().ok());
    limits.chain(built_in).min()
}

/// The files with the limits of a group and all above it: `hierarchy:controllers:path`.
fn files(root: &Path, line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (mount, name) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|controller| controller == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().map(|group| root.join(mount).join(group).join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_machine_and_all_groups_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(in_root(dir.path()), None);
        write("proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\n");
        write("proc/self/cgroup", "4:cpu,memory:/job/build\n2:cpu:/x\nnonsense\n0::/job/step\n");
        write("sys/fs/cgroup/job/step/memory.max", "max\n");
        assert_eq!(in_root(dir.path()), Some(1_024_000));
        write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "900000\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(in_root(dir.path()), Some(900_000), "of the first version, above the job's own");
        write("sys/fs/cgroup/memory.max", "800000\n");
        assert_eq!(in_root(dir.path()), Some(800_000), "of the second version, as a container sees it");
    }
}
