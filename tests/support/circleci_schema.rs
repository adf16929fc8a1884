//! CircleCI's own schema, as its language server has it and `check-jsonschema` brings it along.

use std::path::Path;
use std::process::Command;

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
    let output = Command::new("check-jsonschema")
        .args(["--builtin-schema", "vendor.circle-ci"])
        .arg(file)
        .output()
        .expect("`check-jsonschema` is missing: `tests/run.sh` installs it and puts it on PATH");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", std::fs::read_to_string(file).unwrap());
}
