#!/usr/bin/env bash
# Runs a job's script where what it prints is no command for GitHub, and then says to GitHub what failed.
#
# Secrets, a line `NAME=value` each, reach the script as variables. They come in a variable that every process of this user could read in
# /proc for as long as a process that was started with it runs: so the first thing is to become a process that was not.
set -euo pipefail

if [ "${1:-}" != without-secrets ]; then
    exec 3<<<"${NIXDAG_SECRETS:-}"
    exec env -u NIXDAG_SECRETS bash "$0" without-secrets
fi

secrets=()
while IFS= read -r line <&3 || [ -n "$line" ]; do
    line=${line%$'\r'}
    [ -n "$line" ] || continue
    if [[ ! $line =~ ^[A-Za-z_][A-Za-z0-9_]*= ]]; then
        echo "::error::a line of the secrets is not NAME=value; it is left out"
        continue
    fi
    # GitHub reads %25, %0A and %0D in a command as other characters, and would hide what is no secret.
    mask=${line#*=}
    mask=${mask//%/%25}
    [ -z "$mask" ] || echo "::add-mask::$mask"
    secrets+=("$line")
done
exec 3<&-

own=nixdag-job-$NIXDAG_JOB
for artifact in .nixdag/artifacts/nixdag-job-*; do
    [ -d "$artifact" ] || continue
    name=${artifact##*/}
    if [[ $name = nixdag-job-nixdag-worker-* ]]; then
        # What a worker has built, a folder for each job. Of two that have built the same job, one will do.
        for job in "$artifact"/*/; do
            [ -d "$job" ] || continue
            to=${job%/}
            to=.nixdag/handoff/${to##*/}
            [ -e "$to" ] || mv "$job" "$to"
        done
        continue
    fi
    if [ "$name" = "$own" ]; then to=.nixdag/reuse/partial; else to=.nixdag/handoff/${name#nixdag-job-}; fi
    mv "$artifact" "$to"
done

token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "::stop-commands::$token"
# A shell's own variables are in no process's initial environment; nixdag wipes its own.
set +e
(
    set -eo pipefail
    for secret in ${secrets[@]+"${secrets[@]}"}; do export "${secret%%=*}=${secret#*=}"; done
    script=$NIXDAG_SCRIPT
    unset NIXDAG_SCRIPT token secrets secret line mask
    eval "$script"
)
code=$?
set -e
echo
echo "::$token::"
if [ -d .nixdag/results ] && [ -x .nixdag/program/nixdag ]; then
    .nixdag/program/nixdag report --format github .nixdag/results || true
fi
exit "$code"
