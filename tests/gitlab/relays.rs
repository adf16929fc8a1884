//! Jobs that need more others than GitLab lets them name, with the package registry: what each gets comes from the job that made it, or
//! through jobs that run nothing.

use std::collections::{BTreeMap, BTreeSet};

use nixdag::delivery::destination::Destination;
use nixdag::delivery::{Delivery, HandOff, Push, Sign};
use nixdag::plan::{Job, JobIndex, Plan};
use nixdag::provider::gitlab::generate;
use serde_json::Value;

use crate::generate::{job, options, psych};
use crate::support::plans::plan;
use crate::support::synthetic::Random;

/// A plan of jobs that each require some of those before.
fn many(random: &mut Random, count: usize) -> Plan {
    let mut jobs: Vec<Job> = Vec::new();
    for at in 0..count {
        let (first, most) = (at.saturating_sub(60), random.below(20));
        let requires: BTreeSet<u32> = (0..most.min(at)).map(|_| (first + random.below(at - first)) as u32).collect();
        let mut inputs: BTreeSet<JobIndex> = requires.iter().map(|&at| JobIndex(at)).collect();
        for &before in &requires {
            inputs.extend(jobs[before as usize].inputs.iter().copied());
        }
        let mut job = job(&format!("j{at}"), &format!("j{at}"), &requires.into_iter().collect::<Vec<_>>());
        job.inputs = inputs.into_iter().collect();
        jobs.push(job);
    }
    plan(jobs)
}

/// The folders that a job finds, and whether something that builds had its hands on one of another.
fn found(pipeline: &Value, name: &str, known: &mut BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let needs = pipeline[name]["needs"].as_array().unwrap().iter().filter_map(Value::as_str);
    let mut folders = BTreeSet::new();
    for need in needs {
        if !need.starts_with("relay/") {
            folders.insert(need.to_owned());
            continue;
        }
        if !known.contains_key(need) {
            let passed = found(pipeline, need, known);
            known.insert(need.to_owned(), passed);
        }
        folders.extend(known[need].iter().cloned());
    }
    folders
}

#[test]
fn every_job_finds_its_inputs_alone_and_no_job_that_builds_passes_on_anothers() {
    let mut random = Random(7);
    for count in [60, 120, 250] {
        let plan = many(&mut random, count);
        assert!(plan.jobs.iter().any(|job| job.inputs.len() > 50), "nothing is wide");
        let mut options = options();
        let push = vec![Destination::parse("s3://bucket").unwrap()];
        options.setup.delivery = Delivery {
            handoff: HandOff::Packages,
            sign: Sign::Separate,
            push: Push { destinations: push, ..Push::default() },
            ..Delivery::default()
        };
        let pipeline = psych(&generate(&plan, &options).unwrap().0);
        let mut known = BTreeMap::new();
        for job in &plan.jobs {
            let inputs: BTreeSet<String> = job.inputs.iter().map(|&input| plan.job(input).id.clone()).collect();
            assert_eq!(found(&pipeline, &job.id, &mut known), inputs, "{}", job.id);
            let body = &pipeline[pipeline[&job.id]["extends"].as_str().unwrap()];
            let paths = body["artifacts"]["paths"].as_array().unwrap();
            assert!(paths.iter().all(|path| path.as_str().unwrap().contains("/$NIXDAG_JOB/")), "{body}");
        }
        let all: BTreeSet<String> = plan.jobs.iter().map(|job| job.id.clone()).collect();
        assert_eq!(found(&pipeline, "sign-and-push", &mut known), all);
        assert!(pipeline["sign-and-push"]["needs"].as_array().unwrap().len() <= 50);
        let relays: Vec<&String> =
            pipeline.as_object().unwrap().keys().filter(|key| key.starts_with("relay/")).collect();
        assert!(!relays.is_empty() && relays.len() <= count / 10, "{} relays of {count} jobs", relays.len());
        for relay in relays {
            assert_eq!(pipeline[relay]["extends"], ".nixdag/relay");
        }
        assert_eq!(pipeline[".nixdag/relay"]["script"], serde_json::json!(["true"]));
    }
}
