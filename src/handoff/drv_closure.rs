//! The closure of derivations, with the sources that they name, as entries of a [`path_archive`].
//!
//! In: derivations of a graph, the folder with their files, the store with the sources. Out: entries, references before referrers.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::drv_file;
use super::path_archive::{self, ArchiveEntry, Contents};
use crate::graph::Graph;
use crate::nix::hash::Sha256;
use crate::nix::nar;
use crate::nix::store::Store;

/// The closure of these derivations with what evaluation has `built`, and the sources that are nowhere to be had.
///
/// `drv_dir` has the files of the graph's derivations by base name. `store` is asked for the sources that derivations name; it
/// may be missing where none does.
pub fn entries<'a>(
    derivations: impl Iterator<Item = &'a str>,
    built: &BTreeMap<&str, Sha256>,
    graph: &Graph,
    drv_dir: &Path,
    store: Result<&Store, &anyhow::Error>,
) -> Result<(Vec<ArchiveEntry>, Vec<String>)> {
    let mut needed = vec![false; graph.len()];
    for path in derivations {
        let id = graph.find(path).with_context(|| format!("`{path}` is not among the derivations"))?;
        needed[id.at()] = true;
    }
    // Consumers stand after their inputs, so one pass from the end reaches all.
    for id in graph.ids().rev() {
        if needed[id.at()] {
            graph.named_inputs(id).iter().for_each(|input| needed[input.drv.at()] = true);
        }
    }

    // By path: a derivation may also be a source, and what a source refers to may be one.
    let mut entries = BTreeMap::new();
    let mut sources = BTreeSet::new();
    for id in graph.ids().filter(|id| needed[id.at()]) {
        let node = graph.node(id);
        let file = drv_dir.join(&*node.base);
        let size = fs::metadata(&file).with_context(|| format!("cannot read derivation `{}`", file.display()))?.len();
        let inputs = graph.named_inputs(id).iter().map(|input| graph.path(input.drv));
        let references: BTreeSet<String> =
            inputs.chain(node.sources.iter().map(|base| graph.full_path(base))).collect();
        sources.extend(node.sources.iter().map(|base| graph.full_path(base)));
        entries.insert(graph.path(id), derivation(graph.path(id), file, size, references));
    }
    let unplanned = sources.iter().filter(|path| path.ends_with(".drv") && !entries.contains_key(*path));
    let is_there = |path: &&String| drv_dir.join(path.rsplit('/').next().unwrap_or(path)).is_file();
    let read = drv_file::closure(unplanned.filter(is_there).map(String::as_str), drv_dir)?;
    for drv in read.files {
        let references = drv.references.into_iter().collect();
        entries.entry(drv.path.clone()).or_insert_with(|| derivation(drv.path, drv.file, drv.size, references));
    }
    sources.extend(read.sources);
    let mut absent = Vec::new();
    if !built.is_empty() {
        let store = store.map_err(|error| anyhow!("{error:#} (it has what evaluation built)"))?;
        for entry in built_by_evaluation(built, graph, store)? {
            entries.entry(entry.path.clone()).or_insert(entry);
        }
    }
    let names: Vec<&str> = sources.iter().filter(|path| !entries.contains_key(*path)).map(String::as_str).collect();
    if !names.is_empty() {
        let store = store.map_err(|error| anyhow!("{error:#} (the derivations name sources that it has to give)"))?;
        absent = store.invalid(&names)?;
        let present = names.iter().copied().filter(|name| !absent.iter().any(|path| path == name));
        for entry in in_store(&present.collect::<Vec<_>>(), store)? {
            entries.entry(entry.path.clone()).or_insert(entry);
        }
    }
    let mut found: Vec<ArchiveEntry> =
        entries.into_values().chain(absent.iter().map(|path| ArchiveEntry::absent(path))).collect();
    path_archive::sort(&mut found)?;
    Ok((found, absent))
}

/// What evaluation has built, and what that refers to; outputs that it refers to and that jobs do not build, jobs fetch.
fn built_by_evaluation(built: &BTreeMap<&str, Sha256>, graph: &Graph, store: &Store) -> Result<Vec<ArchiveEntry>> {
    let paths: Vec<&str> = built.keys().copied().collect();
    if let Some(gone) = store.invalid(&paths)?.first() {
        bail!("evaluation has built `{gone}`, and it is gone: plan again");
    }
    let fetched: HashSet<String> = graph
        .ids()
        .flat_map(|id| graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref()))
        .map(|base| graph.full_path(base))
        .filter(|path| !built.contains_key(path.as_str()))
        .collect();
    let mut entries = in_store(&paths, store)?;
    for entry in &mut entries {
        if fetched.contains(&entry.path) {
            *entry = ArchiveEntry::absent(&entry.path);
        }
        let expected = built.get(entry.path.as_str());
        let is_planned =
            expected.is_none_or(|digest| matches!(entry.contents, Contents::Tree(_, found) if found == *digest));
        ensure!(is_planned, "`{}` is not what the plan says that evaluation built: plan again", entry.path);
    }
    Ok(entries)
}

fn derivation(path: String, file: PathBuf, size: u64, references: BTreeSet<String>) -> ArchiveEntry {
    ArchiveEntry {
        path,
        nar_size: nar::size_of_file(size),
        references: references.into_iter().collect(),
        contents: Contents::File(file),
    }
}

/// Paths and what they refer to, as the store has them.
fn in_store(paths: &[&str], store: &Store) -> Result<Vec<ArchiveEntry>> {
    let closure = store.requisites(paths)?;
    let closure: Vec<&str> = closure.iter().map(String::as_str).collect();
    let infos = store.path_infos(&closure)?.into_iter();
    Ok(infos
        .map(|info| ArchiveEntry {
            contents: Contents::Tree(PathBuf::from(&info.path), info.nar_hash),
            path: info.path,
            nar_size: info.nar_size,
            references: info.references,
        })
        .collect())
}
