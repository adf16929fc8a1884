//! What is drawn: nodes, grouped or not, and edges from what is built first to what needs it.

use std::collections::HashMap;

use anyhow::Result;
use serde::Serialize;

use crate::graph::{DrvId, Graph};
use crate::nix::store_path;
use crate::plan::{Job, Plan};

/// A picture without a shape yet. Nodes stand in an order in which edges only lead forward.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Network {
    /// `jobs` or `derivations`.
    pub level: &'static str,
    /// Groups of nodes: the jobs, at the level of derivations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The edges.
    pub edges: Vec<Edge>,
}

/// A box around nodes.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The job's id.
    pub id: String,
    /// The job's name.
    pub name: String,
}

/// A job or a derivation.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// The job's id or the derivation's path; a co-located derivation has one node a job, `<path>@<job id>`.
    pub id: String,
    /// What to write on it.
    pub name: String,
    /// The system it is built on.
    pub system: String,
    /// Completes a target; none at the level of derivations, where the plan does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<bool>,
    /// Built in other jobs too, on purpose.
    pub co_located: bool,
    /// Comes after others and is not a part of the figures.
    #[serde(rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
    /// Derivations that it builds.
    pub builds: usize,
    /// Index into the groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
}

/// From what is built first to what needs it: indices of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Built first.
    pub from: usize,
    /// Needs it.
    pub to: usize,
}

/// One node a job, one edge a reduced requirement.
pub fn jobs(plan: &Plan) -> Network {
    let nodes = plan
        .all_jobs()
        .enumerate()
        .map(|(at, job)| Node {
            id: job.id.clone(),
            name: job.name.clone(),
            system: job.system.clone(),
            target: Some(!job.targets.is_empty()),
            co_located: false,
            is_final: at >= plan.jobs.len(),
            builds: job.derivations.len() + job.co_located.len(),
            group: None,
        })
        .collect();
    let edges = plan
        .all_jobs()
        .enumerate()
        .flat_map(|(to, job)| job.requires.iter().map(move |from| Edge { from: from.at(), to }))
        .collect();
    Network { level: "jobs", groups: Vec::new(), nodes, edges }
}

/// The derivations of the plan: what the graph is loaded from to draw it at that level.
pub fn derivations_of(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.all_jobs().flat_map(Job::builds)
}

/// One node a derivation build, grouped by job (a final job that only runs a command has none), one edge where one takes outputs of the other.
pub fn derivations(plan: &Plan, graph: &Graph) -> Result<Network> {
    let mut network = Network { level: "derivations", ..Network::default() };
    let mut owned: HashMap<DrvId, usize> = HashMap::new();
    let building = plan.all_jobs().enumerate().filter(|(_, job)| !job.derivations.is_empty());
    for (group, (at, job)) in building.enumerate() {
        network.groups.push(Group { id: job.id.clone(), name: job.name.clone() });
        let find = |path: &str| {
            graph.find(path).ok_or_else(|| anyhow::anyhow!("job `{}`: derivation `{path}` was not loaded", job.id))
        };
        let mut here: HashMap<DrvId, usize> = HashMap::new();
        let mut built: Vec<(DrvId, bool)> = Vec::new();
        for path in &job.derivations {
            built.push((find(path)?, false));
        }
        for path in &job.co_located {
            built.push((find(path)?, true));
        }
        built.sort_unstable();
        for &(id, co_located) in &built {
            let node = graph.node(id);
            let path = graph.path(id);
            here.insert(id, network.nodes.len());
            if !co_located {
                owned.insert(id, network.nodes.len());
            }
            network.nodes.push(Node {
                id: if co_located { format!("{path}@{}", job.id) } else { path },
                name: store_path::name_of(&node.base).to_owned(),
                system: node.system.to_string(),
                target: None,
                co_located,
                is_final: at >= plan.jobs.len(),
                builds: 1,
                group: Some(group),
            });
        }
        for &(id, _) in &built {
            let to = here[&id];
            for input in graph.inputs(id) {
                if let Some(&from) = here.get(&input.drv).or_else(|| owned.get(&input.drv)) {
                    network.edges.push(Edge { from, to });
                }
            }
        }
    }
    Ok(network)
}
