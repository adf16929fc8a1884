# Installing nixdag: the right file, verified before it runs, and clear errors.

load support

setup() {
    prepare
    have curl
    release=$BATS_TEST_TMPDIR/release/v1.2.3
    mkdir -p "$release"
    for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl aarch64-apple-darwin; do
        printf '#!/bin/sh\necho "nixdag 1.2.3 for %s"\n' $target >"$release/nixdag-1.2.3-$target"
    done
    export NIXDAG_INSTALL=nixdag NIXDAG_VERSION=1.2.3 NIXDAG_URL=file://$BATS_TEST_TMPDIR/release
    NIXDAG_CHECKSUMS=$(cd "$release" && sha256sum nixdag-*)
    export NIXDAG_CHECKSUMS
    machine Linux x86_64
}

teardown() { clean; }

machine() { fake uname "case \$1 in -s) echo $1 ;; -m) echo $2 ;; esac"; }

@test "each platform gets its own file" {
    for platform in "Linux x86_64 x86_64-unknown-linux-musl" "Linux aarch64 aarch64-unknown-linux-musl" \
        "Darwin arm64 aarch64-apple-darwin"; do
        read -r kernel processor target <<<"$platform"
        machine "$kernel" "$processor"
        run_script install
        ends_with 0
        says "nixdag 1.2.3 for $target"
        [ -x "$HOME/.nixdag/program/nixdag" ]
    done
}

@test "an unknown platform is an error that says what is served" {
    machine Linux riscv64
    run_script install
    ends_with 1
    says "no nixdag for Linux on riscv64"
    machine Darwin x86_64
    run_script install
    ends_with 1
    says "macOS on Apple silicon"
}

@test "a file that is not the pinned one is never run" {
    printf '#!/bin/sh\necho evil\n' >"$release/nixdag-1.2.3-x86_64-unknown-linux-musl"
    run_script install
    ends_with 1
    says "is not the file that was pinned, and is not used"
    [[ $output != *evil* ]]
    [ ! -e "$HOME/.nixdag/program/nixdag" ]
    [ -z "$(ls -A "$HOME/.nixdag")" ]
}

@test "what a cache brought is verified too, and replaced if it is another file" {
    mkdir -p "$HOME/.nixdag/program"
    printf '#!/bin/sh\necho evil\n' >"$HOME/.nixdag/program/nixdag"
    chmod +x "$HOME/.nixdag/program/nixdag"
    run_script install
    ends_with 0
    [[ $output != *evil* ]]
    says "nixdag 1.2.3 for x86_64"
    rm -r "$BATS_TEST_TMPDIR/release"
    chmod -x "$HOME/.nixdag/program/nixdag"
    run_script install
    ends_with 0
    says "is here already"
}

@test "without a checksum for the file nothing is downloaded" {
    NIXDAG_CHECKSUMS="# none yet" run_script install
    ends_with 1
    says 'no checksum is pinned for `nixdag-1.2.3-x86_64-unknown-linux-musl`'
    NIXDAG_CHECKSUMS="<nil>" run_script install
    ends_with 1
    says "no checksum is pinned"
    NIXDAG_CHECKSUMS="abc  nixdag-1.2.3-x86_64-unknown-linux-musl" run_script install
    ends_with 1
    says "is not a SHA-256"
    # shellcheck disable=SC2016
    NIXDAG_CHECKSUMS='$(touch /tmp/evil)  nixdag-1.2.3-x86_64-unknown-linux-musl' run_script install
    ends_with 1
}

@test "checksums may have line ends of another system, stars and capitals" {
    NIXDAG_CHECKSUMS=$(printf '%s *nixdag-1.2.3-x86_64-unknown-linux-musl\r\n' \
        "$(sha256_of "$release/nixdag-1.2.3-x86_64-unknown-linux-musl" | tr a-f A-F)")
    run_script install
    ends_with 0
}

@test "http serves a mirror, after an error too" {
    serve "$BATS_TEST_TMPDIR/release" 503
    NIXDAG_URL=$url/ run_script install
    ends_with 0
    says "is not encrypted; its checksum is pinned"
    says "nixdag 1.2.3 for x86_64"
}

@test "a release that is not there is named" {
    serve "$BATS_TEST_TMPDIR/release"
    NIXDAG_CHECKSUMS="$(printf 0%.0s {1..64})  nixdag-9.9.9-x86_64-unknown-linux-musl"
    NIXDAG_VERSION=9.9.9 NIXDAG_URL=$url run_script install
    ends_with 1
    says "$url/v9.9.9/nixdag-9.9.9-x86_64-unknown-linux-musl is not there (404)"
    NIXDAG_VERSION=9.9.9 run_script install
    ends_with 1
    says "is the mirror mounted"
}

@test "without a network the error says so" {
    # Half a minute of further attempts is curl's own affair.
    echo "retry-max-time = 1" >"$HOME/.curlrc"
    NIXDAG_URL=https://releases.nixdag.invalid run_script install
    ends_with 1
    says "cannot download https://releases.nixdag.invalid/v1.2.3"
    says "is there a network"
}

@test "curl may use nothing but TLS for an https address" {
    fake curl 'echo "curl $*" >&2; exit 7'
    NIXDAG_URL=https://example.org run_script install
    ends_with 1
    says "--proto =https --tlsv1.2"
}

@test "wget does where there is no curl" {
    rm "$bin/curl"
    have wget
    serve "$BATS_TEST_TMPDIR/release"
    NIXDAG_URL=$url run_script install
    ends_with 0
    says "nixdag 1.2.3 for x86_64"
    NIXDAG_URL=$url/none run_script install
    # Here already.
    ends_with 0
    rm -r "$HOME/.nixdag"
    NIXDAG_URL=$url/none run_script install
    ends_with 1
    says "the server answered"
}

@test "without curl and wget the error says what to add" {
    rm "$bin/curl"
    NIXDAG_URL=https://example.org run_script install
    ends_with 1
    says "neither curl nor wget"
}

@test "without sha256sum shasum does, and without both nothing is run" {
    rm "$bin/sha256sum"
    run_script install
    ends_with 1
    says "neither sha256sum nor shasum"
    [ ! -e "$HOME/.nixdag/program/nixdag" ]
    fake shasum "exec $(type -P sha256sum)"
    run_script install
    ends_with 0
}

@test "other schemes are refused" {
    for address in ftp://example.org example.org -o/etc/passwd; do
        NIXDAG_URL=$address run_script install
        ends_with 1
        says "is not an address that can be downloaded"
    done
}

@test "the program is not on PATH, and nothing else that a cache brought is beside it" {
    export BASH_ENV=$BATS_TEST_TMPDIR/env
    mkdir -p "$HOME/.nixdag/program"
    printf '#!/bin/sh\necho evil\n' >"$HOME/.nixdag/program/jq"
    chmod +x "$HOME/.nixdag/program/jq"
    run_script install
    ends_with 0
    [ "$(ls "$HOME/.nixdag/program")" = nixdag ]
    [ ! -e "$BASH_ENV" ]
}

@test "a link in the place of the program or its folder is not written through" {
    mkdir -p "$HOME/.nixdag" "$HOME/outside"
    ln -s "$HOME/outside" "$HOME/.nixdag/program"
    run_script install
    ends_with 0
    [ -d "$HOME/.nixdag/program" ] && [ ! -L "$HOME/.nixdag/program" ]
    [ -z "$(ls -A "$HOME/outside")" ]
    ln -sf "$release/nixdag-1.2.3-x86_64-unknown-linux-musl" "$HOME/.nixdag/program/nixdag"
    run_script install
    ends_with 0
    [ ! -L "$HOME/.nixdag/program/nixdag" ]
}

@test "no version, or another thing to install, is an error" {
    NIXDAG_VERSION='<nil>' run_script install
    ends_with 1
    says "no version of nixdag"
    NIXDAG_INSTALL=rm run_script install
    ends_with 1
    says '`nix` or `nixdag` is expected'
}
