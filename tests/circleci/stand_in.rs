//! The stand-in for CircleCI refuses what CircleCI refuses, and runs jobs as CircleCI does.

use crate::support::circleci::{self, Pipeline, Status};
use crate::support::file_server::FileServer;
use crate::support::plans;
use nixdag::delivery::{BundleReference, downloads};
use nixdag::provider::circleci::generate;
use nixdag::provider::circleci::options::Options;
use std::process::Command;

/// Nothing is wrong with it.
const SOUND: &str = r#"
version: 2.1
parameters:
  loud: { type: boolean, default: false }
executors:
  docker:
    parameters: { tag: { type: string, default: "2.34.8" } }
    docker: [{ image: "nixos/nix:<< parameters.tag >>" }]
    resource_class: large
commands:
  greet:
    parameters: { who: { type: string } }
    steps:
      - run: { name: Greet, command: "echo hello << parameters.who >>" }
jobs:
  build:
    parameters: { id: { type: string }, first: { type: boolean, default: false } }
    executor: { name: docker, tag: "2.26.3" }
    steps:
      - greet: { who: "<< parameters.id >>" }
      - unless: { condition: << parameters.first >>, steps: [{ attach_workspace: { at: ~/w } }] }
      - run: { name: Build, command: "mkdir -p ~/w/<< parameters.id >>; ls ~/w > ~/w/<< parameters.id >>/seen; echo 'a \\<<b'" }
      - persist_to_workspace: { root: ~/w, paths: [<< parameters.id >>] }
      - store_artifacts: { path: ~/w }
  gate: { type: no-op }
workflows:
  nixdag:
    jobs:
      - build: { name: a.1, id: a, first: true, filters: pipeline.git.branch or pipeline.git.tag }
      - build: { name: b, id: b, requires: [a.1], filters: pipeline.git.branch or pipeline.git.tag }
      - build: { name: c, id: c, requires: [a.1], filters: { branches: { only: main } } }
      - gate: { requires: [b, c], filters: pipeline.git.branch or pipeline.git.tag }
"#;

fn changed(old: &str, new: &str) -> String {
    assert!(SOUND.contains(old), "{old}");
    SOUND.replacen(old, new, 1)
}

/// A workflow of one job with these steps (YAML, a line each).
fn one_job(steps: &str) -> String {
    let steps: String = steps.trim().lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "version: 2.1\njobs:\n  job:\n    machine: {{ image: \"ubuntu-2404:current\" }}\n    steps:\n{steps}\
         workflows:\n  w:\n    jobs: [job]\n"
    )
}

fn run(config: &str) -> circleci::Outcome {
    Pipeline::new(config).unwrap().run().unwrap()
}

macro_rules! refuses {
    ($($name:ident: $old:expr => $new:expr, $expected:expr;)+) => {
        $(#[test] fn $name() {
            let Err(error) = Pipeline::new(&changed($old, $new)) else { panic!("accepted") };
            assert!(format!("{error:#}").contains($expected), "{error:#}");
        })+
    };
}

refuses! {
    an_unknown_top_level_key: "version: 2.1" => "version: 2.1\nworkflow: {}", "unknown key `workflow`";
    another_version: "version: 2.1" => "version: 2", "`version` is not 2.1";
    setup_in_a_continuation: "version: 2.1" => "version: 2.1\nsetup: true", "`setup: true`";
    a_string_that_yaml_1_1_reads_otherwise: "id: a," => "id: on,", "disagree";
    a_merge_key: "gate: { type: no-op }" => "gate: { type: no-op, \"<<\": {} }", "mapping key `<<`";
    a_tab: "version: 2.1" => "version:\t2.1", "a tab";
    a_stray_opening: "'a \\\\<<b'" => "'a <<b'", "Unclosed '<<' tag";
    an_unknown_pipeline_value: "hello << parameters.who >>" => "hello << pipeline.colour >>", "nothing that this pipeline knows";
    an_undeclared_pipeline_parameter: "hello << parameters.who >>" => "<< pipeline.parameters.x >>", "`x` is not declared";
    an_undeclared_parameter: "hello << parameters.who >>" => "hello << parameters.id >>", "`id` is not declared";
    an_unused_argument: "name: b, id: b," => "name: b, id: b, ip: b,", "Unexpected argument";
    a_missing_argument: "name: b, id: b," => "name: b,", "parameter `id` is missing";
    an_argument_of_another_type: "name: b, id: b," => "name: b, id: 1,", "Type error for argument id";
    a_default_of_another_type: "default: false }\nexecutors" => "default: \"no\" }\nexecutors", "the default is no boolean";
    a_parameter_of_no_type: "who: { type: string }" => "who: { type: text }", "unknown type `text`";
    a_pipeline_parameter_without_a_default: "loud: { type: boolean, default: false }" => "loud: { type: boolean }", "is missing";
    an_undefined_executor: "name: docker," => "name: dokcer,", "executor named dokcer";
    an_unknown_key_of_an_executor: "resource_class: large" => "resource-class: large", "unknown key `resource-class`";
    an_unknown_key_of_a_job: "gate: { type: no-op }" => "gate: { type: no-op }\n  odd: { step: [] }", "unknown key `step`";
    an_unknown_step: "- greet:" => "- great:", "step `great`";
    an_unknown_key_of_a_step: "root: ~/w, paths" => "rout: ~/w, paths", "unknown key `rout`";
    an_undefined_job: "- gate:" => "- gaet:", "definition for job gaet";
    a_dotted_job_key: "  gate: {" => "  ga.te: {", "job key `ga.te`";
    job_keys_that_differ_in_case: "  gate: {" => "  Build: { type: no-op }\n  gate: {", "without regard to case";
    a_name_twice: "name: c," => "name: b,", "the name `b`";
    an_unknown_requirement: "requires: [b, c]" => "requires: [b, d]", "requires `d`";
    a_cycle: "first: true," => "requires: [b],", "a cycle";
    an_unknown_status: "requires: [b, c]" => "requires: [b: any]", "waits for `any`";
    a_status_for_a_dotted_name: "requires: [b, c]" => "requires: [a.1: failed]", "`a.1`";
    a_template_in_a_filter: "filters: { branches: { only: main } }" => "filters: \"<< pipeline.git.branch >>\"", "takes no `<<`";
    an_unknown_word_in_a_filter: "filters: { branches: { only: main } }" => "filters: branch", "nothing that a filter knows";
    an_orb: "version: 2.1" => "version: 2.1\norbs: { node: circleci/node@5 }", "no orb `node`";
    no_steps: "gate: { type: no-op }" => "gate: { machine: true }", "has no steps";
    no_executor: "    executor: { name: docker, tag: \"2.26.3\" }\n" => "", "no executor";
    two_workflows: "workflows:\n" => "workflows:\n  more: { jobs: [gate] }\n", "2 workflows";
    an_empty_workflow: "workflows:\n" => "workflows:\n  more: { jobs: [] }\n  x: { when: false, jobs: [gate] }\n", "2 workflows";
}

#[test]
fn jobs_run_in_order_and_see_the_layers_of_their_ancestors_only() {
    let outcome = run(SOUND);
    assert!(outcome.succeeded(), "{:#?}", outcome.jobs);
    let seen =
        |name: &str, id: &str| std::fs::read_to_string(outcome.job(name).artifacts.join(id).join("seen")).unwrap();
    assert_eq!(seen("a.1", "a"), "a\n");
    assert_eq!(seen("b", "b"), "a\nb\n");
    assert_eq!(seen("c", "c"), "a\nc\n");
    assert!(outcome.job("b").log.contains("hello b\n") && outcome.job("b").log.contains("a <<b\n"));
}

#[test]
fn filters_decide_what_runs_on_a_tag() {
    let outcome = Pipeline::new(SOUND).unwrap().tag("v1").run().unwrap();
    let names: Vec<_> = outcome.jobs.iter().map(|job| &*job.name).collect();
    assert_eq!(names, ["a.1", "b", "gate"]);
    assert!(outcome.succeeded());
}

#[test]
fn a_failure_stops_what_is_behind_it_and_a_rerun_keeps_what_succeeded() {
    let config = changed(
        "mkdir -p ~/w/<< parameters.id >>;",
        "mkdir -p ~/w/<< parameters.id >>; [ << parameters.id >> != b ] || [ $CIRCLE_BUILD_NUM -gt 3 ];",
    );
    let mut pipeline = Pipeline::new(&config).unwrap();
    let outcome = pipeline.run().unwrap();
    let wanted = [("a.1", Status::Success), ("b", Status::Failed), ("c", Status::Success), ("gate", Status::NotRun)];
    assert_eq!(outcome.statuses(), wanted);
    let again = pipeline.rerun_from_failed(&outcome).unwrap();
    assert!(again.succeeded(), "{}", again.job("b").log);
    assert!(again.job("a.1").kept && again.job("c").kept && !again.job("b").kept);
    assert!(again.job("b").artifacts.join("a/seen").exists());
}

#[test]
fn a_required_status_other_than_success_is_honoured() {
    let config = changed("requires: [b, c]", "requires: [b: [success, failed], c: terminal]")
        .replace("mkdir -p ~/w/<< parameters.id >>;", "[ << parameters.id >> = a ]; mkdir -p ~/w/a;");
    let outcome = run(&config);
    assert_eq!(outcome.status("b"), Status::Failed);
    assert_eq!(outcome.status("gate"), Status::Success);
}

#[test]
fn parallel_jobs_may_not_persist_the_same_file() {
    let same = changed("paths: [<< parameters.id >>]", "paths: [same]")
        .replace(
            "mkdir -p ~/w/<< parameters.id >>;",
            "mkdir -p ~/w/<< parameters.id >>; echo << parameters.id >> > ~/w/same;",
        )
        .replace("- gate: { requires", "- build: { name: d, id: d, requires")
        .replace("  gate: { type: no-op }\n", "");
    let outcome = run(&same);
    // b writes over what a wrote, which comes before it; d gets the file from b and from c.
    assert_eq!(outcome.status("b"), Status::Success);
    assert_eq!(outcome.status("d"), Status::Failed);
    assert!(outcome.job("d").log.contains("persisted the same file"), "{}", outcome.job("d").log);
}

#[test]
fn after_a_failed_step_only_those_run_that_say_so_and_nothing_is_saved() {
    let outcome = run(&one_job(
        r#"
- run: { name: one, command: "mkdir -p ~/x; echo first; false; echo never" }
- run: { name: two, command: "echo second" }
- run: { name: three, command: "echo third", when: always }
- run: { name: four, command: "echo fourth", when: on_fail }
- save_cache: { key: k, paths: [~/x], when: always }
- persist_to_workspace: { root: ~/, paths: [x], when: always }
- store_artifacts: { path: ~/x }
"#,
    ));
    let log = &outcome.job("job").log;
    assert_eq!(outcome.status("job"), Status::Failed);
    assert!(log.contains("first") && log.contains("third") && log.contains("fourth"), "{log}");
    assert!(
        !log.contains("second") && !log.contains("never") && !log.contains("Stored") && !log.contains("persist"),
        "{log}"
    );
}

#[test]
fn shells_are_those_of_the_image() {
    let pipe = one_job("- run: { name: pipe, command: \"false | true; echo $0 $BASH_VERSION\" }");
    assert_eq!(run(&pipe).status("job"), Status::Failed);
    let sh = pipe.replace("machine: { image: \"ubuntu-2404:current\" }", "docker: [{ image: \"nixos/nix:2.34.8\" }]");
    assert!(run(&sh).job("job").log.contains("/bin/sh"));
}

#[test]
fn a_step_can_end_the_job_as_a_success() {
    let outcome =
        run(&one_job("- run: { name: halt, command: circleci step halt }\n- run: { name: after, command: \"false\" }"));
    assert_eq!(outcome.status("job"), Status::Success);
}

#[test]
fn variables_go_from_step_to_step_through_bash_env_only() {
    let outcome = run(&one_job(
        "- run: { name: set, command: \"export LOST=1; echo 'export KEPT=1' >> $BASH_ENV\" }\n- run: { name: get, command: 'echo \"=$KEPT=$LOST=$CIRCLE_BRANCH=$CI=$HOME=\"' }",
    ));
    assert!(outcome.job("job").log.contains("=1==main=true=/root="), "{}", outcome.job("job").log);
}

#[test]
fn every_job_has_folders_of_its_own() {
    let probe = one_job(
        "- run: { name: ls, command: \"ls -A /nix /tmp ~; touch /nix/x /tmp/x ~/x\" }\n- run: { name: again, command: \"test -e /nix/x -a -e /tmp/x -a -e ~/x\" }",
    );
    let twice = probe.replace("jobs: [job]", "jobs: [job, { job: { name: next, requires: [job] } }]");
    let outcome = run(&twice);
    assert!(outcome.succeeded());
    assert_eq!(outcome.job("job").log, outcome.job("next").log);
    assert!(!std::path::Path::new("/nix/x").exists());
}

#[test]
fn caches_are_immutable_found_by_prefix_and_the_newest_wins() {
    let caches = tempfile::tempdir().unwrap();
    let with = |steps: &str, number: u64| {
        let mut pipeline = Pipeline::new(&one_job(steps)).unwrap().cache_dir(caches.path()).build_number(number);
        let outcome = pipeline.run().unwrap();
        assert!(outcome.succeeded(), "{}", outcome.job("job").log);
        outcome.job("job").log.clone()
    };
    let save = |key: &str, text: &str| {
        format!(
            "- run: {{ name: w, command: \"mkdir -p ~/c; echo {text} > ~/c/f\" }}\n- save_cache: {{ key: \"{key}\", paths: [~/c] }}"
        )
    };
    let restore = |key: &str| {
        format!("- restore_cache: {{ keys: [none, \"{key}\"] }}\n- run: {{ name: r, command: \"cat ~/c/f\" }}")
    };
    with(&save("a-{{ .Branch }}-1", "one"), 1);
    with(&save("a-main-1-longer", "two"), 2);
    assert!(with(&save("a-main-1", "three"), 3).contains("already exists"));
    assert!(with(&restore("a-main-1"), 4).contains("two"));
    let same = "- run: { name: w, command: echo x > ~/sum }\n";
    with(&format!("{same}{}", save("s-{{ checksum \\\"/root/sum\\\" }}-{{ .BuildNum }}", "sum")), 5);
    assert!(with(&format!("{same}{}", restore("s-{{ checksum \\\"/root/sum\\\" }}-5")), 6).contains("sum\n"));
}

#[test]
fn what_is_not_there_can_be_neither_saved_nor_stored() {
    for step in [
        "save_cache: { key: k, paths: [~/none] }",
        "persist_to_workspace: { root: ~/, paths: [none] }",
        "attach_workspace: { at: ~/w }",
    ] {
        assert_eq!(run(&one_job(&format!("- {step}"))).status("job"), Status::Failed, "{step}");
    }
    for step in ["store_artifacts: { path: ~/none }", "store_test_results: { path: ~/none }", "checkout"] {
        assert_eq!(run(&one_job(&format!("- {step}"))).status("job"), Status::Failed, "{step}");
    }
}

#[test]
fn nothing_runs_after_a_cancel() {
    // Nobody else on this machine sleeps for just as long.
    let sleep = format!("sleep 600.{}", std::process::id());
    let is_asleep = |sleep: &str| Command::new("pgrep").args(["-x", "-f", sleep]).output().unwrap().status.success();
    let steps = format!(
        "- run: {{ name: wait, command: {sleep} }}\n- run: {{ name: after, command: echo after, when: always }}"
    );
    let config =
        one_job(&steps).replace("jobs: [job]", "jobs: [job, { job: { name: next, requires: [job: terminal] } }]");
    let mut pipeline = Pipeline::new(&config).unwrap();
    let cancel = pipeline.cancel();
    let waited_for = sleep.clone();
    let canceller = std::thread::spawn(move || {
        while !is_asleep(&waited_for) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        cancel.cancel();
    });
    let outcome = pipeline.run().unwrap();
    canceller.join().unwrap();
    assert!(!is_asleep(&sleep), "the step is still there");
    assert_eq!(outcome.statuses(), [("job", Status::Canceled), ("next", Status::Canceled)]);
    assert!(!outcome.job("job").log.contains("after"));
}

#[test]
fn contexts_give_variables_or_are_missing() {
    let config = one_job("- run: { name: show, command: echo =$TOKEN= }")
        .replace("jobs: [job]", "jobs: [{ job: { context: secrets } }]");
    assert_eq!(run(&config).status("job"), Status::Unauthorized);
    let outcome = Pipeline::new(&config).unwrap().context("secrets", &[("TOKEN", "t")]).run().unwrap();
    assert!(outcome.job("job").log.contains("=t="));
}

#[test]
fn jobs_for_other_systems_are_left_out() {
    let config = one_job("- run: { name: a, command: a }")
        .replace("machine: { image: \"ubuntu-2404:current\" }", "macos: { xcode: \"26.6.0\" }");
    assert_eq!(run(&config).status("job"), Status::Foreign);
}

#[test]
fn a_setup_continues_once() {
    let config = format!(
        "setup: true\norbs: {{ continuation: circleci/continuation@2.0.1 }}\n{}",
        one_job(
            "- run: { name: make, command: 'echo \"version: 2.1 # $CIRCLE_CONTINUATION_KEY\" > c.yml' }\n- continuation/continue: { configuration_path: c.yml }",
        )
    );
    assert!(Pipeline::new(&config).is_err());
    let outcome = Pipeline::setup(&config).unwrap().run().unwrap();
    assert!(outcome.continuation.unwrap().contains(circleci::CONTINUATION_KEY));
}

/// Builds something with Nix and lists what the store has.
const BUILD: &str = r#"
export NIX_CONFIG="sandbox = false"
cat > x.nix <<'EOF'
derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo built > $out" ]; }
EOF
cat "$(nix-store --realise "$(nix-instantiate x.nix)")"
id -u
"#;

/// A job that runs [`BUILD`].
fn building() -> String {
    let command = serde_json::to_string(&BUILD.replace("<<", "\\<<")).unwrap();
    one_job(&format!("- run: {{ name: build, command: {command} }}"))
}

#[test]
fn every_job_has_a_nix_store_of_its_own() {
    let twice = building().replace("jobs: [job]", "jobs: [job, { job: { name: next } }]");
    let outcome = Pipeline::new(&twice).unwrap().nix("/usr/bin").run().unwrap();
    for name in ["job", "next"] {
        let log = &outcome.job(name).log;
        assert_eq!(outcome.status(name), Status::Success, "{log}");
        assert!(log.contains("building '/nix/store/") && log.ends_with("built\n0\n"), "{log}");
    }
}

/// A job's builder is at work while the other job builds something and has done with it.
#[test]
fn a_build_of_one_job_ends_no_builder_of_another() {
    // Builders see it, whoever they are.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let meeting = folder.path().display();
    let wait_for =
        |name: &str| format!("for turn in $(seq 1200); do test ! -e {meeting}/{name} || break; sleep 0.05; done");
    let build = |builder: &str| {
        let builder = format!("PATH=/bin:/usr/bin; {builder}; echo > $out").replace('$', "\\$");
        format!(
            "nix-store --realise $(nix-instantiate --expr \"derivation {{ name = ''x''; system = builtins.currentSystem; \
             builder = ''/bin/sh''; args = [ ''-c'' ''{builder}'' ]; }}\")"
        )
    };
    let long = build(&format!("echo > {meeting}/begun; {}", wait_for("built")));
    let short = format!("{}; {}; touch {meeting}/built", wait_for("begun"), build("true"));
    let job = |command: &str| {
        let command = serde_json::to_string(command).unwrap();
        format!(
            "{{ machine: {{ image: \"ubuntu-2404:current\" }}, steps: [{{ run: {{ name: build, command: {command} }} }}] }}"
        )
    };
    let config = format!(
        "version: 2.1\njobs:\n  long: {}\n  short: {}\nworkflows: {{ w: {{ jobs: [long, short] }} }}\n",
        job(&long),
        job(&short)
    );
    let settings = "sandbox = false\nbuild-users-group = nixbld\n";
    let outcome = Pipeline::new(&config).unwrap().nix("/usr/bin").nix_conf(settings).machines(2).run().unwrap();
    for name in ["long", "short"] {
        let job = outcome.job(name);
        assert!(job.status == Status::Success && job.log.contains("building '/nix/store/"), "{}", job.log);
    }
}

#[test]
fn a_plain_user_builds_through_a_daemon() {
    let daemon =
        "nix-daemon > /tmp/daemon.log 2>&1 &\nwhile [ ! -S /nix/var/nix/daemon-socket/socket ]; do sleep 0.1; done";
    let mut pipeline = Pipeline::new(&building())
        .unwrap()
        .nix("/usr/bin")
        .nix_conf("sandbox = false\n")
        .user(1234)
        .before_steps(daemon);
    let outcome = pipeline.run().unwrap();
    let log = &outcome.job("job").log;
    assert_eq!(outcome.status("job"), Status::Success, "{log}");
    assert!(log.ends_with("built\n1234\n"), "{log}");
}

/// A program that keeps to what the steps expect of nixdag: it "builds" by writing down what it sees.
const PROGRAM: &str = r#"#!/bin/sh -e
case "$*" in
    "build --bundle /tmp/nixdag/bundle --bundle-sha256 $5 --workspace $HOME/.nixdag/workspace --reuse /tmp/nixdag/reuse --results $HOME/.nixdag/results --records /tmp/nixdag/records --record-verdict --job "*)
        id=${16}
        reuse=$9
        results=${11}
        mkdir -p "$results" "$HOME/.nixdag/workspace/$id" "$reuse/complete" "$reuse/partial" "/tmp/nixdag/records/$id"
        echo "<testsuites/>" > "$results/junit.xml"
        if [ -e "$reuse/complete/built" ] || [ -e "$reuse/partial/built" ]; then echo "reused $id"; else echo "built $id"; fi
        rm -f "$reuse"/*/built
        echo "$id after $(ls "$HOME/.nixdag/workspace" | tr '\n' ' ')" > "$HOME/.nixdag/workspace/$id/built"
        if [ "$id" = "$(cat /tmp/nixdag/bundle/bad)" ]; then echo 1; else echo 0; fi > "$results/verdict"
        if [ "$(cat "$results/verdict")" = 0 ]; then kind=complete; else kind=partial; fi
        cp "$HOME/.nixdag/workspace/$id/built" "$reuse/$kind" ;;
    "collect "*) mkdir -p "$HOME/.nixdag/results" ;;
    --version) echo "a made-up nixdag" ;;
    "build --verdict $HOME/.nixdag/results") exit "$(cat "$HOME/.nixdag/results/verdict")" ;;
    *) echo "unexpected: $*"; exit 2 ;;
esac
"#;

/// Runs a generated configuration on a bundle whose program fails the job `bad`.
fn generated(caches: &std::path::Path, bad: &str, poison: bool) -> (Pipeline, circleci::Outcome) {
    generated_with(caches, bad, poison, |_| {})
}

/// The same with other options.
fn generated_with(
    caches: &std::path::Path,
    bad: &str,
    poison: bool,
    change: impl FnOnce(&mut Options),
) -> (Pipeline, circleci::Outcome) {
    let setup = format!(
        "- run: {{ name: make, command: \"mkdir -p /tmp/nixdag/bundle; cd /tmp/nixdag/bundle; cp /mnt/nixdag /mnt/install.sh .; echo {bad} > bad; \
         sha256sum nixdag install.sh > manifest; sha256sum manifest | cut -d' ' -f1 > ../bundle.sha256; cat ../bundle.sha256; {}\" }}\n\
         - save_cache: {{ key: 'nixdag-bundle-<< pipeline.id >>-{{{{ checksum \"/tmp/nixdag/bundle.sha256\" }}}}', paths: [/tmp/nixdag/bundle] }}",
        if poison { "echo evil >> nixdag" } else { "true" }
    );
    let programs = tempfile::tempdir().unwrap();
    let program = programs.path().join("nixdag");
    std::fs::write(&program, PROGRAM).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let installer = concat!(env!("CARGO_MANIFEST_DIR"), "/orb/src/scripts/install.sh");
    let mut set_up = Pipeline::new(&one_job(&setup)).unwrap().cache_dir(caches).program(&program).program(installer);
    let outcome = set_up.run().unwrap();
    let log = &outcome.job("job").log;
    let hash = log.lines().find(|line| line.len() == 64).unwrap_or_else(|| panic!("{log}"));
    let mut options = Options::default();
    options.setup.bundle = Some(BundleReference { manifest_sha256: hash.to_owned(), system: "x86_64-linux".into() });
    change(&mut options);
    let config = generate(&plans::diamond(), &options).unwrap();
    let mut pipeline = Pipeline::new(&config).unwrap().cache_dir(caches).build_number(10);
    let outcome = pipeline.run().unwrap();
    (pipeline, outcome)
}

fn name(letter: &str) -> String {
    format!("packages.x86_64-linux.{letter}")
}

#[test]
fn a_generated_pipeline_runs_in_order_and_the_next_one_reuses_its_results() {
    let caches = tempfile::tempdir().unwrap();
    let (mut pipeline, outcome) = generated(caches.path(), "none", false);
    assert!(outcome.succeeded(), "{:#?}", outcome.jobs);
    assert!(outcome.job(&name("d")).log.contains("built d"));
    assert!(outcome.job(&name("d")).test_results.join("junit.xml").exists());
    let again = pipeline.run().unwrap();
    assert!(again.succeeded());
    assert!(again.job(&name("d")).log.contains("reused d"), "{}", again.job(&name("d")).log);
}

#[test]
fn a_generated_job_that_fails_hands_on_reports_and_then_fails() {
    let caches = tempfile::tempdir().unwrap();
    let (mut pipeline, outcome) = generated(caches.path(), "b", false);
    let ends: Vec<_> = outcome.jobs.iter().map(|job| job.status).collect();
    // The last three: a job without steps in front of `report`, `report` itself, `gate`.
    let last = [Status::NotRun, Status::Success, Status::NotRun];
    assert_eq!(ends[..4], [Status::Success, Status::Failed, Status::Success, Status::NotRun]);
    assert_eq!(ends[4..], last);
    assert!(outcome.job(&name("b")).artifacts.join("verdict").exists());
    // What it did build is there for its next run, but never as a complete result.
    let again = pipeline.rerun_from_failed(&outcome).unwrap();
    let log = &again.job(&name("b")).log;
    assert!(log.contains("Found a cache at nixdag-partial-") && log.contains("reused b"), "{log}");
}

#[test]
fn jobs_on_machines_that_the_bundles_nixdag_does_not_run_on_download_theirs_from_the_release() {
    let version = env!("CARGO_PKG_VERSION");
    let mirror = tempfile::tempdir().unwrap();
    let release = mirror.path().join(format!("v{version}"));
    std::fs::create_dir(&release).unwrap();
    let file = format!("nixdag-{version}-x86_64-unknown-linux-musl");
    std::fs::write(release.join(&file), PROGRAM).unwrap();
    let server = FileServer::start(mirror.path());
    let sha256 = nixdag::nix::hash::Sha256::of(PROGRAM.as_bytes()).base16();
    let run = |sha256: &str| {
        let caches = tempfile::tempdir().unwrap();
        let change = |options: &mut Options| {
            options.setup.bundle.as_mut().unwrap().system = "aarch64-linux".into();
            options.setup.downloads = downloads::nixdag(&server.url(), &format!("{sha256}  {file}\n")).unwrap();
        };
        generated_with(caches.path(), "none", false, change).1
    };
    let outcome = run(&sha256);
    // `report` runs on a machine for the bundle's nixdag.
    let built = outcome.jobs.iter().filter(|job| job.name.starts_with("packages."));
    assert!(built.map(|job| job.status).eq([Status::Success; 4]), "{:#?}", outcome.jobs);
    let log = &outcome.job(&name("d")).log;
    assert!(log.contains("a made-up nixdag") && log.contains("built d"), "{log}");
    let outcome = run(&"0".repeat(64));
    let log = &outcome.job(&name("a")).log;
    assert_eq!(outcome.status(&name("a")), Status::Failed);
    assert!(log.contains("is not the file that was pinned") && !log.contains("built a"), "{log}");
}

#[test]
fn a_bundle_that_was_tampered_with_is_not_run() {
    let caches = tempfile::tempdir().unwrap();
    let (_, outcome) = generated(caches.path(), "none", true);
    assert_eq!(outcome.status(&name("a")), Status::Failed);
    let log = &outcome.job(&name("a")).log;
    assert!(log.contains("nixdag: FAILED") && !log.contains("built a"), "{log}");
}
