//! The release: its pipeline's configuration, its scripts, and the files that they make.
//!
//! The release files themselves take minutes to build: `cargo test --test packaging release -- --ignored` does, or takes those in the folder
//! `NIXDAG_RELEASE`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{FreshNix, circleci_schema, copy_into, repository as root, run, shown, stripped};
use serde_json::{Value as Json, json};
use serde_yaml::Value;
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A script of the release ends with an error that says this.
#[track_caller]
fn refuses(command: &mut Command, said: &str) {
    let output = command.output().unwrap();
    let text = shown(&output);
    assert!(!output.status.success() && text.contains(said), "`{said}` is missing in: {text}");
}

// --- the configuration

fn config(name: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(root().join(".circleci").join(name)).unwrap()).unwrap()
}

/// Name and arguments of each invocation in the only workflow.
fn invocations(config: &Value) -> Vec<(String, Value)> {
    let workflows = config["workflows"].as_mapping().unwrap();
    assert_eq!(workflows.len(), 1);
    let jobs = workflows.values().next().unwrap()["jobs"].as_sequence().unwrap();
    let one = |job: &Value| {
        let (key, arguments) = job.as_mapping().unwrap().iter().next().unwrap();
        (key.as_str().unwrap().to_owned(), arguments.clone())
    };
    jobs.iter().map(one).collect()
}

#[test]
fn both_halves_pass_the_schema_and_yamllint() {
    for name in ["config.yml", "test-deploy.yml"] {
        let file = root().join(".circleci").join(name);
        circleci_schema::accepts_file(&file);
        let rules = "{extends: relaxed, rules: {line-length: {max: 200}}}";
        let said = succeeds(Command::new("yamllint").args(["-d", rules]).arg(&file));
        assert_eq!(said, "", "{name}");
    }
}

#[test]
fn the_first_half_is_a_setup_that_continues_with_the_second() {
    let config = config("config.yml");
    assert_eq!(config["setup"], Value::Bool(true));
    let jobs = invocations(&config);
    let names: Vec<&str> = jobs.iter().map(|(name, _)| name.as_str()).collect();
    for step in ["lint", "pack", "review", "continue"] {
        assert!(names.contains(&format!("orb-tools/{step}").as_str()), "{step}");
    }
    assert!(names.contains(&"shellcheck/check") && names.contains(&"tests"));
    let (_, last) = jobs.iter().find(|(name, _)| name == "orb-tools/continue").unwrap();
    assert_eq!((&last["orb_name"], &last["config_path"]), (&"nixdag".into(), &"/tmp/release/test-deploy.yml".into()));
    // Nothing goes on before everything is right.
    let required: Vec<&str> =
        last["requires"].as_sequence().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in ["orb-tools/lint", "orb-tools/pack", "orb-tools/review", "shellcheck/check", "tests"] {
        assert!(required.contains(&name), "{name}");
    }
}

#[test]
fn the_second_half_tests_the_packed_orb_and_publishes_it_after_the_release() {
    let config = config("test-deploy.yml");
    assert!(config.get("setup").is_none());
    assert_eq!(config["orbs"]["nixdag"], Value::Mapping(serde_yaml::Mapping::new()));
    let jobs = invocations(&config);
    let named = |name: &str| &jobs.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}")).1;
    let requires = |name: &str| serde_json::to_value(&named(name)["requires"]).unwrap();
    assert_eq!(requires("orb-tools/publish"), json!(["orb-tools/pack", "release"]));
    assert_eq!((requires("release"), requires("orb-tools/pack")), (json!(["demos"]), json!(["demos"])));
    assert_eq!(named("orb-tools/publish")["pub_type"], "production");
    // On tags of versions alone: what is published stays published.
    let tags = json!({"branches": {"ignore": "/.*/"}, "tags": {"only": r"/^v\d+\.\d+\.\d+$/"}});
    for name in ["release", "orb-tools/pack", "orb-tools/publish"] {
        assert_eq!(serde_json::to_value(&named(name)["filters"]).unwrap(), tags, "{name}");
    }
    // Every executor of the orb that CircleCI offers is tried.
    let machines = serde_json::to_value(&named("demo")["matrix"]["parameters"]["machine"]).unwrap();
    assert_eq!(machines, json!(["nixdag/cimg", "nixdag/nix", "nixdag/vm", "nixdag/arm", "nixdag/macos"]));
}

#[test]
fn only_a_job_that_does_nothing_else_restores_the_release_and_all_others_compare_it() {
    let config = config("test-deploy.yml");
    let jobs = config["jobs"].as_mapping().unwrap();
    let has = |steps: &Value, kind: &str| {
        let is = |step: &Value| step == kind || step.get(kind).is_some();
        steps.as_sequence().is_some_and(|steps| steps.iter().any(is))
    };
    for (name, job) in jobs {
        let restores = name == "restore-release";
        assert_eq!((has(&job["steps"], "restore_cache"), has(&job["steps"], "compare-release")), (restores, !restores));
    }
    assert_eq!(jobs["restore-release"]["steps"].as_sequence().unwrap().len(), 2);
    for (name, arguments) in invocations(&config) {
        assert!(name != "restore-release" || arguments.get("context").is_none());
        assert!(!has(&arguments["pre-steps"], "restore_cache"), "{name}");
        assert!(name != "orb-tools/pack" || has(&arguments["pre-steps"], "compare-release"));
    }
}

#[test]
fn a_release_that_another_branch_replaced_is_refused_before_it_is_signed() {
    let repository = Repository::new();
    fs::copy(root().join(".circleci/test-deploy.yml"), repository.path(".circleci/test-deploy.yml")).unwrap();
    let dir = repository.built();
    let dir_name = dir.to_str().unwrap();
    succeeds(&mut repository.script("sums.sh", &[dir_name]));
    succeeds(&mut repository.script("second-half.sh", &[dir_name]));
    let second: Value = serde_yaml::from_str(&fs::read_to_string(dir.join("test-deploy.yml")).unwrap()).unwrap();
    let command = second["commands"]["compare-release"]["steps"][1]["run"]["command"].as_str().unwrap();
    let digest = command.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(digest.len(), 64, "{command}");
    let compare = || repository.script("compare.sh", &[dir_name, &digest]);
    fs::write(dir.join("more"), "what nobody built").unwrap();
    succeeds(&mut compare());
    assert!(!dir.join("more").exists());
    // One file, and then the checksums along with it.
    let file = dir.join(format!("nixdag-{VERSION}-x86_64-unknown-linux-musl"));
    fs::write(&file, "evil").unwrap();
    refuses(&mut compare(), "FAILED");
    fs::remove_file(dir.join("SHA256SUMS")).unwrap();
    succeeds(&mut repository.script("sums.sh", &[dir_name]));
    refuses(&mut compare(), "is not the one that this pipeline wrote");
}

#[test]
fn orbs_are_pinned_jobs_run_on_tags_and_named_scripts_exist() {
    for name in ["config.yml", "test-deploy.yml"] {
        let config = config(name);
        for (orb, version) in config["orbs"].as_mapping().unwrap() {
            let Some(version) = version.as_str() else { continue };
            let (_, version) = version.split_once('@').unwrap();
            assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{orb:?} {version}");
        }
        for (job, arguments) in invocations(&config) {
            let filters = &arguments["filters"];
            assert!(
                filters.get("tags").is_some() || filters == "pipeline.git.branch or pipeline.git.tag",
                "{name}: {job}"
            );
        }
        let text = fs::read_to_string(root().join(".circleci").join(name)).unwrap();
        let scripts: Vec<&str> = text
            .split_whitespace()
            .filter(|word| word.starts_with(".ci/") || word.starts_with(".circleci/scripts"))
            .collect();
        assert!(!scripts.is_empty());
        for script in scripts {
            let mode = fs::metadata(root().join(script)).unwrap_or_else(|_| panic!("{script}")).permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{script} can be run");
        }
    }
}

// --- the scripts

/// A repository with the release's scripts and one commit.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(TempDir::new().unwrap());
        let copy = |from: &str, to: &str| {
            let to = repository.path(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            copy_into(&root().join(from), &to);
        };
        copy(".ci/release", ".ci/release");
        copy(".circleci/allowed_signers", ".circleci/allowed_signers");
        copy("Cargo.toml", "Cargo.toml");
        copy("Cargo.lock", "Cargo.lock");
        let notes = format!(
            "# Changelog\n\n## Unreleased\n\n- later\n\n## {VERSION}\n\n- first\n- second\n\n## 0.0.1\n\n- old\n"
        );
        fs::write(repository.path("CHANGELOG.md"), notes).unwrap();
        repository.commit();
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
        succeeds(Command::new("git").current_dir(self.0.path()).env("TZ", "UTC").args(identity).args(arguments))
            .trim()
            .to_owned()
    }

    fn commit(&self) {
        self.git(&["init", "-q"]);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "x"]);
    }

    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path(".ci/release").join(name));
        command.current_dir(self.0.path()).args(arguments).env_remove("NIXDAG_RELEASE_KEY");
        command
    }

    /// A folder with a file for each platform.
    fn built(&self) -> PathBuf {
        let dir = self.path("dist");
        fs::create_dir(&dir).unwrap();
        for target in fs::read_to_string(self.path(".ci/release/targets")).unwrap().lines() {
            fs::write(dir.join(format!("nixdag-{VERSION}-{target}")), target).unwrap();
        }
        dir
    }
}

/// A key pair: the private key as the context has it, the line of the public one.
fn key(dir: &Path) -> (String, String) {
    let file = dir.join("key");
    let _ = fs::remove_file(&file);
    succeeds(
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "release@nixdag", "-f"]).arg(&file),
    );
    let private = succeeds(Command::new("base64").args(["-w", "0"]).arg(&file));
    let public = fs::read_to_string(dir.join("key.pub")).unwrap();
    fs::remove_file(dir.join("key.pub")).unwrap();
    (private, format!("release@nixdag namespaces=\"nixdag-release\" {public}"))
}

#[test]
fn notes_are_the_changelogs() {
    let repository = Repository::new();
    assert_eq!(succeeds(&mut repository.script("notes.sh", &[VERSION])), "- first\n- second\n");
    refuses(&mut repository.script("notes.sh", &["9.9.9"]), "CHANGELOG.md has no section `## 9.9.9`");
}

#[test]
fn a_release_agrees_with_itself() {
    let repository = Repository::new();
    let tag = format!("v{VERSION}");
    refuses(&mut repository.script("check.sh", &[&tag]), "there is no tag");
    repository.git(&["tag", &tag]);
    succeeds(&mut repository.script("check.sh", &[&tag]));
    refuses(&mut repository.script("check.sh", &["v9.9.9"]), &format!("Cargo.toml says {VERSION}"));
    refuses(&mut repository.script("check.sh", &["latest"]), "is no tag of a release");
    fs::write(repository.path("CHANGELOG.md"), "# Changelog\n").unwrap();
    refuses(&mut repository.script("check.sh", &[&tag]), "has no section");
    repository.git(&["checkout", "-q", "."]);
    fs::write(repository.path("more"), "").unwrap();
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "y"]);
    refuses(&mut repository.script("check.sh", &[&tag]), "is on another commit");
}

#[test]
fn a_release_is_described_signed_and_verified() {
    let repository = Repository::new();
    let dir = repository.built();
    let dir_name = dir.to_str().unwrap();
    succeeds(repository.script("sums.sh", &[dir_name]).env("CIRCLE_TAG", "v1"));
    let sums = fs::read_to_string(dir.join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 4);
    let provenance = fs::read_to_string(dir.join(format!("nixdag-{VERSION}-provenance.json"))).unwrap();
    let provenance: Json = serde_json::from_str(&provenance).unwrap();
    for subject in provenance["subject"].as_array().unwrap() {
        let line = format!("{}  {}", subject["digest"]["sha256"].as_str().unwrap(), subject["name"].as_str().unwrap());
        assert!(sums.lines().any(|known| known == line), "{line}");
    }
    let commit = &provenance["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"];
    assert_eq!(commit.as_str().unwrap(), repository.git(&["rev-parse", "HEAD"]));

    let (private, public) = key(repository.0.path());
    let signers = repository.path(".circleci/allowed_signers");
    let sign = |key: &str| {
        let mut command = repository.script("sign.sh", &[dir_name]);
        command.env("NIXDAG_RELEASE_KEY", key);
        command
    };
    refuses(&mut repository.script("sign.sh", &[dir_name]), "NIXDAG_RELEASE_KEY is empty");
    // Nobody could verify it.
    refuses(&mut sign(&private), "is not signed by a key of");
    fs::write(&signers, public).unwrap();
    succeeds(&mut sign(&private));
    succeeds(&mut repository.script("verify.sh", &[dir_name]));
    let (other, _) = key(repository.0.path());
    refuses(&mut sign(&other), "is not signed by a key of");
    succeeds(&mut sign(&private));

    // Whoever fetched one file verifies that one.
    let part = TempDir::new().unwrap();
    let file = format!("nixdag-{VERSION}-x86_64-unknown-linux-musl");
    for name in ["SHA256SUMS", "SHA256SUMS.sig", &file] {
        fs::copy(dir.join(name), part.path().join(name)).unwrap();
    }
    let verify = || repository.script("verify.sh", &[part.path().to_str().unwrap()]);
    assert!(succeeds(&mut verify()).contains(&format!("{file}: OK")));
    fs::write(part.path().join(&file), "another").unwrap();
    refuses(&mut verify(), &format!("{file}: FAILED"));
    fs::write(part.path().join("SHA256SUMS"), sums.replace('0', "1")).unwrap();
    refuses(&mut verify(), "is not signed by a key of");
}

#[test]
fn an_archive_holds_the_program_its_pages_completions_and_the_licence() {
    let dir = TempDir::new().unwrap();
    let name = format!("nixdag-{}-x86_64-unknown-linux-musl", env!("CARGO_PKG_VERSION"));
    fs::write(dir.path().join(&name), "a program").unwrap();
    let pack = || {
        let mut command = Command::new("bash");
        command.arg(root().join(".ci/release/archive.sh")).arg(dir.path()).arg(stripped());
        succeeds(command.env("SOURCE_DATE_EPOCH", "1"));
        fs::read(dir.path().join(format!("{name}.tar.gz"))).unwrap()
    };
    assert!(pack() == pack(), "the same files give the same bytes");
    let unpacked = TempDir::new().unwrap();
    let archive = dir.path().join(format!("{name}.tar.gz"));
    run(unpacked.path(), "tar", &["-xzf", archive.to_str().unwrap()]);
    let read = |file: &str| fs::read_to_string(unpacked.path().join(&name).join(file)).unwrap();
    assert_eq!(read("nixdag"), "a program");
    assert!(read("LICENSE").contains("MIT") && read("README.md").starts_with("# nixdag"));
    assert!(read("man/nixdag.1").contains(".TH nixdag 1") && read("man/nixdag-init.1").contains("nixdag-init"));
    for file in ["completions/nixdag.bash", "completions/_nixdag", "completions/nixdag.fish"] {
        assert!(read(file).contains("granularity"), "{file}");
    }
}

#[test]
fn the_checksums_get_into_the_orb_and_incomplete_releases_do_not() {
    let repository = Repository::new();
    let dir = repository.built();
    let dir_name = dir.to_str().unwrap();
    succeeds(&mut repository.script("sums.sh", &[dir_name]));
    succeeds(&mut repository.script("orb.sh", &[dir_name]));
    let inside = |name: &str| fs::read_to_string(repository.path("orb/src/release").join(name)).unwrap();
    assert_eq!(inside("version").trim(), VERSION);
    let sums = inside("SHA256SUMS");
    assert_eq!(sums.lines().count(), 3);
    assert!(fs::read_to_string(dir.join("SHA256SUMS")).unwrap().starts_with(&sums));

    let lacking: String = sums.lines().skip(1).map(|line| format!("{line}\n")).collect();
    fs::write(dir.join("SHA256SUMS"), lacking).unwrap();
    refuses(&mut repository.script("orb.sh", &[dir_name]), "has no line for");
    fs::remove_file(dir.join(format!("nixdag-{VERSION}-aarch64-apple-darwin"))).unwrap();
    refuses(&mut repository.script("sums.sh", &[dir_name]), "is missing");

    let mirror = repository.path("mirror");
    fs::write(dir.join("SHA256SUMS"), sums).unwrap();
    let script = root().join(".circleci/scripts/lay-out-release.sh");
    succeeds(Command::new(script).arg(&dir).arg(&mirror));
    assert!(mirror.join(format!("v{VERSION}/nixdag-{VERSION}-x86_64-unknown-linux-musl")).exists());
}

#[test]
fn the_demo_script_does_a_whole_pipeline_in_one_job() {
    // On the example that needs no network; its final job proves that what was built arrived.
    let nix = FreshNix::new();
    fs::create_dir_all(nix.home().join(".nixdag/program")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_nixdag"), nix.home().join(".nixdag/program/nixdag")).unwrap();
    let mut command = nix.command(".circleci/scripts/build-demo.sh");
    let said = succeeds(command.arg("examples/hermetic").arg(nix.home().join("work")).current_dir(root()));
    assert!(said.contains("4 derivations built") && said.contains("0 built in more than one job"), "{said}");
}

// --- the revision

/// The build script, compiled by itself.
struct BuildScript(TempDir);

impl BuildScript {
    fn new() -> Self {
        let script = Self(TempDir::new().unwrap());
        let source = root().join("src/version/record.rs");
        succeeds(Command::new("rustc").args(["--edition", "2024", "-o"]).arg(script.program()).arg(source));
        script
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("record")
    }

    /// What it records in a folder.
    fn records(&self, folder: &Path, variables: &[(&str, &str)]) -> String {
        let mut command = Command::new(self.program());
        command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder);
        command.env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", "release");
        command.env_remove("NIXDAG_REVISION").envs(variables.iter().copied());
        succeeds(&mut command)
    }
}

fn version(said: &str) -> &str {
    said.lines()
        .find_map(|line| line.strip_prefix("cargo::rustc-env=NIXDAG_VERSION="))
        .unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn the_version_carries_the_revision() {
    let script = BuildScript::new();
    let repository = Repository::new();
    let here = repository.0.path();
    let commit = repository.git(&["log", "-1", "--abbrev=12", "--date=format-local:%Y-%m-%d", "--format=%h %cd"]);
    let said = script.records(here, &[("TZ", "UTC")]);
    assert_eq!(version(&said), format!("1.2.3 ({commit})"));
    assert!(said.contains("rerun-if-changed=") && said.contains("HEAD"), "{said}");
    // A debug build is not built anew for each commit.
    assert!(!script.records(here, &[("PROFILE", "debug")]).contains("HEAD"));
    repository.git(&["worktree", "add", "-q", "other"]);
    assert_eq!(version(&script.records(&repository.path("other"), &[])), format!("1.2.3 ({commit})"));

    assert_eq!(
        version(&script.records(here, &[("NIXDAG_REVISION", "0123456789ab 2026-11-22")])),
        "1.2.3 (0123456789ab 2026-11-22)"
    );
    assert_eq!(version(&script.records(here, &[("NIXDAG_REVISION", "0123456789ab")])), "1.2.3 (0123456789ab)");
    assert!(
        script.records(here, &[("NIXDAG_REVISION", "main\nx")]).contains("cargo::error=NIXDAG_REVISION is `main\\nx`")
    );
    let this = succeeds(Command::new(env!("CARGO_BIN_EXE_nixdag")).arg("--version"));
    assert!(this.starts_with(&format!("nixdag {VERSION}")), "{this}");
}

#[test]
fn without_a_revision_the_version_stands_alone() {
    let script = BuildScript::new();
    let repository = Repository::new();
    assert_eq!(version(&script.records(repository.0.path(), &[("PATH", "/nowhere")])), "1.2.3", "no git");
    let inside = repository.path("vendored");
    fs::create_dir(&inside).unwrap();
    assert_eq!(version(&script.records(&inside, &[])), "1.2.3", "another repository around it");
    fs::write(
        inside.join(".cargo_vcs_info.json"),
        "{\"git\": {\"sha1\": \"0123456789abcdef\"}, \"path_in_vcs\": \"\"}",
    )
    .unwrap();
    assert_eq!(version(&script.records(&inside, &[])), "1.2.3 (0123456789ab)", "a packaged crate");
}

// --- the files

/// The release files, built now where nobody says where they are.
fn release(target: &str) -> PathBuf {
    let name = format!("nixdag-{VERSION}-{target}");
    if let Some(dir) = std::env::var_os("NIXDAG_RELEASE") {
        return PathBuf::from(dir).join(name);
    }
    let dir = root().join("target/release-files");
    succeeds(Command::new(root().join(".ci/release/build.sh")).arg(target).arg(&dir));
    dir.join(name)
}

/// A file is static, small, carries its revision, and plans a recorded evaluation as this build does.
fn holds(target: &str, run: &[&str]) {
    let file = release(target);
    let size = fs::metadata(&file).unwrap().len();
    // It travels with every bundle: 10 MB is the end.
    assert!(size <= 10_000_000, "{size} bytes");
    let ldd = shown(&Command::new("ldd").arg(&file).output().unwrap());
    assert!(["statically linked", "not a dynamic executable"].iter().any(|said| ldd.contains(said)), "{ldd}");
    let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
    assert!(!text.contains(root().to_str().unwrap()), "the path of this machine is in the file");

    let program = || {
        let mut words = run.iter().map(std::ffi::OsStr::new).chain([file.as_os_str()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command
    };
    let version = succeeds(program().arg("--version"));
    let revision = version.trim().strip_prefix(&format!("nixdag {VERSION} (")).unwrap_or_else(|| panic!("{version}"));
    assert!(revision.len() == "0123456789ab 2026-11-22)".len(), "{version}");

    let dir = TempDir::new().unwrap();
    let drv = |name: &str, inputs: &str| {
        let hash = name.repeat(32);
        let text = format!(
            "Derive([(\"out\",\"/nix/store/{hash}-{name}\",\"\",\"\")],[{inputs}],[],\"x86_64-linux\",\"/bin/sh\",[],[])"
        );
        fs::write(dir.path().join(format!("{hash}-{name}.drv")), text).unwrap();
        format!("/nix/store/{hash}-{name}.drv")
    };
    let a = drv("a", "");
    let b = drv("b", &format!("(\"{a}\",[\"out\"])"));
    let roots = json!({"packages.x86_64-linux.a": a, "packages.x86_64-linux.b": b});
    fs::write(dir.path().join("roots.json"), roots.to_string()).unwrap();
    let arguments = ["generate", "--roots", "roots.json", "--drv-dir", "."];
    let theirs = succeeds(program().current_dir(dir.path()).args(arguments));
    let ours = succeeds(Command::new(env!("CARGO_BIN_EXE_nixdag")).current_dir(dir.path()).args(arguments));
    assert_eq!(theirs, ours);
}

#[test]
#[ignore = "builds a release, which takes minutes"]
fn the_file_for_x86_64_is_static_small_and_runs() {
    holds("x86_64-unknown-linux-musl", &[]);
}

#[test]
#[ignore = "builds a release, which takes minutes"]
fn the_file_for_aarch64_is_static_small_and_runs_in_an_emulator() {
    holds("aarch64-unknown-linux-musl", &["qemu-aarch64"]);
}
