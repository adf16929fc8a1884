//! Providers: the CI systems that a plan can be written for. A plan goes in, the text of a configuration comes out.
//!
//! A closed set: each provider is a variant with a module of its own, which declares its limits and escapes what it writes.

pub mod additions;
pub mod circleci;
pub mod continue_request;
pub mod job_script;
pub mod job_setup;
pub mod limits;
pub mod shell;
pub mod yaml;

use std::env::VarError;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::affected::base::Hints;
use crate::fleet::Fleet;
use crate::plan::Plan;
use additions::Additions;
use continue_request::ContinueRequest;
use job_setup::JobSetup;
use limits::Limits;

/// A CI system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// CircleCI, by dynamic configuration.
    #[default]
    CircleCi,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::CircleCi];

    /// Its machines, before settings change them.
    pub fn fleet(self) -> Fleet {
        match self {
            Self::CircleCi => circleci::machines::fleet(),
        }
    }

    /// Folder of a repository that the provider's own configuration is in.
    pub fn folder(self) -> &'static str {
        match self {
            Self::CircleCi => ".circleci",
        }
    }

    /// What each setup job of the orb is given in the configuration of a repository, parameter by parameter; none where there is no such
    /// file or no such job.
    pub fn setup_jobs(self, file: &Path) -> Result<Vec<BTreeMap<String, String>>> {
        match self {
            Self::CircleCi => circleci::setup_job::read(file),
        }
    }

    /// The file in that folder which says how pipelines begin.
    pub fn configuration(self) -> &'static str {
        match self {
            Self::CircleCi => "config.yml",
        }
    }

    /// What it says in the environment of a job of the commit that is checked out.
    pub fn hints(self, variable: impl Fn(&'static str) -> Option<String>) -> Hints {
        match self {
            Self::CircleCi => circleci::environment::hints(variable),
        }
    }

    /// What the provider allows.
    pub fn limits(self) -> Limits {
        match self {
            Self::CircleCi => circleci::limits::LIMITS,
        }
    }

    /// Where jobs look for the bundle.
    pub fn bundle_dir(self) -> &'static str {
        match self {
            Self::CircleCi => circleci::transport::BUNDLE_DIR,
        }
    }

    /// Reads what users add to the configuration, before there is a plan: what is wrong with it is said first.
    pub fn writer(self, additions: &Additions) -> Result<Writer> {
        match self {
            Self::CircleCi => circleci::writer::Writer::new(additions).map(Writer::CircleCi),
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
        }
    }
}

/// A provider with what users add to its configuration.
#[derive(Clone, Debug)]
pub enum Writer {
    /// CircleCI.
    CircleCi(circleci::writer::Writer),
}

impl Writer {
    /// Writes the configuration, or says which limit or rule the plan breaks; and gives warnings.
    pub fn write(self, plan: &Plan, setup: JobSetup) -> Result<(String, Vec<String>)> {
        match self {
            Self::CircleCi(writer) => writer.write(plan, setup),
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

    /// Sends it. `note` is told of every attempt that failed and is followed by another. Gives the server's message.
    pub fn send(&self, note: &mut dyn FnMut(&str)) -> Result<String> {
        match self {
            Self::CircleCi(checked) => checked.send(note),
        }
    }
}
