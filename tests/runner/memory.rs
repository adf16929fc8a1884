//! Builds that need much memory: what was killed for it is planned on a larger machine, and heavy ones do not run side by side.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nixdag::build::class::Class;
use nixdag::build::record::Outcome;
use nixdag::plan::{Expected, json};

use crate::support::pipeline::{Pipeline, Ran};
use crate::support::{nixdag, with_nix};

/// A control group with so many bytes of memory, gone with this value.
struct Group(PathBuf);

impl Group {
    /// None where this user may not make one.
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("nixdag-test-{}-{bytes}", std::process::id());
        let first = PathBuf::from("/sys/fs/cgroup/memory");
        let (group, file) = match first.is_dir() {
            true => (first.join(name), "memory.limit_in_bytes"),
            false => (PathBuf::from("/sys/fs/cgroup").join(name), "memory.max"),
        };
        fs::create_dir(&group).ok()?;
        let group = Self(group);
        fs::write(group.0.join(file), bytes.to_string()).ok()?;
        Some(group)
    }

    /// Runs a job in it.
    fn run(&self, pipeline: &Pipeline, job: &str) -> Ran {
        let script = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.0.display());
        let inner = pipeline.command(job, &[]);
        let mut command = Command::new("sh");
        command.args(["-ec", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
        pipeline.ran(job, command.output().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

#[test]
fn what_was_killed_for_memory_is_built_on_the_next_larger_machine_by_the_next_pipeline() {
    with_nix("what_was_killed_for_memory_is_built_on_the_next_larger_machine_by_the_next_pipeline", || {
        let Some(small) = Group::new(500_000_000) else { return println!("no control groups here") };
        let text = r#"{ heavy = drv "heavy-1" "x=$(head -c 600000000 /dev/zero | tr '\\0' x); echo done > $out"; light = drv "light" "echo > $out"; }"#;
        let mut pipeline = Pipeline::new(text, &[("job", &["heavy", "light"], &[], &[])]);
        pipeline.plan.jobs[0].resource_class = Some("small".into());
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = small.run(&pipeline, "job").fails(&[]).has("light", Outcome::Built);
        assert_eq!(ran.of("heavy-1").class, Some(Class::Killed), "{}", ran.text);

        let dir = pipeline.dir();
        let roots =
            ["heavy", "light"].map(|name| format!(r#""packages.x86_64-linux.{name}": "{}""#, pipeline.drv(name)));
        fs::write(dir.join("roots.json"), format!("{{{}}}", roots.join(","))).unwrap();
        fs::write(dir.join("nixdag.yml"), "executors: { docker: { resource_class: small } }\n").unwrap();
        let records = dir.join("results/job/records.json");
        let arguments =
            ["plan", "--roots", "roots.json", "--available", "-", "--settings", "nixdag.yml", "--format", "json"];
        let planned =
            nixdag().args(arguments).args(["--history", records.to_str().unwrap()]).current_dir(dir).output().unwrap();
        let said = String::from_utf8_lossy(&planned.stderr).into_owned();
        let plan = json::read(&planned.stdout).expect(&said);
        let class = |name: &str| {
            let job = plan.jobs.iter().find(|job| job.builds().any(|drv| drv == pipeline.drv(name))).unwrap();
            (job.id.clone(), job.resource_class.clone().unwrap())
        };
        let ((heavy, large), (_, small)) = (class("heavy"), class("light"));
        assert_eq!((large.as_str(), small.as_str()), ("medium", "small"), "{said}");
        assert!(
            said.contains("`heavy-1` was killed on `small`") && said.contains("it is built on `medium` now"),
            "{said}"
        );

        pipeline.plan = plan;
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = Group::new(3_000_000_000).unwrap().run(&pipeline, &heavy).succeeds().has("heavy-1", Outcome::Built);
        assert_eq!(ran.record.unwrap().resource_class.as_deref(), Some("medium"));
    });
}

#[test]
fn heavy_builds_do_not_run_side_by_side_and_light_ones_do() {
    with_nix("heavy_builds_do_not_run_side_by_side_and_light_ones_do", || {
        let log =
            |name: &str| format!(r#"{name} = drv "{name}" "sleep 0.5; echo end-{name} >> @BUILT@; echo > $out";"#);
        let text = format!("rec {{ {} {} {} }}", log("one"), log("two"), log("light"));
        let mut pipeline = Pipeline::new(&text, &[("job", &["one", "two", "light"], &[], &[])]);
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let kilobytes: u64 = meminfo.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        let half = Expected { nar_bytes: None, memory: Some(kilobytes * 1024 / 2) };
        pipeline.plan.expected = ["one", "two"].map(|name| (pipeline.drv(name).into(), half)).into();
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = pipeline.run("job", &["--max-jobs", "3"]).succeeds();
        let built = pipeline.built();
        let at = |line: &str| built.iter().position(|built| built == line).expect(&ran.text);
        assert!(at("end-one") < at("two") && at("light") < at("end-one"), "{built:?}");
    });
}
