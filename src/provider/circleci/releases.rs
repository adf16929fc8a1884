//! Releases that machines download from: their checksums go in, as `sha256sum` prints them, what each system takes comes out.
//!
//! A release of nixdag has a file `nixdag-<version>-<target>` for each platform, one of Nix a `nix-<version>-<system>.tar.xz`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::{Download, NixRelease, Options};
use crate::fleet::executor::Executor;
use crate::nix::hash::Sha256;
use crate::plan::Plan;

/// Systems that releases of nixdag have a file for, with what the file's name ends with.
pub(super) const TARGETS: [(&str, &str); 3] = [
    ("x86_64-linux", "x86_64-unknown-linux-musl"),
    ("aarch64-linux", "aarch64-unknown-linux-musl"),
    ("aarch64-darwin", "aarch64-apple-darwin"),
];

/// The nixdag that generated jobs download: this program's own version, as plan and bundle are.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// File names with their SHA-256 in hexadecimal. Empty lines and those that begin with `#` say nothing.
fn files(checksums: &str) -> Result<Vec<(&str, String)>> {
    let lines = checksums.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let (sha256, name) =
                line.split_once([' ', '\t']).with_context(|| format!("line {number} is not `<sha256>  <file>`"))?;
            let sha256 = Sha256::parse(sha256).with_context(|| format!("line {number}"))?;
            Ok((name.trim_start().trim_start_matches('*'), sha256.base16()))
        })
        .collect()
}

/// The files of this version of nixdag. `url` is the folder of the releases; what else the checksums name is left out.
pub fn nixdag(url: &str, checksums: &str) -> Result<Vec<Download>> {
    let download = |(name, sha256): (&str, String)| {
        let target = name.strip_prefix("nixdag-")?.strip_prefix(VERSION)?.strip_prefix('-')?;
        let (system, _) = TARGETS.into_iter().find(|(_, suffix)| target == *suffix)?;
        let url = url.trim_end_matches('/').into();
        Some(Download { system: system.into(), version: VERSION.into(), url, name: name.into(), sha256 })
    };
    Ok(files(checksums)?.into_iter().filter_map(download).collect())
}

/// A release of Nix. `url` is the folder of the releases.
pub fn nix(version: &str, url: &str, checksums: &str) -> Result<NixRelease> {
    let tarball = |(name, sha256): (&str, String)| {
        let system = name.strip_prefix("nix-")?.strip_prefix(version)?.strip_prefix('-')?.strip_suffix(".tar.xz")?;
        Some((system.to_owned(), sha256))
    };
    let tarballs: Vec<_> = files(checksums)?.into_iter().filter_map(tarball).collect();
    ensure!(!tarballs.is_empty(), "they name no tarball of Nix {version} (`nix-{version}-x86_64-linux.tar.xz` is one)");
    Ok(NixRelease { version: version.into(), url: url.trim_end_matches('/').into(), tarballs })
}

/// The systems of jobs whose machines get no nixdag: neither the bundle's runs there, nor is one downloaded.
pub fn systems_without_nixdag(plan: &Plan, options: &Options) -> BTreeSet<String> {
    let Some(bundle) = &options.bundle else { return BTreeSet::new() };
    let executor_of = |name: &String| options.executors.iter().find(|executor| executor.name == *name);
    let served = |executor: &&Executor| {
        executor.systems.contains(&bundle.system)
            || executor.systems.first().is_some_and(|own| options.downloads.iter().any(|file| file.system == *own))
    };
    let executors = plan.all_jobs().filter_map(|job| executor_of(job.executor.as_ref()?));
    executors.filter(|executor| !served(executor)).filter_map(|executor| executor.systems.first().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(digit: &str) -> String {
        digit.repeat(64)
    }

    #[test]
    fn files_of_this_version_are_found_by_their_system() {
        let checksums = format!(
            "# made by the release\n{}  nixdag-{VERSION}-aarch64-apple-darwin\n\
             {} *nixdag-{VERSION}-aarch64-unknown-linux-musl\r\n\n\
             {}  nixdag-0.0.0-x86_64-unknown-linux-musl\n{}  sbom.json\n",
            sum("1"),
            sum("A"),
            sum("3"),
            sum("4")
        );
        let found = nixdag("https://example.org/releases/", &checksums).unwrap();
        let systems: Vec<_> = found.iter().map(|file| (&*file.system, &*file.sha256, &*file.url)).collect();
        let url = "https://example.org/releases";
        assert_eq!(systems, [("aarch64-darwin", &*sum("1"), url), ("aarch64-linux", &*sum("a"), url)]);
        assert_eq!(nixdag(url, "# nothing yet\n").unwrap(), []);
    }

    #[test]
    fn tarballs_of_one_release_of_nix_are_found() {
        let checksums =
            format!("{}  nix-2.3-x86_64-linux.tar.xz\n{}  nix-2.4-x86_64-linux.tar.xz\n", sum("1"), sum("2"));
        let release = nix("2.3", "https://example.org/nix/", &checksums).unwrap();
        assert_eq!(release.tarballs, [("x86_64-linux".to_owned(), sum("1"))]);
        assert!(nix("2.5", "https://example.org/nix", &checksums).is_err());
    }

    #[test]
    fn what_is_no_list_of_checksums_is_refused() {
        for text in ["nonsense", "0123  nixdag", "<html>\n"] {
            assert!(nixdag("https://example.org", text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_orb_pins_the_same_nix() {
        let sums = include_str!("../../../orb/src/release/nix.sha256");
        let default = NixRelease::default();
        assert_eq!(nix(&default.version, &default.url, sums).unwrap(), default);
    }
}
