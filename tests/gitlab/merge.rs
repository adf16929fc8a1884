//! `nixdag generate --merge` for GitLab: jobs of the user's own beside the generated ones.

use nixdag::plan::{EvaluationError, Plan, SkipReason, Skipped};
use nixdag::provider::gitlab;
use nixdag::provider::gitlab::merge::user_file::UserFile;
use serde_json::{Value, json};

use crate::generate::{diamond, options, psych};
use crate::support::gitlab_project::project;
use crate::support::project::every_nix;
use crate::support::{plans, repository};

/// The diamond, beside which `x` exists already and `y` does not evaluate.
fn plan() -> Plan {
    let mut plan = diamond();
    let attribute = |name: &str| ["packages", "x86_64-linux", name].into_iter().collect();
    plan.skipped = vec![Skipped {
        target: attribute("x"),
        derivation: Some(plans::derivation("x")),
        reason: SkipReason::Available,
        place: None,
    }];
    plan.errors = vec![EvaluationError { target: attribute("y"), message: "broken".into(), new: None }];
    plan
}

/// The pipeline with these files, and the warnings.
fn merged(files: &[&str]) -> Result<(Value, Vec<String>), String> {
    let merge = || {
        let mut options = options();
        let named = files.iter().enumerate().map(|(at, text)| UserFile::parse(&format!("{at}.yml"), text));
        options.merge = named.collect::<anyhow::Result<_>>()?;
        gitlab::generate(&plan(), &options)
    };
    let (text, warnings) = merge().map_err(|error| format!("{error:#}"))?;
    assert!(!text.contains("!reference"), "{text}");
    Ok((psych(&text), warnings))
}

#[track_caller]
fn one(text: &str) -> Value {
    merged(&[text]).unwrap().0
}

#[track_caller]
fn refused(files: &[&str], said: &[&str]) {
    let Err(error) = merged(files) else { panic!("it is not refused: {said:?}") };
    for said in said {
        assert!(error.contains(said), "`{said}` is missing in: {error}");
    }
}

#[track_caller]
fn needs_become(needs: &str, expected: Value) {
    let pipeline = one(&format!("look: {{stage: nixdag, script: [look], needs: {needs}}}\nstages: [nixdag]\n"));
    assert_eq!(pipeline["look"]["needs"], expected, "{needs}");
}

fn waits_for(letters: &[&str]) -> Vec<Value> {
    letters
        .iter()
        .map(|letter| json!({ "job": format!("packages.x86_64-linux.{letter}"), "artifacts": false }))
        .collect()
}

#[test]
fn a_job_waits_for_the_targets_that_it_names() {
    needs_become("[packages.x86_64-linux.b]", waits_for(&["b"]).into());
    needs_become("[b]", waits_for(&["b"]).into());
    needs_become("[{job: nixdag/packages.x86_64-linux.c}]", waits_for(&["c"]).into());
    // d needs all others.
    needs_become("['packages.*.*']", waits_for(&["d"]).into());
    // What exists is not waited for, and what is optional may be missing.
    needs_become("[x, {job: nothing, optional: true}]", json!([]));
    let taken = json!([{ "job": "packages.x86_64-linux.b", "artifacts": true }]);
    needs_become("[{job: b, artifacts: true}]", taken);
    let other = json!([{ "pipeline": "$NIXDAG_PLAN_PIPELINE", "job": "nixdag-plan" }]);
    needs_become("[{pipeline: $NIXDAG_PLAN_PIPELINE, job: nixdag-plan}]", other);
}

#[test]
fn what_is_never_built_or_nowhere_is_refused() {
    let job = |needs: &str| format!("look: {{script: [look], needs: {needs}}}");
    refused(&[&job("[y]")], &["0.yml", "job `look`", "cannot need `y`", "does not evaluate"]);
    refused(&[&job("[packages.x86_64-linux.bb]")], &["did you mean `packages.x86_64-linux.b`?"]);
    refused(&[&job("[{job: b, parallel: {matrix: []}}]")], &["with `parallel`, which jobs of nixdag do not have"]);
    refused(&["stages: [early, nixdag]\nlook: {stage: early, script: [look], needs: [b]}"], &["later stage"]);
    let (_, warnings) = merged(&[&job("['packages.*.*']")]).unwrap();
    assert!(warnings[0].contains("`packages.x86_64-linux.y` does not evaluate"), "{warnings:?}");
}

#[test]
fn stages_stand_around_nixdags_and_the_gate_waits_for_all_before_it() {
    let stages = |text: &str| one(text)["stages"].clone();
    let job = "look: {stage: a, script: [look]}\n";
    assert_eq!(stages("look: {script: [look]}"), json!(["nixdag", "build", "test", "deploy", "gate"]));
    assert_eq!(stages(&format!("stages: [a, .post]\n{job}")), json!(["nixdag", "a", "gate"]));
    assert_eq!(stages(&format!("stages: [a, nixdag, b, gate, c]\n{job}")), json!(["a", "nixdag", "b", "gate", "c"]));
    let both =
        merged(&[&format!("stages: [a, c]\n{job}"), "stages: [a, b, c]\nsee: {stage: b, script: [see]}"]).unwrap();
    assert_eq!(both.0["stages"], json!(["nixdag", "a", "b", "c", "gate"]));
    refused(&[&format!("stages: [a, gate, nixdag]\n{job}")], &["`gate` comes before `nixdag`"]);
    refused(
        &[&format!("stages: [a, b]\n{job}"), "stages: [b, a]\nsee: {stage: b, script: [see]}"],
        &["1.yml", "the stage `a` is in another order"],
    );
    refused(&[&format!("stages: [b]\n{job}")], &["in the stage `a`, which is not defined"]);
}

#[test]
fn a_job_behind_a_stage_takes_its_own_files_artifacts_and_no_hand_off() {
    let pipeline = one(
        "stages: [a, b]\none: {stage: a, script: [x]}\ntwo: {stage: b, script: [x]}\nthree: {stage: b, script: [x], dependencies: []}\n",
    );
    assert_eq!(pipeline["one"]["dependencies"], json!([]));
    assert_eq!(pipeline["two"]["dependencies"], json!(["one"]));
    assert_eq!(pipeline["three"]["dependencies"], json!([]));
    assert_eq!(one("stages: [a, nixdag]\none: {stage: a, script: [x]}")["one"].get("dependencies"), None);
}

#[test]
fn a_job_comes_to_what_gitlab_makes_of_it() {
    let pipeline = one("default: {image: debian, tags: [own], retry: 1, before_script: [one]}\n\
         variables: {A: global, B: {value: $CI_JOB_ID, description: shown}, C: {value: $x, expand: false}, D: {description: nothing}}\n\
         .base: {image: alpine, variables: {A: base, E: base}, artifacts: {paths: [x], when: always}, rules: [{if: $CI_COMMIT_TAG}]}\n\
         .more: {extends: .base, artifacts: {paths: [y]}}\n\
         .words: {script: [a, b], list: &list {k: [1, 'on']}}\n\
         look:\n  extends: [.more]\n  script: [!reference [.words, script], c, [d, [e]]]\n  rules: [!reference [.more, rules], {when: never}]\n\
         \x20 cache: !reference [.words, list]\n  inherit: {default: [tags], variables: [A, B]}\n\
         see: {script: [x], after_script: !reference [.words, script]}\n\
         go: {trigger: {project: a/b}}\n");
    assert_eq!(
        pipeline["look"],
        json!({
            "stage": "test",
            "image": "alpine",
            "artifacts": { "paths": ["y"], "when": "always" },
            "rules": [{ "if": "$CI_COMMIT_TAG" }, { "when": "never" }],
            "script": ["a", "b", "c", "d", "e"],
            "cache": { "k": [1, "on"] },
            "tags": ["own"],
            "variables": { "B": "$CI_JOB_ID", "A": "base", "E": "base" },
            "dependencies": [],
        })
    );
    assert_eq!(
        pipeline["see"],
        json!({
            "stage": "test",
            "script": ["x"],
            "after_script": ["a", "b"],
            "image": "debian",
            "tags": ["own"],
            "retry": 1,
            "before_script": ["one"],
            "variables": { "A": "global", "B": "$CI_JOB_ID", "C": { "value": "$x", "expand": false } },
            "dependencies": [],
        })
    );
    let variables = json!({ "A": "global", "B": "$CI_JOB_ID", "C": { "value": "$x", "expand": false } });
    assert_eq!(pipeline["go"], json!({ "stage": "test", "trigger": { "project": "a/b" }, "variables": variables }));
    // Nothing of it holds for generated jobs.
    let keys: Vec<&String> = pipeline.as_object().unwrap().keys().collect();
    assert!(
        !["default", "variables", ".base", ".more"].iter().any(|key| keys.iter().any(|known| known == key)),
        "{keys:?}"
    );
    assert_eq!(one("look: {script: [x]}")[".docker"], pipeline[".docker"]);
}

#[test]
fn names_that_meet_are_refused_and_what_is_said_twice_is_not() {
    let look = "look: {script: [x]}";
    assert_eq!(merged(&[look, look]).unwrap().0["look"]["script"], json!(["x"]));
    refused(&[look, "look: {script: [y]}"], &["`1.yml`: job `look` and that of `0.yml` are not the same"]);
    refused(&["packages.x86_64-linux.a: {script: [x]}"], &["has the name of a job in the generated pipeline"]);
    for name in ["gate", "evaluation", "report", "nixdag-plan", "'true'", "'nil'", "types"] {
        refused(&[&format!("{name}: {{script: [x]}}")], &["0.yml", "a job cannot be named"]);
    }
    assert_eq!(one("pages: {script: [x], artifacts: {paths: [public]}}")["pages"]["script"], json!(["x"]));
    // Hidden jobs of the user's meet none of nixdag's.
    assert_eq!(one(".docker: {image: own}\nlook: {extends: .docker, script: [x]}")["look"]["image"], "own");
}

#[test]
fn what_a_child_pipeline_cannot_have_is_refused_with_its_file() {
    let long = format!("look: {{script: [x]}}\nx: {{script: [{}]}}", "y".repeat(6 << 20));
    for (text, said) in [
        ("include: [{local: x.yml}]", "it has `include`, and the child pipeline is complete in itself"),
        ("spec: {inputs: {a: {}}}", "it has `spec`"),
        ("spec: {inputs: {a: {}}}\n---\na: {script: [x]}", "a second document"),
        ("workflow: {rules: []}", "it has `workflow`"),
        ("look: {extends: .nothing, script: [x]}", "extends `.nothing`, which is not in this file"),
        ("look: {extends: .docker, script: [x]}", "extends `.docker`"),
        (".a: {extends: .b}\n.b: {extends: .a}\nlook: {extends: .a, script: [x]}", "levels, or itself"),
        ("look: {script: !reference [look, script]}", "leads to too many others, or to itself"),
        ("look: {script: !reference [.a, script]}", "`!reference [.a, script]` is not in this file"),
        ("look: {script: !reference []}", "`!reference` without a name"),
        ("look: {script: !reference [1]}", "something else than names"),
        ("look: {script: !other [a]}", "the tag `!other`"),
        ("look: [x]", "`look` is not a job"),
        ("look: {stage: test}", "job `look` has no script"),
        ("look: {script: [x], resource_class: x}", "the key `resource_class`"),
        ("look: {script: [x], variables: [x]}", "`variables` is not a mapping"),
        ("default: {script: [x]}\nlook: {script: [x]}", "`default` has `script`"),
        ("default: {image: a}\nimage: b\nlook: {script: [x]}", "is both in `default` and beside it"),
        ("stages: [report]\nlook: {stage: report, script: [x]}", "the stage `report` is nixdag's own"),
        ("look: {script: [x]}\nlook: {script: [x]}", "duplicate key"),
        ("look: {script: [x], needs: [see]}\nsee: {script: [x], needs: [look]}", "wait for each other"),
        ("look: {script: [x], needs: [look]}", "wait for each other"),
        (&long, "GitLab takes"),
    ] {
        refused(&[text], &[said]);
    }
}

#[test]
fn small_files_that_stand_for_much_are_refused() {
    let big = "x".repeat(100_000);
    let many = |line: &str| (0..400).map(|at| format!("j{at}: {{script: [x], {line}}}\n")).collect::<String>();
    let references: String = (1..10)
        .map(|level| {
            format!(
                ".a{level}: {{script: [{}]}}\n",
                vec![format!("!reference [.a{}, script]", level - 1); 20].join(", ")
            )
        })
        .collect();
    for text in [
        format!(".big: {{after_script: [{big}]}}\n{}", many("extends: .big")),
        format!(".big: {{after_script: [{big}]}}\n{}", many("after_script: !reference [.big, after_script]")),
        format!("default: {{after_script: [{big}]}}\n{}", many("tags: [a]")),
        format!(".a0: {{script: [x]}}\n{references}look: {{script: !reference [.a9, script]}}"),
        format!("variables: {{A: {big}}}\n{}", many("tags: [a]")),
    ] {
        refused(&[&text], &["repeat, the file comes to more than 16 MB"]);
    }
}

#[test]
fn rules_that_are_never_true_in_a_child_pipeline_are_named() {
    let warned = |rules: &str| merged(&[&format!("look: {{script: [x], {rules}}}")]).unwrap().1;
    for rules in [
        "rules: [{if: '$CI_PIPELINE_SOURCE == \"merge_request_event\"'}]",
        "only: [merge_requests]",
        "only: {refs: [schedules]}",
    ] {
        let said = warned(rules);
        assert!(said.len() == 1 && said[0].contains("always `parent_pipeline` here"), "{said:?}");
    }
    for rules in [
        "rules: [{if: $CI_MERGE_REQUEST_IID}]",
        "only: [main]",
        "rules: [{if: '$CI_PIPELINE_SOURCE == \"parent_pipeline\"'}]",
    ] {
        assert_eq!(warned(rules), Vec::<String>::new(), "{rules}");
    }
}

#[test]
fn the_example_of_the_documentation_is_taken() {
    let page = std::fs::read_to_string(repository().join("docs/gitlab.md")).unwrap();
    let start = page.find("stages: [nixdag, test, gate, deploy]").unwrap();
    let example = page[start..start + page[start..].find("```").unwrap()].replace("[hello,", "[d,");
    let pipeline = one(&example);
    assert_eq!(pipeline["smoke-test"]["needs"], Value::Array(waits_for(&["d"])));
    assert_eq!(pipeline["deploy"]["resource_group"], "production");
    assert_eq!(pipeline["stages"], json!(["nixdag", "test", "gate", "deploy"]));
}

const OWN: &str = "
stages: [nixdag, after, gate, deploy]
variables: {WORDS: 'from the file'}
.base: {image: debian:12, tags: [own], before_script: [echo before]}
look:
  extends: .base
  stage: after
  needs: [b, {job: d, artifacts: true}]
  script: [!reference [.base, before_script], 'ls .nixdag/handoff; echo $WORDS']
deploy: {extends: .base, stage: deploy, script: ['echo deployed; ls -d .nixdag || echo no hand-off']}
";

#[test]
fn jobs_of_ones_own_run_where_they_belong() {
    let nix = every_nix().remove(0);
    let (checkout, mut gitlab) = project("examples/hermetic", &nix, "--merge own.yml");
    std::fs::write(checkout.path().join("own.yml"), OWN).unwrap();
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let child = &outcome.children[0];
    let log = &child.job("look").log;
    assert!(log.contains("d\n") && log.contains("from the file") && log.matches("before").count() == 2, "{log}");
    assert!(!log.contains("b\n"), "what it only waits for hands it nothing: {log}");
    assert!(child.job("deploy").log.contains("no hand-off"), "{}", child.job("deploy").log);
}
