//! What the planner is asked for. In: the options about planning, the provider's limits. Out: [`PartitionOptions`].

use anyhow::Result;

use super::costs::{self, LimitsEntry};
use super::planning::PlanningOptions;
use super::workers;
use crate::delivery::HandOffKind;
use crate::plan::model::PartitionOptions;
use crate::provider::Provider;

/// What the planner is asked for; `handoff` is how results travel, where somebody says so: elsewhere what does not fit into artifacts goes another way.
pub(super) fn options(
    planning: &PlanningOptions,
    provider: Provider,
    limits: Option<&LimitsEntry>,
    handoff: Option<HandOffKind>,
) -> Result<PartitionOptions> {
    Ok(PartitionOptions {
        objective: planning.objective.0.objective(),
        minute_worth: planning.objective.0.minute_worth(),
        granularity: planning.granularity,
        workers: workers::asked(planning, provider)?,
        limits: costs::limits(provider.limits(), limits, planning.max_jobs, handoff),
        reserve: planning.reserve.map(|reserve| reserve.0),
        max_credits: planning.max_credits.map(u64::from),
        keep_plan: planning.keep_plan,
        durations_recorded: false, // known when the derivations are
        without: None,
    })
}
