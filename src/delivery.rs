//! How results travel: between the jobs of a pipeline, to later pipelines, to other stores, and what jobs start from. One type a
//! choice, for settings, plan, providers and runner alike.

pub mod destination;
pub mod downloads;

use anyhow::{Context, Result, bail};

use self::destination::Destination;
use crate::choice::choice;
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::nix::signature::PublicKeys;
use crate::secret::VariableName;
use crate::usage::usage;

choice! {
    /// How results travel from job to job.
    pub enum HandOffKind {
        /// In CircleCI's workspace
        Workspace = "workspace",
        /// In artifacts of GitLab's jobs, of which a job takes those of at most 50 others
        Artifacts = "artifacts",
        /// In the package registry of the GitLab project
        Packages = "packages",
        /// In a binary cache
        Cache = "cache",
    }
}

impl HandOffKind {
    /// True where a job fetches everything that each of its inputs has handed off, needed or not.
    pub fn has_layers(self) -> bool {
        matches!(self, Self::Workspace | Self::Artifacts)
    }
}

choice! {
    /// What a pipeline that hands off through the workspace takes from earlier ones through the CI's own cache.
    pub enum Reuse {
        /// Results of the same branch, and of the default branch where that is named
        Branch = "branch",
        /// Results of any branch that are signed with a trusted key
        Signed = "signed",
        /// Nothing
        Off = "off",
    }
}

choice! {
    /// Which jobs sign and push.
    #[derive(Default)]
    pub enum Sign {
        /// Those that build, each what it has built
        #[default]
        Jobs = "jobs",
        /// One that builds nothing, after all others have succeeded
        Separate = "separate",
    }
}

choice! {
    /// What to do where pushing goes on failing.
    #[derive(Default)]
    pub enum OnPushFailure {
        /// Say so
        #[default]
        Warn = "warn",
        /// Fail the job
        Fail = "fail",
    }
}

choice! {
    /// What jobs print of builders' logs.
    #[derive(Default)]
    pub enum BuildLogs {
        /// The last lines of what failed
        #[default]
        Failures = "failures",
        /// All of them, as they come
        Live = "live",
    }
}

/// Seconds that one call of a pushing program may take where nobody says.
pub const PUSH_TIMEOUT: u32 = 60 * 60;

/// How the jobs of a configuration pass on what they build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// To the jobs that need it.
    pub handoff: HandOff,
    /// To later pipelines; none where nobody has said, see [`Delivery::reuse_beside`].
    pub reuse: Option<Reuse>,
    /// The keys that this CI signs with.
    pub signing: Signing,
    /// To stores beside the hand-off.
    pub push: Push,
    /// Which jobs sign and push.
    pub sign: Sign,
    /// Contexts with the signing key and the credentials of stores, which the jobs that sign and push get.
    pub contexts: Vec<String>,
    /// To people.
    pub build_logs: BuildLogs,
    /// Variables of a job's environment that builders may have.
    pub build_variables: Vec<VariableName>,
}

impl Delivery {
    /// True where jobs sign, or hold what a store can be written with.
    pub fn has_secrets(&self) -> bool {
        self.handoff.kind() == HandOffKind::Cache
            || self.reuse == Some(Reuse::Signed)
            || self.signing.is_named
            || !self.signing.public_keys.is_empty()
            || !self.push.destinations.is_empty()
            || !self.contexts.is_empty()
    }

    /// What is reused, where some jobs have contexts of their own or none has. Unsigned results come from a cache that any branch can
    /// write, and do not go together with secrets: those take signed ones if there is a key to trust, else none.
    pub fn reuse_beside(&self, contexts: bool) -> Result<Reuse> {
        let secrets = contexts || self.has_secrets();
        match self.reuse {
            _ if self.handoff.kind() == HandOffKind::Cache => Ok(Reuse::Off),
            None if !secrets => Ok(Reuse::Branch),
            None if self.sign == Sign::Separate => Ok(Reuse::Off),
            None if self.signing.public_keys.is_empty() => Ok(Reuse::Off),
            None => Ok(Reuse::Signed),
            Some(Reuse::Branch) if secrets => bail!(
                "`reuse: branch` takes unsigned results from a cache that every branch can write, which does not go together with \
                 {}: use `reuse: signed` with a key, or `reuse: off` (without `reuse` it is `signed` where a public key is given, \
                 else `off`)",
                self.what_is_secret()
            ),
            Some(reuse) => Ok(reuse),
        }
    }

    /// Refuses a job of its own for signing where jobs that build would have to sign too, or where there is nothing to push.
    pub fn check(&self) -> Result<()> {
        if self.sign == Sign::Jobs {
            return Ok(());
        }
        match self.reuse {
            _ if self.handoff.kind() == HandOffKind::Cache => bail!(
                "`sign: separate` does not go together with `handoff: cache`: jobs that build have to write to that cache, and to sign for it \
                 (use another hand-off: `workspace`, `artifacts` or `packages`)"
            ),
            Some(Reuse::Signed) => bail!(
                "`sign: separate` does not go together with `reuse: signed`: jobs that build would have to sign what they save (use \
                 `reuse: off`, and name what you push to under `caches`, where the next pipeline finds it)"
            ),
            Some(Reuse::Branch) => {
                bail!(
                    "`sign: separate` does not go together with `reuse: branch`, whose results nobody signs: use `reuse: off`"
                )
            }
            _ if self.push.destinations.is_empty() => {
                bail!("`sign: separate` has nothing to sign for: name a store under `push` (`--push URL`)")
            }
            Some(Reuse::Off) | None => Ok(()),
        }
    }

    /// Why `reuse: branch` cannot be.
    fn what_is_secret(&self) -> &'static str {
        if !self.push.destinations.is_empty() {
            "`push`"
        } else if self.has_secrets() {
            "a signing key"
        } else {
            "jobs that have contexts"
        }
    }
}

/// How results reach the jobs that need them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HandOff {
    /// Through the workflow's workspace.
    #[default]
    Workspace,
    /// Through artifacts of the jobs themselves.
    Artifacts,
    /// Through the project's package registry.
    Packages,
    /// Through artifacts where these suffice for a plan, else through the package registry.
    ArtifactsOrPackages,
    /// Through this store, which jobs copy to; it serves later pipelines too.
    Cache(StoreUrl),
}

/// What the flags, or nixdag.yml, say about the hand-off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandOffChoice<'a> {
    /// `--handoff`, `handoff`.
    pub kind: Option<HandOffKind>,
    /// `--cache`, `cache`: the URL of a store.
    pub cache: Option<&'a str>,
}

impl HandOff {
    /// Resolves flags and file: a flag wins over the file, and a store alone says that it is used; `default` counts where nobody says
    /// anything.
    ///
    /// Fails where a hand-off through a cache names none, where another one names one in the same place, and for what is not the URL
    /// of a store.
    pub fn resolve(flags: HandOffChoice, file: HandOffChoice, default: Self) -> Result<Self> {
        use HandOffKind::Cache;
        const FLAG: &str = "`--cache`";
        const KEY: &str = "`cache` in nixdag.yml";
        match (flags.kind, flags.cache, file.kind, file.cache) {
            (Some(Cache) | None, Some(url), ..) => Self::through(url).context(usage(FLAG)),
            (Some(_), Some(_), ..) => bail!("`--cache` requires `--handoff cache`"),
            (Some(Cache), None, _, Some(url)) => Self::through(url).context(KEY),
            (Some(Cache), None, _, None) => bail!("`--handoff cache` needs `--cache URL`, or `cache` in nixdag.yml"),
            (None, None, Some(Cache) | None, Some(url)) => Self::through(url).context(KEY),
            (None, None, Some(Cache), None) => {
                bail!("`handoff: cache` in nixdag.yml needs `cache`, or `--cache URL`")
            }
            (None, None, Some(_), Some(_)) => bail!("`cache` in nixdag.yml requires `handoff: cache`"),
            (Some(kind), None, ..) | (None, None, Some(kind), None) => Ok(Self::of(kind).unwrap_or(default)),
            (None, None, None, None) => Ok(default),
        }
    }

    /// Where the kind alone says everything.
    fn of(kind: HandOffKind) -> Option<Self> {
        match kind {
            HandOffKind::Workspace => Some(Self::Workspace),
            HandOffKind::Artifacts => Some(Self::Artifacts),
            HandOffKind::Packages => Some(Self::Packages),
            HandOffKind::Cache => None,
        }
    }

    /// The same for commands that only plan, which take no `--cache`: what `--handoff cache` costs does not depend on the store.
    pub fn resolve_kind(flag: Option<HandOffKind>, file: HandOffChoice, default: Self) -> Result<HandOffKind> {
        match (flag, file.cache) {
            (Some(HandOffKind::Cache), None) => Ok(HandOffKind::Cache),
            _ => Ok(Self::resolve(HandOffChoice { kind: flag, cache: None }, file, default)?.kind()),
        }
    }

    /// Through the store of this URL: what jobs push to they fetch from.
    pub fn through(text: &str) -> Result<Self> {
        Destination::parse_store(text)?;
        Ok(Self::Cache(StoreUrl::public(text)?))
    }

    /// What it is, wherever that store may be.
    pub fn kind(&self) -> HandOffKind {
        match self {
            Self::Workspace => HandOffKind::Workspace,
            Self::Artifacts | Self::ArtifactsOrPackages => HandOffKind::Artifacts,
            Self::Packages => HandOffKind::Packages,
            Self::Cache(_) => HandOffKind::Cache,
        }
    }
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// All destinations.
    pub destinations: Vec<Destination>,
    /// Variables without which nothing is pushed.
    pub credentials: Vec<VariableName>,
    /// What to do where a destination is given up.
    pub on_failure: OnPushFailure,
    /// Seconds that one call of a pushing program may take.
    pub timeout: u32,
}

impl Default for Push {
    fn default() -> Self {
        let (destinations, credentials) = (Vec::new(), Vec::new());
        Self { destinations, credentials, on_failure: OnPushFailure::default(), timeout: PUSH_TIMEOUT }
    }
}

/// What a configuration says about the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleReference {
    /// SHA-256 of the bundle's file `manifest`, 64 hexadecimal digits. The manifest has a line `<SHA-256>  <file>` for each
    /// other file, the program `nixdag` among them.
    pub manifest_sha256: String,
    /// The Nix system that the bundle's nixdag runs on.
    pub system: String,
}

impl BundleReference {
    /// Refuses what would break out of a script.
    pub fn check(&self) -> Result<()> {
        downloads::check_sha256(&self.manifest_sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::HandOffKind::{Cache, Workspace};
    use super::*;

    fn said(kind: Option<HandOffKind>, cache: Option<&str>) -> HandOffChoice<'_> {
        HandOffChoice { kind, cache }
    }

    #[test]
    fn flags_win_over_the_file_and_a_store_alone_is_used() {
        let (flag, key) = (Some("s3://flag"), Some("s3://file"));
        for (flags, file, expected) in [
            (said(None, None), said(None, None), None),
            (said(None, None), said(Some(Workspace), None), None),
            (said(None, None), said(None, key), key),
            (said(None, None), said(Some(Cache), key), key),
            (said(None, flag), said(Some(Workspace), key), flag),
            (said(Some(Cache), flag), said(None, key), flag),
            (said(Some(Cache), None), said(Some(Workspace), key), key),
            (said(Some(Workspace), None), said(Some(Cache), key), None),
        ] {
            let expected = expected.map_or(HandOff::Workspace, |url| HandOff::through(url).unwrap());
            assert_eq!(HandOff::resolve(flags, file, HandOff::Workspace).unwrap(), expected, "{flags:?} {file:?}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let url = Some("s3://bucket");
        for (flags, file, words) in [
            (said(Some(Workspace), url), said(None, None), "`--cache` requires `--handoff cache`"),
            (said(Some(Cache), None), said(None, None), "`--handoff cache` needs `--cache URL`"),
            (said(None, None), said(Some(Cache), None), "`handoff: cache` in nixdag.yml needs `cache`"),
            (said(None, None), said(Some(Workspace), url), "`cache` in nixdag.yml requires `handoff: cache`"),
            (said(None, Some("cachix:mine")), said(None, None), "`--cache`: `cachix:mine`: jobs fetch from a store"),
            (said(None, None), said(None, Some("bucket")), "`cache` in nixdag.yml: `bucket` is not a store"),
        ] {
            let error = format!("{:#}", HandOff::resolve(flags, file, HandOff::Workspace).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_plan_needs_no_store_but_refuses_a_file_that_contradicts_itself() {
        let kind = |flag, file| HandOff::resolve_kind(flag, file, HandOff::Workspace).ok();
        assert_eq!(kind(Some(Cache), said(None, None)), Some(Cache));
        assert_eq!(kind(Some(Cache), said(Some(Cache), None)), Some(Cache));
        assert_eq!(kind(None, said(None, Some("s3://bucket"))), Some(Cache));
        assert_eq!(kind(Some(Workspace), said(Some(Cache), None)), Some(Workspace));
        assert_eq!(kind(None, said(Some(Cache), None)), None);
        assert_eq!(kind(None, said(Some(Workspace), Some("s3://bucket"))), None);
    }

    #[test]
    fn a_job_of_its_own_for_signing_is_refused_where_others_would_have_to_sign() {
        let push = Push { destinations: vec![Destination::parse("s3://bucket").unwrap()], ..Push::default() };
        let good = Delivery { sign: Sign::Separate, push, ..Delivery::default() };
        good.check().unwrap();
        assert_eq!(good.reuse_beside(true).unwrap(), Reuse::Off);
        for (delivery, words) in [
            (Delivery { handoff: HandOff::through("s3://bucket").unwrap(), ..good.clone() }, "`handoff: cache`"),
            (Delivery { reuse: Some(Reuse::Signed), ..good.clone() }, "`reuse: signed`"),
            (Delivery { reuse: Some(Reuse::Branch), ..good.clone() }, "`reuse: branch`"),
            (Delivery { push: Push::default(), ..good.clone() }, "nothing to sign for"),
        ] {
            let error = delivery.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            Delivery { sign: Sign::Jobs, ..delivery }.check().unwrap();
        }
    }
}
