//! Machines that keep their store: garbage goes behind jobs, as far as is asked, and what jobs or people hold stays.

use std::process::Command;

use crate::support::empty_store::empty_store;
use crate::support::pipeline::{Pipeline, Ran, with_each_nix};

/// Runs the job on a machine on which a script has been before, and another one is behind.
fn between(pipeline: &Pipeline, before: &str, more: &[&str], behind: &str) -> Ran {
    let script = format!("{before}\n\"$@\"\n{behind}");
    let mut command: Command = empty_store();
    command.args(["bash", "-euc", &script, "bash", env!("CARGO_BIN_EXE_nixdag")]);
    command.args(pipeline.arguments("job")).args(more);
    pipeline.ran("job", command.output().unwrap())
}

#[test]
fn garbage_goes_behind_a_job_by_size_and_by_age_and_what_is_held_stays() {
    with_each_nix("garbage_goes_behind_a_job_by_size_and_by_age_and_what_is_held_stays", || {
        let text = r#"{ one = drv "one" "echo one > $out"; }"#;
        let pipeline = Pipeline::new(text, &[("job", &["one"], &[], &[])]);
        // The second one is held.
        let before = "cd $(mktemp -d); truncate -s 3M large; large=$(nix-store --add large)
            echo held > held; held=$(nix-store --add held); nix-store --add-root root --realise $held > root.log";
        let behind = "test -e $held; test ! -e $large; cd /; rm -r \"$OLDPWD\"";
        let ran = between(&pipeline, before, &["--keep", "2MB"], behind).succeeds();
        assert!(ran.text.contains("removed from the store: 3"), "{}", ran.text);
        // Nothing is that old, and so much is allowed.
        let ran = between(&pipeline, before, &["--keep", "1GB", "--keep", "1d"], "test -e $large").succeeds();
        assert!(!ran.text.contains("removed from the store"), "{}", ran.text);
    });
}
