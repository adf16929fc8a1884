#!/usr/bin/env bash
# Runs .ci/run as root, for the tests mount empty stores over /nix, with the user's Rust.
set -euo pipefail
cd "$(dirname "$0")/../.."
git config --global --get-all safe.directory >/dev/null || sudo git config --system --add safe.directory "$PWD"
exec sudo env "PATH=$PATH" HOME=/root "RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}" "CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}" .ci/run
