//! What is named and not there is an error at once, and what should be a set and is none fails by its name: nothing selected is passed
//! over in silence. With every version of Nix.

use nixdag::nix::system;

use crate::support::{FreshNix, folder};

/// A flake whose outputs are this expression.
fn flake(outputs: &str) -> String {
    let text = format!(
        r#"{{ outputs = {{ self }}:
  let
    s = "SYSTEM";
    mk = name: derivation {{ inherit name; system = s; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; }};
  in {outputs}; }}"#
    );
    text.replace("SYSTEM", &system::current())
}

/// Plans the outputs with these arguments; what is printed, and the exit status at the end.
fn plan(nix: &FreshNix, outputs: &str, settings: &str, arguments: &str) -> String {
    let dir = folder(&[("flake.nix", &flake(outputs)), ("nixdag.yml", settings)]);
    let command =
        format!("status=0; $nixdag plan --available /dev/null {arguments} 2>&1 || status=$?; echo \"status $status\"");
    nix.script(dir.path(), &command.replace("SYSTEM", &system::current()))
}

#[test]
fn an_output_that_is_no_set_fails_by_its_name() {
    let outputs = [
        ("packages.${s} = mk \"x\"; checks.${s}.a = mk \"a\";", "packages.SYSTEM", "a derivation"),
        ("packages.${s} = [ (mk \"x\") ]; checks.${s}.a = mk \"a\";", "packages.SYSTEM", "a list"),
        ("packages.${s} = pkgs: { x = mk \"x\"; }; checks.${s}.a = mk \"a\";", "packages.SYSTEM", "a function"),
        ("packages.${s} = \"x\"; checks.${s}.a = mk \"a\";", "packages.SYSTEM", "a string"),
        ("packages = system: { x = mk \"x\"; }; checks.${s}.a = mk \"a\";", "packages", "a function"),
        ("packages = mk \"x\"; checks.${s}.a = mk \"a\";", "packages", "a derivation"),
        ("packages.${s}.a = mk \"a\"; checks = 3;", "checks", "an integer"),
        ("packages.${s}.a = mk \"a\"; checks = [ (mk \"x\") ];", "checks", "a list"),
    ];
    for nix in FreshNix::every_version() {
        for (outputs, attribute, kind) in outputs {
            let said = plan(&nix, &format!("{{ {outputs} }}"), "", "");
            let row = format!("DOES NOT EVALUATE\n{attribute}\n    it is {kind}, not a set of attributes\n");
            assert!(said.contains(&row.replace("SYSTEM", &system::current())), "{outputs}: {said}");
            assert!(!said.contains("warning: attribute"), "it is said twice: {said}");
            assert!(said.contains("the pipeline will report that and fail"), "{outputs}: {said}");
        }
    }
}

#[test]
fn a_misspelt_system_in_the_flake_is_named() {
    let outputs = "{ packages.${s}.a = mk \"a\"; checks.x86_64_linux.b = mk \"b\"; packages.other.c = mk \"c\"; }";
    for nix in FreshNix::every_version() {
        let said = plan(&nix, outputs, "", "");
        let row = "\nchecks.x86_64_linux\n    it is not a system (did you mean `x86_64-linux`?)\n";
        assert!(said.contains(row) && said.contains("`packages.other` is skipped"), "{said}");
    }
}

#[test]
fn a_name_that_is_nowhere_is_an_error_at_once() {
    let outputs = "{ packages.${s} = { apple = mk \"apple\"; }; checks.${s}.pear = mk \"pear\"; }";
    let errors = [
        (
            "--select 'packages.*.aple' --select 'packages.*.*'",
            "`packages.*.aple` selects nothing: no attribute there is `aple`",
        ),
        ("--select 'packages.*.{apple,pear}'", "no attribute there is `pear`"),
        (
            "--select 'chekcs.*.*' --select 'packages.*.*'",
            "the flake has no attribute `chekcs` (did you mean `checks`?)",
        ),
        ("--select packages.SYSTEM.aple", "has no attribute `aple` (did you mean `apple`?)"),
        (
            "--select 'packages.SYSTEM.aple.*' --select 'packages.*.*'",
            "has no attribute `aple` (did you mean `apple`?)",
        ),
        ("--system SYSTEM --system aarch64-linx", "the flake has nothing for system `aarch64-linx`: there is `SYSTEM`"),
    ];
    let fine = [
        "--select '{packages,checks}.*.apple'",
        "--select '*.*.pear'",
        "--select 'checks.*.*' --select 'devShells.*.*'",
        "--select 'packages.*.{apple,pear}' --exclude 'packages.*.pear' --exclude 'packages.*.apple' --select 'checks.*.*'",
        "--system SYSTEM",
    ];
    for nix in FreshNix::every_version() {
        for (arguments, words) in errors {
            let said = plan(&nix, outputs, "", arguments);
            assert!(said.contains(&words.replace("SYSTEM", &system::current())), "{arguments}: {said}");
            assert!(said.trim_end().ends_with("status 1"), "{arguments}: {said}");
        }
        for arguments in fine {
            let said = plan(&nix, outputs, "", arguments);
            assert!(said.trim_end().ends_with("status 0"), "{arguments}: {said}");
        }
    }
}

#[test]
fn a_name_that_the_base_has_nowhere_is_new() {
    for nix in FreshNix::every_version() {
        let dir = folder(&[("flake.nix", &flake("{ packages.${s} = { a = mk \"a\"; /*more*/ }; }"))]);
        let text = "git init -q; git add -A; git commit -qm a; sed -i 's|/\\*more\\*/|new = mk \"new\";|' flake.nix; git commit -qam new
             $nixdag plan . --base HEAD~1 --select 'packages.*.{a,new}' --available /dev/null --format json | jq -r '.jobs[].targets[][2]'";
        assert_eq!(nix.script(dir.path(), text).trim(), "new");
    }
}

#[test]
fn a_package_that_is_selected_by_its_name_cannot_leave_itself_out() {
    let outputs = "{ packages.${s} = { a = mk \"a\"; b = mk \"b\" // { meta.ci.disable = true; }; }; }";
    let nix = FreshNix::new();
    let said = plan(&nix, outputs, "", "--select packages.SYSTEM.a --select packages.SYSTEM.b");
    assert!(
        said.contains("is selected by its name, but its package says `disable`")
            && said.trim_end().ends_with("status 1"),
        "{said}"
    );
    let said = plan(&nix, outputs, "", "--select 'packages.*.*'");
    assert!(said.trim_end().ends_with("status 0"), "{said}");
}
