#!/bin/sh
# Ends with the verdict that `build.sh` has recorded.
set -eu
case ${PARAM_RESULTS:-} in \~/*) PARAM_RESULTS=$HOME/${PARAM_RESULTS#\~/} ;; esac
exec "$HOME/.nixdag/program/nixdag" build --verdict "$PARAM_RESULTS"
