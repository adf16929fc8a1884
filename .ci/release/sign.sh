#!/usr/bin/env bash
# Signs a release: .ci/release/sign.sh DIR [ALLOWED_SIGNERS]
#
# NIXDAG_RELEASE_KEY holds an OpenSSH private key (`ssh-keygen -t ed25519 -C release@nixdag`), in base64 on one line. Puts
# DIR/SHA256SUMS.sig, and fails unless the public key in .circleci/allowed_signers verifies it: a release that people cannot
# verify is not made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: $0 DIR [ALLOWED_SIGNERS]" >&2
    exit 2
fi
dir=$1 signers=${2:-$here/../../.circleci/allowed_signers}
[ -n "${NIXDAG_RELEASE_KEY:-}" ] || { echo "NIXDAG_RELEASE_KEY is empty: the context \`nixdag-release\` sets it" >&2; exit 1; }

key=$(mktemp)
trap 'rm -f "$key"' EXIT
printf '%s' "$NIXDAG_RELEASE_KEY" | base64 -d >"$key"
chmod 600 "$key"
rm -f "$dir/SHA256SUMS.sig"
ssh-keygen -q -Y sign -f "$key" -n nixdag-release "$dir/SHA256SUMS"
"$here/verify.sh" "$dir" "$signers" >&2
