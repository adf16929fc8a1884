//! Systems by Nix's names, e.g. `x86_64-linux`, and which flake outputs are sorted by them.

use std::env::consts;

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

/// True for a flake output whose next name is a system.
pub fn is_per_system(output: &str) -> bool {
    PER_SYSTEM_OUTPUTS.contains(&output)
}
