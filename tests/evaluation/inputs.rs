//! Inputs that are not there, and flakes that are there but cannot be read: the message names which, and does not say that there is no flake.

use tempfile::TempDir;

use crate::support::FreshNix;

const FLAKES: &str = r#"
here=$PWD; mkdir empty lib2 flake flake/lib; echo '{ outputs = _: { v = "1"; }; }' | tee lib2/flake.nix > flake/lib/flake.nix; cd flake
say() { $nixdag plan "$@" 2>&1 > /dev/null | grep -o 'error: .*' | sed "s,$here,HERE,g"; }
"#;

fn each_version(script: &str) -> Vec<String> {
    let versions = FreshNix::every_version();
    versions.iter().map(|nix| nix.script(TempDir::new().unwrap().path(), &format!("{FLAKES}{script}"))).collect()
}

#[test]
fn a_replaced_input_has_to_be_there() {
    for said in each_version(
        r#"
        echo '{ inputs.lib.url = "path:./lib"; outputs = { self, lib }: { packages.x86_64-linux = { }; }; }' > flake.nix
        say --override-input libb path:$here/lib2
        say --override-input lib/belo path:$here/lib2
        say --override-input lib ../lib3
        say --override-input lib path:$here/empty
        printf 'evaluation: {override_inputs: {lip: "path:./lib"}}\n' > nixdag.yml
        say
        "#,
    ) {
        let lines: Vec<&str> = said.lines().collect();
        let [typo, below, gone, no_flake, by_file] = lines[..] else { panic!("{said}") };
        assert_eq!(
            typo,
            "error: `--override-input` replaces `libb`, but the flake has no input `libb` (did you mean `lib`?)"
        );
        assert_eq!(below, "error: `--override-input` replaces `lib/belo`, but its input `lib` has no input `belo`");
        assert!(
            gone.starts_with(
                "error: input `lib`, which `--override-input` replaces with `../lib3`, of flake `.` cannot be read:"
            ),
            "{gone}"
        );
        assert!(
            no_flake.contains("input `lib`, which `--override-input` replaces with `path:HERE/empty`,"),
            "{no_flake}"
        );
        assert!(
            by_file.contains("`override_inputs` in nixdag.yml replaces `lip`, but the flake has no input `lip`"),
            "{by_file}"
        );
    }
}

#[test]
fn a_flake_that_is_there_is_not_called_missing() {
    // Its text, and what the message has to hold.
    let flakes = [
        ("[ ]", "the `flake.nix` of `.` is not valid: "),
        ("let x = 1; in { outputs = _: { }; }", "the `flake.nix` of `.` is not valid: "),
        ("{ foo = 1; outputs = _: { }; }", "the `flake.nix` of `.` is not valid: "),
        ("{ outputs = { self, nope }: { }; }", "input `nope` of flake `.` cannot be fetched: "),
        ("{ inputs.x.url = \"path:./sub\"; outputs = _: { }; }", "input `x` of flake `.` cannot be read: "),
        ("{ outputs = { self }: throw \"\"; }", "the outputs of flake `.` do not evaluate: "),
        ("{ outputs = { self }: throw \"out\"; }", "the outputs of flake `.` do not evaluate: out (at flake.nix:1:"),
    ];
    let script: String = flakes.map(|(text, _)| format!("echo '{text}' > flake.nix; say\n")).concat();
    for said in each_version(&script) {
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), flakes.len(), "{said}");
        for (line, (text, words)) in lines.iter().zip(flakes) {
            assert!(line.contains(words) && !line.contains("no flake at"), "{text}: {line}");
        }
    }
}

#[test]
fn what_was_meant_is_said() {
    for said in each_version(
        r#"
        mkdir 'in ner'; echo '{ outputs = _: { packages.x86_64-linux.a = derivation { name = "a"; system = "x86_64-linux"; builder = "/bin/sh"; }; }; }' > 'in ner/flake.nix'
        # 2.8 itself looks for a folder with this name.
        if $nixdag plan path:./in%20ner --system x86_64-linux --format json > ../plan.json 2> ../said; then
          jq -c '[.targets[].target[2]]' ../plan.json
        else
          grep -c 'in%20ner.: No such' ../said
        fi
        say hello; say --select .#hello
        "#,
    ) {
        let lines: Vec<&str> = said.lines().collect();
        let [escaped, name, installable] = lines[..] else { panic!("{said}") };
        assert!(["[\"a\"]", "1"].contains(&escaped), "{said}");
        assert!(
            name.contains(
                "`hello` is read as a name in the flake registry (for an attribute of the flake here write `.#hello`"
            ),
            "{name}"
        );
        assert!(installable.contains("leave out the `.#`"), "{installable}");
    }
}
