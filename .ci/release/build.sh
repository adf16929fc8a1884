#!/usr/bin/env bash
# Builds the release file of one platform: .ci/release/build.sh TARGET DIR
#
# Puts DIR/nixdag-<version>-<target>: one plain executable, static on Linux, stripped. The same commit gives the same bytes
# wherever the repository is, with the same Rust and C compilers. On Debian, x86_64-unknown-linux-musl wants musl-tools, and
# aarch64-unknown-linux-musl wants gcc-aarch64-linux-gnu and libc6-dev-arm64-cross.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# = 2 ] || { echo "usage: $0 TARGET DIR" >&2; exit 2; }
target=$1 dir=$2
grep -qx -- "$target" .ci/release/targets || { echo "no release for \`$target\`: .ci/release/targets lists the platforms" >&2; exit 2; }
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)

NIXDAG_REVISION=${NIXDAG_REVISION:-$(TZ=UTC git log -1 --abbrev=12 --date=format-local:%Y-%m-%d --format='%h %cd')}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export NIXDAG_REVISION SOURCE_DATE_EPOCH
home=${CARGO_HOME:-$HOME/.cargo}
# No path of this machine in the file, which is also smaller for it.
RUSTFLAGS="--remap-path-prefix=$PWD=/nixdag --remap-path-prefix=$home=/cargo"
CFLAGS="-ffile-prefix-map=$PWD=/nixdag -ffile-prefix-map=$home=/cargo"
export RUSTFLAGS CFLAGS
case $target in
    *-linux-musl)
        # The linker that comes with Rust keeps one copy of functions that are the same, packs relocations, and leaves out what nothing reads.
        RUSTFLAGS="$RUSTFLAGS -C linker=rust-lld -C link-arg=--icf=all -C link-arg=-z -C link-arg=pack-relative-relocs -C link-arg=src/version/no-unwinding.ld"
        CFLAGS="$CFLAGS -fno-unwind-tables -fno-asynchronous-unwind-tables"
        if [ "$target-$(uname -m)" = aarch64-unknown-linux-musl-x86_64 ]; then
            export CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc
            export AR_aarch64_unknown_linux_musl=aarch64-linux-gnu-ar
        fi
        ;;
    aarch64-apple-darwin)
        # The oldest macOS that CircleCI's images have run on Apple silicon.
        export MACOSX_DEPLOYMENT_TARGET=11.0
        ;;
esac
rustup target add "$target" >/dev/null 2>&1 || echo "warning: rustup cannot add $target; is it there already?" >&2
cargo build --release --locked --target "$target"

mkdir -p "$dir"
file=$dir/nixdag-$version-$target
cp "${CARGO_TARGET_DIR:-target}/$target/release/nixdag" "$file.part"
mv "$file.part" "$file"
echo "$file: $(wc -c <"$file" | tr -d ' ') bytes"
