//! `--provider` and `provider`: the CI system that a plan is for; where nobody says, the one that nixdag runs in, else the one whose file
//! the repository has at its root, else the one that its remote is for.

use std::path::Path;

use super::option::options;
use crate::checkout::Checkout;
use crate::git;
use crate::printable::printable;
use crate::provider::Provider;

options! {
    /// The CI system
    "Provider": ProviderFlags, ProviderKeys, ProviderOptions {
        /// The CI system that the plan is for
        provider {
            flag Option<Provider> [value_enum];
            key "provider": Provider;
            optional Provider;
            unset: "the one that it runs in, else the one whose file the repository has, else the one of its remote, else circleci";
            no orb: "the orb is CircleCI's";
        }
    }
}

/// The CI system of a plan, and how that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenProvider {
    /// The CI system.
    pub provider: Provider,
    /// How it was found.
    pub found_by: FoundBy,
}

/// What a CI system was chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// A flag or nixdag.yml names it.
    Name,
    /// nixdag runs there.
    Environment,
    /// The repository has its file, and maybe that of another one.
    File {
        /// The first of the others.
        rival: Option<Provider>,
    },
    /// The remote's host, which is this.
    Host(String),
    /// The remote is GitHub's, and the repository has workflows.
    Workflows,
    /// Nothing.
    Nothing,
}

impl ChosenProvider {
    /// Chooses for a flake's folder: CI systems have their files at the root of the repository around it. `is_set` says whether a variable of
    /// the environment is set.
    pub fn new(said: Option<Provider>, folder: &Path, is_set: impl Fn(&str) -> bool) -> Self {
        let chosen = |provider, found_by| Self { provider, found_by };
        if let Some(provider) = said {
            return chosen(provider, FoundBy::Name);
        }
        if let Some(provider) = Provider::all().find(|provider| is_set(provider.variable())) {
            return chosen(provider, FoundBy::Environment);
        }
        let Ok(checkout) = Checkout::around(folder) else { return chosen(Provider::default(), FoundBy::Nothing) };
        let has = |path: &str| checkout.root().join(path).symlink_metadata().is_ok();
        let mut found = Provider::all().filter(|provider| has(provider.configuration()));
        if let Some(first) = found.next() {
            return chosen(first, FoundBy::File { rival: found.next() });
        }
        match remote_host(checkout.root()) {
            Some(host) if host.contains("gitlab") => chosen(Provider::GitLab, FoundBy::Host(host)),
            Some(host) if host == "github.com" && has(".github/workflows") => {
                chosen(Provider::GitHub, FoundBy::Workflows)
            }
            _ => chosen(Provider::default(), FoundBy::Nothing),
        }
    }

    /// The warning where a repository has the files of several.
    pub fn warning(&self) -> Option<String> {
        let FoundBy::File { rival: Some(rival) } = self.found_by else { return None };
        Some(format!(
            "the repository has both `{}` and `{}`: this is for {} (choose with `--provider`, or `provider` in nixdag.yml)",
            self.provider.configuration(),
            rival.configuration(),
            self.provider.title()
        ))
    }

    /// Names it, and says how it was found.
    pub fn sentence(&self) -> String {
        let title = self.provider.title();
        match &self.found_by {
            FoundBy::Name => format!("{title}, which is named"),
            FoundBy::Environment => format!("{title}: nixdag runs there"),
            FoundBy::File { .. } => self
                .warning()
                .unwrap_or_else(|| format!("{title}: the repository has `{}`", self.provider.configuration())),
            FoundBy::Host(host) => format!("{title}: the remote is on {}", printable(host)),
            FoundBy::Workflows => format!("{title}: the repository has workflows"),
            FoundBy::Nothing => format!("no CI found, so {title}"),
        }
    }
}

/// The host of the remote of a repository with this root; none where git cannot tell.
fn remote_host(root: &Path) -> Option<String> {
    let git = git::Repository::around(root).ok()?;
    let remote = git.remote().ok()??;
    Some(host(&git.remote_address(&remote).ok()??).to_owned())
}

/// The host of a remote's address: `https://host/…`, `ssh://user@host:port/…`, `user@host:…`.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_said_wins_over_where_it_runs_and_that_over_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        let folder = dir.path().join("nix");
        fs::create_dir(&folder).unwrap();
        let of = |said, variable: &str| ChosenProvider::new(said, &folder, |name| name == variable);
        assert_eq!(of(None, "").sentence(), "no CI found, so CircleCI");
        // At the root of the repository that the flake's folder is in.
        fs::write(dir.path().join(".gitlab-ci.yml"), "").unwrap();
        assert_eq!(of(None, "").sentence(), "GitLab: the repository has `.gitlab-ci.yml`");
        assert_eq!(of(None, "CIRCLECI").provider, Provider::CircleCi);
        assert_eq!(of(Some(Provider::CircleCi), "GITLAB_CI").provider, Provider::CircleCi);
        fs::create_dir(dir.path().join(".circleci")).unwrap();
        fs::write(dir.path().join(".circleci/config.yml"), "").unwrap();
        assert_eq!(of(None, "GITLAB_CI").warning(), None);
        let both = of(None, "");
        assert_eq!(both.provider, Provider::CircleCi);
        let warning = both.warning().unwrap();
        assert!(warning.contains("both `.circleci/config.yml` and `.gitlab-ci.yml`: this is for CircleCI"));
    }

    #[test]
    fn the_host_of_a_remote_is_found() {
        for (address, expected) in [
            ("https://github.com/a/b.git", "github.com"),
            ("git@gitlab.example.org:a/b.git", "gitlab.example.org"),
            ("ssh://git@gitlab.com:22/a/b", "gitlab.com"),
            ("https://user:token@github.com/a/b", "github.com"),
            ("/srv/git/a", ""),
            ("", ""),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}
