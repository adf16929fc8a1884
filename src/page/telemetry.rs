//! What jobs have measured as OpenTelemetry spans, as lines of OTLP's JSON: the pipeline, each run of a job below it, phases and builds below that.
//!
//! A line is one `TracesData`, as OTLP's file exporter writes it. Names of attributes are those of the semantic conventions for CI where there are any. The
//! identifiers come from what was recorded, so the same records give the same lines.

use std::io::{self, Write};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::pipeline::{Derivation, Job, PHASE_NAMES, Pipeline, Run, State, Verdict};
use super::trace::builds_start;
use crate::build::record::Outcome;
use crate::view::markup::visible_name;

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u32 = 1;

/// `STATUS_CODE_OK`.
const OK: u32 = 1;

/// `STATUS_CODE_ERROR`.
const ERROR: u32 = 2;

/// Writes the lines; none where nothing has run.
pub fn write(pipeline: &Pipeline, out: &mut dyn Write) -> io::Result<()> {
    let (Some(origin), Some(wall)) = (pipeline.origin, pipeline.wall()) else { return Ok(()) };
    let jobs: Vec<&str> = pipeline.jobs.iter().map(|job| &*job.id).collect();
    let lines = Lines { trace: identifier(&format!("{origin} {}", jobs.join(" ")), 16), origin };
    let root = identifier(&lines.trace, 8);
    let status = if pipeline.verdict() == Verdict::Passed { OK } else { ERROR };
    let span = lines.span("pipeline", (root.clone(), None), (0, wall), status, &[]);
    lines.write(vec![span], out)?;
    for job in &pipeline.jobs {
        for (number, run) in job.runs.iter().enumerate() {
            let is_last = number + 1 == job.runs.len();
            let builds = if is_last { &pipeline.derivations[job.derivations.clone()] } else { &[] };
            let spans = lines.run(job, (number, run), &root, builds);
            if !spans.is_empty() {
                lines.write(spans, out)?;
            }
        }
    }
    Ok(())
}

struct Lines {
    trace: String,
    /// Start of the pipeline, milliseconds since 1970.
    origin: u64,
}

impl Lines {
    fn write(&self, spans: Vec<Value>, out: &mut dyn Write) -> io::Result<()> {
        let line = json!({ "resourceSpans": [{
            "resource": { "attributes": [attribute("service.name", "nixdag")] },
            "scopeSpans": [{ "scope": { "name": "nixdag", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }],
        }] });
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)
    }

    /// `ids` are those of the span and of the one above it, `time` is start and length in milliseconds after the start of the pipeline.
    fn span(
        &self,
        name: &str,
        ids: (String, Option<&str>),
        time: (u64, u64),
        status: u32,
        attributes: &[Value],
    ) -> Value {
        let nanos = |millis: u64| (u128::from(self.origin.saturating_add(millis)) * 1_000_000).to_string();
        json!({
            "traceId": self.trace, "spanId": ids.0, "parentSpanId": ids.1.unwrap_or(""), "name": name, "kind": INTERNAL,
            "startTimeUnixNano": nanos(time.0), "endTimeUnixNano": nanos(time.0.saturating_add(time.1)),
            "attributes": attributes, "status": { "code": status },
        })
    }

    /// A run, its phases and its builds.
    fn run(&self, job: &Job, (number, run): (usize, &Run), root: &str, builds: &[Derivation]) -> Vec<Value> {
        let Some(start) = run.span.start else { return Vec::new() };
        let key = format!("{} {} {number}", self.trace, job.id);
        let id = identifier(&key, 8);
        let (result, status) = match run.state {
            State::Passed => ("success", OK),
            State::Cancelled => ("cancellation", ERROR),
            _ => ("failure", ERROR),
        };
        let about = [
            attribute("cicd.pipeline.task.name", &visible_name(&job.name)),
            attribute("cicd.pipeline.task.run.id", &visible_name(&job.id)),
            attribute("cicd.pipeline.task.run.result", result),
            attribute("nix.system", &visible_name(&job.system)),
        ];
        let name = visible_name(&job.name);
        let mut spans = vec![self.span(&name, (id.clone(), Some(root)), (start, run.span.total), status, &about)];
        let mut at = start;
        for (phase, length) in PHASE_NAMES.iter().zip(run.span.phases) {
            let Some(length) = length else { continue };
            let ids = (identifier(&format!("{key} phase {phase}"), 8), Some(&*id));
            spans.push(self.span(phase, ids, (at, length), OK, &[]));
            at = at.saturating_add(length);
        }
        let begin = builds_start(run).unwrap_or(start);
        for drv in builds {
            let (Some(begun), Some(length)) = (drv.begun, drv.duration) else { continue };
            let ids = (identifier(&format!("{key} build {}", drv.path), 8), Some(&*id));
            let status = if drv.outcome == Some(Outcome::Failed) { ERROR } else { OK };
            let about = [attribute("nix.derivation", &visible_name(&drv.path))];
            spans.push(self.span(
                &visible_name(drv.name()),
                ids,
                (begin.saturating_add(begun), length),
                status,
                &about,
            ));
        }
        spans
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// So many bytes of a digest, in hexadecimal.
fn identifier(of: &str, bytes: usize) -> String {
    digest(&SHA256, of.as_bytes()).as_ref()[..bytes].iter().map(|byte| format!("{byte:02x}")).collect()
}
