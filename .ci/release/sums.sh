#!/usr/bin/env bash
# Describes a finished release: .ci/release/sums.sh DIR
#
# DIR holds the files of all platforms. Adds DIR/nixdag-<version>-provenance.json (an in-toto statement: which files, from which
# commit, built by which pipeline) and DIR/SHA256SUMS over everything.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml" | head -n 1)
commit=$(git -C "$here" rev-parse HEAD)
cd "$1"

sums() { if command -v sha256sum >/dev/null; then sha256sum -- "$@"; else shasum -a 256 -- "$@"; fi; }
files=()
while read -r target; do
    file=nixdag-$version-$target
    [ -s "$file" ] || { echo "$file is missing in $1: build it with .ci/release/build.sh $target $1" >&2; exit 1; }
    files+=("$file")
done <"$here/targets"

{
    printf '{"_type":"https://in-toto.io/Statement/v1","subject":['
    comma=
    while read -r sum file; do
        printf '%s\n{"name":"%s","digest":{"sha256":"%s"}}' "$comma" "$file" "$sum"
        comma=,
    done < <(sums "${files[@]}")
    printf '],\n"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{\n'
    printf '"buildType":"https://circleci.com/docs/configuration-reference/","externalParameters":{"repository":"%s","ref":"%s"},\n' \
        "${CIRCLE_REPOSITORY_URL:-}" "${CIRCLE_TAG:-}"
    printf '"resolvedDependencies":[{"uri":"git+%s","digest":{"gitCommit":"%s"}}]},\n' "${CIRCLE_REPOSITORY_URL:-}" "$commit"
    printf '"runDetails":{"builder":{"id":"https://circleci.com"},"metadata":{"invocationId":"%s"}}}}\n' "${CIRCLE_BUILD_URL:-}"
} >"nixdag-$version-provenance.json"
files+=("nixdag-$version-provenance.json")
# Those that .ci/release/archive.sh made of these files.
for file in "${files[@]}"; do
    [ ! -e "$file.tar.gz" ] || files+=("$file.tar.gz")
done
sums "${files[@]}" >SHA256SUMS
cat SHA256SUMS
