#!/usr/bin/env bash
# Makes the GitHub Release of a tag from a finished, signed folder: .ci/release/publish.sh TAG DIR
#
# Wants GitHub's `gh` and its GITHUB_TOKEN. It is a draft until all files are there, so nobody finds half a release.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# = 2 ] || { echo "usage: $0 TAG DIR" >&2; exit 2; }
tag=$1 dir=$2
.ci/release/check.sh "$tag"
.ci/release/verify.sh "$dir" >&2
notes=$(mktemp)
trap 'rm -f "$notes"' EXIT
.ci/release/notes.sh "${tag#v}" >"$notes"
gh release create "$tag" --verify-tag --draft --title "nixdag ${tag#v}" --notes-file "$notes"
gh release upload "$tag" "$dir"/nixdag-"${tag#v}"-* "$dir"/SHA256SUMS "$dir"/SHA256SUMS.sig
gh release edit "$tag" --draft=false
