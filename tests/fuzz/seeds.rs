//! Real inputs: what Nix and nixdag write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nixdag::attribute::AttributePath;
use nixdag::build::record::{DerivationRecord, Missing, Names, Outcome, Record, Role};
use nixdag::build::results;
use nixdag::history::used::Used;
use nixdag::nix::evaluate::{EvalError, Evaluation, FlakeCaches, FlakeInfo};
use nixdag::nix::hash::Sha256;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::SecretKey;
use nixdag::recorded_evaluation;

/// Where Nix's own derivations are kept for tests.
pub fn derivations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/derivations")
}

/// Files of the repository.
pub fn files(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()).collect()
}

/// The contents of Nix's derivations, with their names.
pub fn drv_files() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(derivations()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "drv"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// The path that all narinfo files are about.
pub const STORE_PATH: &str = "/nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-program-1.2";

/// A key that signs them.
pub const KEY: &str = "test-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";

/// As nixdag, `nix copy` and public caches write them.
pub fn narinfos() -> Vec<Vec<u8>> {
    let mut info = NarInfo {
        store_path: STORE_PATH.to_owned(),
        url: format!("nar/{}.nar.zst", Sha256::of(b"file").base32()),
        compression: "zstd".to_owned(),
        file_hash: Some(Sha256::of(b"file")),
        file_size: Some(4_321),
        nar_hash: Sha256::of(b"nar"),
        nar_size: 12_345,
        references: vec![
            STORE_PATH.rsplit('/').next().unwrap().to_owned(),
            "fz33c1mfi2krpg1lwzizfw28kj705yg0-glibc-2.34".to_owned(),
        ],
        deriver: Some("xsmyb0yl1nwp6qrmjd5a9sy97bdmqvgb-program-1.2.drv".to_owned()),
        signatures: Vec::new(),
        content_address: None,
    };
    let plain = info.to_text();
    info.signatures = vec![SecretKey::parse(KEY).unwrap().sign(&info.fingerprint())];
    let signed = info.to_text();
    info.content_address = Some(format!("fixed:r:sha256:{}", Sha256::of(b"nar").base32()));
    (info.compression, info.url, info.file_hash, info.file_size) = ("none".into(), "nar/x.nar".into(), None, None);
    vec![plain.into_bytes(), signed.into_bytes(), info.to_text().into_bytes()]
}

/// A narinfo as a job hands it off.
pub fn handed_off() -> Vec<u8> {
    let mut info = NarInfo::parse(&narinfos()[0]).unwrap();
    info.references.clear();
    info.to_text().into_bytes()
}

/// `report.json` and `records.json` of a job.
pub fn records() -> (Vec<u8>, Vec<u8>) {
    let mut record = Record::begin("job-a", "packages.x86_64-linux.a", "x86_64-linux");
    let derivation = |name: &str, role, outcome| DerivationRecord {
        derivation: format!("/nix/store/{}-{name}.drv", "0".repeat(32)),
        name: name.to_owned(),
        system: "x86_64-linux".to_owned(),
        role,
        outcome,
        duration: Some(1_500),
        fetched_from: None,
        used: Used {
            begun: Some(20),
            slot: Some(1),
            cpu: Some(1_400),
            memory: Some(5_000_000),
            nar_bytes: Some(120),
            closure_bytes: Some(1 << 20),
            output_bytes: [("out".into(), 120)].into(),
            earlier: vec![900],
        },
        message: (outcome == Outcome::Failed).then(|| "builder failed with exit code 1".to_owned()),
        log: (outcome == Outcome::Failed).then(|| "one\ntwo\n".to_owned()),
        class: None,
        retried: Vec::new(),
        instead: None,
        names: Names::default(),
    };
    record.measured.start_up = Some(30_000);
    record.derivations = vec![
        derivation("a-1.0", Role::Owned, Outcome::Built),
        derivation("b", Role::CoLocated, Outcome::Substituted),
        derivation("c", Role::Other, Outcome::Failed),
        derivation("d", Role::Owned, Outcome::DependencyFailed),
    ];
    record.missing = vec![Missing {
        path: STORE_PATH.to_owned(),
        derivation: None,
        job: Some("job-b".to_owned()),
        unsigned: true,
        built: true,
    }];
    record.damaged = vec!["hand-off of job `job-b`: damaged".to_owned()];
    record.errors = vec!["something else".to_owned()];
    let dir = tempfile::tempdir().unwrap();
    results::write(&record, dir.path()).unwrap();
    (fs::read(dir.path().join("report.json")).unwrap(), fs::read(dir.path().join("records.json")).unwrap())
}

/// `evaluation.json` of a cached evaluation.
pub fn evaluation(fingerprint: &str) -> Vec<u8> {
    let attribute = |name: &str| -> AttributePath { ["packages", "x86_64-linux", name].into_iter().collect() };
    let says = serde_json::json!({"resourceClass": "large", "timeout": 60, "contexts": ["signing"]});
    let evaluation = Evaluation {
        flake: FlakeInfo { url: ".".to_owned(), revision: Some("0".repeat(40)) },
        targets: recorded_evaluation::read(&fs::read(derivations().join("roots.json")).unwrap()).unwrap(),
        excluded: vec![attribute("excluded")],
        errors: vec![EvalError {
            attribute: attribute("b"),
            message: "broken".to_owned(),
            trace: vec!["at".to_owned()],
            build: None,
        }],
        absent: vec![attribute("absent")],
        nowhere: Some("a sentence".to_owned()),
        warnings: vec!["a warning".to_owned()],
        package_settings: vec![(attribute("program"), says.as_object().unwrap().clone())],
        caches: FlakeCaches { substituters: vec!["https://cache.example.org".to_owned()], ..FlakeCaches::default() },
        has_all_systems: true,
        is_incidental: false,
    };
    serde_json::json!({"fingerprint": fingerprint, "evaluation": evaluation}).to_string().into_bytes()
}

/// Settings with all that there is.
pub const SETTINGS: &str = "select: [packages.*.*, \"checks.{a,b}.*\"]
exclude: [packages.*.broken]
systems: all
evaluation: { workers: 2, timeout: 1800 }
caches: [{ url: https://cache.example.org, public_key: \"test-1:sbmeFM5JjH9vkdtEqk7RWAOx5CQR72A7nNAFZPNnzuU=\" }]
granularity: auto
executors:
  big: { resource_class: 2xlarge, features: [kvm] }
  kvm: { machine: \"ubuntu-2404:current\", resource_class: large }
contexts: [signing]
rules:
  - match: { attribute: \"packages.*.browser\", system: [x86_64-linux] }
    executor: big
    timeout: 2h
    environment: { A: b }
  - match: { name: \"firmware*\" }
    context: signing
final:
  - name: integration
    restore: [\"packages.*.d\"]
    run: |
      test \"$NIXDAG_D\"
";

/// Plans as `nixdag plan` prints them: of Nix's derivations, with and without final jobs.
pub fn plans() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("nixdag.yml");
    let last = "final:\n  - name: integration\n    restore: [\"*.*.program\"]\n    run: test \"$NIXDAG_PROGRAM\"\n    environment: {A: b}\n";
    [("", "target"), (last, "auto"), ("rules: [{context: signing, timeout: 1h}]\n", "single")]
        .into_iter()
        .map(|(text, granularity)| {
            fs::write(&settings, text).unwrap();
            let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
                .args(["plan", "--format", "json", "--all-systems", "--granularity", granularity, "--drv-dir"])
                .arg(derivations())
                .arg("--roots")
                .arg(derivations().join("roots.json"))
                .arg("--settings")
                .arg(&settings)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        })
        .collect()
}
