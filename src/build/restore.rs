//! What a final job's command finds: outputs of targets, brought into the store before it runs, and a folder of links to them.
//!
//! In: the final job and the store after the guard has fetched. Out: the folder, or an error that names the targets at fault.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::guard::Deliverers;
use crate::nix::store::Store;
use crate::plan::final_job::FinalJob;

/// Derivations that are imported so that a missing output can be built: those that another job of the plan was to build. Others
/// existed when the plan was made, and are fetched by path alone.
pub fn derivations<'a>(job: &'a FinalJob, deliverers: &Deliverers) -> Vec<&'a str> {
    let restored = job.restore.iter().map(|restored| &*restored.derivation);
    restored.filter(|drv| deliverers.of(drv).is_some()).collect()
}

/// Fails unless all outputs are valid.
pub fn check(job: &FinalJob, deliverers: &Deliverers, store: &Store) -> Result<()> {
    let paths: Vec<&str> = job.outputs().map(|output| output.path.as_str()).collect();
    let invalid: HashSet<String> =
        if paths.is_empty() { HashSet::new() } else { store.invalid(&paths)?.into_iter().collect() };
    let mut lines = Vec::new();
    for restored in &job.restore {
        for output in restored.outputs.iter().filter(|output| invalid.contains(&output.path)) {
            let why = match deliverers.of(&restored.derivation) {
                Some(job) => format!("job `{job}` should have handed it off: rerun that job"),
                None => "it existed when the plan was made, and now no substituter has it: push it to a cache that the job can \
                         read, or make a new plan"
                    .to_owned(),
            };
            lines
                .push(format!("target `{}` cannot be restored: `{}` is missing ({why})", restored.target, output.path));
        }
    }
    if lines.is_empty() { Ok(()) } else { bail!("{}", lines.join("\n")) }
}

/// Makes the folder anew, with a link to each output. The links are roots: what the command finds is there until the folder goes.
pub fn link(job: &FinalJob, dir: &Path, store: &Store) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove `{}`", dir.display()));
        }
        _ => {}
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("cannot use `{}`", dir.display()))?;
    for output in job.outputs() {
        store.add_root(&output.path, &dir.join(&output.link))?;
    }
    Ok(())
}
