//! CircleCI's own schema, as its language server has it and `check-jsonschema` brings it along.

use std::path::Path;
use std::process::Command;

/// `check-jsonschema`: the one that `tests/run.sh` has installed, else that on PATH.
pub fn check_jsonschema() -> Command {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/bin/check-jsonschema");
    if installed.exists() { Command::new(installed) } else { Command::new("check-jsonschema") }
}

/// Has the schema look at a configuration.
#[track_caller]
pub fn accepts(text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    std::fs::write(&file, text).unwrap();
    accepts_file(&file);
}

/// Has the schema look at a file.
#[track_caller]
pub fn accepts_file(file: &Path) {
    let output = check_jsonschema()
        .args(["--builtin-schema", "vendor.circle-ci"])
        .arg(file)
        .output()
        .expect("`check-jsonschema` is missing: `tests/run.sh` installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", std::fs::read_to_string(file).unwrap());
}
