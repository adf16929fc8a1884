#!/bin/sh
# Builds one job of a plan, for configurations that are written by hand. The verdict is recorded and the step ends well, so that
# the steps behind it hand on what was built; `verdict.sh` ends with the verdict.
set -euf
unset CIRCLE_CONTINUATION_KEY CIRCLE_TOKEN CIRCLECI_CLI_TOKEN
PATH=$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH
export PATH
given() { [ "$1" = '<nil>' ] || printf '%s' "$1"; }
# A path as CircleCI's own steps take it.
path() { case $1 in \~/*) printf '%s/%s' "$HOME" "${1#\~/}" ;; *) given "$1" ;; esac }

set -- --job="$(given "${PARAM_JOB:-}")" --results="$(path "${PARAM_RESULTS:-}")" --record-verdict
value=$(path "${PARAM_BUNDLE:-}"); set -- "$@" ${value:+"--bundle=$value"}
value=$(given "${PARAM_BUNDLE_SHA256:-}"); set -- "$@" ${value:+"--bundle-sha256=$value"}
value=$(path "${PARAM_PLAN:-}"); set -- "$@" ${value:+"--plan=$value"}
value=$(path "${PARAM_WORKSPACE:-}"); set -- "$@" ${value:+"--workspace=$value"}
value=$(given "${PARAM_CACHE:-}"); set -- "$@" ${value:+"--cache=$value"}
value=$(given "${PARAM_ON_MISSING:-}"); set -- "$@" ${value:+"--on-missing=$value"}
for word in $(given "${PARAM_EXTRA_ARGUMENTS:-}"); do set -- "$@" "$word"; done
# In the shell's place, so that SIGTERM reaches it: it then pushes what it has built.
exec "$HOME/.nixdag/program/nixdag" build "$@"
