//! One line of the list: an attacker, an asset, what stops the one from reaching the other, and where nothing does.

use serde::Serialize;

use super::situation::Situation;
use crate::provider::Provider;

/// Who means harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attacker {
    /// Can push a branch to the repository.
    Branch,
    /// Opens a pull request from a fork.
    Fork,
    /// Wrote something that is evaluated or built: an input of the flake, a dependency, a package.
    Input,
    /// Has an account on a machine that jobs run on.
    MachineUser,
    /// Runs a binary cache, or the network before it.
    Cache,
}

/// What they may be after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asset {
    /// The programs that other pipelines and jobs run.
    Programs,
    /// What others take for built.
    Results,
    /// The signing key, and credentials that may push.
    Signatures,
    /// Variables of contexts and of the project, tokens of caches.
    Secrets,
    /// CircleCI's key with which a setup job continues.
    ContinuationKey,
    /// The token that the CI gives to a job.
    JobToken,
    /// Machines, their money, and which contexts a job has.
    Machines,
    /// What is planned, and what is said of it in the end.
    Plan,
}

/// One attacker and one asset.
#[derive(Clone, Copy, Debug)]
pub struct Exposure {
    /// Who.
    pub attacker: Attacker,
    /// What.
    pub asset: Asset,
    /// What stops it; none where nothing of nixdag's does.
    pub stops: &'static [Stop],
    /// Where it is not stopped.
    pub gaps: &'static [Gap],
}

/// What stops an attacker.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// On which providers.
    pub on: &'static [Provider],
    /// How, a sentence without its full stop.
    pub how: &'static str,
    /// Names of the tests that do the attack.
    pub tests: &'static [&'static str],
}

/// A way that is open under some settings.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// On which providers.
    pub on: &'static [Provider],
    /// When it is open.
    pub is_open: fn(&Situation) -> bool,
    /// What can be reached, a sentence without its full stop.
    pub reach: &'static str,
    /// What closes it.
    pub remedy: Remedy,
}

/// Everywhere.
pub const ALL: &[Provider] = &[Provider::CircleCi, Provider::GitLab, Provider::GitHub];
/// On CircleCI alone.
pub const CIRCLECI: &[Provider] = &[Provider::CircleCi];
/// On GitLab alone.
pub const GITLAB: &[Provider] = &[Provider::GitLab];
/// On GitHub alone.
pub const GITHUB: &[Provider] = &[Provider::GitHub];
/// On both that keep the caches of branches apart.
pub const OTHERS: &[Provider] = &[Provider::GitLab, Provider::GitHub];

/// What closes a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A setting of nixdag's or a parameter of the orb.
    Setting(&'static str),
    /// Something that is set up elsewhere and cannot be seen from here.
    Elsewhere(&'static str),
}

/// A gap that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Who.
    pub attacker: Attacker,
    /// What.
    pub asset: Asset,
    /// What can be reached.
    pub reach: &'static str,
    /// The setting that closes it; null where that is not nixdag's to set.
    pub setting: Option<&'static str>,
    /// What to look at where it is set up; null where a setting closes it.
    pub elsewhere: Option<&'static str>,
    /// It is open where nothing is set, too.
    pub by_default: bool,
}

impl Attacker {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Branch, Self::Fork, Self::Input, Self::MachineUser, Self::Cache];

    /// Who that is.
    pub fn text(self) -> &'static str {
        match self {
            Self::Branch => "Anyone who can push a branch",
            Self::Fork => "The author of a fork's pull request",
            Self::Input => "The author of an input or a dependency",
            Self::MachineUser => "Another user of a machine",
            Self::Cache => "Whoever runs a binary cache",
        }
    }
}

impl Asset {
    /// What that is.
    pub fn text(self) -> &'static str {
        match self {
            Self::Programs => "programs that run",
            Self::Results => "results",
            Self::Signatures => "signatures and pushes",
            Self::Secrets => "secrets",
            Self::ContinuationKey => "continuation key",
            Self::JobToken => "the job's own token",
            Self::Machines => "machines and contexts",
            Self::Plan => "plan and verdict",
        }
    }
}

impl Remedy {
    /// What to do, to go on in a sentence.
    pub fn text(self) -> String {
        match self {
            Self::Setting(text) => format!("closed by {}", settings(text)),
            Self::Elsewhere(text) => format!("outside nixdag: {text}"),
        }
    }
}

/// Settings of which each does, `a or b`, as code.
fn settings(text: &str) -> String {
    format!("`{}`", text.replace(" or ", "` or `"))
}

impl Finding {
    /// What closes it, to go on in a sentence.
    pub fn remedy(&self) -> Option<String> {
        let setting = self.setting.map(Remedy::Setting);
        setting.or(self.elsewhere.map(Remedy::Elsewhere)).map(Remedy::text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everywhere_is_every_provider() {
        assert_eq!(Provider::all().collect::<Vec<_>>(), ALL);
    }
}
