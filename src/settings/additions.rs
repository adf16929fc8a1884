//! What users add to the generated configuration: configurations of their own, pipeline parameters. Files that `nixdag.yml` names
//! are looked for beside it. Nothing is read here: the provider knows what stands in them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::final_entry::FinalJobEntry;
use super::option::options;
use super::repository_file;
use super::yaml::List;
use crate::provider::additions::Additions;

options! {
    /// What is put beside the generated configuration
    "Your own configuration": AdditionFlags, AdditionKeys, AdditionOptions {
        /// Add the jobs of this configuration and everything that they use, e.g. `.circleci/continue.yml` or `.gitlab/jobs.yml`
        merge {
            flag Vec<PathBuf> [value_name = "FILE"];
            key "merge": List<String>;
            orb List "merge";
        }
        /// Declare the pipeline parameters of this configuration, the one that sets up the pipeline
        parameters_from {
            flag Option<PathBuf> [value_name = "FILE"];
            key "parameters_from": String;
            orb Own "parameters_from";
        }
        /// Declare a pipeline parameter: its type is `string`, `boolean`, `integer` or `enum` (with `a|b` as values)
        pipeline_parameter {
            flag Vec<String> [value_name = "NAME=TYPE:DEFAULT"];
            key "pipeline_parameters": List<String>;
            no orb: "`parameters_from` takes those of the setup configuration";
        }
    }
}

options! {
    /// Jobs that run after others
    "Final jobs": FinalFlags, FinalKeys, FinalOptions {
        /// Jobs that run after others
        final_jobs {
            no flag: "it is a list of mappings";
            key "final": List<FinalJobEntry>;
            no orb: "nixdag.yml has it";
        }
    }
}

/// What is to be added, files of the settings file beside it, in `folder`. A list given by flags replaces that of the file.
pub fn resolve(flags: &AdditionFlags, file: &AdditionKeys, folder: &Path) -> Result<Additions> {
    let beside = |path: &str, key: &str, flag: &str| {
        let path = folder.join(path);
        repository_file::check(&path, folder, flag).with_context(|| format!("`{key}` in nixdag.yml"))?;
        Ok(path)
    };
    let (parameters, parameters_place) = match &file.pipeline_parameter {
        Some(list) if flags.pipeline_parameter.is_empty() => (list.0.clone(), "`pipeline_parameters` of nixdag.yml"),
        _ => (flags.pipeline_parameter.clone(), "`--pipeline-parameter`"),
    };
    let merge = match &file.merge {
        Some(list) if flags.merge.is_empty() => {
            list.0.iter().map(|path| beside(path, "merge", "--merge")).collect::<Result<_>>()?
        }
        _ => flags.merge.clone(),
    };
    for (paths, flag) in [(flags.merge.as_slice(), "--merge"), (flags.parameters_from.as_slice(), "--parameters-from")]
    {
        for path in paths {
            repository_file::check_named(path, folder).with_context(|| format!("`{flag}`"))?;
        }
    }
    let named = || file.parameters_from.as_deref().map(|path| beside(path, "parameters_from", "--parameters-from"));
    let setup = match &flags.parameters_from {
        Some(path) => Some(path.clone()),
        None => named().transpose()?,
    };
    Ok(Additions { merge, parameters, parameters_place, setup })
}
