# Setting Nix up: installed from a pinned release where there is none, and told what the machine can do.

load support

setup() {
    prepare
    for program in curl xz grep tar; do have "$program"; done
    fake id 'case $1 in -u) echo 0 ;; -un) echo root ;; esac'
    fake uname 'case $1 in -s) echo Linux ;; -m) echo x86_64 ;; esac'
    export NIXDAG_INSTALL=nix NIXDAG_VERSION=2.0 NIXDAG_URL=file://$BATS_TEST_TMPDIR/releases
    release nix-2.0-x86_64-linux
    settings=$HOME/.config/nix/nixdag.conf
}

teardown() { clean; }

# A made-up release whose installer tells how it was called.
release() {
    local folder=$BATS_TEST_TMPDIR/releases/nix-2.0
    mkdir -p "$folder/$1"
    cat >"$folder/$1/install" <<'INSTALLER'
echo "installer: $*"
printenv | while read -r line; do echo "installer sees $line"; done
while [ $# -gt 0 ]; do
    [ "$1" != --nix-extra-conf-file ] || cat "$2"
    shift
done
mkdir -p "$HOME/.nix-profile/bin"
printf '#!/bin/sh\necho "nix-store (Nix) 2.0"\n' >"$HOME/.nix-profile/bin/nix-store"
chmod +x "$HOME/.nix-profile/bin/nix-store"
INSTALLER
    tar -cJf "$folder/$1.tar.xz" -C "$folder" "$1"
    NIXDAG_CHECKSUMS="$(sha256_of "$folder/$1.tar.xz")  $1.tar.xz"
    export NIXDAG_CHECKSUMS
}

@test "a container gets Nix for one user, without a sandbox" {
    [ ! -d /run/systemd/system ] || skip "this machine could start a daemon"
    NIXDAG_RESOURCE_CLASS=xlarge run_script install
    ends_with 0
    says "installer: --no-daemon --yes --no-channel-add --no-modify-profile"
    says "nix-store (Nix) 2.0"
    grep -qx "sandbox = false" "$settings"
    grep -qx "max-jobs = 8" "$settings"
    grep -qx "cores = 8" "$settings"
    grep -qx "extra-experimental-features = nix-command flakes" "$settings"
    grep -qx "!include nixdag.conf" "$HOME/.config/nix/nix.conf"
}

@test "with a daemon the installer gets the settings, and the user is trusted" {
    NIXDAG_NIX_MODE=daemon NIXDAG_NIX_SANDBOX=true run_script install
    ends_with 0
    says "installer: --daemon --yes --no-channel-add --nix-extra-conf-file"
    says "trusted-users = root root"
    says "sandbox = true"
    [ ! -e "$settings" ]
}

@test "a daemon that the installer starts finds no secret of the job" {
    SECRET_OF_A_CONTEXT=s3cr3t NIXDAG_SIGNING_KEY=s3cr3t https_proxy='http://proxy a' NIXDAG_NIX_MODE=daemon run_script install
    ends_with 0
    says "installer sees HOME=$HOME"
    says "installer sees https_proxy=http://proxy a"
    [[ $output != *s3cr3t* ]]
}

@test "macOS gets a daemon" {
    release nix-2.0-aarch64-darwin
    fake uname 'case $1 in -s) echo Darwin ;; -m) echo arm64 ;; esac'
    run_script install
    ends_with 0
    says "installer: --daemon"
    says "sandbox = true"
    says "max-jobs = auto"
}

@test "a release that is not the pinned one is not unpacked" {
    NIXDAG_CHECKSUMS="$(printf 0%.0s {1..64})  nix-2.0-x86_64-linux.tar.xz" run_script install
    ends_with 1
    says "is not the file that was pinned"
    [[ $output != *installer:* ]]
}

@test "another version needs its own checksums" {
    NIXDAG_VERSION=2.1 run_script install
    ends_with 1
    says 'no checksum is pinned for `nix-2.1-x86_64-linux.tar.xz`'
}

@test "where Nix is there nothing is downloaded, and it is set up" {
    fake nix-store 'echo "nix-store (Nix) 2.8"'
    rm -r "$BATS_TEST_TMPDIR/releases"
    NIXDAG_CORES=3 NIXDAG_NIX_SANDBOX=false run_script install
    ends_with 0
    says "(Nix) 2.8 is here already"
    grep -qx "sandbox = false" "$settings"
    grep -qx "max-jobs = 3" "$settings"
    mkdir -p "$HOME/.config/nix"
    NIXDAG_CORES=4 run_script install
    ends_with 0
    grep -qx "max-jobs = 4" "$settings"
    [ "$(grep -c include "$HOME/.config/nix/nix.conf")" = 1 ]
}

@test "the user's own settings stay and win" {
    fake nix-store 'echo 2.8'
    mkdir -p "$HOME/.config/nix"
    echo "connect-timeout = 7" >"$HOME/.config/nix/nix.conf"
    NIXDAG_NIX_SETTINGS=$'sandbox = relaxed\nconnect-timeout = 9' run_script install
    ends_with 0
    grep -qx "connect-timeout = 7" "$HOME/.config/nix/nix.conf"
    [ "$(tail -n 2 "$settings")" = $'sandbox = relaxed\nconnect-timeout = 9' ]
}

@test "resource classes say how many cores a container has" {
    [ ! -d /run/systemd/system ] || skip "this machine is no container"
    fake nix-store 'echo 2.8'
    for pair in small=1 medium=2 medium+=3 large=4 arm.large=4 arm.2xlarge=16 2xlarge+=20; do
        NIXDAG_RESOURCE_CLASS=${pair%=*} run_script install
        ends_with 0
        grep -qx "max-jobs = ${pair##*=}" "$settings"
    done
    NIXDAG_RESOURCE_CLASS=acme/big run_script install
    ends_with 0
    ! grep -q max-jobs "$settings"
}

@test "a user without root and sudo is told what to do" {
    [ ! -w /nix ] || [ "$(type -P id >/dev/null && command id -u)" = 0 ] || skip "this user may write /nix"
    [ "$(command id -u)" != 0 ] || [ ! -e /nix ] || skip "root may write /nix"
    fake id 'echo 1000'
    run_script install
    ends_with 1
    says "use an image that has Nix"
}

@test "what is needed to unpack is named" {
    rm "$bin/xz"
    run_script install
    ends_with 1
    says "xz is missing"
}

@test "choices that do not exist are named" {
    NIXDAG_NIX_MODE=server run_script install
    ends_with 1
    says 'not `server`'
    fake nix-store 'echo 2.8'
    NIXDAG_NIX_SANDBOX=maybe run_script install
    ends_with 1
    says 'not `maybe`'
    NIXDAG_CORES=many run_script install
    ends_with 1
    says '`many` is not a number of cores'
}
