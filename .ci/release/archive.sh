#!/usr/bin/env bash
# Packs what people install by hand: .ci/release/archive.sh DIR PROGRAM
#
# For each release file in DIR adds nixdag-<version>-<target>.tar.gz: the program, its manual pages, completions for bash, zsh and fish, and the
# licence. PROGRAM is the nixdag of this version that runs here; it writes manual pages and completions. The same files give the same bytes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

[ $# = 2 ] || { echo "usage: $0 DIR PROGRAM" >&2; exit 2; }
dir=$(cd "$1" && pwd)
program=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
root=$here/../..
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

while read -r target; do
    name=nixdag-$version-$target
    [ -s "$dir/$name" ] || continue
    parts=$scratch/$name
    mkdir -p "$parts/man" "$parts/completions"
    install -m 755 "$dir/$name" "$parts/nixdag"
    install -m 644 "$root/LICENSE" "$root/README.md" "$root/CHANGELOG.md" "$parts"
    "$program" man >"$parts/man/nixdag.1"
    sed -n 's/^nixdag\\-\(.*\)(1)$/\1/p' "$parts/man/nixdag.1" | while read -r command; do
        "$program" man "$command" >"$parts/man/nixdag-$command.1"
    done
    "$program" completions bash >"$parts/completions/nixdag.bash"
    "$program" completions zsh >"$parts/completions/_nixdag"
    "$program" completions fish >"$parts/completions/nixdag.fish"
    (cd "$scratch" && find "$name" -type f | LC_ALL=C sort |
        tar -c --format=ustar --no-recursion --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -T -) |
        gzip -9n >"$dir/$name.tar.gz"
    echo "$dir/$name.tar.gz: $(wc -c <"$dir/$name.tar.gz" | tr -d ' ') bytes"
done <"$here/targets"
