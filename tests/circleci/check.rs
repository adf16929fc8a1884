//! What CircleCI would refuse, the checker refuses first: a sound configuration, and one test for each way to break it.

use nixdag::provider::circleci::check;
use nixdag::provider::circleci::limits::LIMITS;
use nixdag::provider::limits::Limits;

/// Uses most of what people write; nothing is wrong with it.
const SOUND: &str = r#"
version: 2.1
orbs: { slack: circleci/slack@4.12.5 }
parameters:
  deploy: { type: boolean, default: false }
executors:
  docker:
    docker: [{ image: "nixos/nix:2.34.8" }]
commands:
  greet:
    parameters: { who: { type: string } }
    steps:
      - run: { name: Greet, command: "echo << parameters.who >>" }
jobs:
  build-docker:
    parameters: { id: { type: string }, attach: { type: boolean, default: true } }
    executor: docker
    steps:
      - checkout
      - greet: { who: "<< parameters.id >>" }
      - slack/notify: { event: fail }
      - restore_cache: { keys: ["nixdag-complete-<< parameters.id >>..", "nixdag-partial-<< parameters.id >>.."] }
      - when: { condition: << parameters.attach >>, steps: [{ attach_workspace: { at: /tmp/w } }] }
      - run: { name: Build, command: "cat \\<<EOF" }
  test:
    machine: { image: "ubuntu-2404:current" }
    steps: [{ run: { name: Test, command: "true" } }]
  gate: { type: no-op }
workflows:
  nixdag:
    jobs:
      - build-docker: { name: a, id: a, attach: false, context: [secrets], filters: pipeline.git.branch or pipeline.git.tag }
      - build-docker: { name: b, id: b, requires: [a], filters: { tags: { only: /.*/ } } }
      - test: { requires: [a, b: [success, failed]], filters: pipeline.git.branch or pipeline.git.tag }
      - slack/hold: { name: hold, filters: pipeline.git.tag }
      - gate: { requires: [test], filters: pipeline.git.branch or pipeline.git.tag }
"#;

fn problems(text: &str, limits: &Limits) -> Vec<String> {
    let config = serde_yaml::from_str(text).unwrap();
    let mut problems = check::check(&config, limits);
    problems.extend(check::check_own(&config, false, |name| name == "foreign"));
    problems
}

/// The sound configuration with one piece replaced has exactly the problems named.
fn assert_problem(old: &str, new: &str, expected: &[&str]) {
    assert!(SOUND.contains(old), "{old}");
    let found = problems(&SOUND.replacen(old, new, 1), &LIMITS);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (problem, expected) in found.iter().zip(expected) {
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_sound_configuration_has_no_problem() {
    assert_eq!(problems(SOUND, &LIMITS), Vec::<String>::new());
}

#[test]
fn jobs_of_others_need_no_filters() {
    let more = "      - test: { name: foreign }\n      - gate:";
    assert_eq!(problems(&SOUND.replace("      - gate:", more), &LIMITS), Vec::<String>::new());
}

macro_rules! refuses {
    ($($name:ident: $old:expr => $new:expr, $($expected:expr),+;)+) => {
        $(#[test] fn $name() { assert_problem($old, $new, &[$($expected),+]); })+
    };
}

refuses! {
    another_version: "version: 2.1" => "version: 2", "`version` is not 2.1";
    setup: "version: 2.1" => "version: 2.1\nsetup: true", "`setup` is set";
    an_unknown_top_level_key: "version: 2.1" => "version: 2.1\nworkflow: {}", "`workflow` is not a key";
    a_stray_opening_in_a_script: "cat \\\\<<EOF" => "cat <<EOF", "that no `>>` closes";
    a_stray_opening_in_a_name: "name: b," => "name: \"b <<\",", "that no `>>` closes", "requires `b`";
    a_template_of_nothing_known: "cat \\\\<<EOF" => "<< env.HOME >>", "names neither a parameter nor a pipeline value";
    a_merge_key: "gate: { type: no-op }" => "gate: { type: no-op, \"<<\": {} }", "mapping key `<<`";
    a_tag: "command: \"true\"" => "command: !secret x", "YAML tag", "without a command";
    a_dotted_job_key: "  test:\n    machine" => "  te.st: { type: no-op }\n  test:\n    machine", "`te.st`";
    job_keys_that_differ_in_case_only: "  test:\n    machine" => "  Test: { type: no-op }\n  test:\n    machine", "differ in case";
    a_job_that_is_no_mapping: "  gate: { type: no-op }" => "  gate: { type: no-op }\n  odd: 1", "is not a mapping";
    a_job_without_steps: "steps: [{ run: { name: Test, command: \"true\" } }]" => "steps: []", "has no steps";
    a_job_without_an_executor: "    machine: { image: \"ubuntu-2404:current\" }\n" => "", "has no executor";
    an_undefined_executor: "executor: docker" => "executor: dokcer", "executor `dokcer`, which is not defined";
    an_executor_key_with_capitals: "executors:\n" => "executors:\n  Big: { machine: true }\n", "`Big` does not match";
    an_executor_of_no_kind: "    docker: [{ image: \"nixos/nix:2.34.8\" }]" => "    resource_class: large", "none of `docker`";
    an_undeclared_parameter: "<< parameters.id >>..\"," => "<< parameters.key >>..\",", "uses the parameter `key`";
    an_unknown_step: "- checkout" => "- check_out", "step `check_out`";
    a_step_with_two_names: "- checkout" => "- { checkout: {}, run: {} }", "not one name";
    an_unnamed_run_step: "run: { name: Test, command: \"true\" }" => "run: \"true\"", "without a name";
    a_run_step_without_a_command: "run: { name: Test, command: \"true\" }" => "run: { name: Test }", "without a command";
    a_when_without_a_condition: "condition: << parameters.attach >>, " => "", "without `condition`";
    a_cache_step_without_a_key: "- checkout" => "- restore_cache: { name: x }", "without a key";
    a_long_cache_key: "- checkout" => &format!("- save_cache: {{ key: {}, paths: [a] }}", "k".repeat(901)), "more than 900";
    a_key_that_begins_another: "nixdag-partial-<< parameters.id >>.." => "nixdag-complete-", "is the beginning of";
    an_undefined_job: "- test:" => "- tset:", "job `tset`, which is not defined", "requires `test`";
    an_orb_nobody_names: "slack/hold:" => "discord/hold:", "`discord/hold`";
    a_missing_parameter: "name: b, id: b," => "name: b,", "does not give the parameter `id`";
    an_unknown_parameter: "name: b, id: b," => "name: b, id: b, ip: b,", "gives the parameter `ip`";
    a_number_for_a_string: "name: b, id: b," => "name: b, id: 1,", "no string";
    a_string_for_a_boolean: "attach: false" => "attach: \"false\"", "in place of type `boolean`";
    a_job_parameter_in_a_workflow: "name: b, id: b," => "name: b, id: << parameters.id >>,", "a workflow has none";
    a_name_twice: "name: hold" => "name: A", "the name `a`";
    an_empty_name: "name: hold" => "name: ' '", "an empty name";
    a_control_character_in_a_name: "name: hold" => "name: \"ho\\eld\"", "control characters";
    an_unknown_requirement: "requires: [a]" => "requires: [x]", "requires `x`";
    a_requirement_twice: "requires: [a]" => "requires: [a, a]", "requires `a` twice";
    requirements_that_are_no_list: "requires: [a]" => "requires: a", "not a list";
    a_status_that_no_job_has: "[success, failed]" => "[success, any]", "waits for `any`";
    a_cycle: "attach: false" => "requires: [test]", "a cycle";
    a_job_that_requires_itself: "requires: [a]" => "requires: [b]", "a cycle";
    no_filters: ", filters: pipeline.git.tag" => "", "no filters for tags";
    filters_for_branches_only: "{ tags: { only: /.*/ } }" => "{ branches: { only: main } }", "no filters for tags";
    a_template_in_a_filter: "filters: pipeline.git.tag" => "filters: \"<< pipeline.git.tag >>\"", "which filters do not take";
    an_undeclared_pipeline_parameter: "cat \\\\<<EOF" => "<< pipeline.parameters.x >>", "parameter `x` is used, but not declared";
    a_workflow_without_jobs: "workflows:\n" => "workflows:\n  empty: { jobs: [] }\n", "`empty` has no jobs";
    a_gate_that_runs_something: "gate: { type: no-op }" => "gate: { type: approval }", "of type `no-op`";
    no_gate: "      - gate:" => "      - test:", "the name `test`", "a cycle", "lacks the job `gate`";
    a_pipeline_parameter_without_a_default: "type: boolean, default: false" => "type: boolean", "has no default";
    a_pipeline_parameter_of_another_type: "type: boolean, default: false" => "type: steps, default: []", "has no type of";
    a_pipeline_parameter_with_a_long_name: "  deploy:" => &format!("  {}:", "d".repeat(129)), "more than 128";
    a_pipeline_parameter_with_a_long_default:
        "type: boolean, default: false" => &format!("type: string, default: {}", "d".repeat(513)), "more than 512";
}

#[test]
fn more_pipeline_parameters_than_a_hundred() {
    let more: String = (0..100).map(|at| format!("  p{at}: {{ type: integer, default: 1 }}\n")).collect();
    assert_problem("parameters:\n", &format!("parameters:\n{more}"), &["101 pipeline parameters"]);
}

#[test]
fn more_contexts_than_a_hundred() {
    let more: Vec<_> = (0..101).map(|at| format!("c{at}")).collect();
    assert_problem("[secrets]", &format!("[{}]", more.join(", ")), &["101 contexts"]);
}

#[test]
fn more_jobs_or_requirements_than_allowed() {
    assert_eq!(problems(SOUND, &Limits { jobs: Some(4), ..LIMITS }), ["workflow `nixdag` has 5 jobs, 4 are allowed"]);
    assert_eq!(problems(SOUND, &Limits { requires: Some(1), ..LIMITS }), ["job `test` requires 2 jobs, 1 are allowed"]);
}

#[test]
fn more_bytes_than_allowed_once_compiled() {
    let limits = Limits { compiled_bytes: Some(100), ..LIMITS };
    let found = problems(SOUND, &limits);
    assert!(found.len() == 1 && found[0].contains("MB more than"), "{found:?}");
    // A command counts in every job that uses it.
    let long = SOUND.replace("echo << parameters.who >>", &format!("echo {}", "x".repeat(4_100_000)));
    assert!(problems(&long, &LIMITS)[0].contains("would take about 8.6 MB"), "{:?}", problems(&long, &LIMITS));
}

#[test]
fn commands_that_call_commands_are_written_out_once_each() {
    let ten = |step: &str| format!("[{}]", [step; 10].join(", "));
    let with = |body: &str, step: &str| {
        format!(
            "version: 2.1\ncommands:\n{body}jobs: {{ x: {{ docker: [{{ image: a }}], steps: [{step}] }} }}\nworkflows: {{ w: {{ jobs: [x] }} }}\n"
        )
    };
    let found = |text: String| check::check(&serde_yaml::from_str(&text).unwrap(), &LIMITS);
    let mut body = format!("  c0: {{ steps: {} }}\n", ten("{ run: x }"));
    for level in 1..60 {
        body.push_str(&format!("  c{level}: {{ steps: {} }}\n", ten(&format!("c{}", level - 1))));
    }
    let problems = found(with(&body, "c59"));
    assert!(problems.len() == 1 && problems[0].contains("MB more than"), "{problems:?}");
    assert_eq!(found(with(&body, "c3")), Vec::<String>::new());
    // What a call hands over counts each time that the command uses it, on every level.
    let long = "y".repeat(4_100_000);
    let handed = "  a: { parameters: { p: { type: string } }, steps: [{ run: << parameters.p >> }, { run: << parameters.p >> }] }
  b: { parameters: { p: { type: string } }, steps: [{ a: { p: << parameters.p >> } }] }\n";
    let problems = found(with(handed, &format!("{{ b: {{ p: {long} }} }}")));
    assert!(problems.len() == 1 && problems[0].contains("would take about 8.6 MB"), "{problems:?}");
    for (body, names) in [
        ("  a: { steps: [b] }\n  b: { steps: [{ when: { condition: true, steps: [a] } }] }\n", "`a`, `b`"),
        ("  a: { steps: [a] }\n", "`a`"),
    ] {
        let problems = found(with(body, "a"));
        assert!(problems.len() == 1 && problems[0].contains(&format!("without an end: {names} and")), "{problems:?}");
    }
}

#[test]
fn what_is_no_mapping_is_no_configuration() {
    assert_eq!(problems("[]", &LIMITS), ["the configuration is not a mapping"]);
}
