#!/bin/sh
# Installs Nix or nixdag: a pinned file is downloaded, its SHA-256 compared, and only then is anything in it run. The orb's commands
# `install` and `install_nix` include this script, and generated jobs run it from the bundle: one way to install everywhere.
# POSIX sh, without sed, awk and jq: some images have none of them.
#
# NIXDAG_INSTALL         `nix` or `nixdag`
# NIXDAG_VERSION         the release, e.g. 2.34.7
# NIXDAG_URL             folder of the releases: https, file, or http where one has to
# NIXDAG_CHECKSUMS       a line `<sha256>  <file>` for each file that may be used
# For Nix alone:
# NIXDAG_NIX_MODE        `daemon`, `single-user`, or `auto`: daemon where something can start one
# NIXDAG_NIX_SANDBOX     `true`, `relaxed`, `false`, or `auto`: off in containers, which cannot nest
# NIXDAG_CORES           cores that builds may use
# NIXDAG_RESOURCE_CLASS  says the same for a container, which sees the cores of its host
# NIXDAG_NIX_SETTINGS    more lines for nix.conf; they win
# An empty value, or `<nil>` as CircleCI writes one, counts as none given.
set -eu

say() { echo "nixdag: $*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

# The value, or nothing where none was given.
given() { [ "$1" = '<nil>' ] || printf '%s' "$1"; }

what=$(given "${NIXDAG_INSTALL:-}")
version=$(given "${NIXDAG_VERSION:-}")
base_url=$(given "${NIXDAG_URL:-}")
checksums=$(given "${NIXDAG_CHECKSUMS:-}")
temporary=
trap '[ -z "$temporary" ] || rm -rf "$temporary"' EXIT

# --- Files that are pinned

# Prints the SHA-256 of a file in hexadecimal.
sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sum=$(sha256sum <"$1")
    elif command -v shasum >/dev/null 2>&1; then
        sum=$(shasum -a 256 <"$1")
    else
        fail "neither sha256sum nor shasum is here, so nothing can be verified: add coreutils to the image"
    fi
    printf '%s' "${sum%% *}"
}

# Prints the SHA-256 that is pinned for a file of this name.
pinned() {
    found=$(printf '%s\n' "$checksums" | tr -d '\r' | while read -r sum name; do
        if [ "${name#\*}" = "$1" ]; then
            printf '%s' "$sum"
            break
        fi
    done)
    [ -n "$found" ] || fail "no checksum is pinned for \`$1\`: give a line \`<sha256>  $1\` in the checksums," \
        "or a version that the checksums are of"
    case $found in *[!0-9a-fA-F]*) fail "the checksum \`$found\` of \`$1\` is not a SHA-256" ;; esac
    [ "${#found}" = 64 ] || fail "the checksum \`$found\` of \`$1\` is not a SHA-256"
    printf '%s' "$found" | tr A-F a-f
}

# Downloads $1 to $2.
download() {
    case $1 in
    https://*) set -- "$1" "$2" --proto '=https' --tlsv1.2 ;;
    http://*) say "note: $1 is not encrypted; its checksum is pinned" && set -- "$1" "$2" --proto '=http,https' ;;
    file://*)
        cp "${1#file://}" "$2" || fail "cannot read \`${1#file://}\`: is the mirror mounted, and laid out as VERSION folders?"
        return
        ;;
    *) fail "\`$1\` is not an address that can be downloaded: https://, http:// or file:// is expected" ;;
    esac
    if command -v curl >/dev/null 2>&1; then
        url=$1 to=$2
        shift 2
        result=0
        status=$(curl "$@" -fsSL --retry 5 --connect-timeout 30 -o "$to" -w '%{http_code}' "$url") || result=$?
        [ "$result" != 0 ] || return 0
        [ "$result" = 22 ] || fail "cannot download $url (curl ended with $result): is there a network, a proxy" \
            "(https_proxy), a certificate that is missing? A mirror can be named by its address"
        answered "$url" "$status"
    elif command -v wget >/dev/null 2>&1; then
        result=0
        wget -q -O "$2" "$1" || result=$?
        [ "$result" != 0 ] || return 0
        [ "$result" = 8 ] || fail "cannot download $1 (wget ended with $result): is there a network, a proxy" \
            "(https_proxy), a certificate that is missing? A mirror can be named by its address"
        answered "$1" 'an error'
    else
        fail "neither curl nor wget is here to download $1: add one of them to the image, or use an image that has" \
            "what is to be installed"
    fi
}

# Ends with what a server's refusal means.
answered() {
    case $2 in
    404) fail "$1 is not there (404): does this release exist, and does the mirror have it?" ;;
    *) fail "the server answered $2 to $1: try again later, or name a mirror" ;;
    esac
}

# Downloads $1 to $2 and compares its checksum with $3.
fetch() {
    download "$1" "$2"
    digest=$(sha256 "$2")
    [ "$digest" = "$3" ] || fail "$1 is not the file that was pinned, and is not used: its SHA-256 is $digest, expected $3." \
        "Either the file was changed, or version and checksums do not belong together"
}

# Prints the system by Nix's name.
system() {
    kernel=$(uname -s)
    machine=$(uname -m)
    case $machine in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) machine= ;;
    esac
    case $machine-$kernel in
    x86_64-Linux) echo x86_64-linux ;;
    aarch64-Linux) echo aarch64-linux ;;
    aarch64-Darwin) echo aarch64-darwin ;;
    *) fail "there is no $what for $(uname -s) on $(uname -m): x86_64 and aarch64 Linux and macOS on Apple silicon are served" ;;
    esac
}

# Lets later steps find what was installed; only bash reads the file, and images without bash have what they need on PATH.
on_path() {
    [ -n "${BASH_ENV:-}" ] || return 0
    line="export PATH=\"$1:\$PATH\""
    grep -qxF "$line" "$BASH_ENV" 2>/dev/null || echo "$line" >>"$BASH_ENV"
}

# --- nixdag

install_nixdag() {
    case $(system) in
    x86_64-linux) triple=x86_64-unknown-linux-musl ;;
    aarch64-linux) triple=aarch64-unknown-linux-musl ;;
    aarch64-darwin) triple=aarch64-apple-darwin ;;
    *) exit 1 ;;
    esac
    file=nixdag-$version-$triple
    expected=$(pinned "$file")
    # One file, called by its path: its folder is not on PATH, and nothing that a cache has brought stays beside it.
    folder=$HOME/.nixdag/program
    mkdir -p "$HOME/.nixdag"
    temporary=$(mktemp -d "$HOME/.nixdag/new.XXXXXX")
    # What is compared is a copy that nobody else can change.
    if [ -f "$folder/nixdag" ] && cp "$folder/nixdag" "$temporary/nixdag" && [ "$(sha256 "$temporary/nixdag")" = "$expected" ]; then
        say "nixdag $version is here already"
    else
        rm -rf "$temporary/nixdag"
        fetch "$base_url/v$version/$file" "$temporary/nixdag" "$expected"
    fi
    chmod 755 "$temporary/nixdag"
    # A generated job runs this in the folder, which it has made.
    [ "$(pwd)" = "$folder" ] || rm -rf "$folder"
    mkdir -p "$folder"
    mv -f "$temporary/nixdag" "$folder/nixdag"
    "$folder/nixdag" --version || fail "\`$file\` is intact and does not run here: is $folder mounted with noexec?"
}

# --- Nix

# Where installers put Nix.
# shellcheck disable=SC2016 # expanded by the step that reads it
nix_folders='$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin'
PATH=$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH
export PATH

# Prints `macos`, `vm` or `container`.
machine() {
    if [ "$(uname -s)" = Darwin ]; then
        echo macos
    elif [ -d /run/systemd/system ]; then
        echo vm
    else
        echo container
    fi
}

# Prints the cores of a container, if they are known.
container_cores() {
    class=$(given "${NIXDAG_RESOURCE_CLASS:-}")
    case ${class#arm.} in
    small) echo 1 ;;
    medium) echo 2 ;;
    medium+) echo 3 ;;
    large) echo 4 ;;
    xlarge) echo 8 ;;
    2xlarge) echo 16 ;;
    2xlarge+) echo 20 ;;
    esac
}

# Prints lines for nix.conf; $1 is true if Nix was installed here.
settings() {
    echo 'extra-experimental-features = nix-command flakes'
    sandbox=$(given "${NIXDAG_NIX_SANDBOX:-}")
    case ${sandbox:-auto} in
    auto)
        if [ "$(machine)" = container ]; then
            echo 'sandbox = false'
        elif [ "$1" = true ]; then
            echo 'sandbox = true'
        fi
        ;;
    true | relaxed | false) echo "sandbox = $sandbox" ;;
    *) fail "the sandbox can be \`auto\`, \`true\`, \`relaxed\` or \`false\`, not \`$sandbox\`" ;;
    esac
    cores=$(given "${NIXDAG_CORES:-}")
    if [ -z "$cores" ] && [ "$(machine)" = container ]; then
        cores=$(container_cores)
    fi
    case $cores in
    *[!0-9]*) fail "\`$cores\` is not a number of cores" ;;
    '') [ "$(machine)" = container ] || echo 'max-jobs = auto' ;;
    *) printf 'max-jobs = %s\ncores = %s\n' "$cores" "$cores" ;;
    esac
    # Root builds as root where nobody made the users that builds are given to.
    if [ "$(id -u)" = 0 ] && [ "$mode" = single-user ] && ! grep -q '^nixbld:' /etc/group 2>/dev/null; then
        echo 'build-users-group ='
    fi
    printf '%s\n' "$(given "${NIXDAG_NIX_SETTINGS:-}")"
}

# Writes lines into the settings of this user.
write_settings() {
    folder=${XDG_CONFIG_HOME:-$HOME/.config}/nix
    mkdir -p "$folder"
    printf '%s\n' "$1" >"$folder/nixdag.conf"
    grep -qxF '!include nixdag.conf' "$folder/nix.conf" 2>/dev/null || echo '!include nixdag.conf' >>"$folder/nix.conf"
}

# Runs a program with what Nix's installer and daemon need of the environment, and nothing else: a daemon that is started here would hand
# the secrets of this job to whatever build asks for them, in later steps too.
without_secrets() {
    for name in TMPDIR TERM NIX_CONF_DIR NIX_SSL_CERT_FILE SSL_CERT_FILE CURL_CA_BUNDLE XDG_CONFIG_HOME \
        NIX_FIRST_BUILD_UID NIX_FIRST_BUILD_GID NIX_BUILD_GROUP_ID NIX_BUILD_GROUP_NAME NIX_USER_COUNT \
        http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY; do
        eval "value=\${$name:-}"
        # shellcheck disable=SC2154 # set by eval
        [ -z "$value" ] || set -- "$name=$value" "$@"
    done
    env -i HOME="$HOME" USER="$USER" PATH="$PATH" "$@"
}

install_nix() {
    mode=$(given "${NIXDAG_NIX_MODE:-}")
    case ${mode:-auto} in
    auto) if [ "$(machine)" = container ]; then mode=single-user; else mode=daemon; fi ;;
    daemon | single-user) ;;
    *) fail "the mode can be \`auto\`, \`daemon\` or \`single-user\`, not \`$mode\`" ;;
    esac
    if found=$(nix-store --version 2>/dev/null); then
        say "$found is here already"
        lines=$(settings false)
        write_settings "$lines"
        return
    fi
    file=nix-$version-$(system).tar.xz
    expected=$(pinned "$file")
    command -v xz >/dev/null 2>&1 || fail "xz is missing, which unpacks Nix: add xz-utils to the image, or use an image with Nix"
    if [ "$(id -u)" != 0 ] && [ ! -w /nix ] && ! sudo -n true 2>/dev/null; then
        fail "Nix needs /nix, and neither is this user root nor does sudo work without a password: use an image that" \
            "has Nix, e.g. nixos/nix, or run as root"
    fi
    lines=$(settings true)
    temporary=$(mktemp -d "${TMPDIR:-/tmp}/nix-installer.XXXXXX")
    fetch "$base_url/nix-$version/$file" "$temporary/nix.tar.xz" "$expected"
    mkdir "$temporary/nix"
    xz -dc "$temporary/nix.tar.xz" | tar -xf - -C "$temporary/nix"
    rm "$temporary/nix.tar.xz"
    installer=$temporary/nix/${file%.tar.xz}/install
    USER=$(id -un)
    export USER
    if [ "$mode" = daemon ]; then
        printf 'trusted-users = root %s\n%s\n' "$USER" "$lines" >"$temporary/nix.conf"
        without_secrets sh "$installer" --daemon --yes --no-channel-add --nix-extra-conf-file "$temporary/nix.conf"
    else
        write_settings "$lines"
        sh "$installer" --no-daemon --yes --no-channel-add --no-modify-profile
    fi
    nix-store --version || fail "the installer of Nix ended well, and nix-store does not run: see what it said above"
    on_path "$nix_folders"
}

case $what in
nix | nixdag)
    [ -n "$version" ] || fail "no version of $what is given"
    base_url=${base_url%/}
    "install_$what"
    ;;
*) fail "NIXDAG_INSTALL says \`$what\`: \`nix\` or \`nixdag\` is expected" ;;
esac
