#!/usr/bin/env bash
# Makes the two commits that a release for GitHub consists of, on top of a revision: one with the checksums of nixdag's release, so that the action
# `plan` of that commit installs this nixdag; and one in which the workflows, the example and the documentation name that commit. A commit cannot hold
# its own name, and whoever pins the second one pins all that it uses.
#
# Usage: github/release.sh REVISION VERSION SHA256SUMS    prints the second commit, which users pin; push it as a tag:
#        git push origin COMMIT:refs/tags/github-VERSION
set -euo pipefail

usage='usage: github/release.sh REVISION VERSION SHA256SUMS'
revision=${1:?$usage}
version=${2:?$usage}
checksums=${3:?$usage}
none=0000000000000000000000000000000000000000

fail() {
    echo "release.sh: $*" >&2
    exit 1
}

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "\`$version\` is not a version such as 1.2.3"
sums=$(grep -E "^[0-9a-f]{64}  nixdag-$version-[a-z0-9_-]+$" "$checksums") || fail "\`$checksums\` has no file of nixdag $version"
git rev-parse --verify --quiet "$revision:github/plan/action.yml" >/dev/null ||
    fail "revision \`$revision\` has no \`github/plan/action.yml\`"

cd "$(git rev-parse --show-toplevel)"
index=$(mktemp -d)
trap 'rm -rf "$index"' EXIT
export GIT_INDEX_FILE=$index/index
git read-tree "$revision"

# Puts standard input into the index under a path, with the mode that it has there.
put() {
    local blob
    blob=$(git hash-object -w --stdin)
    git update-index --cacheinfo "100644,$blob,$1"
}
# The same revision gives the same commits.
date=$(git log -1 --format=%cI "$revision")
export GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date

printf '%s\n' "$sums" | put orb/src/release/SHA256SUMS
printf '%s\n' "$version" | put orb/src/release/version
tree=$(git write-tree)
actions=$(git commit-tree -p "$revision" -m "nixdag $version: checksums" "$tree")

git grep -lF "@$none" "$revision" -- .github github docs | while IFS=: read -r _ path; do
    [ "$path" != github/release.sh ] || continue
    git show "$revision:$path" | sed "s/@$none\( # .*\)\{0,1\}/@$actions/" | put "$path"
done
tree=$(git write-tree)
git commit-tree -p "$actions" -m "nixdag $version for GitHub" "$tree"
