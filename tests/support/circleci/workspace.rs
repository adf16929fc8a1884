//! A workflow's workspace: one layer a job, seen by the jobs behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::compile::Compiled;
use super::machine::copy_into;

/// Layers, each a folder.
pub struct Workspace(PathBuf);

impl Workspace {
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder of a job's layer; names of jobs are free text.
    fn layer(&self, job: &str) -> PathBuf {
        let name: String = job.bytes().map(|byte| format!("{byte:02x}")).collect();
        // Long names do not fit a file name.
        self.0.join(&name[..name.len().min(120)]).join(&name[name.len().min(120)..name.len().min(240)])
    }

    /// Drops a job's layer: it runs again.
    pub fn forget(&self, job: &str) -> Result<()> {
        let layer = self.layer(job);
        if layer.exists() {
            fs::remove_dir_all(layer)?;
        }
        Ok(())
    }

    /// Adds files below `root` to a job's layer.
    pub fn persist(&self, job: &str, root: &Path, paths: &[String]) -> Result<()> {
        for path in paths {
            ensure!(!path.contains(['*', '$']), "the stand-in persists paths as they are, not `{path}`");
            ensure!(
                !path.starts_with('/') && !path.split('/').any(|part| part == ".."),
                "`{path}` is not below the root"
            );
            let source = if path == "." { root.to_owned() } else { root.join(path) };
            ensure!(source.exists(), "`{path}` is not there: the specified paths did not match any files");
            let target = if path == "." { self.layer(job) } else { self.layer(job).join(path) };
            copy_into(&source, &target)?;
        }
        Ok(())
    }

    /// Puts the layers of these jobs into a folder. A file that two jobs persisted of which neither is behind the other is an error.
    pub fn attach(&self, ancestors: &BTreeSet<String>, order: &Compiled, at: &Path) -> Result<()> {
        let mut owners: BTreeMap<PathBuf, Vec<&str>> = BTreeMap::new();
        let mut layers = Vec::new();
        for index in order.order() {
            let name = &*order.jobs[index].name;
            let layer = self.layer(name);
            if ancestors.contains(name) && layer.exists() {
                for file in files(&layer)? {
                    let file = file.strip_prefix(&layer).context("it is below")?.to_owned();
                    for other in owners.entry(file.clone()).or_default().iter() {
                        if !order.ancestors(index).contains(*other) {
                            bail!(
                                "Concurrent upstream jobs persisted the same file(s): `{}` by `{other}` and `{name}`",
                                file.display()
                            );
                        }
                    }
                    owners.entry(file).or_default().push(name);
                }
                layers.push(layer);
            }
        }
        ensure!(!layers.is_empty(), "there is no workspace to attach");
        layers.iter().try_for_each(|layer| copy_into(layer, at))
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}
