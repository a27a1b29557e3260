#!/bin/bash
# make install and uninstall, below a DESTDIR with a space in its name.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT
root="$tmp/a root"
unset MAKEFLAGS MFLAGS MAKELEVEL

make -s MODE="${MODE:-release}" install DESTDIR="$root" PREFIX=/usr >"$tmp/log" 2>&1 || { echo "not ok install: $(tail -n 1 "$tmp/log")"; exit 1; }
want=$( (echo ./usr/bin/flotsam; for page in man/*.[1-9]; do echo "./usr/share/man/man${page##*.}/${page##*/}"; done) | sort)
got=$(cd "$root" && find . -type f | sort)
if [ "$got" = "$want" ]; then echo 'ok install: the files'; else echo "not ok install: the files: $got"; fi
version=$("$root/usr/bin/flotsam" --version 2>&1)
if grep -q '^flotsam [0-9]' <<<"$version"; then echo 'ok install: it runs'; else echo "not ok install: it runs: $version"; fi
make -s MODE="${MODE:-release}" uninstall DESTDIR="$root" PREFIX=/usr >"$tmp/log" 2>&1
left=$(find "$root" -type f)
if [ -z "$left" ]; then echo 'ok uninstall'; else echo "not ok uninstall: left $left"; fi
