#!/bin/sh
# Plans the flake and writes what the pipeline continues with: the configuration, the bundle that its jobs build from, and the plan
# for people. The orb's command `generate` includes this script; its parameters come as PARAM_… and become arguments of nixdag
# as they are: no value is read by a shell again. Lists are separated by spaces or newlines.
# An empty value, or `<nil>` as CircleCI writes one, counts as none given.
set -euf

# The file that was checked, and no folder on PATH: whatever else is in one would be run as well.
nixdag=$HOME/.nixdag/program/nixdag
PATH=$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH
export PATH
own=${NIXDAG_FOLDER:-/tmp/nixdag}
bundle=$own/bundle
setup=$own/setup
evaluations=$own/evaluations
history=$own/history

fail() {
    echo "nixdag: error: $*" >&2
    exit 1
}
given() { [ "$1" = '<nil>' ] || printf '%s' "$1"; }
is_true() { case $1 in 1 | true) ;; *) return 1 ;; esac }
# The choice, or nothing where it is left to nixdag.yml.
chosen() { [ "$1" = default ] || given "$1"; }

[ -x "$nixdag" ] || fail "there is no \`~/.nixdag/program/nixdag\`: the orb's command \`install\` comes before \`generate\`"
command -v nix-store >/dev/null 2>&1 || fail "Nix is not on PATH: the orb's command \`install_nix\` comes before \`generate\`"
flake=$(given "${PARAM_FLAKE:-}")
case $flake in -*) fail "\`$flake\` is not a flake" ;; esac
# Every user of a machine can make a folder below /tmp first (`NIXDAG_FOLDER` names another one). What this pipeline continues with is in one that nobody else can write to.
# shellcheck disable=SC3067 # dash, busybox and bash have -O
if ! mkdir -m 700 "$own" 2>/dev/null; then
    if [ -L "$own" ] || [ ! -d "$own" ] || [ ! -O "$own" ]; then
        fail "\`$own\` is a link or another user's, who could change what this pipeline continues with: remove it"
    fi
    chmod 700 "$own"
fi
rm -rf "$bundle" "$bundle.sha256" "$setup"
# Without trust nothing has restored these: an earlier job of this machine has left them.
is_true "${PARAM_TRUST_BRANCHES:-}" || rm -rf "$evaluations" "$evaluations.key"
is_true "${PARAM_TRUST_BRANCHES:-}" || is_true "${PARAM_RECORDS:-}" || rm -rf "$history"
mkdir "$setup"

set -- "${flake:-.}" --bundle "$bundle" --output "$setup/config.yml"

# options: arguments
for word in $(given "${PARAM_ATTRIBUTES:-}"); do set -- "$@" --select="$word"; done
for word in $(given "${PARAM_EXCLUDE:-}"); do set -- "$@" --exclude="$word"; done
for word in $(given "${PARAM_ALLOW_FAILURE:-}"); do set -- "$@" --allow-failure="$word"; done
for word in $(given "${PARAM_SYSTEMS:-}"); do
    if [ "$word" = all ]; then set -- "$@" --all-systems; else set -- "$@" --system="$word"; fi
done
if is_true "${PARAM_STRICT:-}"; then set -- "$@" --strict; fi
if is_true "${PARAM_ALLOW_IFD:-}"; then set -- "$@" --allow-ifd; fi
if is_true "${PARAM_IMPURE:-}"; then set -- "$@" --impure; fi
if is_true "${PARAM_ACCEPT_FLAKE_CONFIG:-}"; then set -- "$@" --accept-flake-config; fi
for word in $(given "${PARAM_EVAL_ENV:-}"); do set -- "$@" --eval-env="$word"; done
for word in $(given "${PARAM_SUBSTITUTERS:-}"); do set -- "$@" --substituter="$word"; done
for word in $(given "${PARAM_TRUSTED_PUBLIC_KEYS:-}"); do set -- "$@" --trusted-public-key="$word"; done
for word in $(given "${PARAM_CACHE_TOKENS:-}"); do set -- "$@" --cache-token="$word"; done
for word in $(given "${PARAM_CREDENTIAL_HOSTS:-}"); do set -- "$@" --credential-host="$word"; done
if is_true "${PARAM_REQUIRE_CACHES:-}"; then set -- "$@" --require-caches; fi
value=$(given "${PARAM_BASE:-}"); set -- "$@" ${value:+"--base=$value"}
value=$(given "${PARAM_DEFAULT_BRANCH:-}"); set -- "$@" ${value:+"--default-branch=$value"}
value=$(chosen "${PARAM_UNAFFECTED:-}"); set -- "$@" ${value:+"--unaffected=$value"}
value=$(chosen "${PARAM_MODE:-}"); set -- "$@" ${value:+"--mode=$value"}
value=$(chosen "${PARAM_GRANULARITY:-}"); set -- "$@" ${value:+"--granularity=$value"}
value=$(given "${PARAM_OBJECTIVE:-}"); set -- "$@" ${value:+"--objective=$value"}
value=$(given "${PARAM_MAX_JOBS:-}"); set -- "$@" ${value:+"--max-jobs=$value"}
value=$(given "${PARAM_RESERVE:-}"); set -- "$@" ${value:+"--reserve=$value"}
value=$(given "${PARAM_CONCURRENCY:-}"); set -- "$@" ${value:+"--concurrency=$value"}
for word in $(given "${PARAM_RESOURCE_CLASS:-}"); do set -- "$@" --resource-class="$word"; done
for word in $(given "${PARAM_IMAGE:-}"); do set -- "$@" --image="$word"; done
value=$(chosen "${PARAM_HANDOFF:-}"); set -- "$@" ${value:+"--handoff=$value"}
value=$(given "${PARAM_CACHE:-}"); set -- "$@" ${value:+"--cache=$value"}
value=$(chosen "${PARAM_REUSE:-}"); set -- "$@" ${value:+"--reuse=$value"}
value=$(chosen "${PARAM_SIGN:-}"); set -- "$@" ${value:+"--sign=$value"}
for word in $(given "${PARAM_DELIVERY_CONTEXTS:-}"); do set -- "$@" --delivery-context="$word"; done
value=$(given "${PARAM_SIGNING_KEY_VARIABLE:-}")
if [ "$value" != NIXDAG_SIGNING_KEY ]; then set -- "$@" ${value:+"--signing-key-variable=$value"}; fi
for word in $(given "${PARAM_SIGNING_PUBLIC_KEYS:-}"); do set -- "$@" --signing-public-key="$word"; done
for word in $(given "${PARAM_PUSH:-}"); do set -- "$@" --push="$word"; done
for word in $(given "${PARAM_PUSH_CREDENTIALS:-}"); do set -- "$@" --push-credential="$word"; done
value=$(chosen "${PARAM_PUSH_FAILURE:-}"); set -- "$@" ${value:+"--push-failure=$value"}
for word in $(given "${PARAM_BUILD_ENV:-}"); do set -- "$@" --build-env="$word"; done
for word in $(given "${PARAM_MERGE:-}"); do set -- "$@" --merge="$word"; done
# options: end
if is_true "${PARAM_TRUST_BRANCHES:-}"; then set -- "$@" --trust-branches --eval-cache="$evaluations"; fi
if [ -d "$history" ]; then set -- "$@" --history="$history"; fi
value=$(given "${PARAM_PARAMETERS_FROM:-}")
if [ -n "$value" ] && [ -f "$value" ]; then set -- "$@" --parameters-from="$value"; fi

# How jobs on machines that this nixdag does not run on get theirs, and machines without Nix get that.
value=$(given "${PARAM_RELEASE_CHECKSUMS:-}")
if [ -n "$value" ]; then
    printf '%s\n' "$value" >"$setup/SHA256SUMS"
    set -- "$@" --release-url="$(given "${PARAM_RELEASE_URL:-}")" --release-checksums="$setup/SHA256SUMS"
fi
value=$(given "${PARAM_NIX_CHECKSUMS:-}")
if [ -n "$value" ]; then
    printf '%s\n' "$value" >"$setup/nix.sha256"
    set -- "$@" --nix-version="$(given "${PARAM_NIX_VERSION:-}")" --nix-url="$(given "${PARAM_NIX_URL:-}")"
    set -- "$@" --nix-checksums="$setup/nix.sha256"
fi
for word in $(given "${PARAM_EXTRA_ARGUMENTS:-}"); do set -- "$@" "$word"; done

"$nixdag" generate "$@"
# An evaluation that may not be kept leaves nothing, and the step that keeps them wants both.
mkdir -p "$evaluations"
[ -e "$evaluations.key" ] || echo none >"$evaluations.key"
rm -f "$setup/SHA256SUMS" "$setup/nix.sha256"
cp "$bundle/plan.json" "$setup/plan.json"
"$nixdag" plan --plan "$setup/plan.json" --output "$setup/plan.txt"
"$nixdag" graph --plan "$setup/plan.json" --format mermaid --output "$setup/graph.mmd"
"$nixdag" graph --plan "$setup/plan.json" --format dot --output "$setup/graph.dot"
cat "$setup/plan.txt"
if is_true "${PARAM_DEBUG:-}"; then
    echo "== The configuration, which this pipeline does not continue with:"
    cat "$setup/config.yml"
fi
