#!/usr/bin/env bash
# Verifies a release, or the part of one that was fetched: .ci/release/verify.sh DIR [ALLOWED_SIGNERS]
#
# DIR holds SHA256SUMS, SHA256SUMS.sig and at least one file that is named there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: $0 DIR [ALLOWED_SIGNERS]" >&2
    exit 2
fi
signers=$(realpath "${2:-$here/../../.circleci/allowed_signers}")
cd "$1"
ssh-keygen -Y verify -f "$signers" -I release@nixdag -n nixdag-release -s SHA256SUMS.sig <SHA256SUMS || {
    echo "SHA256SUMS is not signed by a key of $signers" >&2
    exit 1
}
if command -v sha256sum >/dev/null; then sha256sum --ignore-missing -c SHA256SUMS; else shasum -a 256 --ignore-missing -c SHA256SUMS; fi
