//! Records for spreadsheets.
//!
//! In: [`Records`]. Out: a line of comma-separated values for each build, with a heading.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::Value;

use super::records::Records;

/// What a line says of a build, by the keys of `records.json`.
const OF_BUILD: [&str; 17] = [
    "name",
    "system",
    "derivation",
    "at",
    "job",
    "seconds",
    "ending",
    "class",
    "attempts",
    "cpu_seconds",
    "memory",
    "nar_bytes",
    "begun",
    "slot",
    "earlier_seconds",
    "output_bytes",
    "closure_bytes",
];

/// What it says of the run of the job that built it; the heading has `job_` in front of these.
const OF_JOB: [&str; 18] = [
    "resource_class",
    "processor",
    "cores",
    "seconds",
    "start_up_seconds",
    "import_seconds",
    "fetch_seconds",
    "fetched_bytes",
    "handoff_down_seconds",
    "handoff_down_bytes",
    "build_seconds",
    "handoff_seconds",
    "handoff_bytes",
    "handoff_nar_bytes",
    "idle_seconds",
    "sampling_seconds",
    "memory",
    "disk",
];

/// Writes a line a build: comma-separated values with a header, quoted where they have to be (RFC 4180). Lists and sizes of several outputs are one value, with semicolons.
pub fn write(records: &Records, out: &mut dyn Write) -> io::Result<()> {
    let heading = OF_BUILD.iter().map(|key| (*key).to_owned()).chain(OF_JOB.iter().map(|key| format!("job_{key}")));
    writeln!(out, "{}", heading.collect::<Vec<_>>().join(","))?;
    let mut runs: HashMap<(&str, u64), Value> = HashMap::new();
    for run in &records.jobs {
        runs.insert((&run.job, run.at), serde_json::to_value(run)?);
    }
    for build in &records.builds {
        let (of_build, of_job) = (serde_json::to_value(build)?, runs.get(&(build.job.as_str(), build.at)));
        let cells = OF_BUILD.iter().map(|key| cell(of_build.get(key)));
        let cells = cells.chain(OF_JOB.iter().map(|key| cell(of_job.and_then(|run| run.get(key)))));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}

/// One value; nothing where it is not known.
fn cell(known: Option<&Value>) -> String {
    let plain = |known: &Value| match known {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = match known {
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(list)) => list.iter().map(plain).collect::<Vec<_>>().join(";"),
        Some(Value::Object(map)) => {
            map.iter().map(|(key, known)| format!("{key}={}", plain(known))).collect::<Vec<_>>().join(";")
        }
        Some(known) => plain(known),
    };
    value(&text)
}

/// A value of a comma-separated line. What a spreadsheet would take for a formula gets a quote in front.
fn value(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::jobs::{JobRun, Measured};
    use super::super::records::{Ending, Measurement};
    use super::super::used::Used;
    use super::*;

    /// A build and its job, all of which is known.
    fn records() -> Records {
        let derivation = format!("/nix/store/{}-a-1.drv", "0".repeat(32));
        let used = Used {
            begun: Some(250),
            slot: Some(2),
            cpu: Some(900),
            memory: Some(11),
            nar_bytes: Some(12),
            closure_bytes: Some(13),
            output_bytes: [("dev".to_owned(), 4), ("out".to_owned(), 8)].into(),
            earlier: vec![1_000, 2_500],
        };
        let build = Measurement {
            name: "a-1".to_owned(),
            system: "x86_64-linux".to_owned(),
            derivation,
            at: 5,
            job: "job".to_owned(),
            duration: 1_500,
            ending: Ending::Failed,
            class: Some("=1+1, \"x\"".to_owned()),
            attempts: 3,
            used,
        };
        let measured = Measured {
            start_up: Some(1),
            import: Some(2),
            fetch: Some(3),
            fetched_bytes: Some(4),
            down: Some(5),
            down_bytes: Some(6),
            build: Some(7),
            hand_off: Some(8),
            handoff_bytes: Some(9),
            handoff_nar_bytes: Some(14),
            sampling: Some(10),
            idle: Some(11),
            processor: Some("EPYC, 7".to_owned()),
            cores: Some(4),
            memory: Some(12),
            disk: Some(13),
        };
        let (job, system, resource_class) = ("job".to_owned(), "x86_64-linux".to_owned(), Some("large".to_owned()));
        let run = JobRun { job, system, resource_class, at: 5, duration: 9_000, measured };
        Records { builds: vec![build], jobs: vec![run], ..Records::default() }
    }

    fn written(records: &Records) -> Vec<String> {
        let mut text = Vec::new();
        write(records, &mut text).unwrap();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_for_spreadsheets_hold_what_they_were_given_and_no_formula() {
        let derivation = format!("/nix/store/{}-a-1.drv", "0".repeat(32));
        let of_job = "large,\"EPYC, 7\",4,9,0.001,0.002,0.003,4,0.005,6,0.007,0.008,9,14,0.011,0.01,12,13";
        assert_eq!(
            written(&records())[1],
            format!(
                "a-1,x86_64-linux,{derivation},5,job,1.5,failed,\"'=1+1, \"\"x\"\"\",3,0.9,11,12,0.25,2,1;2.5,dev=4;out=8,13,{of_job}"
            )
        );
        let bare = Records { jobs: Vec::new(), ..records() };
        assert!(written(&bare)[1].ends_with(",13,,,,,,,,,,,,,,,,,,"), "{:?}", written(&bare));
    }

    #[test]
    fn nothing_that_is_recorded_is_left_out() {
        let records = records();
        let keys = |value: Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let heading: Vec<String> = written(&records)[0].split(',').map(str::to_owned).collect();
        for key in keys(serde_json::to_value(&records.builds[0]).unwrap()) {
            assert!(heading.contains(&key), "{key}");
        }
        let of_run = keys(serde_json::to_value(&records.jobs[0]).unwrap());
        // These are the build's as well.
        for key in of_run.into_iter().filter(|key| !["job", "system", "at"].contains(&key.as_str())) {
            assert!(heading.contains(&format!("job_{key}")), "{key}");
        }
    }
}
