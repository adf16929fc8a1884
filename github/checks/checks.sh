#!/usr/bin/env bash
# Writes a check for each target that was to be built, by what jobs and workers have recorded. The plan is checked before it is read; of records only
# words count that are known here. Nothing here decides about the gate.
set -euo pipefail

# GitHub allows 1,000 requests in an hour for a repository's token.
most=300

(
    cd .nixdag/bundle
    echo "$MANIFEST  manifest" | sha256sum -c -
    grep -E ' plan\.json$' manifest | sha256sum -c -
)
mkdir -p .nixdag/results
# What became of each derivation: of several records the best one counts, since what failed may have been built in another attempt.
find .nixdag/results -type f -name report.json -size -1024M -print0 | while IFS= read -r -d '' file; do
    jq -c '.derivations[]? | select(type == "object") | [.derivation, .outcome, .class] | select(all(.[:2][]; type == "string"))' "$file" 2>/dev/null || true
done | jq -cs '
    def rank: if IN("built", "substituted", "present") then 3 elif . == "failed" then 2 else 1 end;
    reduce .[] as [$path, $outcome, $class] ({};
        if ($outcome | rank) > (.[$path][0] // 0) then .[$path] = [($outcome | rank), $class] else . end)
' >.nixdag/outcomes.json

# A pull request is built as it would be merged, and shown at its own last commit.
commit=$(jq -r '.pull_request.head.sha // .merge_group.head_sha // empty' "$GITHUB_EVENT_PATH")
jq -c --slurpfile outcomes .nixdag/outcomes.json --arg commit "${commit:-$GITHUB_SHA}" --argjson most "$most" '
    def attribute: map(if test("^[A-Za-z_][A-Za-z0-9_'\''-]*$") then . else tojson end) | join(".");
    def known: IN("builder", "timeout", "hash-mismatch", "disk-full", "killed", "network", "machine-lost", "unsupported", "nix-ended");
    ($outcomes[0]) as $outcomes
    | (reduce (.jobs[]? | select(.options.allow_failure == true)) as $job ({}; .[$job.id] = true)) as $may_fail
    | [.targets[] | select(.job != null)
        | ($outcomes[.derivation] // [0, null]) as [$rank, $class]
        | (if $rank == 3 then ["success", "It is there"]
            elif $rank == 2 then ["failure", "Its build has failed" + (if ($class | known) then ": " + $class else "" end)]
            elif $rank == 1 then ["failure", "It was not built: something that it needs has failed, or its job ended before"]
            else ["failure", "No job has recorded it"] end) as [$conclusion, $words]
        | {
            name: ("nixdag: " + (.target | attribute))[:250],
            head_sha: $commit,
            status: "completed",
            conclusion: (if $conclusion == "failure" and $may_fail[.job] then "neutral" else $conclusion end),
            output: {title: $words, summary: ($words + ". The page of the run says more.")}
          }]
    | unique_by(.name) | sort_by(.conclusion == "success") | .[:$most][]
' .nixdag/bundle/plan.json >.nixdag/checks.jsonl

while IFS= read -r check; do
    printf '%s\n' "$check" >.nixdag/check
    for try in 1 2 3; do
        # In no argument, which every process could read.
        status=$(curl -sS -K <(printf 'header = "Authorization: Bearer %s"\n' "$NIXDAG_CHECKS_TOKEN") --max-time 30 -o .nixdag/answer \
            -w '%{http_code}' -H 'Accept: application/vnd.github+json' -H 'Content-Type: application/json' -H 'X-GitHub-Api-Version: 2022-11-28' \
            --data-binary @.nixdag/check "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/check-runs") || status=000
        case $status in
            201) break ;;
            401 | 403 | 404)
                echo "::warning::nixdag writes no checks: status $status; the job needs \`checks: write\`, which pull requests of forks do not get"
                exit 0
                ;;
            000 | 429 | 5??) [ "$try" = 3 ] || sleep "${NIXDAG_CHECKS_PAUSE:-5}" ;;
            *) break ;;
        esac
    done
    if [ "$status" != 201 ]; then
        echo "::warning::nixdag has not written a check: status $status"
        exit 0
    fi
done <.nixdag/checks.jsonl
echo "checks: $(wc -l <.nixdag/checks.jsonl)"
