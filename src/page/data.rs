//! What the page's script reads: columns, one entry a job or a derivation, in seconds with one decimal. What is not known is null or absent.
//!
//! The first text is there when the page opens:
//! - `v`: 1. `run`: whether jobs have left records. `limit`: jobs at once, `null` where the plan does not say. `critical`: numbers of jobs.
//! - `jobs`: `id`, `name`, `system`, `machine`; `state` (words), `bad` (numbers of jobs that failed or were cancelled), `stopped`, `final`;
//!   `requires` (numbers); `layer` and `order` of the graph; `predicted`: `[start, start-up, restore, build, hand-off, rest]`, a trailing 0 left
//!   out; `measured`: the same behind start with `waited`; `earlier`: `[job, start, seconds, state]` of runs before the last; `ends`: where its derivations end
//!   in the second text; `targets`: how many.
//!
//! The second one is deflated and in base64, for a script that unpacks it at the first search: `names` (joined by newlines), `targets` (the same, one
//! text a job), `estimates`, `kinds` (a letter each: recorded `r`, fitted `f`, guessed `g`), `seconds`, `begun`, `slots`, `bytes`, and `outcomes`, a letter each: built `b`, co-located `c`, built twice `t`, failed
//! `f`, fetched or present `p`, not built `n`, unknown `u`.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Map, Value, json};

use super::pipeline::{Derivation, Job, Pipeline, Span, State};
use crate::build::record::Outcome;
use crate::plan::estimate::EstimateKind;
use crate::plan::problem::Adjacency;
use crate::view::layered::Layered;
use crate::view::markup::{script_json, visible_name};

/// The first text.
pub fn jobs(pipeline: &Pipeline) -> String {
    let jobs = &pipeline.jobs;
    let layered = Layered::new(&Adjacency::from_lists(jobs.iter().map(|job| job.requires.clone())));
    let with =
        |wanted: &dyn Fn(&Job) -> bool| -> Vec<usize> { (0..jobs.len()).filter(|&at| wanted(&jobs[at])).collect() };
    let texts = |of: &dyn Fn(&Job) -> String| -> Vec<String> { jobs.iter().map(of).collect() };
    let measured: Vec<Value> = jobs
        .iter()
        .map(|job| {
            job.run().map_or(Value::Null, |run| {
                let waited = run.waited.map_or(Value::Null, tenths);
                columns(&run.span, Some(waited))
            })
        })
        .collect();
    let earlier: Vec<Value> = jobs
        .iter()
        .enumerate()
        .flat_map(|(number, job)| {
            let before = &job.runs[..job.runs.len().saturating_sub(1)];
            before
                .iter()
                .map(move |run| json!([number, run.span.start.map(tenths), tenths(run.span.total), run.state.text()]))
        })
        .collect();
    let data = json!({
        "v": 1,
        "run": pipeline.has_run,
        "limit": pipeline.plan.and_then(|plan| plan.estimates.model).map(|model| model.concurrency),
        "critical": pipeline.critical,
        "jobs": {
            "id": texts(&|job| visible_name(&job.id)),
            "name": texts(&|job| visible_name(&job.name)),
            "system": texts(&|job| visible_name(&job.system)),
            "machine": jobs.iter().map(|job| job.resource_class.as_deref().map(visible_name)).collect::<Vec<_>>(),
            "state": texts(&|job| job.state.text().to_owned()),
            "bad": with(&|job| matches!(job.state, State::Failed | State::Cancelled)),
            "stopped": with(&|job| matches!(job.state, State::Stopped | State::Unknown)),
            "final": with(&|job| job.is_final),
            "requires": jobs.iter().map(|job| &job.requires).collect::<Vec<_>>(),
            "layer": layered.layer,
            "order": layered.order,
            "predicted": jobs.iter().map(|job| job.predicted.as_ref().map_or(Value::Null, |span| columns(span, None))).collect::<Vec<_>>(),
            "measured": measured,
            "earlier": earlier,
            "ends": jobs.iter().map(|job| job.derivations.end).collect::<Vec<_>>(),
            "targets": jobs.iter().map(|job| job.targets.len()).collect::<Vec<_>>(),
        },
    });
    script_json(&data.to_string())
}

/// The second text.
pub fn derivations(pipeline: &Pipeline) -> std::io::Result<String> {
    let all = &pipeline.derivations;
    let names: Vec<String> = all.iter().map(|drv| visible_name(drv.name())).collect();
    let targets: Vec<String> = pipeline
        .jobs
        .iter()
        .map(|job| job.targets.iter().map(|target| visible_name(target)).collect::<Vec<_>>().join("\n"))
        .collect();
    let outcomes: String = all.iter().map(letter).collect();
    let mut data = Map::new();
    data.insert("names".into(), names.join("\n").into());
    data.insert("targets".into(), targets.into());
    data.insert("outcomes".into(), outcomes.into());
    if all.iter().any(|drv| drv.kind.is_some()) {
        let kinds: String = all.iter().map(|drv| drv.kind.map_or('-', EstimateKind::letter)).collect();
        data.insert("kinds".into(), kinds.into());
    }
    let seconds = |of: fn(&Derivation) -> Option<u64>| column(all, |drv| of(drv).map(tenths));
    for (key, values) in [
        ("estimates", seconds(|drv| drv.estimate)),
        ("seconds", seconds(|drv| drv.duration)),
        ("begun", seconds(|drv| drv.begun)),
        ("slots", column(all, |drv| drv.slot.map(Value::from))),
        ("bytes", column(all, |drv| drv.nar_bytes.map(Value::from))),
    ] {
        if let Some(values) = values {
            data.insert(key.into(), values);
        }
    }
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(Value::Object(data).to_string().as_bytes())?;
    Ok(STANDARD.encode(packed.finish()?))
}

/// A column; none where nothing is known.
fn column(all: &[Derivation], of: impl Fn(&Derivation) -> Option<Value>) -> Option<Value> {
    let values: Vec<Option<Value>> = all.iter().map(of).collect();
    let is_known = values.iter().any(Option::is_some);
    is_known.then(|| values.into_iter().map(Option::unwrap_or_default).collect())
}

fn letter(drv: &Derivation) -> char {
    match drv.outcome {
        Some(Outcome::Built) if drv.repeated => 't',
        Some(Outcome::Built) if drv.co_located => 'c',
        Some(Outcome::Built) => 'b',
        Some(Outcome::Failed) => 'f',
        Some(Outcome::Substituted | Outcome::Present) => 'p',
        Some(Outcome::DependencyFailed | Outcome::NotBuilt) => 'n',
        None => 'u',
    }
}

/// A span: start, what stands behind it, the phases, the rest.
fn columns(span: &Span, behind_start: Option<Value>) -> Value {
    let mut values = vec![span.start.map_or(Value::Null, tenths)];
    values.extend(behind_start);
    values.extend(span.phases.iter().map(|phase| phase.map_or(Value::Null, tenths)));
    if span.rest() > 0 {
        values.push(tenths(span.rest()));
    }
    Value::Array(values)
}

/// Milliseconds as seconds with one decimal, whole where that is 0.
fn tenths(millis: u64) -> Value {
    let tenths = millis / 100 + u64::from(millis % 100 >= 50);
    if tenths.is_multiple_of(10) { Value::from(tenths / 10) } else { Value::from(tenths as f64 / 10.0) }
}
