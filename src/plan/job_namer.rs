//! What jobs are named after.
//!
//! In: a job's nodes, and the attributes of targets. Out: a [`Naming`] for [`names::assign`].

use super::names::{self, Naming};
use super::needed::NeededGraph;
use super::placement::{Attributes, Placements};
use super::problem::{JobNodes, Node};
use crate::attribute::AttributePath;
use crate::fleet::system::BUILTIN;
use crate::graph::Graph;

/// Finds names for jobs.
pub struct JobNamer<'a> {
    pub graph: &'a Graph,
    pub small: &'a NeededGraph,
    pub placements: &'a Placements,
    pub attributes: &'a Attributes<'a>,
    pub many_systems: bool,
}

impl<'a> JobNamer<'a> {
    fn attributes(&self, node: Node) -> &[&'a AttributePath] {
        self.attributes.get(&self.small.drvs[node as usize]).map_or(&[], Vec::as_slice)
    }

    /// The attributes that the job completes, sorted.
    pub fn targets(&self, job: &JobNodes) -> impl Iterator<Item = &'a AttributePath> + use<'a> {
        let mut targets: Vec<_> = job.owned.iter().flat_map(|&node| self.attributes(node)).copied().collect();
        targets.sort_unstable();
        targets.into_iter()
    }

    pub fn naming(&self, job: &JobNodes) -> Naming {
        let problem = &self.small.problem;
        let placement = self.placements.list.get(usize::from(job.system));
        let system = placement.map_or(BUILTIN, |placement| &placement.system);
        let name = |node: Node| self.graph.node(self.small.drvs[node as usize]).name();
        let mut completed: Vec<&AttributePath> =
            job.owned.iter().filter_map(|&node| names::representative(self.attributes(node).iter().copied())).collect();
        completed.sort_unstable();
        let (mut preferred, others, content) = match names::representative(completed.iter().copied()) {
            Some(first) => {
                (names::label(first, system), completed.len() - 1, completed.iter().map(ToString::to_string).collect())
            }
            None => {
                // The largest one; among equals the one that the others lead to, then by name.
                let largest = job.owned.iter().copied().max_by(|&a, &b| {
                    let duration = |node: Node| problem.duration[node as usize];
                    duration(a).cmp(&duration(b)).then(a.cmp(&b))
                });
                let mut content: Vec<String> = job.owned.iter().map(|&node| name(node).to_owned()).collect();
                content.sort_unstable();
                (largest.map(name).unwrap_or_default().to_owned(), job.owned.len() - 1, content)
            }
        };
        if others > 0 {
            preferred.push_str(&format!("+{others}"));
        }
        if self.many_systems {
            preferred.push_str(&format!(" ({system})"));
        }
        let paths = job.owned.iter().map(|&node| self.graph.path(self.small.drvs[node as usize])).collect();
        Naming { preferred, content, paths }
    }
}
