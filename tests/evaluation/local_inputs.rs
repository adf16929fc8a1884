//! Inputs that are on the machine that plans, with every version of Nix: a branch reads nothing there that is not in its own checkout.

use std::fs;
use std::path::Path;

use nixdag::nix::system;

use crate::support::{FreshNix, folder};

/// Two halves, so that no command line and no file of the test holds the whole.
const SECRET: [&str; 2] = ["s3cr3t", "of-another-process"];

/// Starts a process that has the secret in its environment, and defines `ends`, which runs nixdag and wants it to refuse.
const BEGIN: &str = r#"
    secret="FIRST-SECOND"; env "TOKEN=$secret" sleep 600 & process=$!; trap "kill $process" EXIT
    until tr '\0' '\n' < /proc/$process/environ | grep -q "TOKEN=$secret" && grep -qx sleep /proc/$process/comm; do sleep 0.01; done
    mkdir other; cp /proc/$process/environ other/secret; tar -C other -czf other.tar.gz secret
    git -C other init -q; git -C other add secret; git -C other commit -qm x; cd checkout; git init -q
    refused() {
      git add -A; sed -i "s|PROCESS|$process|g; s|ROOT|$(dirname $PWD)|g" flake.nix nixdag.yml flake.lock below/flake.nix
      if $nixdag plan . "$@" --available /dev/null > ../printed 2> ../said; then echo "not refused:"; cat ../said; exit 1; fi
      grep -q 'would be read from this machine' ../said || { cat ../said; exit 1; }
    }
    nowhere() { ! grep -rqa --exclude=\*.sqlite\* "$secret" /nix/store /nix/var ../printed ../said || { echo "it was copied"; grep -rla "$secret" /nix/store; exit 1; }; }
"#;

/// A flake with an input, and what is beside it.
fn checkout(input: &str) -> tempfile::TempDir {
    let outputs = "outputs = { self, ... }@inputs: { packages.SYSTEM.x = derivation { name = \"x\"; system = \"SYSTEM\"; builder = \"/bin/sh\"; \
                   args = [ \"-c\" \"cat $a > $out\" ]; a = \"${inputs.a or self}\"; }; };";
    let flake = format!("{{ {input} {outputs} }}").replace("SYSTEM", &system::current());
    folder(&[
        ("checkout/flake.nix", &flake),
        ("checkout/nixdag.yml", "{}\n"),
        ("checkout/flake.lock", r#"{"nodes":{"root":{}},"root":"root","version":7}"#),
        ("checkout/below/flake.nix", "{ outputs = { self }: { }; }"),
        ("checkout/below/data", "data"),
    ])
}

fn begin() -> String {
    BEGIN.replace("FIRST", SECRET[0]).replace("SECOND", SECRET[1])
}

#[test]
fn no_input_of_a_branch_reads_the_machine_that_plans() {
    for nix in FreshNix::every_version() {
        for input in [
            "inputs.a = { url = \"path:/proc/PROCESS/environ\"; flake = false; };",
            "inputs.a = { url = \"\\path:/proc/PROCESS/environ\"; flake = false; };",
            "inputs.a = { url = path:/proc/PROCESS/environ; flake = false; };",
            "inputs = { a = { url = \"path:ROOT/checkout/../other\"; flake = false; }; };",
            "inputs.a = { url = \"file:///proc/PROCESS/environ\"; flake = false; };",
            "inputs.a = { url = \"file+file:///proc/PROCESS/environ\"; flake = false; };",
            "inputs.a = { type = \"file\"; url = \"file:///proc/PROCESS/environ\"; flake = false; };",
            "inputs.a = { type = \"path\"; path = \"/proc/PROCESS/environ\"; flake = false; };",
            "inputs.a = { url = \"file://ROOT/other.tar.gz\"; flake = false; };",
            "inputs.a = { url = \"git+file://ROOT/other\"; flake = false; };",
            "inputs.a = { url = \"git+file:../other\"; flake = false; };",
            "inputs.a = { url = \"/proc/PROCESS/environ\"; flake = false; };",
            // From the flake's folder in the store on.
            "inputs.a = { url = \"../../../proc/PROCESS/environ\"; flake = false; };",
            "inputs.a = { url = \"./below/../../../../proc/PROCESS/environ\"; flake = false; };",
            "inputs.b.url = \"path:./below\"; inputs.b.inputs.a = { url = \"path:ROOT/other\"; flake = false; };",
        ] {
            let folder = checkout(input);
            nix.script(folder.path(), &format!("{}\nrefused; nowhere", begin()));
            let said = fs::read_to_string(folder.path().join("said")).unwrap();
            assert!(said.contains("outside of the repository") && said.contains("--override-input"), "{input}: {said}");
        }
    }
}

#[test]
fn no_override_in_the_file_and_no_lock_reads_the_machine_that_plans() {
    let input = "inputs.a = { url = \"github:owner/repo\"; flake = false; };";
    let locked = |locked: &str| {
        format!(
            r#"{{"nodes":{{"a":{{"flake":false,"locked":{locked},"original":{{"type":"github","owner":"owner","repo":"repo"}}}},"root":{{"inputs":{{"a":"a"}}}}}},"root":"root","version":7}}"#
        )
    };
    let hash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let settings = |reference: &str| ("nixdag.yml", format!("evaluation: {{override_inputs: {{a: '{reference}'}}}}\n"));
    for nix in FreshNix::every_version() {
        for (file, text) in [
            settings("path:/proc/PROCESS/environ"),
            settings("path:../other"),
            settings("../other"),
            settings("git+file://ROOT/other"),
            settings("git+file:../other"),
            settings("file:///proc/PROCESS/environ"),
            settings("path:./link"),
            ("flake.lock", locked(&format!(r#"{{"type":"path","path":"/proc/PROCESS/environ","narHash":"{hash}"}}"#))),
            (
                "flake.lock",
                locked(&format!(r#"{{"type":"file","url":"file:///proc/PROCESS/environ","narHash":"{hash}"}}"#)),
            ),
            ("flake.lock", locked(r#"{"type":"file","url":"file:///proc/PROCESS/environ"}"#)),
        ] {
            let folder = checkout(input);
            fs::write(folder.path().join("checkout").join(file), &text).unwrap();
            nix.script(folder.path(), &format!("{}\nln -s ../other link; refused; nowhere", begin()));
        }
    }
}

/// Of an input of an input nobody knows before it is fetched: what it names may be in the store by then, and goes nowhere else.
#[test]
fn no_input_of_an_input_reads_the_machine_that_plans() {
    for nix in FreshNix::every_version() {
        let folder = checkout("inputs.b.url = \"path:./below\"; inputs.a.follows = \"b/a\";");
        let below = "{ inputs.a = { url = \"path:ROOT/other\"; flake = false; }; outputs = { self, a }: { }; }";
        fs::write(folder.path().join("checkout/below/flake.nix"), below).unwrap();
        nix.script(folder.path(), &format!("{}\nrefused; grep -q 'input `b/a`' ../said", begin()));
        assert!(!fs::read_to_string(folder.path().join("printed")).unwrap().contains(SECRET[1]));
    }
}

#[test]
fn what_is_in_the_checkout_or_named_by_a_flag_or_locked_by_a_commit_is_read() {
    let input = "inputs.a = { url = \"path:ROOT/other\"; flake = false; };";
    let git = "inputs.a = { url = \"git+file://ROOT/other\"; flake = false; };";
    let run = |nix: &FreshNix, input: &str, before: &str, arguments: &str| {
        let folder = checkout(input);
        let replaced = "sed -i \"s|ROOT|$(dirname $PWD)|g\" flake.nix nixdag.yml";
        let plan = format!(
            "{}\n{before}\ngit add -A; {replaced}; {arguments}; jq -e '.targets | length == 1' ../plan",
            begin().replace("set -eu", "")
        );
        nix.script(folder.path(), &plan);
    };
    let plan = |more: &str| format!("$nixdag plan . {more} --available /dev/null --format json > ../plan");
    for nix in FreshNix::every_version() {
        run(&nix, input, "", &plan("--override-input a path:../other"));
        run(&nix, input, "", &plan("--impure"));
        run(&nix, "inputs.a = { url = \"path:./below\"; flake = false; };", "", &plan(""));
        run(&nix, "inputs.a = { url = \"path:ROOT/checkout/below\"; flake = false; };", "", &plan(""));
        let settings = "echo 'evaluation: {override_inputs: {a: path:./below}}' > nixdag.yml";
        run(&nix, input, settings, &plan(""));
        let lock = "nix --extra-experimental-features 'nix-command flakes' flake lock; git add -A";
        run(&nix, git, "", &format!("{lock}; {}", plan("")));
    }
}

#[test]
fn the_folder_of_the_evaluation_cache_that_the_file_names_is_in_the_checkout() {
    let nix = FreshNix::new();
    for (dir, is_fine) in
        [("cache/here", true), ("../other", false), ("link/cache", false), (".git/x", false), ("/tmp", false)]
    {
        let folder = checkout("");
        let wanted = if is_fine { "" } else { "!" };
        let text = format!(
            "{}\ngit add -A; ln -s ../other link; echo 'evaluation: {{cache: \"{dir}\"}}' > nixdag.yml; before=$(ls -a ../other .git)
             {wanted} $nixdag plan . --available /dev/null 2> ../said
             $nixdag plan . --available /dev/null --eval-cache ../cache; test -d ../cache
             test {is_fine} = true || {{ grep -q 'is outside of the repository: name it with `--eval-cache`' ../said; test \"$before\" = \"$(ls -a ../other .git)\"; }}",
            begin()
        );
        nix.script(folder.path(), &text);
        assert_eq!(Path::new(&folder.path().join("checkout/cache/here")).is_dir(), is_fine, "{dir}");
    }
}

/// However the flake is named, and wherever nixdag is called.
#[test]
fn the_flake_of_a_folder_is_looked_at_however_it_is_named() {
    let nix = FreshNix::new();
    let folder = checkout("inputs.a = { url = \"path:ROOT/other\"; flake = false; };");
    let text = format!(
        "{}\nrefused
         for named in ./below git+file:$PWD git+file:$PWD?dir=. path:$PWD; do
           if $nixdag plan $named --available /dev/null > ../printed 2> ../said; then echo $named; exit 1; fi
           grep -q 'would be read from this machine' ../said || {{ echo $named; cat ../said; exit 1; }}; nowhere
         done",
        begin().replace(" below/flake.nix", "")
    );
    fs::remove_file(folder.path().join("checkout/below/flake.nix")).unwrap();
    nix.script(folder.path(), &text);
}
