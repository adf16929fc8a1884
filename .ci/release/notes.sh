#!/usr/bin/env bash
# Prints what CHANGELOG.md says of a version: .ci/release/notes.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# = 1 ] || { echo "usage: $0 VERSION" >&2; exit 2; }
notes=$(awk -v version="$1" '
    /^## / { inside = ($2 == version || $2 == "[" version "]"); next }
    inside
' CHANGELOG.md)
[ -n "${notes//[[:space:]]/}" ] || { echo "CHANGELOG.md has no section \`## $1\`: rename \`## Unreleased\`" >&2; exit 1; }
printf '%s\n' "$notes" | sed -e '/./,$!d'
