#!/bin/sh
# Makes a folder of releases, as the orb's parameter `base_url` wants it, of a folder with one: lay-out-release.sh FROM TO
# Runs in images that have no sed.
set -eu
[ $# = 2 ] || { echo "usage: $0 FROM TO" >&2; exit 2; }
file=$(grep -o 'nixdag-[0-9][0-9.]*-x86_64-unknown-linux-musl$' "$1/SHA256SUMS") || { echo "$1/SHA256SUMS names no release" >&2; exit 1; }
version=${file#nixdag-}
version=${version%-x86_64-unknown-linux-musl}
mkdir -p "$2/v$version"
cp "$1"/* "$2/v$version/"
