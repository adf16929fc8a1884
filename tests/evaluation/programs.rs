//! Programs that nixdag runs are those of the machine, whatever a checkout brings along.

use crate::support::{FreshNix, folder};

#[test]
fn no_program_of_the_checkout_is_run_in_the_place_of_the_machines() {
    let flake = "{ outputs = { self }: { packages.x86_64-linux.x = derivation { name = \"x\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; }; }; }";
    let hostile = "#!/bin/sh\necho \"$0\" >> \"${0%/*}/ran\"\nexit 1\n";
    for nix in FreshNix::every_version() {
        let names = ["nix", "nix-store", "git", "sudo", "sh", "ps"];
        let files: Vec<(String, &str)> = names
            .iter()
            .flat_map(|name| [format!("bin/{name}"), (*name).to_owned()])
            .map(|name| (name, hostile))
            .collect();
        let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        files.push(("flake.nix", flake));
        let folder = folder(&files);
        let text = "chmod +x bin/* nix nix-store git sudo sh ps; git init -q; git add -A; git commit -qm x; usual=$PATH
             for path in bin:$usual .:$usual :$usual ./bin:$usual; do
               PATH=$path $nixdag plan . --local-store --base HEAD --format json > /tmp/plan
               jq -r '.targets[].derivation' /tmp/plan | PATH=$usual grep -q -- -x.drv
               if test -e ran -o -e bin/ran; then cat ran bin/ran; exit 1; fi
             done
             # Nor does Nix keep anything in the checkout.
             XDG_CACHE_HOME=rel XDG_CONFIG_HOME=rel TMPDIR=rel $nixdag plan . --local-store --format json > /dev/null; test ! -e rel
             # The shell itself would run them.
             PATH=bin:$usual nix || true; test -e bin/ran";
        nix.script(folder.path(), text);
    }
}

/// Makes the folder `sub` a repository of files that git commits like all others; its settings name a program.
const BARE: &str = r#"
    git init -q -b main .; mkdir -p sub/objects/pack sub/refs/heads; touch sub/objects/keep sub/objects/pack/keep sub/refs/keep
    echo 'ref: refs/heads/main' > sub/HEAD; rev=1111111111111111111111111111111111111111; echo $rev > sub/refs/heads/main
    printf '#!/bin/sh\necho "$0 $SECRET" >> %s/../ran\nexit 1\n' $PWD > sub/run.sh; chmod +x sub/run.sh; run=$PWD/sub/run.sh
    printf '[core]\nrepositoryformatversion = 1\nbare = %s\nfsmonitor = %s\nsshCommand = %s\nhooksPath = %s\n' $bare $run $run $PWD/sub > sub/config
    printf '[extensions]\npartialClone = origin\n[remote "origin"]\nurl = .\npromisor = true\nuploadpack = %s\n' $run >> sub/config
    printf '[uploadpack]\npackObjectsHook = %s\n[diff]\nexternal = %s\n' $run $run >> sub/config
    test $bare = true || git config -f sub/config core.worktree .
    echo "base: $base" > sub/nixdag.yml; git add -A -f .; git commit -qm x; cp -r sub ../sub
"#;

#[test]
fn no_files_of_a_checkout_become_a_repository_that_runs_a_program() {
    let plain = "{ outputs = { self }: { packages.x86_64-linux.x = derivation { name = \"x\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; a = \"${A}\"; }; }; }";
    let rev = "1111111111111111111111111111111111111111";
    for nix in FreshNix::every_version() {
        for bare in ["true", "false"] {
            for base in ["HEAD", "auto", "main", rev] {
                let folder = folder(&[("c/sub/flake.nix", &plain.replace("${A}", ""))]);
                let text = format!(
                    "export SECRET=s3cr3t; cd c; bare={bare}; base={base}; {BARE}
                     $nixdag plan ./sub --available /dev/null --format json | jq -e '.targets | length == 1'
                     (cd sub; $nixdag plan . --available /dev/null > /dev/null)
                     for named in git+file:$PWD/sub git+file:./sub git+file:$PWD/sub?rev=$rev; do
                       if $nixdag plan $named --available /dev/null 2> ../said; then exit 1; fi
                       grep -q 'is a folder of a repository, not a repository itself' ../said || {{ cat ../said; exit 1; }}
                     done
                     test ! -e ../ran || {{ cat ../ran; exit 1; }}"
                );
                nix.script(folder.path(), &text);
            }
        }
        // In pure evaluation, from the store; and as an input.
        for of in [
            "builtins.fetchGit { url = \"file://${./sub}\"; rev = \"REV\"; }",
            "builtins.fetchTree { type = \"git\"; url = \"file://${./sub}\"; rev = \"REV\"; }",
            "self.inputs.a or \"\"",
        ] {
            let flake = plain.replace("${A}", &format!("${{{}}}", of.replace("REV", rev)));
            let flake = if of.contains("inputs") {
                flake
                    .replacen(
                        '{',
                        &format!("{{ inputs.a = {{ url = \"git+file:./sub?rev={rev}\"; flake = false; }};"),
                        1,
                    )
                    .replace("{ self }", "{ self, a }")
            } else {
                flake
            };
            let folder = folder(&[("c/flake.nix", &flake), ("c/sub/a", "")]);
            let text = format!(
                "export SECRET=s3cr3t; cd c; bare=true; base=HEAD; {BARE}
                 $nixdag plan . --available /dev/null > ../printed 2> ../said || true
                 test ! -e ../ran || {{ cat ../ran; exit 1; }}"
            );
            nix.script(folder.path(), &text);
        }
    }
}

#[test]
fn what_is_made_can_be_written_by_its_user_alone_whatever_the_umask() {
    let flake = "{ outputs = { self }: { packages.x86_64-linux.x = derivation { name = \"x\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; }; }; }";
    let folder = folder(&[("c/flake.nix", flake)]);
    let text = "umask 0; cd c; mkdir ../new; export HOME=$PWD/../new
         env -u CI $nixdag generate path:. --provider circleci --available /dev/null --eval-cache ../new/cache --bundle ../new/bundle -o ../new/config.yml
         test -d ../new/cache -a -d ../new/bundle
         found=$(find ../new -mindepth 1 ! -path '*/.cache/nix*' ! -path '*/.local*' ! -path ../new/.cache -perm /022 ! -type l)
         test -z \"$found\" || { echo \"$found\"; exit 1; }";
    FreshNix::new().script(folder.path(), text);
}
