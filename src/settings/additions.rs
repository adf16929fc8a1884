//! What users add to the generated configuration: configurations of their own, pipeline parameters. Files that `nixdag.yml` names
//! are looked for beside it. Nothing is read here: the provider knows what stands in them.

use std::path::{Path, PathBuf};

use super::Settings;
use crate::cli::GenerateArgs;

/// What users add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Additions {
    /// Files with configurations of their own.
    pub merge: Vec<PathBuf>,
    /// Pipeline parameters, as they were written.
    pub parameters: Vec<String>,
    /// Where those were written, for messages.
    pub parameters_place: &'static str,
    /// The setup configuration, whose pipeline parameters are passed on.
    pub setup: Option<PathBuf>,
}

impl Settings {
    /// What is to be added. A list given by flags replaces that of the file.
    pub fn additions(&self, flags: &GenerateArgs) -> Additions {
        let file = &self.file;
        let folder = self.file_path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let beside = |path: &str| folder.join(path);
        let (parameters, parameters_place) = match &file.pipeline_parameters {
            Some(list) if flags.pipeline_parameter.is_empty() => {
                (list.0.clone(), "`pipeline_parameters` of nixdag.yml")
            }
            _ => (flags.pipeline_parameter.clone(), "`--pipeline-parameter`"),
        };
        Additions {
            merge: match &file.merge {
                Some(list) if flags.merge.is_empty() => list.0.iter().map(|path| beside(path)).collect(),
                _ => flags.merge.clone(),
            },
            parameters,
            parameters_place,
            setup: flags.parameters_from.clone().or_else(|| file.parameters_from.as_deref().map(beside)),
        }
    }
}
