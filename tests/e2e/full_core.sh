#!/bin/bash
# snap --content=full: a core that flotsam, gdb and eu-stack open, with the blocks and the stacks of the process.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
pid=
trap 'exec 8>&-; [ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
mkfifo "$tmp/in"
"$FIXTURES/growth" <"$tmp/in" >"$tmp/said" &
pid=$!
exec 8>"$tmp/in"
tell() {
	local n
	n=$(wc -l <"$tmp/said")
	echo "$1" >&8
	for _ in $(seq 300); do
		[ "$(wc -l <"$tmp/said")" -gt "$n" ] && return
		sleep 0.1
	done
}
check() { # NAME CONDITION...
	local name=$1
	shift
	if "$@" >"$tmp/out" 2>&1; then echo "ok full core: $name"; else echo "not ok full core: $name: $(tail -c 300 "$tmp/out")"; fi
}
for _ in $(seq 300); do
	[ -s "$tmp/said" ] && break
	sleep 0.1
done
tell 'cache 300 200'
tell 'log 40 5000'
tell 'lose 7 504'
tell 'forget 20 0'

check 'is written' "$FLOTSAM" snap "$pid" --content=full -o "$tmp/core"
check 'mode 0600' test "$(stat -c %a "$tmp/core")" = 600
check 'sparse' test $(($(stat -c %b "$tmp/core") * 512)) -lt "$(stat -c %s "$tmp/core")"
for target in "$pid" "$tmp/core"; do
	"$FLOTSAM" blocks "$target" --format csv >"$tmp/blocks.${target##*/}" 2>"$tmp/err" || echo "not ok full core: blocks of ${target##*/}: $(cat "$tmp/err")"
done
check 'every block is as in the process' cmp "$tmp/blocks.$pid" "$tmp/blocks.core"
check 'and there are some' test "$(wc -l <"$tmp/blocks.core")" -gt 327
"$FLOTSAM" diff "$tmp/core" "$pid" >"$tmp/diff" 2>&1
check 'the time between' grep -q '^[0-9.]* *[a-z]* apart, one process' "$tmp/diff"
check 'one process' grep -q 'one process' "$tmp/diff"
check 'of which no block has changed' grep -q 'No group of blocks grew or shrank' "$tmp/diff"
"$FLOTSAM" stack "$tmp/core" 1 >"$tmp/stack" 2>&1
check 'flotsam stack' grep -q 'main()' "$tmp/stack"
# A core of a core is the same again.
"$FLOTSAM" snap "$tmp/core" --content=full -o "$tmp/again" >"$tmp/out" 2>&1
"$FLOTSAM" blocks "$tmp/again" --format csv >"$tmp/blocks.again" 2>"$tmp/err"
check 'a core of it' cmp "$tmp/blocks.core" "$tmp/blocks.again"
# Notes of another version are left, with a word on it; the blocks are there all the same.
if perl -e 1 2>/dev/null; then
	perl -0777 -pe 's/(FLOTSAM\0)\x01/$1\x02/g' "$tmp/core" >"$tmp/newer"
	"$FLOTSAM" blocks "$tmp/newer" --format csv >"$tmp/blocks.newer" 2>"$tmp/err"
	check 'notes of another version: the blocks' cmp "$tmp/blocks.core" "$tmp/blocks.newer"
	"$FLOTSAM" report "$tmp/newer" >"$tmp/report" 2>&1
	check 'notes of another version: a finding' grep -q 'notes that flotsam put into the core are of a version' "$tmp/report"
	check 'notes of another version: no residency' grep -q '^MEMORY BY CAUSE' "$tmp/report"
	"$FLOTSAM" report "$tmp/core" >"$tmp/report" 2>&1
	check 'notes: residency' grep -q '^RSS BY CAUSE' "$tmp/report"
else
	echo 'SKIP full core notes: needs perl'
fi
# Compressed it is the same file, by its name or by the option.
"$FLOTSAM" snap "$pid" --content=full -o "$tmp/packed.zst" >"$tmp/out" 2>&1
"$FLOTSAM" snap "$pid" --content=full --compress=zstd -o "$tmp/packed" >"$tmp/out" 2>&1
for packed in packed.zst packed; do
	"$FLOTSAM" blocks "$tmp/$packed" --format csv >"$tmp/blocks.packed" 2>"$tmp/err"
	check "$packed: the blocks" cmp "$tmp/blocks.core" "$tmp/blocks.packed"
	check "$packed: a zstd frame" [ "$(od -An -tx1 -N4 "$tmp/$packed" | tr -d ' ')" = 28b52ffd ]
	if command -v zstd >/dev/null; then
		check "$packed: whole, by zstd" zstd -q -t "$tmp/$packed"
	else
		echo 'SKIP full core compressed: needs zstd'
	fi
done
check 'compressed is smaller' test "$(stat -c %s "$tmp/packed.zst")" -lt $(($(stat -c %b "$tmp/core") * 512))
check 'a census is not compressed' sh -c "! '$FLOTSAM' snap $pid --compress=zstd -o '$tmp/no' 2>/dev/null && test ! -e '$tmp/no'"

if command -v gdb >/dev/null; then
	gdb -nx -batch -ex bt -ex 'print g_cache.first != 0' -ex 'print cache.blocks' "$FIXTURES/growth" "$tmp/core" >"$tmp/gdb" 2>&1
	check 'gdb: stack' grep -q ' in main \|^#[0-9]* *main ' "$tmp/gdb"
	check 'gdb: a pointer' grep -q '^\$1 = 1' "$tmp/gdb"
	check 'gdb: a figure' grep -q '^\$2 = 280' "$tmp/gdb"
else
	echo 'SKIP full core gdb: needs gdb'
fi
if command -v eu-stack >/dev/null; then
	check 'eu-stack' sh -c "eu-stack --core '$tmp/core' -e '$FIXTURES/growth' | grep -q ' main'"
else
	echo 'SKIP full core eu-stack: needs elfutils'
fi
if command -v eu-unstrip >/dev/null && command -v readelf >/dev/null; then
	id=$(readelf -n "$FIXTURES/growth" | sed -n 's/.*Build ID: //p')
	eu-unstrip -n --core "$tmp/core" >"$tmp/modules" 2>&1
	check 'eu-unstrip: build-id of the program' grep -q " $id@" "$tmp/modules"
	check 'eu-unstrip: build-id of libc' grep -q ' [0-9a-f]*@.*libc.so.6' "$tmp/modules"
else
	echo 'SKIP full core eu-unstrip: needs elfutils and binutils'
fi
if command -v eu-readelf >/dev/null; then
	check 'eu-readelf: notes' sh -c "eu-readelf -n '$tmp/core' | grep -q AUXV"
else
	echo 'SKIP full core eu-readelf: needs elfutils'
fi
check 'needs a file' sh -c "! '$FLOTSAM' snap $pid --content=full | grep -q ."
