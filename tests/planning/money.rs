//! What plans cost: budgets, what waiting is worth, and prices beside those of machines.

use serde_json::{Value, json};

use super::records::{now, workshop};
use crate::support::recorded::{Recorded, measured};

#[test]
fn a_budget_is_met_or_said_to_be_impossible() {
    let recorded = workshop(false, None);
    let credits = |arguments: &[&str]| recorded.plan(arguments)["estimates"]["plan"]["credits"].as_u64().unwrap();
    let (asked, least) = (credits(&[]), credits(&["--granularity", "single"]));
    assert!(least < asked);
    let said = |most: u64| {
        let most = most.to_string();
        let output = recorded.nixdag("plan").args(["--format", "json", "--max-credits", &most]).output().unwrap();
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        (plan["estimates"]["plan"]["credits"].as_u64().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (enough, notes) = said(asked);
    assert!(enough == asked && !notes.contains("max_credits") && !notes.contains("planned with"), "{notes}");
    let (less, notes) = said(asked - 1);
    assert!(less < asked && notes.contains(&format!("since the jobs may take {} credits", asked - 1)), "{notes}");
    let (too_much, notes) = said(least - 1);
    assert_eq!(too_much, least);
    assert!(
        notes.contains(&format!("no plan was found for {} credits (`max_credits`): this one takes {least}", least - 1)),
        "{notes}"
    );
}

/// Programs that have nothing to do with each other.
fn wide() -> Recorded {
    let names = (0..24).map(|number| format!("program{number}-1"));
    names.fold(Recorded::new(), |recorded, name| recorded.drv(&name, "", &[], &[]).target(&name, &name))
}

#[test]
fn what_waiting_is_worth_chooses_between_the_objectives() {
    let recorded = wide();
    let figures = |objective: &str| {
        let plan = recorded.plan(&["--granularity", "auto", "--objective", objective]);
        let of = &plan["estimates"]["plan"];
        [&of["makespan_seconds"], &of["job_seconds"]].map(|seconds| seconds.as_f64().unwrap())
    };
    let named = ["time", "balanced", "cost"].map(figures);
    assert!(named[0][0] < named[2][0] && named[2][1] < named[0][1], "{named:?}");
    for worth in [0.0, 5.0, 60.0, 3600.0] {
        let cost = |[wall, machines]: [f64; 2]| wall + machines / 60.0 * worth;
        let chosen = figures(&worth.to_string());
        assert!(
            named.contains(&chosen) && named.iter().all(|other| cost(chosen) <= cost(*other)),
            "{worth}: {chosen:?}"
        );
    }
    assert!(figures("0")[0] < figures("3600")[0]);
    let in_the_file = wide().settings("granularity: auto\nobjective: 3600\n").plan(&[]);
    assert_eq!(in_the_file["estimates"]["plan"]["job_seconds"].as_f64(), Some(figures("3600")[1]));
    let mut command = recorded.nixdag("plan");
    command.args(["--objective", "cheap"]).assert().failure().code(2);
}

#[test]
fn prices_of_storage_and_rounding_are_those_that_people_write() {
    let recorded = workshop(false, None);
    let builds = (0..4).flat_map(|number| [format!("library{number}-1"), format!("program{number}-1")]);
    let builds: Vec<Value> = builds
        .map(|name| {
            let mut build = measured(recorded.path(&name), 100.0);
            build["at"] = json!(now() - 5);
            build["nar_bytes"] = json!(250_000_000);
            build
        })
        .collect();
    let history = recorded.file("sizes.json", json!({ "version": 2, "builds": builds }).to_string());
    let history = ["--history", history.to_str().unwrap()];
    let of = |more: &[&str]| recorded.plan(&[more].concat())["estimates"].clone();
    assert_eq!(of(&history)["price"], Value::Null, "where nobody names a price");
    let unknown = of(&["--cost", "storage=420", "--cost", "egress=1"]);
    assert_eq!(unknown["price"]["unknown"], json!(["storage"]), "no machine of one's own fetches anything: {unknown}");
    // Eight derivations of a quarter of a gigabyte.
    let known = of(&[&history[..], &["--cost", "storage=420", "--cost", "credit=0.0006"]].concat());
    assert_eq!(known["price"], json!({ "storage": 840, "credit_millionths": 600 }), "{known}");
    let in_a_store = of(&[&history[..], &["--cost", "storage=420", "--handoff", "cache"]].concat());
    assert_eq!(in_a_store["price"], json!({}), "a store is not the CI's");

    let credits = |rounding: &str| of(&["--cost", rounding])["plan"]["credits"].as_u64().unwrap();
    assert!(credits("rounding=600") > credits("rounding=60") && credits("rounding=60") >= credits("rounding=1"));
    let settings = "costs:\n  currency: EUR\n  credit: 0.5\n  storage: 420\n";
    let said = workshop(false, None).settings(settings).said("plan", &[]);
    assert!(said.contains("EUR for machines; unknown, because no sizes are recorded: storage."), "{said}");
}
