#!/bin/sh
# SPDX-License-Identifier: MIT
# Unpacks Debian's cmocka for arm64 into a folder, for the AArch64 build of the tests.
#
#   tools/aarch64-sysroot.sh FOLDER
#
# apt runs on lists of its own, so the machine's architectures, packages and package lists stay as they are, and root is
# not needed.
set -eu

mkdir -p "$1"
root=$(cd "$1" && pwd)
[ ! -e "$root/usr/include/cmocka.h" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages"
chmod 755 "$work"
cat >"$work/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State::lists "$work/lists";
Dir::State::status "/dev/null";
Dir::Cache "$work/cache";
END
export APT_CONFIG="$work/apt.conf"

apt-get -qq update </dev/null
(cd "$work/packages" && apt-get -qq download libcmocka-dev libcmocka0 </dev/null)
for package in "$work"/packages/*.deb; do
    dpkg-deb --extract "$package" "$root"
done
[ -e "$root/usr/include/cmocka.h" ]
