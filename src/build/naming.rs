//! Names for what failed: the attributes that people know, the command that shows the failure on their machine, the log's file.
//!
//! In: records, the plan, the job's derivations. Out: [`Names`] in the records of what is not good.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::JobRequest;
use super::builder_log::log_file;
use super::record::{DerivationRecord, Names, Outcome, Role};
use super::running::name as name_of;
use crate::graph::{DrvId, Graph};
use crate::history::used::Used;
use crate::plan::{Job, Plan};

/// How many attributes that need a derivation are named.
const MAX_NEEDED_BY: usize = 5;

/// Names everything that is not good.
pub fn name(records: &mut [DerivationRecord], request: &JobRequest, graph: &Graph) {
    for record in records.iter_mut().filter(|record| !record.outcome.is_good()) {
        let logs = request.results.as_ref().filter(|_| record.outcome == Outcome::Failed);
        record.names = names(&record.derivation, &request.plan, graph);
        record.names.log_file = logs.and_then(|dir| existing_log(dir, &record.derivation));
    }
}

fn names(derivation: &str, plan: &Plan, graph: &Graph) -> Names {
    let attributes = attributes(derivation, plan);
    let mut needed_by = Vec::new();
    if attributes.is_empty() {
        let above = graph.find(derivation).map(|id| consumers(graph, id)).unwrap_or_default();
        let here =
            plan.targets.iter().filter(|target| graph.find(&target.derivation).is_some_and(|id| above.contains(&id)));
        needed_by.extend(here.map(|target| target.target.to_string()).take(MAX_NEEDED_BY));
    }
    let reproduce = reproduce(derivation, plan, &attributes, &needed_by);
    Names { attributes, needed_by, reproduce: Some(reproduce), log_file: None }
}

/// The targets that a derivation is: its own, then those of others with the same fixed outputs for which it stands.
fn attributes(derivation: &str, plan: &Plan) -> Vec<String> {
    let stands = |drv: &str| plan.same_as.get(drv).is_some_and(|stands| **stands == *derivation);
    let own = plan.targets.iter().filter(|target| *target.derivation == *derivation);
    let others = plan.targets.iter().filter(|target| stands(&target.derivation));
    own.chain(others).map(|target| target.target.to_string()).collect()
}

/// Records of a job that could not even look at its derivations.
pub fn not_begun(request: &JobRequest) -> Vec<DerivationRecord> {
    let job = request.job();
    let roles = [(&job.derivations, Role::Owned), (&job.co_located, Role::CoLocated)];
    let all = roles.into_iter().flat_map(|(paths, role)| paths.iter().map(move |path| (path, role)));
    let one = |(path, role): (&Arc<str>, Role)| DerivationRecord {
        derivation: path.to_string(),
        name: name_of(path).to_owned(),
        system: job.system.clone(),
        role,
        outcome: Outcome::NotBuilt,
        duration: None,
        message: None,
        log: None,
        class: None,
        retried: Vec::new(),
        instead: None,
        fetched_from: None,
        used: Used::default(),
        names: Names { attributes: attributes(path, &request.plan), ..Names::default() },
    };
    all.map(one).collect()
}

/// The targets of all jobs that take from a job, which of its derivations they need is not known here.
pub fn waiting(plan: &Plan, job: &Job) -> Vec<String> {
    let takes = |other: &&Job| other.inputs.iter().any(|&input| plan.job(input).id == job.id);
    plan.all_jobs().filter(takes).flat_map(|job| &job.targets).map(ToString::to_string).collect()
}

/// A derivation and all that take from it, directly or not.
fn consumers(graph: &Graph, id: DrvId) -> HashSet<DrvId> {
    let mut found = HashSet::from([id]);
    // Numbers of inputs are smaller than those of their consumers.
    for other in graph.ids() {
        if graph.inputs(other).iter().any(|input| found.contains(&input.drv)) {
            found.insert(other);
        }
    }
    found
}

/// The command that builds it elsewhere. What evaluates to it comes first, so that its file is there.
fn reproduce(derivation: &str, plan: &Plan, attributes: &[String], needed_by: &[String]) -> String {
    let realise = format!("nix-store --realise {derivation}");
    let Some(flake) = &plan.flake else { return realise };
    let built = attributes.iter().find_map(|attribute| flake.build_command(attribute));
    let evaluated = || needed_by.iter().find_map(|attribute| flake.evaluate_command(attribute));
    // Of what a target of another job needs nobody knows here which one that is.
    let planned = || flake.plan_command();
    built.or_else(|| Some(format!("{} && {realise}", evaluated().or_else(planned)?))).unwrap_or(realise)
}

/// A log's path in the results folder, where the builder has printed anything.
fn existing_log(results: &Path, derivation: &str) -> Option<String> {
    let file = log_file(&results.join("logs"), derivation);
    let name = file.file_name().filter(|_| file.is_file())?.to_str()?;
    Some(format!("logs/{name}"))
}
