//! From what users add to a configuration, and later a plan, to its text and what there is to be said about it.

use anyhow::Result;

use super::generate;
use super::limits;
use super::merge::requires;
use super::merge::user_config::UserConfig;
use super::merge::workflows::Workflows;
use super::options::Options;
use super::pipeline_parameters::{self, PipelineParameter};
use crate::plan::Plan;
use crate::provider::additions::Additions;
use crate::provider::job_setup::JobSetup;

/// What users add to a configuration, read.
#[derive(Clone, Debug)]
pub struct Writer {
    pub(super) parameters: Vec<PipelineParameter>,
    pub(super) merge: Vec<UserConfig>,
}

impl Writer {
    /// Reads the files.
    pub fn new(additions: &Additions) -> Result<Self> {
        let named = (additions.parameters.as_slice(), additions.parameters_place);
        Ok(Self {
            merge: additions.merge.iter().map(|path| UserConfig::read(path)).collect::<Result<_>>()?,
            parameters: pipeline_parameters::collect(named, additions.setup.as_deref())?,
        })
    }

    /// The configuration, and warnings about it.
    pub fn write(mut self, plan: &Plan, setup: JobSetup) -> Result<(String, Vec<String>)> {
        let mut warnings = requires::resolve(&mut self.merge, plan)?;
        for user in &self.merge {
            warnings.extend(Workflows::of(user).warnings());
        }
        let options = Options { setup, parameters: self.parameters, merge: self.merge, limits: limits::LIMITS };
        Ok((generate(plan, &options)?, warnings))
    }
}
