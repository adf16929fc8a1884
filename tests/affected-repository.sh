#!/usr/bin/env bash
# Makes a repository with one commit after another in the folder `repository` of the working directory, each with a tag. The flake
# needs nothing but /bin/sh. `dependency` beside it is a repository that its lock pins.
set -euo pipefail

export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

mkdir -p repository/src repository/docs dependency
git -C dependency init -q -b main
git -C repository init -q -b main

depend() {
  echo "$1" > dependency/data
  git -C dependency add -A
  git -C dependency commit -q -m "$1"
  rm -f repository/flake.lock
  (cd repository && git add -A && nix --extra-experimental-features 'nix-command flakes' flake lock 2> /dev/null)
}

record() {
  git -C repository add -A
  git -C repository commit -q -m "$1"
  git -C repository tag "$1"
}

cat > repository/flake.nix << FLAKE
{
  inputs.dependency = { url = "git+file://$PWD/dependency"; flake = false; };
  outputs = { self, dependency }: {
    packages.x86_64-linux = import ./packages.nix { inherit dependency; };
  };
}
FLAKE
cat > repository/packages.nix << 'FLAKE'
{ dependency }:
let
  # Writes its words to its output.
  package = name: attributes: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "echo $words > $out" ];
  } // attributes);
  library = package "library-1.0" { src = ./src/library; };
in
rec {
  inherit library;
  app = package "app-1.0" { src = ./src/app; words = "${library}/lib"; LEVEL = "1"; };
  tool = package "tool" { inherit app; };
  leaf = package "leaf" { src = ./src/leaf; };
  pinned = package "pinned" { words = "${dependency}/data"; };
}
FLAKE
for name in library app leaf; do echo "$name" > "repository/src/$name"; done
echo words > repository/docs/guide.md
depend one
record start

echo "another leaf" > repository/src/leaf
record leaf

echo "another library" > repository/src/library
record library

echo "more words" > repository/docs/guide.md
echo "new words" > repository/README.md
record docs

depend two
record lock

sed -i 's/  leaf = package/  twig = package/' repository/packages.nix
record rename

sed -i 's/# Writes its words to its output./#   Writes its words   to its output./' repository/packages.nix
record comment

sed -i 's/LEVEL = "1"/LEVEL = "2"/' repository/packages.nix
record variable

sed -i 's/library-1.0/library-1.1/; s/echo another/echo/' repository/packages.nix
record version

sed -i 's/twig = package "leaf" {/twig = package "leaf" { inherit library;/' repository/packages.nix
record dependency-added

sed -i '/  tool = package/d' repository/packages.nix
record removed

sed -i 's|^  twig|  fresh = package "fresh" { };\n  twig|; s/# *Writes.*/# Comment and more./' repository/packages.nix
record new
