#!/bin/sh
# Installs the packages of deploy/packages.txt that are missing: deploy/packages.sh GROUP…
# Uses the network only when something is missing. As root, or with sudo.
set -eu

list=$(dirname "$0")/packages.txt

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: this is no Debian system; see $list for what must be there" >&2
    exit 0
fi

wanted=
for group in "$@"; do
    wanted="$wanted $(sed -n "s/^$group //p" "$list")"
done
missing=
for package in $wanted; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
    installed*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "packages.sh: as root, please: apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq >&2
# shellcheck disable=SC2086 # a list of names
$as_root apt-get install -y -qq --no-install-recommends $missing </dev/null >&2
