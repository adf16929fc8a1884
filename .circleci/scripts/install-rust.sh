#!/usr/bin/env bash
# Puts Rust, and rustup for other platforms, on PATH of this and later steps. The version is pinned here and nowhere else.
set -euo pipefail
version=1.95.0

# From the distribution, which checks signatures.
if [ "$(uname -s)" = Darwin ]; then
    HOMEBREW_NO_AUTO_UPDATE=1 brew install --quiet rustup
    bin=$(brew --prefix rustup)/bin
else
    sudo apt-get update -q
    sudo apt-get install -y -q --no-install-recommends rustup
    bin=/usr/bin
fi
"$bin/rustup" toolchain install "$version" --profile minimal --component clippy --component rustfmt
"$bin/rustup" default "$version"
echo "export PATH=\"$bin:\$HOME/.cargo/bin:\$PATH\"" >>"$BASH_ENV"
