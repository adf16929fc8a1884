# The scripts that call nixdag: parameters become arguments as they are, and no key to the pipeline goes along.

load support

setup() {
    prepare
    # shellcheck disable=SC2016
    nixdag 'echo "key=${CIRCLE_CONTINUATION_KEY-none} token=${CIRCLE_TOKEN-none}"
case $1 in
generate)
    mkdir -p /tmp/nixdag/bundle && echo {} >/tmp/nixdag/bundle/plan.json && echo config >/tmp/nixdag/setup/config.yml ;;
esac
if [ "$1" = plan ]; then echo table >/tmp/nixdag/setup/plan.txt; exit; fi
[ "$1" != graph ] || exit 0
for argument in "$@"; do printf "[%s]" "$argument"; done; echo'
    fake nix-store :
    export CIRCLE_CONTINUATION_KEY=secret CIRCLE_TOKEN=secret
    # The scripts write below /tmp/nixdag, as the cache's paths have to be the same everywhere.
    [ ! -e /tmp/nixdag ] || mv /tmp/nixdag "$BATS_TEST_TMPDIR/nixdag.kept"
}

teardown() {
    rm -rf /tmp/nixdag
    [ ! -e "$BATS_TEST_TMPDIR/nixdag.kept" ] || mv "$BATS_TEST_TMPDIR/nixdag.kept" /tmp/nixdag
}

@test "with nothing given only the files are named" {
    run_without_keys generate
    ends_with 0
    says "[generate][.][--bundle][/tmp/nixdag/bundle][--output][/tmp/nixdag/setup/config.yml]
"
    says "table"
    [[ $output != *"config
"* ]]
}

@test "empty and <nil> are nothing, and so are choices left to nixdag.yml" {
    PARAM_ATTRIBUTES='<nil>' PARAM_BASE='' PARAM_PUSH='<nil>' PARAM_SIGNING_KEY_VARIABLE=NIXDAG_SIGNING_KEY PARAM_REUSE=default PARAM_GRANULARITY=default PARAM_STRICT='' \
        run_without_keys generate
    ends_with 0
    [[ $output != *--base* && $output != *--reuse* && $output != *--select* && $output != *--strict* ]]
}

@test "lists are split at blanks and line ends, and nothing in them is expanded" {
    # shellcheck disable=SC2016
    PARAM_ATTRIBUTES=$'packages.*.*  checks.x86_64-linux.{a,b}\n"$(touch /tmp/evil)" `id`' run_without_keys generate
    ends_with 0
    # shellcheck disable=SC2016
    says '[--select=packages.*.*][--select=checks.x86_64-linux.{a,b}][--select="$(touch][--select=/tmp/evil)"][--select=`id`]'
}

@test "every parameter becomes its flag" {
    PARAM_FLAKE=./sub PARAM_EXCLUDE=x PARAM_SYSTEMS="a b" PARAM_STRICT=1 PARAM_ACCEPT_FLAKE_CONFIG=true PARAM_RESOURCE_CLASS="large b=arm.large" PARAM_IMAGE=i \
        PARAM_SUBSTITUTERS="https://a https://b" PARAM_TRUSTED_PUBLIC_KEYS=k:1= PARAM_HANDOFF=cache PARAM_CACHE="s3://it's?a=b&c=d" \
        PARAM_PUSH="s3://p file:///q" PARAM_PUSH_CREDENTIALS="A B" PARAM_SIGNING_KEY_VARIABLE=KEY PARAM_SIGNING_PUBLIC_KEYS=s:1= PARAM_REUSE=signed PARAM_BASE=auto PARAM_DEFAULT_BRANCH=main PARAM_GRANULARITY=auto PARAM_OBJECTIVE=cost \
        PARAM_MAX_JOBS=7 PARAM_CONCURRENCY=30 PARAM_MERGE=.circleci/continue.yml PARAM_EXTRA_ARGUMENTS="--cost start_up=30" \
        run_without_keys generate
    ends_with 0
    says "[generate][./sub]"
    says "[--exclude=x][--system=a][--system=b][--strict][--accept-flake-config]"
    says "[--substituter=https://a][--substituter=https://b][--trusted-public-key=k:1=][--base=auto][--default-branch=main]"
    says "[--granularity=auto][--objective=cost][--max-jobs=7][--concurrency=30]"
    says "[--resource-class=large][--resource-class=b=arm.large][--image=i]"
    says "[--handoff=cache][--cache=s3://it's?a=b&c=d][--reuse=signed][--signing-key-variable=KEY][--signing-public-key=s:1=]"
    says "[--push=s3://p][--push=file:///q][--push-credential=A][--push-credential=B][--merge=.circleci/continue.yml]"
    says "[--cost][start_up=30]"
}

@test "all systems are a flag of their own" {
    PARAM_SYSTEMS=all run_without_keys generate
    says "[--all-systems]"
    [[ $output != *--system=* ]]
}

@test "evaluations and pipeline parameters are taken from where they are" {
    cd "$BATS_TEST_TMPDIR"
    echo "version: 2.1" >config.yml
    PARAM_TRUST_BRANCHES=1 PARAM_PARAMETERS_FROM=config.yml run_without_keys generate
    ends_with 0
    says "[--eval-cache=/tmp/nixdag/evaluations][--parameters-from=config.yml]"
    [ -d /tmp/nixdag/evaluations ]
    [ -e /tmp/nixdag/evaluations.key ]
    PARAM_TRUST_BRANCHES=0 PARAM_PARAMETERS_FROM=none.yml run_without_keys generate
    ends_with 0
    [[ $output != *--eval-cache* && $output != *--parameters-from* ]]
}

@test "releases are handed on with their checksums" {
    PARAM_RELEASE_URL=https://r PARAM_RELEASE_CHECKSUMS=$'1  a\n2  b' PARAM_NIX_VERSION=2.0 PARAM_NIX_URL=https://n PARAM_NIX_CHECKSUMS='3  c' \
        run_without_keys generate
    ends_with 0
    says "[--release-url=https://r][--release-checksums=/tmp/nixdag/setup/SHA256SUMS]"
    says "[--nix-version=2.0][--nix-url=https://n][--nix-checksums=/tmp/nixdag/setup/nix.sha256]"
    [ "$(ls /tmp/nixdag/setup)" = $'config.yml\nplan.json\nplan.txt' ]
}

@test "debug shows the configuration, whichever way a boolean is written" {
    for value in 1 true; do
        PARAM_DEBUG=$value run_without_keys generate
        ends_with 0
        says "config"
    done
    for value in 0 false ''; do
        PARAM_DEBUG=$value run_without_keys generate
        [[ $output != *"which this pipeline does not continue with"* ]]
    done
}

@test "neither evaluation nor builds get the keys to the pipeline" {
    run_without_keys generate
    says "key=none token=none"
    [[ $output != *secret* ]]
    PARAM_JOB=a PARAM_RESULTS=/tmp/r run_script build
    says "key=none token=none"
}

@test "while nixdag runs no process of the step shows the keys" {
    fake nixdag-shows 'for id in $$ $PPID; do tr "\\0" "\\n" </proc/$id/environ; done; echo shown'
    nixdag "exec $bin/nixdag-shows"
    run_without_keys generate
    says shown
    [[ $output != *secret* && $output != *NIXDAG_SCRIPT=* ]]
}

@test "a folder that somebody else has made first is not used" {
    [ "$(id -u)" = 0 ] || skip "only root can give folders away"
    theirs=$BATS_TEST_TMPDIR/theirs
    mkdir /tmp/nixdag
    chown 1234 /tmp/nixdag
    chmod 777 /tmp/nixdag
    run_without_keys generate
    ends_with 1
    says "\`/tmp/nixdag\` is a link or another user's"
    [ -z "$(ls /tmp/nixdag)" ]
    rmdir /tmp/nixdag
    mkdir "$theirs"
    ln -s "$theirs" /tmp/nixdag
    run_without_keys generate
    ends_with 1
    says "\`/tmp/nixdag\` is a link or another user's"
    [ -z "$(ls "$theirs")" ]
    rm /tmp/nixdag
    echo >/tmp/nixdag
    run_without_keys generate
    ends_with 1
}

@test "what an earlier job has left goes, and the folder is for its user alone" {
    mkdir -p /tmp/nixdag/evaluations/old /tmp/nixdag/setup/old
    echo old >/tmp/nixdag/evaluations.key
    run_without_keys generate
    ends_with 0
    [ "$(stat -c %a /tmp/nixdag)" = 700 ]
    [ ! -e /tmp/nixdag/evaluations/old ] && [ ! -e /tmp/nixdag/setup/old ]
    [ "$(cat /tmp/nixdag/evaluations.key)" = none ]
}

@test "the release is named in a fresh folder, before anything is restored" {
    theirs=$BATS_TEST_TMPDIR/theirs
    mkdir -p "$theirs" /tmp/nixdag/evaluations
    NIXDAG_CHECKSUMS='1  a' run_script name_release
    ends_with 0
    [ "$(ls /tmp/nixdag)" = program.sums ]
    rm -r /tmp/nixdag
    ln -s "$theirs" /tmp/nixdag
    NIXDAG_CHECKSUMS='1  a' run_script name_release
    ends_with 0
    [ -z "$(ls "$theirs")" ] && [ ! -L /tmp/nixdag ]
}

@test "a failure of nixdag is the step's" {
    nixdag 'echo broken >&2; exit 2'
    run_without_keys generate
    ends_with 2
    says broken
}

@test "what is missing is named with the command that brings it" {
    rm "$HOME/.nixdag/program/nixdag"
    run_without_keys generate
    ends_with 1
    says 'the orb'"'"'s command `install`'
    nixdag :
    rm "$bin/nix-store"
    run_without_keys generate
    ends_with 1
    says 'the orb'"'"'s command `install_nix`'
}

@test "a flake that looks like a flag is refused" {
    PARAM_FLAKE=--version run_without_keys generate
    ends_with 1
    says '`--version` is not a flake'
}

@test "nixdag continues with the key in its environment and nowhere else" {
    run_script continue
    ends_with 0
    says "key=secret"
    says "[continue][/tmp/nixdag/setup/config.yml]"
    PARAM_PARAMETERS='{"a": "b c"}' PARAM_CIRCLECI_DOMAIN=circleci.example.org run_script continue
    says '[--parameters={"a": "b c"}][--domain=circleci.example.org]'
    PARAM_CIRCLECI_DOMAIN=http://127.0.0.1:1/api/v2 run_script continue
    says '[--api-url=http://127.0.0.1:1/api/v2]'
}

@test "a job is built from what is given" {
    # shellcheck disable=SC2088
    PARAM_JOB=a-1 PARAM_RESULTS='~/.nixdag/results' PARAM_BUNDLE=/tmp/b PARAM_BUNDLE_SHA256=00 PARAM_WORKSPACE='~/w' PARAM_PLAN='' \
        PARAM_ON_MISSING=fail PARAM_EXTRA_ARGUMENTS='--cores 2' run_script build
    ends_with 0
    says "[build][--job=a-1][--results=$HOME/.nixdag/results][--record-verdict][--bundle=/tmp/b][--bundle-sha256=00]"
    says "[--workspace=$HOME/w][--on-missing=fail][--cores][2]"
    # shellcheck disable=SC2088
    PARAM_RESULTS='~/.nixdag/results' run_script verdict
    says "[build][--verdict][$HOME/.nixdag/results]"
}
