//! What a CircleCI configuration depends on beside the plan: executors, bundle, hand-off, reuse, pipeline parameters.

use anyhow::{Result, ensure};

use super::machines;
use super::merge::UserConfig;
use crate::build::destination::Destination;
use crate::delivery::{OnPushFailure, Reuse};
use crate::fleet::executor::Executor;
use crate::nix::signature::PublicKeys;
use crate::provider::Limits;
use crate::secret::VariableName;

/// How a plan is written for CircleCI.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kinds of machine that jobs may name.
    pub executors: Vec<Executor>,
    /// What the jobs build from; without it the configuration is for reading, and its jobs fail saying so.
    pub bundle: Option<BundleReference>,
    /// How results reach the jobs that need them.
    pub handoff: HandOff,
    /// What a pipeline takes from earlier ones through CircleCI's cache.
    pub reuse: Reuse,
    /// The branch whose complete results other branches may take too.
    pub default_branch: Option<String>,
    /// The keys that the jobs sign with and trust.
    pub signing: Signing,
    /// Where else what is built goes.
    pub push: Push,
    /// Pipeline parameters that the setup configuration takes: CircleCI passes them on, so they have to be declared again.
    pub parameters: Vec<PipelineParameter>,
    /// Configurations of the user's own that join the generated one.
    pub merge: Vec<UserConfig>,
    /// The Nix for machines that have none.
    pub nix: NixRelease,
    /// The nixdag for systems other than the bundle's.
    pub downloads: Vec<Download>,
    /// What the configuration must keep within.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            executors: machines::fleet().executors,
            bundle: None,
            handoff: HandOff::Workspace,
            reuse: Reuse::Branch,
            default_branch: None,
            signing: Signing::default(),
            push: Push::default(),
            parameters: Vec::new(),
            merge: Vec::new(),
            nix: NixRelease::default(),
            downloads: Vec::new(),
            limits: super::LIMITS,
        }
    }
}

/// What the configuration says about the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleReference {
    /// SHA-256 of the bundle's file `manifest`, 64 hexadecimal digits. The manifest has a line `<SHA-256>  <file>` for each
    /// other file, the program `nixdag` among them.
    pub manifest_sha256: String,
    /// The Nix system that the bundle's nixdag runs on.
    pub system: String,
}

/// How results reach the jobs that need them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOff {
    /// Through the workflow's workspace.
    Workspace,
    /// Through the store at this URL, which jobs copy to; it serves later pipelines too.
    Cache(String),
}

/// The keys that jobs sign with and trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// Whose signatures count.
    pub public_keys: PublicKeys,
    /// Where jobs that may sign find the secret key.
    pub variable: VariableName,
    /// True where the user has named that variable.
    pub is_named: bool,
}

impl Default for Signing {
    fn default() -> Self {
        Self { public_keys: PublicKeys::default(), variable: VariableName::signing_key(), is_named: false }
    }
}

/// Where jobs push what they have built, beside the hand-off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// All destinations.
    pub destinations: Vec<Destination>,
    /// Variables without which nothing is pushed.
    pub credentials: Vec<VariableName>,
    /// What to do where a destination is given up.
    pub on_failure: OnPushFailure,
}

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

/// A pipeline parameter that is passed through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineParameter {
    /// As the setup configuration declares it.
    pub name: String,
    /// Type and default.
    pub default: ParameterDefault,
}

/// The default of a pipeline parameter, which says its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterDefault {
    /// `type: string`.
    String(String),
    /// `type: boolean`.
    Boolean(bool),
    /// `type: integer`.
    Integer(i64),
    /// `type: enum`, with all values.
    Enum {
        /// What the parameter may be.
        values: Vec<String>,
        /// One of them.
        default: String,
    },
}

impl Options {
    /// True where jobs attach and persist a workspace.
    pub(super) fn has_workspace(&self) -> bool {
        self.bundle.is_some() && self.handoff == HandOff::Workspace
    }

    /// True where jobs save and restore results in CircleCI's cache.
    pub(super) fn has_reuse(&self) -> bool {
        self.has_workspace() && self.reuse != Reuse::Off
    }

    /// True where what earlier pipelines left counts only with a signature.
    pub(super) fn has_signed_reuse(&self) -> bool {
        self.has_workspace() && self.reuse == Reuse::Signed
    }

    /// Refuses what would break out of a script or a cache key.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            !self.has_signed_reuse() || !self.signing.public_keys.is_empty(),
            "signed results of earlier pipelines need a public key"
        );
        let hexadecimal = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let bundle = self.bundle.iter().map(|bundle| &bundle.manifest_sha256);
        let hashes = bundle
            .chain(self.downloads.iter().map(|file| &file.sha256))
            .chain(self.nix.tarballs.iter().map(|(_, sha256)| sha256));
        for hash in hashes {
            ensure!(hexadecimal(hash), "`{}` is no SHA-256 (expected 64 hexadecimal digits)", hash.escape_debug());
        }
        for url in self.downloads.iter().map(|file| &file.url).chain([&self.nix.url]) {
            let known = ["https://", "http://", "file://"].iter().any(|scheme| url.starts_with(scheme));
            ensure!(
                known && !url.contains(char::is_control),
                "`{}` is no address of releases (https://, http:// or file:// is expected)",
                url.escape_debug()
            );
        }
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
        let nix = self.nix.tarballs.iter().map(|(system, _)| system).chain([&self.nix.version]);
        for text in nix.chain(self.downloads.iter().flat_map(|file| [&file.system, &file.version, &file.name])) {
            ensure!(word(text), "`{}` is neither a version nor a system nor a file", text.escape_debug());
        }
        if let Some(branch) = &self.default_branch {
            // Git allows `{` in the name of a branch, but CircleCI reads `{{` in a key as a template.
            ensure!(
                !branch.is_empty()
                    && !branch.contains("{{")
                    && !branch.contains("..")
                    && !branch.contains(char::is_control),
                "`{}` cannot be the default branch in a cache key",
                branch.escape_debug()
            );
        }
        for parameter in &self.parameters {
            let name = &parameter.name;
            ensure!(
                name.len() <= 128
                    && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
                "`{}` cannot be a pipeline parameter (a letter, then letters, digits, `_` and `-`, 128 at most)",
                name.escape_debug()
            );
        }
        Ok(())
    }
}
