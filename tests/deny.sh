#!/usr/bin/env bash
# Holds what nixdag is built from against deny.toml: licences, banned crates and sources always, advisories where their database can be
# had. Wants cargo-deny (`cargo install --locked cargo-deny`).
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "== cargo deny is left out: it is not installed (cargo install --locked cargo-deny)"
    # Where CI wants it, it has to be there.
    [ "${NIXDAG_DENY:-}" != required ]
    exit
fi
echo "== cargo deny: licences, bans, sources"
cargo deny --locked check --hide-inclusion-graph licenses bans sources
database=https://github.com/RustSec/advisory-db
if git ls-remote --quiet --exit-code "$database" HEAD >/dev/null 2>&1; then
    echo "== cargo deny: advisories"
    cargo deny --locked check --hide-inclusion-graph advisories
else
    echo "== cargo deny: advisories are left out: their database ($database) is out of reach"
    [ "${NIXDAG_DENY:-}" != required ]
fi
