#!/bin/bash
# The test of CPython's objects with the interpreters of other Debian releases, each with the C library of its own.
set -u
cd "$(dirname "$0")/../.." || exit
[ "$(uname -m)" = x86_64 ] || { echo 'SKIP python of other releases: needs an x86_64'; exit 0; }
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flotsam}
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT

while read -r suite version ffi; do
	packages=(libc6 libgcc-s1 zlib1g libexpat1 "$ffi" "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib")
	if ! root=$(CACHE=$cache/python scripts/fetch-suite.sh "$suite" amd64 "${packages[@]}" 2>"$tmp/log"); then
		echo "SKIP python $version: needs the packages ${packages[*]} of $suite ($(tail -n 1 "$tmp/log"))"
		continue
	fi
	cat >"$tmp/python$version" <<-END
	#!/bin/sh
	PYTHONHOME='$root/usr' exec '$root/lib64/ld-linux-x86-64.so.2' --library-path '$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu' '$root/usr/bin/python$version' "\$@"
	END
	chmod +x "$tmp/python$version"
	PYTHON=$tmp/python$version bash tests/e2e/python.sh
done <<'ROWS'
bullseye 3.9 libffi7
bookworm 3.11 libffi8
trixie 3.13 libffi8
ROWS
