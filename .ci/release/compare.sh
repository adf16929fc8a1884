#!/bin/sh
# Fails unless a release is the one that was built: .ci/release/compare.sh DIR DIGEST
#
# DIGEST is the SHA-256 of DIR/SHA256SUMS, which names every other file in DIR. Whatever it does not name is removed.
set -eu
[ $# = 2 ] || { echo "usage: $0 DIR DIGEST" >&2; exit 2; }
cd "$1"
if command -v sha256sum >/dev/null; then sum=sha256sum; else sum='shasum -a 256'; fi
digest=$($sum <SHA256SUMS)
[ "${digest%% *}" = "$2" ] || {
    echo "SHA256SUMS is not the one that this pipeline wrote: its SHA-256 is ${digest%% *}, expected $2" >&2
    exit 1
}
$sum -c SHA256SUMS
for file in * .[!.]*; do
    [ "$file" = SHA256SUMS ] || grep -qF "  $file" SHA256SUMS || rm -rf -- "$file"
done
