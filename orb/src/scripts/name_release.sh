#!/bin/sh
# Names the release whose cache is restored. This comes before all that is restored, and makes the folder for it afresh: every user of
# a machine can make one below /tmp first, and then this fails.
set -eu
rm -rf /tmp/nixdag
mkdir -m 700 /tmp/nixdag
printf '%s\n' "$NIXDAG_CHECKSUMS" >/tmp/nixdag/program.sums
