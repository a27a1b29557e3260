#!/bin/bash
# Types of blocks of a Rust program against what the program says: vectors, tables, enums, trait objects, closures.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d "${TMPDIR:-/tmp}/flotsam-rust.XXXXXX") || exit
child=
end_child() {
	exec 4>&-
	[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null
	child=
}
trap 'end_child; rm -rf "$tmp"' EXIT

measure() { # COMPILER
	local name i
	name="types of $("$1" --version 2>/dev/null | cut -d' ' -f1,2)"
	if ! "$1" -g -o "$tmp/types" fixtures/boxes/types.rs 2>"$tmp/log"; then
		echo "SKIP $name: needs a rustc that links ($(grep -m 1 '^error' "$tmp/log"))"
		return
	fi
	rm -f "$tmp/in"
	mkfifo "$tmp/in" || exit
	"$tmp/types" <"$tmp/in" >"$tmp/truth" 2>"$tmp/log" &
	child=$!
	exec 4>"$tmp/in"
	for ((i = 0; i < 600; i++)); do
		grep -q '^ready' "$tmp/truth" && break
		kill -0 "$child" 2>/dev/null || break
		sleep 0.1
	done
	if "$FLOTSAM" blocks "$child" --types=all --format jsonl >"$tmp/blocks" 2>"$tmp/log"; then
		judge "$name" || failed=1
	else
		echo "not ok $name: $(tail -n 1 "$tmp/log")"
		failed=1
	fi
	end_child
}

# No name is wrong, and nine of ten blocks have one. What has moved since it was said is passed over: no block begins there.
judge() { # NAME
	awk -v name="$1" '
		FILENAME == ARGV[1] { if ($1 ~ /^0x/) { a = $1; sub(/^[^ ]* /, ""); type[a] = $0 } next }
		match($0, /"address":"0x[0-9a-f]*"/) {
			a = substr($0, RSTART + 11, RLENGTH - 12)
			if (!(a in type) || !match($0, /"label":"[^"]*"/)) next
			label = substr($0, RSTART + 9, RLENGTH - 10)
			n++
			if (label ~ /^[0-9]/) unnamed++
			else if (index(label, type[a]) != 1 && !wrong++) first = a " is a " type[a] ", not " label
		}
		END {
			if (wrong) print "not ok " name ": " wrong " are wrong: " first
			else if (n < 300) print "not ok " name ": only " n " blocks are told of"
			else if (unnamed * 10 > n) print "not ok " name ": " unnamed " of " n " blocks have no name"
			else print "ok " name
			exit wrong || n < 300 || unnamed * 10 > n
		}' "$tmp/truth" "$tmp/blocks"
}

failed=0
# rustup's and the distribution's may both be there, of different layouts.
first=$(command -v rustc) second=/usr/bin/rustc
if [ -z "$first" ]; then
	echo "SKIP types of Rust: needs rustc"
else
	measure "$first"
	[ ! -x "$second" ] || [ "$(realpath "$first")" = "$(realpath "$second")" ] || measure "$second"
fi
exit "$failed"
