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
             # The shell itself would run them.
             PATH=bin:$usual nix || true; test -e bin/ran";
        nix.script(folder.path(), text);
    }
}
