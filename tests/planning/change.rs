//! What a change does to targets, and where it begins: part of the plan.

use serde_json::{Value, json};

use crate::support::recorded::Recorded;

/// The base has a, b on a, c, gone; at the head a's definition is another one, so b is another derivation too.
fn recorded() -> Recorded {
    Recorded::new()
        .drv("a", "", &[], &[("v", "1")])
        .drv("b", "", &["a"], &[])
        .drv("c", "", &[], &[])
        .drv("a#head", "", &[], &[("v", "2")])
        .drv("b#head", "", &["a#head"], &[])
        .drv("other", "", &["a#head"], &[])
        .other_roots("base.json", &[("a", "a"), ("b", "b"), ("c", "c"), ("gone", "c")])
        .target("packages.x86_64-linux.a", "a#head")
        .target("packages.x86_64-linux.b", "b#head")
        .target("packages.x86_64-linux.c", "c")
        .target("packages.x86_64-linux.new", "other")
}

#[test]
fn new_gone_and_changed_targets_are_told_apart_and_a_cause_is_named_once() {
    let recorded = recorded();
    let plan = recorded.plan(&["--base-roots", "base.json"]);
    let change = &plan["change"];
    assert_eq!(change["new"], json!([["packages", "x86_64-linux", "new"]]), "{change:#}");
    assert_eq!(change["gone"], json!([["packages", "x86_64-linux", "gone"]]), "{change:#}");
    let changed: Vec<&Value> = change["changed"].as_array().unwrap().iter().map(|one| &one["target"]).collect();
    assert_eq!(
        changed,
        [&json!(["packages", "x86_64-linux", "a"]), &json!(["packages", "x86_64-linux", "b"])],
        "{change:#}"
    );
    let causes: Vec<(&Value, &Value)> =
        change["causes"].as_array().unwrap().iter().map(|cause| (&cause["name"], &cause["targets"])).collect();
    assert_eq!(causes, [(&json!("a"), &json!(2))], "both targets need it: {change:#}");
    assert_eq!(change["unexplained"], json!(0), "{change:#}");
    assert!(recorded.plan(&[])["change"].is_null(), "nothing to compare with");
}
