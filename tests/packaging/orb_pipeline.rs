//! The orb as people use it, on this machine: a repository with nothing but an example of the orb sets itself up, continues, and the
//! continued pipeline builds. Nix and nixdag are installed by the orb's script from a mirror on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::circleci::{ApiServer, CONTINUATION_KEY, Outcome, Pipeline, Status};
use crate::support::file_server::FileServer;
use crate::support::project::logs;
use crate::support::{copy_of, orb, run, stripped};
use nixdag::provider::start_up::series;
use serde_yaml::Value;
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a release's installer does, for one Nix program in the same folder.
const NIX_INSTALLER: &str = r#"
set -e
from=$(dirname "$0")
echo "installer: $*"
while [ $# -gt 0 ]; do
    case $1 in
    --daemon | --no-daemon) mode=$1 ;;
    --nix-extra-conf-file) conf=$2; shift ;;
    --yes | --no-channel-add | --no-modify-profile) ;;
    *) exit 2 ;;
    esac
    shift
done
mkdir -p /nix/programs
cp "$from/nix" /nix/programs/nix
for name in nix-store nix-build nix-daemon nix-instantiate nix-env build-remote; do ln -s nix /nix/programs/$name; done
echo "build-hook = /nix/programs/build-remote" >> "$NIX_CONF_DIR/nix.conf"
if [ "$mode" = --daemon ]; then
    cat "$conf" >> "$NIX_CONF_DIR/nix.conf"
    mkdir -p /nix/var/nix/profiles/default
    ln -s /nix/programs /nix/var/nix/profiles/default/bin
    # So that it ends with the machine.
    mark=$(tr "\0" "\n" < /proc/$PPID/environ | grep '^NIXDAG_STAND_IN=')
    env "$mark" /nix/programs/nix-daemon > /dev/null 2>&1 &
else
    mkdir -p ~/.nix-profile
    ln -s /nix/programs ~/.nix-profile/bin
fi
"#;

/// The program on PATH, links followed.
fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists());
    fs::canonicalize(found.unwrap_or_else(|| panic!("no `{name}` on PATH (tests/run.sh installs it)"))).unwrap()
}

/// A repository, its CI's caches, and a mirror with a release of nixdag and one of Nix.
pub struct World {
    pub checkout: TempDir,
    caches: TempDir,
    mirror: TempDir,
    server: FileServer,
    orb: Value,
}

impl World {
    pub fn new() -> Self {
        let mirror = TempDir::new().unwrap();
        let dir = mirror.path();
        let release = dir.join(format!("v{VERSION}"));
        fs::create_dir(&release).unwrap();
        let program = format!("nixdag-{VERSION}-{}-unknown-linux-musl", std::env::consts::ARCH);
        fs::copy(stripped(), release.join(&program)).unwrap();
        let nix_version = nixdag::delivery::downloads::NixRelease::default().version;
        let name = format!("nix-{nix_version}-{}-linux", std::env::consts::ARCH);
        let nix = dir.join(format!("nix-{nix_version}"));
        fs::create_dir_all(nix.join(&name)).unwrap();
        fs::copy(on_path("nix"), nix.join(&name).join("nix")).unwrap();
        fs::write(nix.join(&name).join("install"), NIX_INSTALLER).unwrap();
        run(&nix, "tar", &["-c", "-I", "xz -0", "-f", &format!("{name}.tar.xz"), &name]);

        let server = FileServer::start(dir);
        let mut orb = orb::pack(&orb::source()).unwrap();
        // As a release does it; and everything comes from the mirror.
        let nix_sums = run(&nix, "sha256sum", &[&format!("{name}.tar.xz")]);
        let sums = run(&release, "sha256sum", &[&program]);
        let defaults = [
            ("base_url", server.url()),
            ("checksums", sums),
            ("nix_base_url", server.url()),
            ("nix_checksums", nix_sums),
        ];
        for (parameter, default) in defaults {
            orb["jobs"]["setup"]["parameters"][parameter]["default"] = default.into();
        }
        Self { checkout: copy_of("examples/hermetic"), caches: TempDir::new().unwrap(), mirror, server, orb }
    }

    /// Changes the default of a parameter of the job.
    fn with(mut self, parameter: &str, default: &str) -> Self {
        self.orb["jobs"]["setup"]["parameters"][parameter]["default"] = default.into();
        self
    }

    fn ready(&self, pipeline: Pipeline, first_build: u64) -> Pipeline {
        pipeline
            .plain_images()
            .nix(on_path("nix-store").parent().unwrap())
            .nix_conf("sandbox-paths = /bin/sh /lib /lib64 /usr\n")
            .cache_dir(self.caches.path())
            .checkout(self.checkout.path())
            .build_number(first_build)
    }

    /// The minimal example with these arguments, ready to run; `API` in them is the address of CircleCI's API.
    fn setup(&self, arguments: &str) -> Pipeline {
        let api = ApiServer::new([]);
        let config = minimal(&arguments.replace("API", &format!("{}/api/v2", api.url())));
        self.write(".circleci/config.yml", &config);
        self.setup_with(&config, api)
    }

    /// A setup configuration of the repository, ready to run.
    pub fn setup_with(&self, config: &str, api: ApiServer) -> Pipeline {
        let orbs = [(format!("org/nixdag@{}", series()), self.orb.clone())].into();
        self.ready(Pipeline::setup_with(config, &orbs, api).unwrap(), 1)
    }

    /// Writes a file of the repository.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.checkout.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The pipeline that was continued, with the parameters that it was continued with.
    pub fn continued(&self, setup: &Outcome) -> Pipeline {
        let config = setup.continuation.as_ref().unwrap_or_else(|| panic!("not continued: {}", logs(setup)));
        let pipeline = self.ready(Pipeline::new(config).unwrap(), 100);
        let parameters = setup.continuation_parameters.as_object().unwrap();
        parameters
            .iter()
            .fold(pipeline, |pipeline, (name, value)| pipeline.parameter(name, serde_yaml::to_value(value).unwrap()))
    }
}

/// The minimal example with arguments for the job.
fn minimal(arguments: &str) -> String {
    let example = orb::read(&orb::source().join("examples/minimal.yml")).unwrap();
    let mut config = example["usage"].clone();
    if !arguments.is_empty() {
        let arguments: Value = serde_yaml::from_str(arguments).unwrap();
        let invocation: BTreeMap<_, _> = [("nixdag/setup", arguments)].into();
        config["workflows"]["setup"]["jobs"][0] = serde_yaml::to_value(invocation).unwrap();
    }
    serde_yaml::to_string(&config).unwrap()
}

#[track_caller]
pub fn assert_succeeded(outcome: &Outcome) {
    assert!(outcome.succeeded(), "{}", logs(outcome));
}

/// The four packages and the test behind them.
#[track_caller]
fn assert_built(outcome: &Outcome) {
    assert_succeeded(outcome);
    let names: Vec<_> = outcome.statuses().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "integration", "report", "gate"]);
    assert!(outcome.job("integration").log.contains("ok: d(b(a), c)"), "{}", logs(outcome));
}

#[test]
fn the_minimal_example_sets_up_continues_and_builds() {
    let world = World::new();
    let outcome = world.setup("").run().unwrap();
    assert_succeeded(&outcome);
    let job = outcome.job("nixdag/setup");
    assert!(job.log.contains("installer: --no-daemon"), "{}", job.log);
    for file in ["config.yml", "plan.json", "plan.txt", "graph.mmd", "graph.dot"] {
        assert!(fs::metadata(job.artifacts.join(file)).unwrap().len() > 0, "{file}");
    }
    assert_eq!(outcome.continuation_parameters, serde_json::json!({}));
    let config = outcome.continuation.as_ref().unwrap();
    assert_eq!(fs::read_to_string(job.artifacts.join("config.yml")).unwrap(), *config);
    assert_built(&world.continued(&outcome).run().unwrap());

    // Where branches trust one another the next pipeline takes nixdag from CircleCI's cache.
    assert_succeeded(&world.setup("trust_branches: true\n").build_number(200).run().unwrap());
    let asked = world.server.requests().len();
    let again = world.setup("trust_branches: true\n").build_number(300).run().unwrap();
    assert_succeeded(&again);
    let requests = &world.server.requests()[asked..];
    assert!(!requests.is_empty() && requests.iter().all(|path| path.starts_with("nix-")), "{requests:?}");
}

/// What a hostile branch saves under every key that it can think of: programs by the names of those that steps call, in the
/// folders that nixdag has ever used, and a shell's start-up file.
fn poison(caches: &Path, number: u64, key: &str) {
    let entry = caches.join(number.to_string());
    let home = entry.join("data/root");
    for folder in [".nixdag/bin", ".nixdag/program", ".nix-profile/bin"] {
        fs::create_dir_all(home.join(folder)).unwrap();
        for name in ["nixdag", "jq", "mkdir", "curl", "sha256sum", "nix-store"] {
            let path = home.join(folder).join(name);
            fs::write(&path, "#!/bin/sh\necho pwned $CIRCLE_CONTINUATION_KEY\nexit 0\n").unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    fs::create_dir_all(entry.join("data/tmp")).unwrap();
    fs::write(entry.join("data/tmp/.bash_env"), "echo pwned\n").unwrap();
    fs::write(entry.join("key"), key).unwrap();
}

#[test]
fn a_hostile_branch_gets_nothing_into_the_setup_job() {
    let world = World::new();
    // With trust its keys are known; then each is written again, newer, by somebody else.
    assert_succeeded(&world.setup("trust_branches: true\n").run().unwrap());
    let keys: Vec<String> = fs::read_dir(world.caches.path())
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path().join("key")).unwrap())
        .collect();
    assert!(["nixdag-program-", "nixdag-evaluation-"].iter().all(|kind| keys.iter().any(|key| key.starts_with(kind))));
    for (at, key) in keys.iter().filter(|key| !key.starts_with("nixdag-bundle-")).enumerate() {
        poison(world.caches.path(), 100 + at as u64, &format!("{key}x"));
    }
    let outcome = world.setup("").id("00000000-0000-4000-8000-000000000002").build_number(200).run().unwrap();
    assert_succeeded(&outcome);
    let log = &outcome.job("nixdag/setup").log;
    assert!(!log.contains("pwned") && !log.contains("Found a cache"), "{log}");
    assert_built(&world.continued(&outcome).id("00000000-0000-4000-8000-000000000002").run().unwrap());
    // The stand-in does unpack such an entry, where somebody asks for it.
    let trusting = world.setup("trust_branches: true\n").build_number(300).run().unwrap();
    assert!(trusting.job("nixdag/setup").log.contains("pwned"), "{}", logs(&trusting));
}

#[test]
fn an_image_with_nix_and_neither_bash_nor_jq_continues_by_nixdag_and_other_images_install_nix() {
    let world = World::new();
    let arguments = "executor: nixdag/nix\ncontinue_with: nixdag\ncircleci_domain: API\nimage: cimg/base:2026.08\n";
    let outcome = world.setup(arguments).run().unwrap();
    assert_succeeded(&outcome);
    assert!(!outcome.job("nixdag/setup").log.contains("installer:"), "{}", logs(&outcome));
    let built = world.continued(&outcome).run().unwrap();
    assert_built(&built);
    assert!(built.job("a").log.contains("installer: --no-daemon"), "{}", built.job("a").log);

    // CircleCI's own orb says what such an image lacks.
    let outcome = world.setup("executor: nixdag/nix\n").run().unwrap();
    assert_eq!(outcome.status("nixdag/setup"), Status::Failed);
    assert!(outcome.job("nixdag/setup").log.contains("jq is required"), "{}", logs(&outcome));
}

#[test]
fn virtual_machines_get_a_daemon_and_a_sandbox() {
    let runners =
        "{ name: nixdag/self_hosted, resource_class: acme/planners }\nresource_class: x86_64-linux=acme/builders";
    for executor in ["nixdag/vm", runners] {
        let world = World::new();
        let outcome = world.setup(&format!("executor: {executor}\n")).run().unwrap();
        assert_succeeded(&outcome);
        assert!(outcome.job("nixdag/setup").log.contains("installer: --daemon"), "{}", logs(&outcome));
        let config = outcome.continuation.as_ref().unwrap();
        assert_eq!(config.contains("resource_class: acme/builders"), executor == runners, "{config}");
        assert_built(&world.continued(&outcome).run().unwrap());
    }
}

#[test]
fn machines_of_other_systems_are_left_to_them() {
    let world = World::new();
    for executor in ["nixdag/arm", "nixdag/macos"] {
        let outcome = world.setup(&format!("executor: {executor}\n")).run().unwrap();
        assert_eq!(outcome.status("nixdag/setup"), Status::Foreign, "{executor}");
    }
}

#[test]
fn debug_shows_the_configuration_and_does_not_continue() {
    let world = World::new();
    let outcome = world.setup("executor: nixdag/nix\ndebug: true\n").run().unwrap();
    assert_succeeded(&outcome);
    assert_eq!(outcome.continuation, None);
    let job = outcome.job("nixdag/setup");
    let config = fs::read_to_string(job.artifacts.join("config.yml")).unwrap();
    assert!(job.log.contains(config.trim_end()), "{}", job.log);
}

#[test]
fn a_program_with_another_checksum_is_not_run() {
    let world = World::new();
    let program = fs::read_dir(world.mirror.path().join(format!("v{VERSION}"))).unwrap().next().unwrap().unwrap();
    fs::write(program.path(), "#!/bin/sh\necho evil\n").unwrap();
    let outcome = world.setup("executor: nixdag/nix\n").run().unwrap();
    assert_eq!((outcome.status("nixdag/setup"), &outcome.continuation), (Status::Failed, &None));
    let log = &outcome.job("nixdag/setup").log;
    assert!(log.contains("is not the file that was pinned, and is not used") && !log.contains("evil"), "{log}");

    let world = World::new().with("nix_checksums", &format!("{}  nix-2.34.7-x86_64-linux.tar.xz\n", "0".repeat(64)));
    let outcome = world.setup("").run().unwrap();
    let log = &outcome.job("nixdag/setup").log;
    assert!(log.contains("is not the file that was pinned") && !log.contains("installer:"), "{log}");
}

/// A job of the repository's own, which shows the pipeline's parameters and whose layers of the workspace it sees.
const OWN_JOBS: &str = r#"
version: 2.1
jobs:
  look:
    docker: [{ image: "cimg/base:2026.08" }]
    steps:
      - attach_workspace: { at: /tmp/seen }
      - run: { name: Look, command: "echo << pipeline.parameters.greeting >> << pipeline.parameters.mode >> $(ls /tmp/seen)" }
workflows:
  nixdag:
    jobs:
      - look: { name: after-b, requires: [b], filters: pipeline.git.branch or pipeline.git.tag }
"#;

/// What the pipeline's parameters are where nobody says anything.
const PARAMETERS: &str =
    "greeting: { type: string, default: hello }\nmode: { type: enum, enum: [fast, slow], default: fast }\n";

#[test]
fn own_jobs_parameters_and_evaluations_go_from_pipeline_to_pipeline() {
    let world = World::new();
    let arguments = "merge: .circleci/continue.yml\ntrust_branches: true\nparameters: '{\"mode\": \"slow\"}'\n";
    let mut config: Value = serde_yaml::from_str(&minimal(arguments)).unwrap();
    config["parameters"] = serde_yaml::from_str(PARAMETERS).unwrap();
    let config = serde_yaml::to_string(&config).unwrap();
    world.write(".circleci/config.yml", &config);
    world.write(".circleci/continue.yml", OWN_JOBS);
    for arguments in [&["init", "-q"] as &[&str], &["add", "."], &["commit", "-q", "-m", "x"]] {
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
        run(world.checkout.path(), "git", &[&who, arguments].concat());
    }
    let setup = |number: u64, branch: &str| {
        let pipeline = world.setup_with(&config, ApiServer::new([])).parameter("greeting", "hi").branch(branch);
        let outcome = pipeline.id(&format!("00000000-0000-4000-8000-{number:012}")).build_number(number).run().unwrap();
        assert_succeeded(&outcome);
        outcome
    };
    let build = |setup: &Outcome, number: u64| {
        let pipeline = world.continued(setup).parameter("greeting", "hi").build_number(number);
        let outcome = pipeline.id(&format!("00000000-0000-4000-8000-{:012}", number - 50)).run().unwrap();
        assert_succeeded(&outcome);
        assert!(outcome.job("after-b").log.ends_with("hi slow a b\n"), "{}", logs(&outcome));
        outcome
    };
    let plan = |outcome: &Outcome| -> serde_json::Value {
        serde_json::from_slice(&fs::read(outcome.job("nixdag/setup").artifacts.join("plan.json")).unwrap()).unwrap()
    };

    let first = setup(100, "main");
    let log = &first.job("nixdag/setup").log;
    assert!(
        !log.contains(" from the cache in ") && log.contains("Stored cache to nixdag-evaluation-1-main.."),
        "{log}"
    );
    let continued: Value = serde_yaml::from_str(first.continuation.as_ref().unwrap()).unwrap();
    assert_eq!(continued["parameters"], serde_yaml::from_str::<Value>(PARAMETERS).unwrap());
    assert_eq!(first.continuation_parameters, serde_json::json!({ "mode": "slow" }));
    build(&first, 150);

    // The same tree again: nothing is evaluated, the targets are the same, and the first pipeline has measured all of them.
    let second = setup(200, "main");
    let log = &second.job("nixdag/setup").log;
    assert!(log.contains("evaluation: 5 targets from the cache in "), "{log}");
    assert!(!log.contains(" evaluated, "), "{log}");
    let (before, again) = (plan(&first), plan(&second));
    assert_eq!(again["targets"], before["targets"]);
    assert_eq!(
        (&before["estimates"]["durations"]["recorded"], &again["estimates"]["durations"]["recorded"]),
        (&0.into(), &4.into())
    );
    build(&second, 250);

    // Another branch has nothing of that.
    let other = setup(300, "other");
    assert!(!other.job("nixdag/setup").log.contains(" from the cache in "), "{}", logs(&other));
    assert_eq!(plan(&other)["targets"], plan(&first)["targets"]);
}

/// Attributes that would carry the key away, if evaluation could see it.
const CURIOUS: &str = r#"
          curious = derivation {
            name = "curious-${builtins.getEnv "CIRCLE_CONTINUATION_KEY"}${builtins.replaceStrings [ "/" ] [ "-" ] (builtins.getEnv "HOME")}";
            inherit system;
            builder = "/bin/sh";
            args = [ "-c" ''echo "$name" > $out; while read -r line; do echo "$line" >> $out; done < /proc/self/environ'' ];
          };
          greedy = package (builtins.readFile "/proc/self/environ") [ ];
"#;

/// A package that evaluation builds first, by a builder that looks at the environment of every process of its machine.
const NOSY: &str = r##"
          nosy = package (builtins.readFile (derivation {
            name = "nosy";
            inherit system;
            builder = "/bin/sh";
            PATH = "/usr/bin:/bin";
            args = [ "-c" ''
              for process in /proc/[0-9]*; do
                tr "\0" "\n" < $process/environ > seen 2> /dev/null || continue
                grep -q "^NIXDAG_STAND_IN=MACHINE$" seen || ! grep -q . seen || continue
                what="$(tr "\0\n" "  " < $process/cmdline | cut -c 1-200)"
                echo "$what" >> /tmp/looked-at
                if grep -q "^CIRCLE_CONTINUATION_KEY=." seen; then echo "$what" >> /tmp/shown; fi
              done
              printf nosy > $out
            '' ];
          })) [ ];
"##;

#[test]
fn no_process_of_a_step_shows_the_continuation_key_while_evaluation_builds() {
    let world = World::new();
    let flake = world.checkout.path().join("flake.nix");
    let text = fs::read_to_string(&flake).unwrap();
    for executor in ["nixdag/cimg", "nixdag/vm"] {
        let arguments = format!("executor: {executor}\nallow_ifd: true\nnix_sandbox: \"false\"\n");
        let mut setup = world.setup(&arguments);
        // Others run on this machine beside it.
        let nosy = NOSY.replace("MACHINE", &setup.state().join("run-1/0").to_string_lossy());
        fs::write(&flake, text.replace("          default = d;\n", &format!("          default = d;{nosy}"))).unwrap();
        let outcome = setup.run().unwrap();
        assert_succeeded(&outcome);
        let file = |name: &str| fs::read_to_string(setup.state().join("run-1/0/tmp").join(name)).unwrap_or_default();
        let looked = file("looked-at");
        for part in ["generate . --bundle", "nix", "sh -c #!/bin/sh"] {
            assert!(looked.lines().any(|line| line.contains(part)), "{part}: {looked}");
        }
        assert_eq!(file("shown"), "");
    }
}

#[test]
fn a_folder_that_another_user_of_the_machine_has_made_first_stops_the_setup_job() {
    let world = World::new();
    for (before, left) in [
        ("mkdir /tmp/nixdag && chown 1234 /tmp/nixdag && chmod 777 /tmp/nixdag", "tmp/nixdag"),
        ("mkdir /tmp/theirs && chown 1234 /tmp/theirs && ln -s theirs /tmp/nixdag", "tmp/theirs"),
    ] {
        let mut setup = world.setup("executor: nixdag/nix\n").before_steps(before);
        let outcome = setup.run().unwrap();
        assert_eq!((outcome.status("nixdag/setup"), &outcome.continuation), (Status::Failed, &None));
        let log = &outcome.job("nixdag/setup").log;
        assert!(log.contains("`/tmp/nixdag` is a link or another user's"), "{log}");
        let folder = setup.state().join("run-1/0").join(left);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }
}

#[test]
fn no_key_is_in_the_configuration_the_artifacts_the_caches_or_the_evaluators_environment() {
    let world = World::new();
    let flake = world.checkout.path().join("flake.nix");
    let text = fs::read_to_string(&flake).unwrap();
    fs::write(&flake, text.replace("          default = d;\n", &format!("          default = d;{CURIOUS}"))).unwrap();
    let arguments = "continue_with: nixdag\ncircleci_domain: API\n";
    let mut setup = world.setup(arguments);
    let outcome = setup.run().unwrap();
    assert_succeeded(&outcome);
    assert!(outcome.job("nixdag/setup").log.contains("greedy"), "{}", logs(&outcome));
    // Impure code sees the environment of the evaluator, which is not that of the step.
    let mut impure = world.setup(&format!("{arguments}executor: nixdag/nix\nextra_arguments: --impure\n"));
    let seen = impure.run().unwrap();
    assert_succeeded(&seen);
    let plan = fs::read_to_string(seen.job("nixdag/setup").artifacts.join("plan.json")).unwrap();
    assert!(plan.contains("-curious--root.drv"), "{plan}");
    assert!(!outcome.continuation.as_ref().unwrap().contains(CONTINUATION_KEY));
    let mut continued = world.continued(&outcome);
    let built = continued.run().unwrap();
    // Without the environment `greedy` does not evaluate, which makes the pipeline red; all others are built.
    let mut red: Vec<_> = built.statuses().into_iter().filter(|(_, status)| *status != Status::Success).collect();
    red.sort_unstable();
    let expected = [("evaluation", Status::Failed), ("gate", Status::NotRun), ("integration", Status::NotRun)];
    assert_eq!(red, expected, "{}", logs(&built));
    let mut searched = 0;
    for folder in [setup.state(), impure.state(), continued.state(), world.caches.path()] {
        let found = Command::new("grep").args(["-rlaF", CONTINUATION_KEY]).arg(folder).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{}", logs(&outcome));
        searched += fs::read_dir(folder).unwrap().count();
    }
    assert!(searched > 3);
}
