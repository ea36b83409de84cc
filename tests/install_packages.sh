#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# install_packages.sh PACKAGE...: installs those Debian/Ubuntu packages that are missing, and says so.
# A package that is there only for a tool counts as installed when the tool is on the PATH.
set -euo pipefail

tool_of() {
  case $1 in
    cmake | g++ | clang-format | clang-tidy | git | python3) echo "$1" ;;
    ninja-build) echo ninja ;;
    clang) echo clang++ ;;
    pkg-config) echo pkg-config ;;
  esac
}
missing=()
for package in "$@"; do
  tool=$(tool_of "$package")
  if [[ -n $tool ]] && command -v "$tool" >/dev/null; then continue; fi
  if [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == 'install ok installed' ]]; then continue; fi
  missing+=("$package")
done
((${#missing[@]})) || exit 0

echo "installing: ${missing[*]}"
command -v apt-get >/dev/null || { echo 'There is no apt-get here: install the equivalents yourself.' >&2; exit 1; }
as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo 'Not root and no sudo: install them yourself.' >&2; exit 1; }
  as_root=(sudo)
fi
# A package source that does not answer is no reason to stop, as long as the packages can be had.
"${as_root[@]}" apt-get -qq update || echo 'apt-get update failed in part; going on'
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${missing[@]}" >/dev/null
