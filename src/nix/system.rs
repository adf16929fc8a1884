//! Systems by Nix's names, e.g. `x86_64-linux`, and which flake outputs are sorted by them.

use std::env::consts;

use crate::nearest;

/// Outputs whose second name is a system. `hydraJobs` is none of them: its second name is a job.
const PER_SYSTEM_OUTPUTS: [&str; 6] = ["packages", "checks", "devShells", "apps", "legacyPackages", "formatter"];

/// Systems that flakes usually have.
pub const USUAL: [&str; 6] =
    ["x86_64-linux", "aarch64-linux", "i686-linux", "armv7l-linux", "x86_64-darwin", "aarch64-darwin"];

/// The system that this program runs on.
pub fn current() -> String {
    let processor = match consts::ARCH {
        "x86" => "i686",
        "arm" => "armv7l",
        "powerpc64" if cfg!(target_endian = "little") => "powerpc64le",
        other => other,
    };
    let kernel = match consts::OS {
        "macos" => "darwin",
        other => other,
    };
    format!("{processor}-{kernel}")
}

/// Processors and kernels of Nix's systems, beside those of [`USUAL`].
const PROCESSORS: [&str; 23] = [
    "armv5tel",
    "armv6l",
    "armv7a",
    "javascript",
    "loongarch64",
    "m68k",
    "microblaze",
    "microblazeel",
    "mips",
    "mips64",
    "mips64el",
    "mipsel",
    "mmix",
    "powerpc",
    "powerpc64",
    "powerpc64le",
    "riscv32",
    "riscv64",
    "s390",
    "s390x",
    "sparc64",
    "wasm32",
    "wasm64",
];
const KERNELS: [&str; 13] = [
    "cygwin", "freebsd", "genode", "ghcjs", "illumos", "mmixware", "netbsd", "none", "openbsd", "redox", "solaris",
    "wasi", "windows",
];

/// What was meant by a name that no system has, in words with a space before them; none for a system, and for what resembles none.
pub fn meant(name: &str) -> Option<String> {
    let (processor, kernel) = name.split_once('-').unwrap_or((name, ""));
    let usual = || USUAL.iter().filter_map(|system| system.split_once('-'));
    let is_processor = PROCESSORS.contains(&processor) || usual().any(|(known, _)| known == processor);
    let is_kernel = KERNELS.contains(&kernel) || usual().any(|(_, known)| known == kernel);
    let meant = nearest::meant(name, USUAL);
    if is_processor && is_kernel || meant.is_empty() { None } else { Some(meant) }
}

/// True for a flake output whose next name is a system.
pub fn is_per_system(output: &str) -> bool {
    PER_SYSTEM_OUTPUTS.contains(&output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_system_is_seen_and_no_system_is_a_slip() {
        for (name, system) in [
            ("x86_64-linx", "x86_64-linux"),
            ("x86-64-linux", "x86_64-linux"),
            ("aarch64_darwin", "aarch64-darwin"),
            ("X86_64-Linux", "x86_64-linux"),
        ] {
            assert_eq!(meant(name), Some(format!(" (did you mean `{system}`?)")), "{name}");
        }
        for name in [
            "x86_64-linux",
            "riscv64-linux",
            "x86_64-freebsd",
            "mips64el-linux",
            "armv6l-linux",
            "my-own-machine-for-tests",
            "",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
