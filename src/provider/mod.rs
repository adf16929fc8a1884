//! Providers: the CI systems that a plan can be written for. A plan goes in, the text of a configuration comes out.
//!
//! A closed set: each provider is a variant with a module of its own, which declares its limits and escapes what it writes.

pub mod additions;
pub mod checked;
pub mod circleci;
pub mod comment;
pub mod continue_request;
pub mod credit;
pub mod declared;
pub mod github;
pub mod gitlab;
pub mod job_script;
pub mod job_setup;
pub mod limits;
pub mod made;
pub mod parameters;
mod recognized;
pub mod restored_variables;
pub mod shell;
pub mod small_job;
pub mod start_up;
pub mod waited_for;
pub mod yaml;

use std::env::VarError;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::affected::base::Hints;
use crate::choice::{Choice, choice};
use crate::delivery::{HandOff, HandOffKind};
use crate::fleet::Fleet;
use crate::output::read_input;
use crate::plan::Plan;
use crate::usage::usage;
use additions::Additions;
use checked::Checked;
use comment::CommentPlace;
use continue_request::ContinueRequest;
use credit::Credit;
use job_setup::JobSetup;
use limits::Limits;
use start_up::{Draft, Repository, StartUp};

choice! {
    /// A CI system.
    #[derive(Default)]
    pub enum Provider {
        /// CircleCI, by dynamic configuration
        #[default]
        CircleCi = "circleci",
        /// GitLab CI, by a child pipeline
        GitLab = "gitlab",
        /// GitHub Actions, in waves
        GitHub = "github",
    }
}

impl Provider {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().map(|(.., provider)| *provider)
    }

    /// What a credit of its machines is.
    pub fn credit(self) -> Credit {
        match self {
            Self::CircleCi => Credit::Own,
            Self::GitLab => Credit::Minute,
            Self::GitHub => Credit::Millidollar,
        }
    }

    /// The variable that is set in all its jobs, and nowhere else.
    pub fn variable(self) -> &'static str {
        match self {
            Self::CircleCi => "CIRCLECI",
            Self::GitLab => "GITLAB_CI",
            Self::GitHub => "GITHUB_ACTIONS",
        }
    }

    /// Its machines, before settings change them.
    pub fn fleet(self) -> Fleet {
        match self {
            Self::CircleCi => circleci::machines::fleet(),
            Self::GitLab => gitlab::machines::fleet(),
            Self::GitHub => github::machines::fleet(),
        }
    }

    /// Folder of a repository for what belongs to the provider.
    pub fn folder(self) -> &'static str {
        match self {
            Self::CircleCi => ".circleci",
            Self::GitLab => ".gitlab",
            Self::GitHub => ".github",
        }
    }

    /// What each setup job of the orb, each component or each action that plans is given in the configuration of a repository, parameter by
    /// parameter; none where there is no such file, or nothing of that kind in it.
    pub fn setup_jobs(self, file: &Path) -> Result<Vec<BTreeMap<String, String>>> {
        match self {
            Self::CircleCi => circleci::setup_job::read(file),
            Self::GitLab => gitlab::component::read(file),
            Self::GitHub => github::plan_action::read(file),
        }
    }

    /// What a configuration is said to use in which no setup job, component or action of nixdag's plans.
    pub fn lacks_planning(self) -> &'static str {
        match self {
            Self::CircleCi => "no setup job of the orb",
            Self::GitLab => "no component of nixdag's",
            Self::GitHub => "no action of nixdag's that plans",
        }
    }

    /// The file of a repository which says how pipelines begin.
    pub fn configuration(self) -> &'static str {
        match self {
            Self::CircleCi => ".circleci/config.yml",
            Self::GitLab => ".gitlab-ci.yml",
            Self::GitHub => ".github/workflows/nixdag.yml",
        }
    }

    /// What comes after a configuration has been written into this file, to go on in a sentence.
    pub fn after_generating(self, file: &Path) -> String {
        match self {
            Self::CircleCi => format!("; next, in the setup job: `nixdag continue {}`", file.display()),
            Self::GitLab => "; next, a job with `trigger` starts the child pipeline".to_owned(),
            Self::GitHub => "; next, the called workflow runs the waves".to_owned(),
        }
    }

    /// Where the page is that the job behind all others keeps, as the variables of that job say.
    pub fn page_address(self, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        match self {
            Self::CircleCi => circleci::environment::page_address(variable),
            Self::GitLab => gitlab::environment::page_address(variable),
            Self::GitHub => github::environment::page_address(variable),
        }
    }

    /// Whether a configuration has the job that comments: GitHub's workflow does not change from plan to plan, and CircleCI has nothing to comment on.
    pub fn writes_comments(self) -> bool {
        match self {
            Self::GitLab => true,
            Self::CircleCi | Self::GitHub => false,
        }
    }

    /// Where the comment of a job goes, as its variables say.
    pub fn comment_place(self, variable: impl Fn(&str) -> Option<String>) -> Result<CommentPlace> {
        match self {
            Self::GitHub => {
                let event = variable("GITHUB_EVENT_PATH").map(|path| read_input(Path::new(&path))).transpose()?;
                let event = event.map(|event| serde_json::from_slice(&event)).transpose();
                github::comment::place(variable, &event.context("`GITHUB_EVENT_PATH`")?.unwrap_or_default())
            }
            Self::GitLab => gitlab::comment::place(variable),
            Self::CircleCi => bail!(usage("CircleCI has no pull requests: use `--provider github` or `gitlab`")),
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::CircleCi => "CircleCI",
            Self::GitLab => "GitLab",
            Self::GitHub => "GitHub",
        }
    }

    /// How the names of generated files end.
    pub fn configuration_ends(self) -> &'static [&'static str] {
        match self {
            Self::CircleCi | Self::GitLab => &["yml", "yaml"],
            // JSON is YAML, too.
            Self::GitHub => &["json", "yml", "yaml"],
        }
    }

    /// Checks a configuration of anybody's, as far as can be known; `file` says in which repository it is.
    pub fn check(self, text: &str, file: &Path) -> Result<Checked> {
        match self {
            Self::CircleCi => circleci::continuation::problems(text),
            Self::GitLab => gitlab::check::check_any(text, file),
            Self::GitHub => github::check::check_any(text),
        }
    }

    /// What a repository gets that begins with it.
    ///
    /// `draft` plans its flake, where a provider has to know what would be generated.
    pub fn start_up(self, repository: &Repository, draft: &mut dyn FnMut() -> Result<Draft>) -> Result<StartUp> {
        match self {
            Self::CircleCi => circleci::start_up::start_up(repository, draft),
            Self::GitLab => gitlab::start_up::start_up(repository),
            Self::GitHub => github::start_up::start_up(repository),
        }
    }

    /// What it says in the environment of a job of the commit that is checked out.
    pub fn hints(self, variable: impl Fn(&'static str) -> Option<String>) -> Hints {
        match self {
            Self::CircleCi => circleci::environment::hints(variable),
            Self::GitLab => gitlab::environment::hints(variable),
            Self::GitHub => github::environment::hints(variable),
        }
    }

    /// Variables of its jobs with tokens of the CI's own, of which nothing that nixdag starts has a use.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::CircleCi => &circleci::environment::KEYS,
            Self::GitLab => &gitlab::environment::KEYS,
            Self::GitHub => &github::environment::KEYS,
        }
    }

    /// How secrets are kept out of the job that plans, as an advice.
    pub fn keeps_secrets_from_planning(self) -> &'static str {
        match self {
            Self::CircleCi => circleci::environment::KEEPS_SECRETS,
            Self::GitLab => gitlab::environment::KEEPS_SECRETS,
            Self::GitHub => github::environment::KEEPS_SECRETS,
        }
    }

    /// Whether what jobs record is in the CI's own cache for later pipelines. CircleCI's can be written by every branch, and unpacked in the job that has the key to
    /// the pipeline: there the user says whether branches trust one another.
    pub fn keeps_records(self, trust_branches: bool) -> bool {
        match self {
            Self::CircleCi => trust_branches,
            Self::GitLab | Self::GitHub => true,
        }
    }

    /// Whether records are in the store that jobs hand on through, where they do: elsewhere the CI's own cache needs no more set-up.
    pub fn keeps_records_in_store(self) -> bool {
        self == Self::CircleCi
    }

    /// What the provider allows.
    pub fn limits(self) -> Limits {
        match self {
            Self::CircleCi => circleci::limits::LIMITS,
            Self::GitLab => gitlab::limits::LIMITS,
            Self::GitHub => github::limits::LIMITS,
        }
    }

    /// How jobs hand off where nobody says.
    pub fn handoff(self) -> HandOff {
        match self {
            Self::CircleCi => HandOff::Workspace,
            Self::GitLab => HandOff::ArtifactsOrPackages,
            Self::GitHub => HandOff::Artifacts,
        }
    }

    /// How jobs can hand off.
    pub fn handoffs(self) -> &'static [HandOffKind] {
        match self {
            Self::CircleCi => &[HandOffKind::Workspace, HandOffKind::Cache],
            Self::GitLab => &[HandOffKind::Artifacts, HandOffKind::Packages, HandOffKind::Cache],
            Self::GitHub => &[HandOffKind::Artifacts, HandOffKind::Cache],
        }
    }

    /// Where the planning job has to write the bundle; none where that is for the provider's own action to say.
    pub fn bundle_dir(self) -> Option<&'static str> {
        match self {
            Self::CircleCi => Some(circleci::transport::BUNDLE_DIR),
            Self::GitLab => Some(gitlab::places::BUNDLE),
            Self::GitHub => None,
        }
    }

    /// Reads what users add to the configuration, before there is a plan: what is wrong with it is said first.
    pub fn writer(self, additions: &Additions) -> Result<Writer> {
        match self {
            Self::CircleCi => circleci::writer::Writer::new(additions).map(Writer::CircleCi),
            Self::GitLab => gitlab::writer::Writer::new(additions).map(Writer::GitLab),
            Self::GitHub => github::writer::Writer::new(additions).map(Writer::GitHub),
        }
    }

    /// Checks what a pipeline is to be continued with. `variable` gives a variable of the environment.
    pub fn continuation(
        self,
        request: &ContinueRequest,
        variable: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<Continuation> {
        match self {
            Self::CircleCi => circleci::continue_pipeline::Checked::new(request, variable).map(Continuation::CircleCi),
            Self::GitLab => bail!("GitLab starts a child pipeline by a job with `trigger`, nothing has to be sent"),
            Self::GitHub => bail!("GitHub's waves take what the planning job puts out, nothing has to be sent"),
        }
    }
}

/// A provider with what users add to its configuration.
#[derive(Clone, Debug)]
pub enum Writer {
    /// CircleCI.
    CircleCi(circleci::writer::Writer),
    /// GitLab CI.
    GitLab(gitlab::writer::Writer),
    /// GitHub Actions.
    GitHub(github::writer::Writer),
}

impl Writer {
    /// Writes the configuration, or says which limit or rule the plan breaks; and gives warnings.
    pub fn write(self, plan: &Plan, setup: JobSetup) -> Result<(String, Vec<String>)> {
        match self {
            Self::CircleCi(writer) => writer.write(plan, setup),
            Self::GitLab(writer) => writer.write(plan, setup),
            Self::GitHub(writer) => writer.write(plan, setup),
        }
    }
}

/// What a pipeline is to be continued with, checked.
#[derive(Debug)]
pub enum Continuation {
    /// CircleCI.
    CircleCi(circleci::continue_pipeline::Checked),
}

impl Continuation {
    /// What would be sent, less secrets.
    pub fn shown(&self) -> Value {
        match self {
            Self::CircleCi(checked) => checked.shown(),
        }
    }

    /// Why sending it would fail at once, if it would.
    pub fn lacks(&self) -> Option<String> {
        match self {
            Self::CircleCi(checked) => checked.lacks(),
        }
    }

    /// Sends it. `note` hears of every attempt that failed and is followed by another. Gives the server's message.
    pub fn send(&self, note: &mut dyn FnMut(&str)) -> Result<String> {
        match self {
            Self::CircleCi(checked) => checked.send(note),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_machine_comes_in_its_usual_size_and_starts_from_an_image_of_its_form() {
        for provider in Provider::all() {
            let offers = provider.fleet().offers;
            for offer in offers.list {
                assert!(offer.sizes.iter().any(|size| size.name == offer.size), "{offer:?}");
                let executor = offers.executor("x", offer.machine, offer.architecture);
                assert_eq!(Some(executor.system()), offer.machine.system(offer.architecture));
                assert_eq!(offers.odd_image(&executor), None);
            }
        }
    }
}
