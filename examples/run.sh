#!/usr/bin/env bash
# Shows what nixdag does: installs Nix and a C compiler if they are missing (Debian or Ubuntu), builds nixdag, runs it on examples/hermetic.
# Wants Rust, and root or sudo where they are missing. Writes to target/ and /tmp/nixdag.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo >/dev/null; then
    echo "cargo is not on PATH: install Rust 1.88 or newer first (https://rustup.rs), then open a new shell" >&2
    exit 1
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root: $* (run it as root, or install sudo)" >&2
        return 1
    fi
}

missing=()
command -v nix >/dev/null || missing+=(nix-bin)
# Rust links with a C compiler, and some libraries have parts in C.
command -v cc >/dev/null || missing+=(gcc)
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
if [ "${#missing[@]}" -gt 0 ]; then
    echo "== installing Debian's packages ${missing[*]}"
    as_root apt-get update -q >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ ! -w /nix ] && [ ! -S /nix/var/nix/daemon-socket/socket ]; then
    # Debian's package leaves the store to root; without a daemon it has to belong to whoever uses it.
    echo "== giving /nix to $(id -un)"
    as_root mkdir -p /nix
    as_root chown "$(id -un)" /nix
fi

echo "== building nixdag, which takes minutes"
cargo build --release --locked
nixdag=${CARGO_TARGET_DIR:-target}/release/nixdag

echo
echo "== the plan: nixdag plan examples/hermetic"
"$nixdag" plan examples/hermetic
echo
echo "== the graph, for Markdown: nixdag graph examples/hermetic --format mermaid"
"$nixdag" graph examples/hermetic --format mermaid
echo
echo "== the pipeline for CircleCI: nixdag generate examples/hermetic --bundle /tmp/nixdag/bundle"
"$nixdag" generate examples/hermetic --bundle /tmp/nixdag/bundle
for example in cross fleet; do
    echo
    echo "== systems and machines: nixdag plan examples/$example"
    "$nixdag" plan "examples/$example"
done
