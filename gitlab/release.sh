#!/usr/bin/env bash
# Makes a commit whose root is this folder, for the project of the component: GitLab looks for `templates/` at a project's root. The
# version and the checksums of nixdag's release are put into the template, so that one version of the component runs one nixdag.
#
# Usage: gitlab/release.sh REVISION VERSION SHA256SUMS [PARENT]    prints the commit; push it with
#        git push git@gitlab.com:OWNER/nixdag.git COMMIT:refs/heads/main COMMIT:refs/tags/VERSION
# PARENT is what the project's branch is at, so that its history goes on.
set -euo pipefail

usage='usage: gitlab/release.sh REVISION VERSION SHA256SUMS [PARENT]'
revision=${1:?$usage}
version=${2:?$usage}
checksums=${3:?$usage}
parent=${4:-}

fail() {
    echo "release.sh: $*" >&2
    exit 1
}

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "\`$version\` is not a version such as 1.2.3"
grep -qE "^[0-9a-f]{64}  nixdag-$version-" "$checksums" || fail "\`$checksums\` has no file of nixdag $version"
sums=$(grep -E "^[0-9a-f]{64}  nixdag-$version-[a-z0-9_-]+$" "$checksums")

cd "$(dirname "$0")"
template=templates/nixdag/template.yml
git rev-parse --verify --quiet "$revision:gitlab/$template" >/dev/null || fail "revision \`$revision\` has no \`gitlab/$template\`"

index=$(mktemp -d)
trap 'rm -rf "$index"' EXIT
export GIT_INDEX_FILE=$index/index
git read-tree "$revision:gitlab"
# Every line of checksums gets the same indentation as the line it replaces.
git show "$revision:gitlab/$template" | while IFS= read -r line; do
    case $line in
    *@SHA256SUMS@*) while read -r sum; do printf '%s%s\n' "${line%%@*}" "$sum"; done <<<"$sums" ;;
    *) printf '%s\n' "${line//@VERSION@/$version}" ;;
    esac
done >"$index/template.yml"
blob=$(git hash-object -w "$index/template.yml")
# What makes releases is not part of one.
(cd "$(git rev-parse --show-toplevel)" && git update-index --force-remove release.sh)
git update-index --cacheinfo "100644,$blob,$template"
tree=$(git write-tree)

# The same revision gives the same commit.
date=$(git log -1 --format=%cI "$revision")
export GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date
git commit-tree ${parent:+-p "$parent"} -m "nixdag $version" "$tree"
