//! Files that change while nixdag evaluates them: what comes of it is not kept, and a plan does not name a commit that it is not of.

use nixdag::nix::system;
use tempfile::TempDir;

use crate::support::FreshNix;

/// A `nix` in front of the real one: once, where `go` is there, it saves a file as soon as `nix flake metadata` has answered and before
/// `nix eval` reads the tree.
const EDITED: &str = r#"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
out=$PWD; real=$(command -v nix); mkdir bin flake; cd flake; git init -q; echo committed > v
cat > flake.nix <<X
{ outputs = ({ self }: { packages.SYSTEM.p = derivation { name = "p"; system = "SYSTEM"; builder = "/bin/sh"; v = builtins.readFile ./v; }; }); }
X
git add -A; git commit -q -m a
cat > $out/bin/nix <<X
#!/bin/sh
case " \$* " in
  *" metadata "*) $real "\$@"; code=\$?; touch $out/answered; exit \$code ;;
  *restrict-eval*) ;;
  *" eval "*) if [ -e $out/go ]; then rm $out/go; for wait in \$(seq 100); do [ -e $out/answered ] || sleep 0.1; done; echo edited > $out/flake/v; fi ;;
esac
exec $real "\$@"
X
chmod +x $out/bin/nix
plan() { PATH=$out/bin:$PATH env -u CI $nixdag plan --format json > $out/plan.json 2> $out/said; jq -r '.targets[0].derivation | split("/") | last' $out/plan.json; }
truth() { $real --extra-experimental-features 'nix-command flakes' eval --raw .#p.drvPath 2> /dev/null | sed 's,.*/,,'; }
during() {
  rm -f $out/answered; touch $out/go; plan > $out/edited
  jq -r '"revision " + (.flake.revision | type)' $out/plan.json; grep -o 'files changed while it was made\|changed while it was evaluated' $out/said || true
}
same() { [ "$(plan)" = "$(truth)" ] && echo the same as Nix; grep -c 'from the cache' $out/said || true; }
"#;

#[test]
fn what_was_edited_meanwhile_is_not_kept() {
    let script = r#"
        echo a clean commit; during; git checkout -q v; same; same
        echo a work tree with changes; echo before > v; during; echo before > v; same; same
        echo nothing edited; echo third > v; plan > /dev/null; jq -r .flake.revision $out/plan.json; same
    "#;
    let script = format!("{EDITED}{script}").replace("SYSTEM", &system::current());
    for nix in FreshNix::every_version() {
        assert_eq!(
            nix.script(TempDir::new().unwrap().path(), &script),
            "a clean commit\nrevision null\nfiles changed while it was made\nchanged while it was evaluated\n\
             the same as Nix\n0\nthe same as Nix\n1\n\
             a work tree with changes\nrevision null\nfiles changed while it was made\n\
             the same as Nix\n0\nthe same as Nix\n1\n\
             nothing edited\nnull\nthe same as Nix\n1\n"
        );
    }
}
