//! The variables of a final job's command as lines for a shell, where a provider has no place of its own for them.

use anyhow::Result;

use super::shell::quote;
use crate::plan::final_job::{FinalJob, RESTORED_VARIABLE};

/// A line for each variable. `folder` holds the links, as the shell would write it within double quotes.
pub fn exports(job: &FinalJob, folder: &str) -> Result<String> {
    let mut text = format!("export {RESTORED_VARIABLE}=\"{folder}\"\n");
    for output in job.outputs() {
        let Some(name) = &output.variable else { continue };
        let value = match &output.path {
            Some(path) => quote(path)?,
            None => format!("\"${RESTORED_VARIABLE}\"/{}", quote(&output.link)?),
        };
        text.push_str(&format!("export {name}={value}\n"));
    }
    for (name, value) in &job.environment {
        text.push_str(&format!("export {name}={}\n", quote(value)?));
    }
    Ok(text)
}
