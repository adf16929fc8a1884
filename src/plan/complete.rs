//! A whole plan: the jobs of the targets, then the final jobs behind them.
//!
//! In: what planning takes, for all attributes together, and the final jobs that are asked for. Out: the plan. What a final job builds is
//! no target of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::allowed_failure::{self, allows, allows_message};
use super::final_job::{self, FinalJobRequest};
use super::finals::{self, FinalJobInputs};
use super::impure;
use super::make::{self, Made, PlanInputs};
use super::needed::same_as;
use super::{Job, Plan};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::availability::built_here::BuiltHere;
use crate::graph::{DrvId, Graph};
use crate::nix::hash::Sha256;
use crate::plural::counted;

/// Makes the plan; `is_part` as in [`FinalJobInputs`].
pub fn complete(mut inputs: PlanInputs, requests: &[FinalJobRequest], is_part: bool) -> Result<Made> {
    refuse_without_gate(&inputs, requests)?;
    let (targets, impure) = impure::leave_out(inputs.graph, &mut inputs.needed, inputs.targets.to_vec());
    let (targets, built) = final_job::split(requests, targets);
    let (graph, fleet, costs, needed) = (inputs.graph, inputs.choice.fleet, inputs.costs, inputs.needed.clone());
    let handoff = inputs.handoff;
    let allowed = inputs.choice.allow_failure;
    let mut inputs = PlanInputs { targets: &targets, ..inputs };
    if built.iter().any(|attributes| !attributes.is_empty()) {
        let ids: Vec<DrvId> = targets.iter().map(|(_, id)| *id).collect();
        inputs.needed.restrict(graph, &ids);
    }
    let mut made = make::make(inputs)?;
    made.plan.skipped.extend(impure);
    made.plan.skipped.sort_by(|a, b| a.target.cmp(&b.target));
    made.plan.same_as = same_as(graph, &needed);
    let finals = FinalJobInputs {
        requests,
        graph,
        targets: &targets,
        built: &built,
        needed: &needed,
        fleet,
        costs,
        handoff,
        is_part,
    };
    made.notes.extend(finals::add(&mut made.plan, &finals)?);
    made.plan.built_while_planning = built_while_planning(&made.plan, graph, &needed);
    made.plan.allow_failure = allowed_failure::not_built(&made.plan, allowed);
    Ok(made)
}

/// What evaluation has built of what the plan's jobs build.
fn built_while_planning(plan: &Plan, graph: &Graph, needed: &Needed) -> BTreeMap<Arc<str>, BTreeMap<Arc<str>, Sha256>> {
    let planned = plan.all_jobs().flat_map(Job::builds);
    let built = planned.filter_map(|drv| Some((drv.into(), needed.built_here(graph.find(drv)?)?)));
    let digests =
        |built: &BuiltHere| built.outputs.iter().map(|(path, digest)| (path.as_str().into(), *digest)).collect();
    built.map(|(drv, built)| (drv, digests(built))).collect()
}

/// Refuses what would make the pipeline green whatever happens: the gate would wait for nothing, since nothing is left of what was selected, or
/// all that is left may fail.
fn refuse_without_gate(inputs: &PlanInputs, requests: &[FinalJobRequest]) -> Result<()> {
    let allowed = inputs.choice.allow_failure;
    let targets = inputs.targets.iter().map(|(attribute, _)| attribute);
    let mut targets = targets.chain(inputs.unaffected.iter().map(|target| &target.attribute)).peekable();
    let left_out = inputs.excluded.len() + inputs.disabled.len();
    if targets.peek().is_none() && inputs.errors.is_empty() {
        ensure!(
            left_out == 0,
            "nothing is left of what is selected (excluded: {}; their packages say `disable`: {}): the gate would wait for nothing, and pass \
             whatever happens (exclude fewer, or select more)",
            counted(inputs.excluded.len() as u64, "attribute"),
            counted(inputs.disabled.len() as u64, "attribute")
        );
        return Ok(());
    }
    // What a final job builds may not fail.
    let built = final_job::built_patterns(requests);
    let is_built =
        |attribute: &AttributePath| built.iter().any(|pattern| pattern.matches_at_or_above(attribute.names()));
    let must_not_fail = targets.any(|attribute| is_built(attribute) || !allows(allowed, attribute))
        || inputs.errors.iter().any(|error| !allows_message(allowed, &error.target, &error.message));
    ensure!(
        must_not_fail,
        "`allow_failure` covers all that is selected: the gate would wait for nothing, and pass whatever happens (name fewer attributes there, or \
         select more)"
    );
    Ok(())
}
