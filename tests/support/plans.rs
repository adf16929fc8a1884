//! Small plans made by hand.

use std::sync::Arc;

use nixdag::plan::{Estimate, EstimateSource, Job, JobIndex, JobOptions, Plan};
use nixdag::provider::Provider;

/// A job on the executor that has the system; it requires the jobs with these indexes and builds one derivation.
pub fn job(id: &str, name: &str, system: &str, requires: &[u32]) -> Job {
    let executors = Provider::CircleCi.fleet().executors;
    let executor = executors.into_iter().find(|executor| executor.systems.iter().any(|s| s == system)).unwrap();
    Job {
        id: id.into(),
        name: name.into(),
        system: system.into(),
        targets: vec![["packages", system, id].into_iter().collect()],
        derivations: vec![derivation(id)],
        co_located: Vec::new(),
        requires: requires.iter().map(|&at| JobIndex(at)).collect(),
        inputs: requires.iter().map(|&at| JobIndex(at)).collect(),
        wave: None,
        executor: Some(executor.name),
        image: Some(executor.image),
        resource_class: Some(executor.resource_class),
        options: JobOptions::default(),
        estimate: Estimate { duration: 60_000, from: EstimateSource::Default },
        predicted: None,
    }
}

/// The path of a derivation of this name.
pub fn derivation(name: &str) -> Arc<str> {
    format!("/nix/store/{}-{name}.drv", "0".repeat(32)).into()
}

/// A plan of these jobs.
pub fn plan(jobs: Vec<Job>) -> Plan {
    Plan { store_dir: "/nix/store".into(), jobs, ..Plan::default() }
}

/// a; b on a; c; d on b and c.
pub fn diamond() -> Plan {
    let linux = "x86_64-linux";
    let name = |letter: &str| format!("packages.{linux}.{letter}");
    plan(vec![
        job("a", &name("a"), linux, &[]),
        job("b", &name("b"), linux, &[0]),
        job("c", &name("c"), linux, &[]),
        job("d", &name("d"), linux, &[1, 2]),
    ])
}
