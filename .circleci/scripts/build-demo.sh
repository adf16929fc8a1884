#!/bin/sh
# Does in one job what a pipeline does in many: plans a flake, writes the configuration and the bundle, builds every job that this
# machine can, each handing on to the next, and puts the reports together: build-demo.sh [FLAKE [FOLDER]]
# Runs in images that have no sed and no jq.
set -eu
flake=${1:-examples/demo}
# The orb installs one file, elsewhere than on PATH; images without bash read no BASH_ENV.
nixdag() { "$HOME/.nixdag/program/nixdag" "$@"; }
PATH=$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH
export PATH

work=${2:-/tmp/nixdag}
mkdir -p "$work"
nixdag plan "$flake"
nixdag plan "$flake" --format json >"$work/plan.json"
nixdag generate "$flake" --bundle "$work/bundle" -o "$work/config.yml"
nixdag continue "$work/config.yml" --dry-run >"$work/request.json"
jobs=$(grep -o '"id": *"[a-z][a-z0-9_-]*"' "$work/plan.json" | cut -d '"' -f 4)
[ -n "$jobs" ] || { echo "the plan of $flake has no jobs" >&2; exit 1; }
for job in $jobs; do
    nixdag build --bundle "$work/bundle" --bundle-sha256 "$(cat "$work/bundle.sha256")" --job "$job" \
        --workspace "$work/workspace" --restore "$work/restored" --results "$work/results/$job"
done
nixdag report "$work/results"
