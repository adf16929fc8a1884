#!/usr/bin/env bash
# Installs Nix and nixdag where they are missing, plans, and puts the plan out. The scripts and checksums are those of CircleCI's orb, of the same
# commit as this one: the action's version says which nixdag runs.
set -euo pipefail

orb=$(cd "$(dirname "$0")/../../orb/src" && pwd)
PARAM_NIX_CHECKSUMS=$(<"$orb/release/nix.sha256")
PARAM_NIX_VERSION=${PARAM_NIX_CHECKSUMS#*  nix-}
PARAM_NIX_VERSION=${PARAM_NIX_VERSION%%-*}
PARAM_RELEASE_CHECKSUMS=$(grep -v '^#' "$orb/release/SHA256SUMS" || true)
NIXDAG_FOLDER=$RUNNER_TEMP/nixdag
export PARAM_NIX_CHECKSUMS PARAM_NIX_VERSION PARAM_RELEASE_CHECKSUMS NIXDAG_FOLDER

# What earlier workflows have measured, out of the checkout.
PARAM_RECORDS=true
export PARAM_RECORDS
[ -d "$NIXDAG_FOLDER" ] || mkdir -m 700 "$NIXDAG_FOLDER"
rm -rf "$NIXDAG_FOLDER/history"
if [ -d .nixdag/history ]; then
    mv .nixdag/history "$NIXDAG_FOLDER/history"
    rmdir .nixdag 2>/dev/null || true
fi

# A checkout does not say which branch is the default one, and its credentials are gone: `base: auto` asks for what is set here.
origin=refs/remotes/origin
if [ -n "${DEFAULT_BRANCH:-}" ] && ! git symbolic-ref --quiet "$origin/HEAD" >/dev/null 2>&1; then
    git symbolic-ref "$origin/HEAD" "$origin/$DEFAULT_BRANCH" 2>/dev/null || true
fi

# What evaluation and the installers print is no command for GitHub.
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "::stop-commands::$token"
set +e
(
    set -e
    unset token
    NIXDAG_INSTALL=nix NIXDAG_VERSION=$PARAM_NIX_VERSION NIXDAG_URL=$PARAM_NIX_URL NIXDAG_CHECKSUMS=$PARAM_NIX_CHECKSUMS \
        sh "$orb/scripts/install.sh"
    if [ -n "$PARAM_PROGRAM" ]; then
        rm -rf "$HOME/.nixdag/program"
        mkdir -p "$HOME/.nixdag/program"
        cp "$(command -v "$PARAM_PROGRAM")" "$HOME/.nixdag/program/nixdag"
    else
        NIXDAG_INSTALL=nixdag NIXDAG_VERSION=$(<"$orb/release/version") NIXDAG_URL=$PARAM_RELEASE_URL \
            NIXDAG_CHECKSUMS=$PARAM_RELEASE_CHECKSUMS sh "$orb/scripts/install.sh"
    fi
    sh "$orb/scripts/generate.sh"
)
code=$?
set -e
echo
echo "::$token::"
setup=$NIXDAG_FOLDER/setup
if [ -f "$setup/plan.json" ]; then
    "$HOME/.nixdag/program/nixdag" report --format markdown --plan "$setup/plan.json" >>"$GITHUB_STEP_SUMMARY" || true
fi
[ "$code" = 0 ] || exit "$code"
printf 'plan=%s\n' "$(<"$setup/config.yml")" >>"$GITHUB_OUTPUT"
