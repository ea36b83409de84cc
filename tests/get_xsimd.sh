#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Unpacks Debian 13's xsimd (13.2) into build/deps/xsimd-13, beside the older one that Debian 12
# installs; nothing on the system is changed. From the mirror that this machine's apt uses already.
# Exits 77 (skipped), saying why, where there is none: then only the installed xsimd is tested.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=trixie package=libxsimd-dev
target=$PWD/build/deps/xsimd-13
if [[ -f $target/usr/include/xsimd/xsimd.hpp ]]; then
  echo "xsimd is in build/deps/xsimd-13 already"
  exit 0
fi
skip() { echo "SKIPPED: no xsimd of Debian 13: $*"; exit 77; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip 'this is no Debian'

# The machine's own Debian mirror, whichever format its sources have: apt itself is asked.
mirror() {
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)' \
    'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 == "main" && $3 !~ /-/ { print $4; exit }'
}
uri=$(mirror)
[[ -n $uri ]] || skip "apt's package lists name no Debian mirror"

# A private set of sources and lists, so that the system's stay as they are.
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
chmod 755 "$private"
mkdir -p "$private"/{lists,cache,parts}/partial
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -f $keyring ]] || skip "$keyring is missing"
echo "deb [signed-by=$keyring] $uri $suite main" >"$private/sources.list"
options=(-qq -o Dir::Etc::sourcelist="$private/sources.list" -o Dir::Etc::sourceparts="$private/parts"
  -o Dir::State::lists="$private/lists" -o Dir::Cache="$private/cache"
  -o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=60)
echo "getting $package of Debian $suite from this machine's mirror"
cd "$private"
timeout 300 apt-get "${options[@]}" update || skip "suite $suite cannot be read"
timeout 300 apt-get "${options[@]}" download "$package" || skip "$package cannot be downloaded"
dpkg-deb -x "$package"_*.deb "$private/tree"
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv "$private/tree" "$target"                          # complete or not there at all
echo "unpacked $(basename "$package"_*.deb) into build/deps/xsimd-13"
