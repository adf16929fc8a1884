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
        ("job", json!("b"), "job `b` is not a job of the plan"),
        (
            "derivation",
            json!("/gnu/store/00000000000000000000000000000001-a.drv"),
            "is not a derivation in `/nix/store`",
        ),
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

#[test]
fn what_is_impure_is_left_out_with_a_reason() {
    let path = "/nix/store/9000000000000000000000000000000a-clock.drv";
    let recorded = Recorded::of(&[("a", &[])]);
    let drv = |outputs: &str, inputs: &str| {
        format!("Derive([{outputs}],[{inputs}],[],\"x86_64-linux\",\"/bin/sh\",[],[(\"name\",\"x\")])")
    };
    recorded.file(&path["/nix/store/".len()..], drv("(\"out\",\"\",\"r:sha256\",\"impure\")", ""));
    let user = "/nix/store/9000000000000000000000000000000b-user.drv";
    let inputs = format!("(\"{path}\",[\"out\"])");
    recorded.file(&user["/nix/store/".len()..], drv("(\"out\",\"\",\"\",\"\")", &inputs));
    let roots = json!({"packages.x86_64-linux.a": recorded.path("a"), "packages.x86_64-linux.clock": path, "packages.x86_64-linux.user": user});
    recorded.file("roots.json", roots.to_string());
    for settings in ["", "final: [{ name: late, build: 'packages.*.{clock,user}' }]"] {
        recorded.file("nixdag.yml", settings);
        let plan = recorded.plan(&["--settings", "nixdag.yml"]);
        let skipped = plan["skipped"].as_array().unwrap();
        assert_eq!((skipped.len(), plan["jobs"].as_array().unwrap().len()), (2, 1), "{plan}");
        for (skipped, words) in skipped.iter().zip(["it is impure (`__impure`)", "`clock`, which it needs, is impure"])
        {
            assert_eq!(skipped["reason"], "no-executor");
            assert!(skipped["where"].as_str().unwrap().contains(words), "{skipped}");
        }
        let lists = [&plan["jobs"], &plan["final"]];
        assert!(lists.iter().all(|list| !list.to_string().contains("clock")), "{plan}");
    }
}

#[test]
fn of_derivations_with_the_same_fixed_output_one_is_built() {
    let hash = [("outputHash", "6")];
    let recorded = Recorded::new()
        .drv("fetcher", "", &[], &[])
        .drv("src#one", "", &[], &hash)
        .drv("src#two", "", &["fetcher"], &hash)
        .drv("a", "", &["src#one"], &[])
        .drv("b", "", &["src#two"], &[]);
    let recorded = ["a", "b", "src#two"]
        .iter()
        .fold(recorded, |it, key| it.target(&format!("packages.x86_64-linux.{}", key.trim_end_matches("#two")), key));
    let plan = recorded.plan(&["--available", "-"]);
    assert_eq!(plan["same_as"], json!({ recorded.path("src#two"): recorded.path("src#one") }));
    assert_eq!((&plan["estimates"]["needed"], &plan["estimates"]["plan"]["builds"]), (&json!(3), &json!(3)));
    assert!(!plan["jobs"].to_string().contains("fetcher"), "{plan}");
    let target = plan["targets"].as_array().unwrap().iter().find(|target| target["target"][2] == "src").unwrap();
    assert_eq!(target["derivation"], recorded.path("src#two"));
    assert!(target["job"].is_string(), "{plan}");
}
