#!/bin/bash
# A debug file that makes libdw crash, and one whose entries cost hours: they cost their names, the sitting goes on and says so.
# Crashes: the file is cut while its pages are mapped, so that libdw's next read of it is a bus error.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/fixtures.bash
flotsam=${FLOTSAM:-build/release/flotsam} fixtures=${FIXTURES:-build/release/fixtures}
mode=${MODE:-release}
command -v objcopy >/dev/null || { echo 'SKIP hostile_files: needs binutils'; exit 0; }
# What libdw and its callers owned when they were left is gone.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
tmp=$(mktemp -d) || exit
children=()
trap 'for c in "${children[@]}"; do kill "$c" 2>/dev/null; done; rm -rf "$tmp"' EXIT

start() { # PROGRAM, which says something and waits for its input to end: pid
	mkfifo "$tmp/in"
	"$1" <"$tmp/in" >"$tmp/said" 2>/dev/null &
	pid=$!
	children+=("$pid")
	exec 9>"$tmp/in"
	rm "$tmp/in"
	for ((i = 0; i < 600; i++)); do
		[ -s "$tmp/said" ] && break
		sleep 0.1
	done
	settled "$pid"
}

# What the heap says does not depend on names.
arenas_of() {
	"$flotsam" arenas "$pid" --format csv 2>/dev/null
}
check() { # NAME WHY ARGUMENTS-BEFORE... of the sitting; the last one is the command that shall lose names
	local name=$1 why=$2 status
	shift 2
	timeout 300 "$flotsam" shell "$pid" "$@" -e 'arenas --format csv' >"$tmp/out" 2>"$tmp/err" <&-
	status=$?
	if [ $status -gt 125 ]; then
		echo "not ok hostile_files: $name: status $status: $(tail -n 1 "$tmp/err")"
	elif [ "$(grep -c "$why" "$tmp/err")" != 1 ]; then
		echo "not ok hostile_files: $name: said $(grep -c "$why" "$tmp/err") times what is lost: $(head -n 3 "$tmp/err" | tr '\n' ' ')"
	elif [ "$(tail -n "$(wc -l <"$tmp/arenas")" "$tmp/out")" != "$(cat "$tmp/arenas")" ]; then
		echo "not ok hostile_files: $name: the next command says something else"
	else
		echo "ok hostile_files: $name"
	fi
}

start "$fixtures/endless"
arenas_of >"$tmp/arenas"
frame=$("$flotsam" stack "$pid" 2>/dev/null | sed -n 's/^#\([0-9]*\) *waits() .*/\1/p')
export FLOTSAM_DWARF_SECONDS=1
for command in 'print g_block' "locals ${frame:-x}" types containers report; do
	check "an endless file: $command" '^flotsam: endless: reading its names took more than 1 s' -e "$command"
done
unset FLOTSAM_DWARF_SECONDS
exec 9>&-

case $mode in asan | tsan)
	echo 'SKIP hostile_files: crashes: needs a build without a sanitizer, which shall see them'
	exit 0
esac
cp "$fixtures/values" "$tmp/values"
id=$(readelf -n "$tmp/values" | sed -n 's/.*Build ID: //p')
debug=$tmp/.build-id/${id:0:2}/${id:2}.debug
mkdir -p "${debug%/*}"
objcopy --only-keep-debug "$tmp/values" "$tmp/whole" && objcopy --strip-debug "$tmp/values"
start "$tmp/values"
arenas_of >"$tmp/arenas"
frame=$("$flotsam" stack "$pid" 2>/dev/null | sed -n 's/^#\([0-9]*\) *many(.*/\1/p')
for command in 'print g_map' 'print shapes::circle g_circle' "locals ${frame:-x}" types containers report; do
	cp "$tmp/whole" "$debug"
	check "a file that crashes libdw: $command" '^flotsam: values: the library that reads it crashed' --debug-dir "$tmp" --types=vtable \
		-e 'print g_object' -e "arenas | truncate -s 4096 $debug" -e "$command"
done
exec 9>&-
