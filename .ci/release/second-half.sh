#!/bin/sh
# Writes the configuration of the pipeline's second half beside a finished release: .ci/release/second-half.sh DIR
#
# DIR/test-deploy.yml is .circleci/test-deploy.yml with the digest of DIR/SHA256SUMS in it. The files travel through a cache that every branch
# can write; the configuration does not, so the digest tells whether they are still those that were built.
set -eu
[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
from=$(dirname "$0")/../../.circleci/test-deploy.yml
if command -v sha256sum >/dev/null; then digest=$(sha256sum <"$1/SHA256SUMS"); else digest=$(shasum -a 256 <"$1/SHA256SUMS"); fi
grep -q '@SHA256SUMS@' "$from" || { echo "$from has no place for the digest" >&2; exit 1; }
sed "s/@SHA256SUMS@/${digest%% *}/" "$from" >"$1/test-deploy.yml"
