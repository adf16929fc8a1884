//! What a plan says of each target: its derivation, the paths of its outputs and the job that builds it. In the plan's JSON, `targets`
//! lists every attribute that was selected and evaluated, skipped ones included, so that a reader needs neither the `.drv` files nor a
//! search through the jobs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::job::{Job, JobIndex};
use crate::attribute::AttributePath;
use crate::graph::{Graph, OutputPaths};
use crate::target::Target;

/// One target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTarget {
    /// The attribute.
    pub target: AttributePath,
    /// Path of its derivation.
    pub derivation: Arc<str>,
    /// Name of each output to its store path, none where only the build tells; empty where the derivation could not be read.
    pub outputs: OutputPaths,
    /// The job or final job that builds it; none where nothing does.
    pub job: Option<JobIndex>,
}

/// A plan's targets, by attribute. `jobs` are all of the plan, in its order; `beside` has the outputs of derivations that are not in the
/// graph, by path.
pub fn of<'a>(
    jobs: impl Iterator<Item = &'a Job>,
    graph: &Graph,
    targets: &[Target],
    beside: &HashMap<Arc<str>, OutputPaths>,
) -> Vec<PlannedTarget> {
    let jobs: BTreeMap<&AttributePath, JobIndex> = jobs
        .enumerate()
        .flat_map(|(at, job)| job.targets.iter().map(move |target| (target, JobIndex(at as u32))))
        .collect();
    let outputs = |path: &str| match graph.find(path) {
        Some(id) => graph.output_paths(id),
        None => beside.get(path).cloned().unwrap_or_default(),
    };
    let mut planned: Vec<PlannedTarget> = targets
        .iter()
        .map(|target| PlannedTarget {
            target: target.attribute.clone(),
            derivation: target.drv_path.clone(),
            outputs: outputs(&target.drv_path),
            job: jobs.get(&target.attribute).copied(),
        })
        .collect();
    planned.sort_by(|a, b| a.target.cmp(&b.target));
    planned
}
