//! `comment` of `nixdag.yml`: the job that comments on the pull request. In: a mapping. Out: a [`CommentJob`].

use anyhow::{Context, Result, ensure};

use super::yaml::mapping;
use crate::provider::job_setup::CommentJob;
use crate::secret::VariableName;

/// `comment`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommentEntry {
    /// `token_variable`
    pub token_variable: Option<String>,
    /// `context`
    pub context: Option<String>,
    /// `environment`
    pub environment: Option<String>,
}

mapping!(CommentEntry, "a mapping with `token_variable`", {
    "token_variable" => token_variable: "The variable with the token, by its name",
    "context" => context: "The context with that variable; on GitLab an environment",
    "environment" => environment: "The same as context",
}, schema { "required": ["token_variable"], "not": { "required": ["context", "environment"] } }, check check);

fn check(entry: &CommentEntry) -> Result<()> {
    entry.job().map(drop)
}

impl CommentEntry {
    /// The job.
    pub fn job(&self) -> Result<CommentJob> {
        let name = self.token_variable.as_deref().context("`comment` has no `token_variable`")?;
        ensure!(
            self.context.is_none() || self.environment.is_none(),
            "`context` and `environment` are the same: give one"
        );
        Ok(CommentJob {
            token_variable: VariableName::parse(name).context("`token_variable`")?,
            context: self.context.clone().or_else(|| self.environment.clone()),
        })
    }
}
