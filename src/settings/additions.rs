//! What users add to the generated configuration: configurations of their own, pipeline parameters. Files that `nixdag.yml` names
//! are looked for beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Settings;
use crate::cli::GenerateArgs;
use crate::output::read_input;
use crate::provider::circleci::merge::UserConfig;
use crate::provider::circleci::pipeline_parameters::{self, PipelineParameter};

/// What users add.
#[derive(Clone, Debug, PartialEq)]
pub struct Additions {
    /// Configurations of their own.
    pub merge: Vec<UserConfig>,
    /// Pipeline parameters that the setup configuration takes.
    pub parameters: Vec<PipelineParameter>,
}

impl Settings {
    /// Reads what is to be added. A list given by flags replaces that of the file; a parameter named by itself wins over one of
    /// the setup configuration.
    pub fn additions(&self, flags: &GenerateArgs) -> Result<Additions> {
        let file = &self.file;
        let folder = self.file_path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let beside = |path: &str| folder.join(path);
        let files: Vec<PathBuf> = match &file.merge {
            Some(list) if flags.merge.is_empty() => list.0.iter().map(|path| beside(path)).collect(),
            _ => flags.merge.clone(),
        };
        let merge = files.iter().map(|path| UserConfig::read(path)).collect::<Result<_>>()?;

        let (words, place): (Vec<&str>, _) = match &file.pipeline_parameters {
            Some(list) if flags.pipeline_parameter.is_empty() => {
                (list.0.iter().map(String::as_str).collect(), "`pipeline_parameters` of nixdag.yml")
            }
            _ => (flags.pipeline_parameter.iter().map(String::as_str).collect(), "`--pipeline-parameter`"),
        };
        let named = words.into_iter().map(pipeline_parameters::parse).collect::<Result<_>>().context(place)?;
        let setup = flags.parameters_from.clone().or_else(|| file.parameters_from.as_deref().map(beside));
        let declared = match setup {
            None => Vec::new(),
            Some(path) => {
                let what = || format!("cannot take the pipeline parameters of `{}`", path.display());
                let text = String::from_utf8(read_input(&path)?).context("it is not UTF-8").with_context(what)?;
                pipeline_parameters::declared(&text).with_context(what)?
            }
        };
        Ok(Additions { merge, parameters: pipeline_parameters::first_of([named, declared]) })
    }
}
