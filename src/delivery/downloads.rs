//! What jobs download where their machine lacks it: Nix, and nixdag. Checksums of releases go in, as `sha256sum` prints them, what each system takes comes out.
//!
//! A release of nixdag has a file `nixdag-<version>-<target>` for each platform, one of Nix a `nix-<version>-<system>.tar.xz`.

use anyhow::{Context, Result, ensure};

use crate::nix::hash::Sha256;
use crate::printable::printable_url;

/// Systems that releases of nixdag have a file for, with what the file's name ends with.
pub const TARGETS: [(&str, &str); 3] = [
    ("x86_64-linux", "x86_64-unknown-linux-musl"),
    ("aarch64-linux", "aarch64-unknown-linux-musl"),
    ("aarch64-darwin", "aarch64-apple-darwin"),
];

/// The nixdag that generated jobs download: this program's own version, as plan and bundle are.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The file of a nixdag release, with its pinned checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The Nix system that it is for.
    pub system: String,
    /// The release, e.g. `1.2.3`.
    pub version: String,
    /// Folder of the releases.
    pub url: String,
    /// Name in the release.
    pub name: String,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

/// A release of Nix and the SHA-256 of its tarballs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NixRelease {
    /// E.g. `2.34.7`.
    pub version: String,
    /// Folder of the releases.
    pub url: String,
    /// System and SHA-256, 64 hexadecimal digits, of `nix-<version>-<system>.tar.xz`.
    pub tarballs: Vec<(String, String)>,
}

impl Default for NixRelease {
    fn default() -> Self {
        // As the release's own `install` script pins them.
        let tarballs = [
            ("x86_64-linux", "eafe5042404e818505e28c5ca3d0885f3ec45c31f955489a25bb38258f87560e"),
            ("aarch64-linux", "f1cee64ae7a02330c6421924c28f597c41813f2214ff108622087d8056378b08"),
            ("aarch64-darwin", "71e18301c4ea78c667f2753159156b5bdb899993720e8aa7bcca97e8312d3d6b"),
        ];
        Self {
            version: "2.34.7".into(),
            url: "https://releases.nixos.org/nix".into(),
            tarballs: tarballs.map(|(system, sha256)| (system.into(), sha256.into())).into(),
        }
    }
}

impl Download {
    /// Refuses what would break out of a script.
    pub fn check(&self) -> Result<()> {
        [&self.system, &self.version, &self.name].into_iter().try_for_each(|text| check_word(text))?;
        check_url(&self.url)?;
        check_sha256(&self.sha256)
    }
}

impl NixRelease {
    /// Refuses what would break out of a script.
    pub fn check(&self) -> Result<()> {
        check_word(&self.version)?;
        check_url(&self.url)?;
        self.tarballs.iter().try_for_each(|(system, sha256)| check_word(system).and_then(|()| check_sha256(sha256)))
    }
}

/// Refuses everything but a SHA-256 in hexadecimal digits.
pub fn check_sha256(text: &str) -> Result<()> {
    let is_sha256 = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_sha256, "`{}` is not a SHA-256 (expected 64 hexadecimal digits)", text.escape_debug());
    Ok(())
}

fn check_url(text: &str) -> Result<()> {
    let is_known = ["https://", "http://", "file://"].iter().any(|scheme| text.starts_with(scheme));
    ensure!(
        is_known && !text.contains(char::is_control),
        "`{}` is not an address of releases (expected https://, http:// or file://)",
        printable_url(text)
    );
    Ok(())
}

fn check_word(text: &str) -> Result<()> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte));
    ensure!(is_word, "`{}` is neither a version nor a system nor a file", text.escape_debug());
    Ok(())
}

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
        let sums = include_str!("../../orb/src/release/nix.sha256");
        let default = NixRelease::default();
        assert_eq!(nix(&default.version, &default.url, sums).unwrap(), default);
    }
}
