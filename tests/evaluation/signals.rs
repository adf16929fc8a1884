//! A signal that ends nixdag leaves nothing behind.

use nixdag::nix::system;
use tempfile::TempDir;

use crate::support::FreshNix;

#[test]
fn a_signal_leaves_no_temporary_folder() {
    let script = r#"
        mkdir tmp flake; export TMPDIR=$PWD/tmp; cd flake
        cat > flake.nix <<X
        { outputs = { self }: let mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; }; in {
          packages.SYSTEM.slow = let f = n: if n == 0 then 0 else f (n - 1) + f (n - 1); in mk (toString (f 60)); }; }
X
        evaluates() { [ -n "$(pgrep -P $1 -f 'nix.* eval ')" ]; }
        for signal in TERM HUP; do
          "$nixdag" plan path:$PWD > ../said 2>&1 & process=$!
          until evaluates $process; do sleep 0.1; done
          kill -$signal $process; code=0; wait $process || code=$?
          echo "$signal $code $(ls ../tmp | wc -l)"
        done
        # As `nohup` starts it.
        (trap '' HUP; exec "$nixdag" plan path:$PWD > ../said 2>&1) & process=$!
        until evaluates $process; do sleep 0.1; done
        kill -HUP $process; sleep 1; kill -0 $process && echo ignored
        kill -TERM $process; code=0; wait $process || code=$?
        echo "$code $(ls ../tmp | wc -l)"
    "#
    .replace("SYSTEM", &system::current());
    for nix in FreshNix::every_version() {
        let said = nix.script(TempDir::new().unwrap().path(), &script);
        assert_eq!(said, "TERM 143 0\nHUP 129 0\nignored\n143 0\n");
    }
}
