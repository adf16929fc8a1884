#!/usr/bin/env bash
# Makes a commit whose root is this folder, for the project of the component: GitLab looks for `templates/` at a project's root.
#
# Usage: gitlab/release.sh REVISION [PARENT]    prints the commit; push it with
#        git push git@gitlab.com:OWNER/nixdag.git COMMIT:refs/heads/main COMMIT:refs/tags/VERSION
# PARENT is what the project's branch is at, so that its history goes on.
set -euo pipefail

revision=${1:?usage: gitlab/release.sh REVISION [PARENT]}
parent=${2:-}

cd "$(dirname "$0")"
tree=$(git rev-parse --verify --quiet "$revision:gitlab") || {
    echo "release.sh: revision \`$revision\` has no folder \`gitlab\`" >&2
    exit 1
}
message="nixdag $(git describe --always --tags "$revision")"
# The same revision gives the same commit.
date=$(git log -1 --format=%cI "$revision")
export GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date
git commit-tree ${parent:+-p "$parent"} -m "$message" "$tree"
