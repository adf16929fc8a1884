//! The closure of derivations, with the sources that they name, as entries of a [`path_archive`].
//!
//! In: derivations of a graph, the folder with their files, the store with the sources. Out: entries, references before referrers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::path_archive::{self, Contents, Entry};
use crate::graph::Graph;
use crate::nix::nar;
use crate::nix::store::Store;

/// The closure of these derivations, and the sources that are nowhere to be had.
///
/// `drv_dir` has the files of the graph's derivations by base name. `store` is asked for the sources that derivations name; it
/// may be missing where none does.
pub fn entries<'a>(
    derivations: impl Iterator<Item = &'a str>,
    graph: &Graph,
    drv_dir: &Path,
    store: Result<&Store, &anyhow::Error>,
) -> Result<(Vec<Entry>, Vec<String>)> {
    let mut needed = vec![false; graph.len()];
    for path in derivations {
        let id = graph.find(path).with_context(|| format!("`{path}` is not among the derivations"))?;
        needed[id.at()] = true;
    }
    // Consumers stand after their inputs, so one pass from the end reaches all.
    for id in graph.ids().rev() {
        if needed[id.at()] {
            graph.inputs(id).iter().for_each(|input| needed[input.drv.at()] = true);
        }
    }

    let mut derivations = Vec::new();
    let mut sources = BTreeSet::new();
    for id in graph.ids().filter(|id| needed[id.at()]) {
        let node = graph.node(id);
        let file = drv_dir.join(&*node.base);
        let size = fs::metadata(&file).with_context(|| format!("cannot read derivation `{}`", file.display()))?.len();
        let mut references: Vec<String> = graph.inputs(id).iter().map(|input| graph.path(input.drv)).collect();
        references.sort_unstable();
        references.extend(node.sources.iter().map(|base| graph.full_path(base)));
        sources.extend(node.sources.iter().cloned());
        derivations.push(Entry {
            path: graph.path(id),
            nar_size: nar::size_of_file(size),
            references,
            contents: Contents::File(file),
        });
    }
    let sources: Vec<String> = sources.iter().map(|base| graph.full_path(base)).collect();
    let names: Vec<&str> = sources.iter().map(String::as_str).collect();
    let (mut found, absent) = match names.is_empty() {
        true => (Vec::new(), Vec::new()),
        false => {
            let store =
                store.map_err(|error| anyhow!("{error:#} (the derivations name sources that it has to give)"))?;
            source_entries(&names, store)?
        }
    };
    found.extend(absent.iter().map(|path| Entry::absent(path)));
    found.extend(derivations);
    path_archive::sort(&mut found)?;
    Ok((found, absent))
}

/// The sources and what they refer to, as the store has them; and those that it does not have.
fn source_entries(names: &[&str], store: &Store) -> Result<(Vec<Entry>, Vec<String>)> {
    let absent = store.invalid(names)?;
    let present: Vec<&str> = names.iter().copied().filter(|name| !absent.iter().any(|path| path == name)).collect();
    let closure = store.requisites(&present)?;
    let closure: Vec<&str> = closure.iter().map(String::as_str).collect();
    let entries = store
        .path_infos(&closure)?
        .into_iter()
        .map(|info| Entry {
            contents: Contents::Tree(PathBuf::from(&info.path), info.nar_hash),
            path: info.path,
            nar_size: info.nar_size,
            references: info.references,
        })
        .collect();
    Ok((entries, absent))
}
