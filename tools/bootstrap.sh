#!/bin/sh
# SPDX-License-Identifier: MIT
# Sees to it that Debian packages are there.
#
#   tools/bootstrap.sh [--optional] PACKAGE...
#
# Root gets the missing ones installed; anyone else, and root where that fails, gets them named. Missing packages are an
# error unless they are optional. Where there is no dpkg it says what it would have looked for, and goes on.
set -u

optional=no
if [ "${1:-}" = --optional ]; then
    optional=yes
    shift
fi

if ! command -v dpkg-query >/dev/null; then
    echo "bootstrap: not a Debian machine; this needs the equal of: $*"
    exit 0
fi

list_missing() {
    for package in "$@"; do
        dpkg-query --show --showformat '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
            echo "$package"
    done
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    set -- -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
    apt-get -qq update </dev/null || echo "bootstrap: package lists could not be refreshed"
    apt-get -qq install -y --no-install-recommends "$@" </dev/null
}

missing=$(list_missing "$@")
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086 # a list of words
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "bootstrap: installing" $missing
    install_packages $missing >/dev/null || echo "bootstrap: apt-get failed"
    missing=$(list_missing $missing)
    [ -n "$missing" ] || exit 0
fi

# shellcheck disable=SC2086
if [ "$optional" = yes ]; then
    echo "bootstrap: going on without these optional packages:" $missing
    exit 0
fi
# shellcheck disable=SC2086
echo "bootstrap: these packages are needed: apt-get install --no-install-recommends" $missing >&2
exit 1
