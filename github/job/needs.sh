#!/usr/bin/env bash
# Checks the bundle before anything in it is used, and names the artifacts that the job takes: those of its inputs, and in a later attempt
# what the job itself has left, so that what was built stays.
set -euo pipefail

cd .nixdag/bundle
sum=(sha256sum)
command -v sha256sum >/dev/null || sum=(shasum -a 256)
echo "$MANIFEST  manifest" | "${sum[@]}" -c -
grep -E ' (plan\.json|nixdag)$' manifest | "${sum[@]}" -c -
# Artifacts have no mode bits.
chmod +x nixdag
own=
[ "${GITHUB_RUN_ATTEMPT:-1}" = 1 ] || own=$NIXDAG_JOB
# A brace with one alternative is not a brace, and a pattern may have 65,536 characters: above that all artifacts are taken, and where workers have
# built, since each leaves one artifact of all that it has built.
jq -r --arg id "$NIXDAG_JOB" --arg own "$own" '
  (.workers != null) as $workers
  | [([.jobs[], .final[]] | map(select(.id == $id)) | (.[0].inputs // [])[]), ($own | select(. != ""))]
  | if $id == "sign-and-push" or ($workers and length > 0) then "nixdag-job-*"
    elif length == 0 then ""
    elif length == 1 then "nixdag-job-" + .[0]
    else "nixdag-job-{" + join(",") + "}" end
  | if length > 60000 then "nixdag-job-*" else . end
  | "artifacts=" + .
' plan.json >>"$GITHUB_OUTPUT"
