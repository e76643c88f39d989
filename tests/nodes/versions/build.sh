#!/bin/sh
# Builds the wheel of the version before, for tests/nodes/test_nodes_versions.py, from a commit (HEAD if none is given):
# a node of it, without what no node needs (the demo, `prove`, the pages of Swagger UI). To be run when the schema of the
# database has a new step, or a version was published: sh tests/nodes/versions/build.sh [COMMIT]
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git -C "$root" archive "${1:-HEAD}" pyproject.toml README.md LICENSE taskyard | tar x -C "$folder"
cd "$folder"
sed -i 's/^version = "\([^"]*\)"/version = "\1.dev1"/' pyproject.toml
rm -rf taskyard/prove taskyard/demo taskyard/web/static/vendor/*.d.ts
: > taskyard/api/static/swagger-ui-bundle.js
: > taskyard/api/static/swagger-ui.css
"$root/.venv/bin/pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir wheel .
rm -f "$root"/tests/nodes/versions/*.whl
cp wheel/*.whl "$root/tests/nodes/versions/"
