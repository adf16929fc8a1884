#!/usr/bin/env bash
# Puts the checksums of a release into the orb's sources, before it is packed: .ci/release/orb.sh DIR
#
# The orb of a version installs that version of nixdag and nothing else: orb/src/release/version and SHA256SUMS become the defaults
# of its parameters.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
out=$root/orb/src/release
while read -r target; do
    grep -Eq "^[0-9a-f]{64} [ *]nixdag-$version-$target\$" "$1/SHA256SUMS" || {
        echo "$1/SHA256SUMS has no line for nixdag-$version-$target" >&2
        exit 1
    }
done <"$root/.ci/release/targets"
mkdir -p "$out"
grep -F " nixdag-$version-" "$1/SHA256SUMS" | grep -Fv provenance.json >"$out/SHA256SUMS"
printf '%s\n' "$version" >"$out/version"
