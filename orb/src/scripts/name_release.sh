#!/bin/sh
# Names the release whose cache is restored, before anything is restored. Every user of a machine can make a folder below /tmp first:
# it is removed and made afresh, or the step fails.
set -eu
rm -rf /tmp/nixdag
mkdir -m 700 /tmp/nixdag
printf '%s\n' "$NIXDAG_CHECKSUMS" >/tmp/nixdag/program.sums
