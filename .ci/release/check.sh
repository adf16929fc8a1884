#!/usr/bin/env bash
# Refuses to release what does not agree with itself: .ci/release/check.sh TAG
#
# The tag is v<version of Cargo.toml>, the lock file and the changelog know that version, and the tag is on this commit.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# = 1 ] || { echo "usage: $0 TAG" >&2; exit 2; }
fail() { echo "$1" >&2; exit 1; }
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[[ $1 =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "\`$1\` is no tag of a release, such as v$version"
[ "$1" = "v$version" ] || fail "the tag is $1, Cargo.toml says $version"
grep -A1 -Fx 'name = "nixdag"' Cargo.lock | grep -Fqx "version = \"$version\"" || fail "Cargo.lock does not say $version: run cargo check"
.ci/release/notes.sh "$version" >/dev/null
tagged=$(git rev-parse -q --verify "refs/tags/$1^{commit}") || fail "there is no tag $1"
[ "$tagged" = "$(git rev-parse HEAD)" ] || fail "the tag $1 is on another commit than the one checked out"
[ -z "$(git status --porcelain --untracked-files=no)" ] || fail "files have been changed since the commit"
