#!/bin/sh
# Installs the programs that tests need, by apt, where they are missing. Arguments: program:package …
set -eu
PATH="$PATH:/usr/sbin:/sbin"
# Debian keeps the programs of a PostgreSQL server in a folder of its version.
for folder in /usr/lib/postgresql/*/bin; do
    PATH="$PATH:$folder"
done
missing=""
for pair in "$@"; do
    command -v "${pair%%:*}" > /dev/null || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get > /dev/null; then
    echo "please install:$missing (there is no apt-get here)" >&2
    exit 1
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
    sudo="sudo"
fi
# A mirror's list may be old, so a first failure is no reason to give up.
# shellcheck disable=SC2086
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get install -y -qq --no-install-recommends $missing || {
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends $missing
}
