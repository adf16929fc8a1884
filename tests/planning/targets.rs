//! `targets` in the plan's JSON: every attribute that was selected and evaluated, with its outputs and the job that builds it.

use std::fs;

use serde_json::{Value, json};

use crate::support::recorded::{Drv, Recorded};
use crate::support::{fails, nixdag};

fn entry(recorded: &Recorded, name: &str, outputs: &Value, job: Option<&str>) -> Value {
    let derivation = recorded.path(name);
    json!({"target": ["packages", "x86_64-linux", name], "derivation": derivation, "outputs": outputs, "job": job})
}

#[test]
fn each_target_has_its_outputs_and_its_job_whatever_became_of_it() {
    let recorded = Recorded::new()
        .add(&Drv { key: "built", outputs: &["dev"], ..Drv::default() })
        .drv("deployed", "", &["built"], &[])
        .drv("foreign", "riscv64-linux", &[], &[])
        .drv("there", "", &[], &[])
        .drv("unaffected", "", &[], &[])
        .other_roots("base.json", &[("u", "unaffected")])
        .settings("final: [{ name: images, build: 'packages.*.deployed' }]");
    let names = ["there", "unaffected", "foreign", "deployed", "built"];
    let recorded = names.iter().fold(recorded, |it, name| it.target(&format!("packages.x86_64-linux.{name}"), name));
    recorded.file("available", recorded.output("there"));
    let plan = recorded.plan(&["--available", "available", "--base-roots", "base.json", "--settings", "nixdag.yml"]);
    let out = |name: &str| json!({"out": recorded.output(name)});
    assert_eq!(
        plan["targets"],
        json!([
            entry(
                &recorded,
                "built",
                &json!({"dev": recorded.output("built^dev"), "out": recorded.output("built")}),
                Some("built-x86_64-linux")
            ),
            entry(&recorded, "deployed", &out("deployed"), Some("images")),
            entry(&recorded, "foreign", &out("foreign"), None),
            entry(&recorded, "there", &out("there"), None),
            entry(&recorded, "unaffected", &out("unaffected"), None),
        ])
    );

    let file = recorded.file("plan.json", plan.to_string());
    let again = nixdag().args(["plan", "--format", "json", "--plan"]).arg(&file).assert().success();
    assert_eq!(serde_json::from_slice::<Value>(&again.get_output().stdout).unwrap(), plan);
}

#[test]
fn targets_that_contradict_the_plan_are_refused() {
    let plan = Recorded::of(&[("a", &[])]).plan(&["--available", "-"]);
    for (key, value, words) in [
        ("job", json!("b"), "job `b` is no job of the plan"),
        ("derivation", json!("/gnu/store/00000000000000000000000000000001-a.drv"), "is no derivation in `/nix/store`"),
        ("outputs", json!({"out": "/etc/passwd"}), "target `packages.x86_64-linux.a` of the plan"),
    ] {
        let mut wrong = plan.clone();
        wrong["targets"][0][key] = value;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plan.json");
        fs::write(&file, wrong.to_string()).unwrap();
        fails(nixdag().args(["plan", "--plan"]).arg(&file), &[words]);
    }
}
