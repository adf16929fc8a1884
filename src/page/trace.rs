//! What jobs have measured in Chrome's trace format, for Perfetto and other viewers: a process for each job, with its phases in one row and its
//! builds in one row for each slot. Times in microseconds after the start of the pipeline.
//!
//! The format: "Trace Event Format", complete events (`X`) and metadata (`M`).

use std::io::{self, Write};

use serde_json::{Value, json};

use super::pipeline::{Derivation, Job, PHASE_NAMES, Pipeline, Run};
use crate::view::markup::visible_name;

/// The row of phases; builds are in the ones below.
const PHASE_ROW: u32 = 0;

/// Writes the events, one a line.
pub fn write(pipeline: &Pipeline, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n")?;
    let mut is_first = true;
    for (number, job) in pipeline.jobs.iter().enumerate().filter(|(_, job)| !job.runs.is_empty()) {
        for event in events(pipeline, number as u32 + 1, job) {
            out.write_all(if is_first { b"" } else { b",\n" })?;
            serde_json::to_writer(&mut *out, &event)?;
            is_first = false;
        }
    }
    out.write_all(b"\n]}\n")
}

fn events(pipeline: &Pipeline, process: u32, job: &Job) -> Vec<Value> {
    let name = json!({ "name": visible_name(&job.name) });
    let mut events = vec![
        json!({ "ph": "M", "name": "process_name", "pid": process, "tid": PHASE_ROW, "args": name }),
        json!({ "ph": "M", "name": "process_sort_index", "pid": process, "tid": PHASE_ROW, "args": { "sort_index": process } }),
        json!({ "ph": "M", "name": "thread_name", "pid": process, "tid": PHASE_ROW, "args": { "name": "phases" } }),
    ];
    for run in &job.runs {
        events.extend(phases(process, job, run));
    }
    let Some(start) = job.run().and_then(builds_start) else { return events };
    for drv in &pipeline.derivations[job.derivations.clone()] {
        events.extend(build(process, start, drv));
    }
    events
}

/// When the clock began that a run's builds are measured by, milliseconds after the start of the pipeline: behind its start-up.
pub fn builds_start(run: &Run) -> Option<u64> {
    Some(run.span.start?.saturating_add(run.span.phases[0].unwrap_or(0)))
}

fn phases(process: u32, job: &Job, run: &Run) -> Vec<Value> {
    let Some(mut at) = run.span.start else { return Vec::new() };
    let args = json!({ "job": visible_name(&job.id), "state": run.state.text(), "waited_seconds": run.waited.map(|waited| waited as f64 / 1000.0) });
    let whole = complete((process, PHASE_ROW), &visible_name(&job.name), (at, run.span.total), args);
    let mut events = vec![whole];
    for (name, length) in PHASE_NAMES.iter().zip(run.span.phases) {
        let length = length.unwrap_or(0);
        if length > 0 {
            events.push(complete((process, PHASE_ROW), name, (at, length), json!({})));
        }
        at = at.saturating_add(length);
    }
    events
}

fn build(process: u32, start: u64, drv: &Derivation) -> Option<Value> {
    let (begun, slot, length) = (drv.begun?, drv.slot?, drv.duration?);
    let args = json!({
        "derivation": visible_name(&drv.path),
        "outcome": drv.outcome,
        "predicted_seconds": drv.estimate.map(|estimate| estimate as f64 / 1000.0),
        "nar_bytes": drv.nar_bytes,
        "retried": drv.retried,
    });
    let row = (process, slot.saturating_add(PHASE_ROW + 1));
    Some(complete(row, &visible_name(drv.name()), (start.saturating_add(begun), length), args))
}

/// An event; `row` is process and thread, `time` start and length in milliseconds.
fn complete(row: (u32, u32), name: &str, time: (u64, u64), args: Value) -> Value {
    let micros = |millis: u64| millis.saturating_mul(1000);
    json!({ "ph": "X", "name": name, "cat": "nixdag", "pid": row.0, "tid": row.1, "ts": micros(time.0), "dur": micros(time.1), "args": args })
}
