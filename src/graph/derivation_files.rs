//! Where derivations are read from: a folder of `.drv` files, else the store directory that they name.
//!
//! In: store paths of derivations. Out: a [`Graph`] of their closures. Which store directory is meant the paths tell themselves.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Error, Result};

use super::{Graph, OutputPaths};
use crate::nix::store_path;

/// The files of derivations.
#[derive(Clone, Copy, Debug)]
pub struct DerivationFiles<'a> {
    folder: Option<&'a Path>,
}

impl<'a> DerivationFiles<'a> {
    /// The files of a folder; those of the store directory where there is none.
    pub fn new(folder: Option<&'a Path>) -> Self {
        Self { folder }
    }

    /// The folder that holds the files of a store directory.
    pub fn folder<'s>(&'s self, store_dir: &'s str) -> &'s Path {
        self.folder.unwrap_or(Path::new(store_dir))
    }

    /// The graph below these derivations, see [`Graph::load`].
    pub fn load(&self, roots: &[&str]) -> Result<Graph> {
        let store_dir = store_path::common_dir(roots);
        Graph::load(roots.iter().copied(), self.folder(store_dir), store_dir)
    }

    /// The same, to compare derivations with each other, see [`Graph::load_each`].
    pub fn load_each(&self, roots: &[&str]) -> Result<Graph> {
        let store_dir = store_path::common_dir(roots);
        Graph::load_each(roots.iter().copied(), self.folder(store_dir), store_dir)
    }

    /// The same as far as files can be read, see [`Graph::load_readable`].
    pub fn load_readable<'r>(&self, roots: &[&'r str]) -> Result<(Graph, Vec<(&'r str, Error)>)> {
        let store_dir = store_path::common_dir(roots);
        Graph::load_readable(roots, self.folder(store_dir), store_dir)
    }

    /// Outputs of those derivations that are not in the graph. One whose file cannot be read is missing.
    pub fn outputs_beside<'p>(
        &self,
        graph: &Graph,
        paths: impl Iterator<Item = &'p Arc<str>>,
    ) -> HashMap<Arc<str>, OutputPaths> {
        let folder = self.folder(graph.store_dir());
        let read = |path: &str| Graph::read_outputs(&folder.join(path.rsplit('/').next()?)).ok();
        let beside = paths.filter(|path| graph.find(path).is_none());
        beside.filter_map(|path| Some((path.clone(), read(path)?))).collect()
    }
}
