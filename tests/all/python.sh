#!/bin/bash
# The test of CPython's objects with the interpreters of other Debian releases, each with the C library of its own; and numpy's
# arrays in this one's.
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

root=$(scripts/fetch.sh python3-numpy 2>"$tmp/log") && libraries=$(echo "$root"/usr/lib/*-linux-gnu) &&
	export LD_LIBRARY_PATH="$libraries:$libraries/blas:$libraries/lapack" PYTHONPATH="$root/usr/lib/python3/dist-packages"
if ! /usr/bin/python3 -c 'import numpy' 2>>"$tmp/log"; then
	echo "SKIP python numpy: needs python3-numpy ($(tail -n 1 "$tmp/log"))"
	exit 0
fi
cat >"$tmp/arrays.py" <<'PY'
import sys
import numpy
kept = [numpy.zeros(1000 + i) for i in range(300)]
views = [a[10:20] for a in kept]
large = numpy.ones((1000, 1000))
turned = large.T
print(sum(a.nbytes for a in kept) + large.nbytes, flush=True)
sys.stdin.read()
PY
mkfifo "$tmp/in"
exec 8<>"$tmp/in"
env -u PYTHONMALLOC /usr/bin/python3 "$tmp/arrays.py" <"$tmp/in" >"$tmp/out" 2>"$tmp/log" &
pid=$!
trap 'kill $pid; rm -rf "$tmp"' EXIT
for _ in $(seq 600); do
	[ -s "$tmp/out" ] && break
	sleep 0.1
done
unset LD_LIBRARY_PATH PYTHONPATH
"${FLOTSAM:-build/release/flotsam}" objects $pid numpy.ndarray --format csv >"$tmp/csv" 2>>"$tmp/log"
# Some are numpy's own; malloc gives whole words, and maps whole pages.
if awk -F, -v n="$(cat "$tmp/out")" 'NR == 2 { bytes = $3; count = $1 } END { exit !(n && count >= 602 && bytes >= n && bytes <= n * 1.05) }' "$tmp/csv"; then
	echo 'ok python: arrays of numpy'
else
	echo "not ok python: arrays of numpy: $(cat "$tmp/out" "$tmp/csv" "$tmp/log" | tr '\r\n' '  ')"
fi
