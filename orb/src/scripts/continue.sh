#!/bin/sh
# Continues the pipeline by `nixdag continue`, which takes the key from the environment. The orb's job `setup` includes this script.
set -eu
given() { [ "$1" = '<nil>' ] || printf '%s' "$1"; }

set -- /tmp/nixdag/setup/config.yml
value=$(given "${PARAM_PARAMETERS:-}"); set -- "$@" ${value:+"--parameters=$value"}
value=$(given "${PARAM_CIRCLECI_DOMAIN:-}")
case $value in
'') ;;
*://*) set -- "$@" --api-url="$value" ;;
*) set -- "$@" --domain="$value" ;;
esac
exec "$HOME/.nixdag/program/nixdag" continue "$@"
