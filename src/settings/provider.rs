//! `--provider` and `provider`: the CI system that a plan is for; where nobody says, the one that nixdag runs in, else the one whose file
//! the repository has.

use std::path::Path;

use super::option::options;
use crate::provider::Provider;

options! {
    /// The CI system
    "Provider": ProviderFlags, ProviderKeys, ProviderOptions {
        /// The CI system that the plan is for
        provider {
            flag Option<Provider> [value_enum];
            key "provider": Provider;
            optional Provider;
            unset: "the one that it runs in, else the one whose file the repository has, else circleci";
            no orb: "the orb is CircleCI's";
        }
    }
}

/// The CI system, and a note where a repository has the files of several. `is_set` says whether a variable of the environment is set.
pub fn choose(said: Option<Provider>, folder: &Path, is_set: impl Fn(&str) -> bool) -> (Provider, Option<String>) {
    if let Some(provider) = said.or_else(|| Provider::all().find(|provider| is_set(provider.variable()))) {
        return (provider, None);
    }
    let mut found = Provider::all().filter(|provider| folder.join(provider.configuration()).is_file());
    let Some(first) = found.next() else { return (Provider::default(), None) };
    let note = found.next().map(|other| {
        format!(
            "the repository has both `{}` and `{}`: this is for {} (choose with `--provider`, or `provider` in nixdag.yml)",
            first.configuration(),
            other.configuration(),
            first.title()
        )
    });
    (first, note)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_said_wins_over_where_it_runs_and_that_over_files() {
        let dir = tempfile::tempdir().unwrap();
        let of = |said, variable: &str| choose(said, dir.path(), |name| name == variable);
        assert_eq!(of(None, ""), (Provider::CircleCi, None));
        fs::write(dir.path().join(".gitlab-ci.yml"), "").unwrap();
        assert_eq!(of(None, ""), (Provider::GitLab, None));
        assert_eq!(of(None, "CIRCLECI"), (Provider::CircleCi, None));
        assert_eq!(of(Some(Provider::CircleCi), "GITLAB_CI"), (Provider::CircleCi, None));
        fs::create_dir(dir.path().join(".circleci")).unwrap();
        fs::write(dir.path().join(".circleci/config.yml"), "").unwrap();
        assert_eq!(of(None, "GITLAB_CI"), (Provider::GitLab, None));
        let (provider, note) = of(None, "");
        assert_eq!(provider, Provider::CircleCi);
        assert!(note.unwrap().contains("both `.circleci/config.yml` and `.gitlab-ci.yml`: this is for CircleCI"));
    }
}
