//! What a final job's command finds: outputs of targets, brought into the store before it runs, and a folder of links to them.
//!
//! In: the final job and the store after the guard has fetched. Out: the folder, or an error that names the targets at fault.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::guard::Deliverers;
use super::work::JobWork;
use crate::nix::store::Store;
use crate::plan::final_job::FinalJob;

/// Derivations that are imported so that a missing output can be built: those that another job of the plan was to build. Others
/// existed when the plan was made, and are fetched by path alone.
pub fn derivations<'a>(job: &'a FinalJob, deliverers: &Deliverers) -> Vec<&'a str> {
    let restored = job.restore.iter().map(|restored| &*restored.derivation);
    restored.filter(|drv| deliverers.of(drv).is_some()).collect()
}

/// The store path of each output and the name of its link. Fails unless all are valid.
pub fn check<'a>(
    job: &'a FinalJob,
    deliverers: &Deliverers,
    work: &JobWork,
    store: &Store,
) -> Result<Vec<(String, &'a str)>> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for restored in &job.restore {
        for output in &restored.outputs {
            match work.path_of(restored, output) {
                Some(path) => found.push((restored, path, output.link.as_str())),
                None => missing.push((restored, format!("the path of output `{}`", output.name))),
            }
        }
    }
    let paths: Vec<&str> = found.iter().map(|(_, path, _)| path.as_str()).collect();
    let invalid: HashSet<String> =
        if paths.is_empty() { HashSet::new() } else { store.invalid(&paths)?.into_iter().collect() };
    let (invalid, valid): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, path, _)| invalid.contains(path));
    missing.extend(invalid.into_iter().map(|(restored, path, _)| (restored, format!("`{path}`"))));
    let lines = missing.iter().map(|(restored, what)| {
        let why = match deliverers.of(&restored.derivation) {
            Some(job) => format!("job `{job}` should have handed it off: rerun that job"),
            None => {
                "it existed when the plan was made, and now no substituter has it: push it to a cache that the job can \
                     read, or make a new plan"
                    .to_owned()
            }
        };
        format!("target `{}` cannot be restored: {what} is missing ({why})", restored.target)
    });
    let lines: Vec<String> = lines.collect();
    ensure!(lines.is_empty(), "{}", lines.join("\n"));
    Ok(valid.into_iter().map(|(_, path, link)| (path, link)).collect())
}

/// Makes the folder anew, with a link to each output. The links are roots: what the command finds is there until the folder goes.
pub fn link(outputs: &[(String, &str)], dir: &Path, store: &Store) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove `{}`", dir.display()));
        }
        _ => {}
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("cannot use `{}`", dir.display()))?;
    for (path, link) in outputs {
        store.add_root(path, &dir.join(link))?;
    }
    Ok(())
}
