#!/bin/bash
# Containers of GLib, of Rust and of what clang builds with either library of C++ against what programs say of their own, alive and in a core; one that leads in a circle.
set -u
cd "$(dirname "$0")/../.." || exit
cc=${CC:-gcc}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/flotsam-boxes.XXXXXX") || exit
child=
end_child() {
	exec 4>&-
	[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null
	child=
}
trap 'end_child; rm -rf "$tmp"' EXIT
failed=0

verdict() { # NAME WHY: ok when there is no reason why not
	if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; failed=1; fi
}

start() { # PROGRAM: waits until it has said all of its containers
	rm -f "$tmp/in"
	mkfifo "$tmp/in" || exit
	"$1" <"$tmp/in" >"$tmp/truth" 2>"$tmp/log" &
	child=$!
	exec 4>"$tmp/in"
	for ((i = 0; i < 600; i++)); do
		grep -q '^ready' "$tmp/truth" && return
		kill -0 "$child" 2>/dev/null || break
		sleep 0.1
	done
	echo "not ok boxes: $1 does not get ready: $(tail -n 1 "$tmp/log")"
	exit 1
}

# Each container that the program told of: items, and capacity when it told that.
compare() { # TARGET
	"$FLOTSAM" containers "$1" --format jsonl --top 0 >"$tmp/said" 2>"$tmp/log" || { echo "flotsam fails: $(tail -n 1 "$tmp/log")"; return; }
	local name kind items capacity line n=0
	while read -r name kind items capacity; do
		[ "$name" = ready ] && break
		line=$(grep -F "{\"name\":\"$name\",\"items\":$items," "$tmp/said" | grep -F "\"kind\":\"$kind\"")
		if [ -z "$line" ]; then
			echo "no $kind $name of $items items, but: $(grep -F "\"name\":\"$name\"" "$tmp/said")"
			return
		fi
		case $line in *'"damaged":0,'*) ;; *) echo "$name is damaged"; return ;; esac
		if [ "$capacity" != - ] && [[ $line != *"\"capacity\":$capacity,"* ]]; then
			echo "$name has no room for $capacity: $line"
			return
		fi
		n=$((n + 1))
	done <"$tmp/truth"
	[ "$n" -ge 10 ] || echo "the program tells of $n containers alone"
}

if ! pkg-config --exists glib-2.0 2>/dev/null; then
	echo "SKIP containers of GLib: needs libglib2.0-dev and pkg-config"
elif ! "$cc" -g -O1 -w -o "$tmp/glib" fixtures/boxes/boxes.c $(pkg-config --cflags --libs glib-2.0) 2>"$tmp/log"; then
	echo "not ok containers of GLib: $(head -n 1 "$tmp/log")"
	failed=1
else
	start "$tmp/glib"
	verdict "containers of GLib" "$(compare "$child")"
	why=
	grep -F '"name":"g_circle->"' "$tmp/said" | grep -qF '"damaged":1,' || why="it is no damaged one: $(grep -F g_circle "$tmp/said")"
	verdict "a GList in a circle" "$why"
	why=
	"$FLOTSAM" tree "$child" top 0 -v >"$tmp/tree" 2>&1
	grep -qF 'GHashTable *, 250 items' "$tmp/tree" || why="tree does not say what g_set is: $(grep -F g_set "$tmp/tree")"
	verdict "GLib's in the tree" "$why"
	why=
	"$FLOTSAM" containers "$child" --types=all --format jsonl >"$tmp/said" 2>&1
	for type in '"g_sessions->",.*GList of session"' '"g_by_number->",.*GHashTable of gpointer, order"' '"g_all->",.*GPtrArray of session"' \
		'"g_mixed->",.*"GList"' '"g_unlike->",.*"element_bytes":24'; do
		grep -q "\"name\":$type" "$tmp/said" || why="no $type: $(grep -F "${type%%,*}" "$tmp/said")"
	done
	verdict "what GLib's are of" "$why"
	if command -v gcore >/dev/null; then
		gcore -o "$tmp/core" "$child" >"$tmp/log" 2>&1
		verdict "containers of GLib in a core" "$(compare "$tmp/core.$child")"
	else
		echo "SKIP containers of GLib in a core: needs gdb"
	fi
	end_child
fi

clang() { # NAME FLAG...: SKIP when it cannot
	local name=$1
	shift
	# Else clang leaves out what a library instantiates itself, as libstdc++ does std::string.
	if ! clang++ -w -g -gdwarf-5 -fstandalone-debug -std=c++17 "$@" -o "$tmp/cxx" fixtures/boxes/boxes.cc 2>"$tmp/log"; then
		echo "SKIP containers of $name: needs libc++-dev ($(head -n 1 "$tmp/log"))"
		return
	fi
	start "$tmp/cxx"
	verdict "containers of $name" "$(compare "$child")"
	local why=
	"$FLOTSAM" tree "$child" top 0 -v >"$tmp/tree" 2>&1
	grep -q 't_vector (thread variable, cxx, std::vector<long>, 23 items)' "$tmp/tree" &&
		grep -q 'g_map (boxes.cc:[0-9]*, std::map<int, long>, 50 items)' "$tmp/tree" ||
		why="tree does not say what they are: $(grep -E 'g_map|t_vector' "$tmp/tree")"
	verdict "containers of $name in the tree" "$why"
	end_child
}
if command -v clang++ >/dev/null; then
	clang "libc++ by clang" -stdlib=libc++
	clang "libstdc++ by clang" -stdlib=libstdc++
else
	echo "SKIP containers by clang: needs clang"
fi

rust() { # COMPILER
	local name
	name="containers of $("$1" --version 2>/dev/null | cut -d' ' -f1,2)"
	if ! "$1" -g -o "$tmp/rust" fixtures/boxes/boxes.rs 2>"$tmp/log"; then
		echo "SKIP $name: needs a rustc that links ($(head -n 1 "$tmp/log"))"
		return
	fi
	start "$tmp/rust"
	verdict "$name" "$(compare "$child")"
	local why=
	"$FLOTSAM" tree "$child" top 0 -v >"$tmp/tree" 2>&1
	grep -qF 'local map: HashMap<u32, u64>, 1,000 items' "$tmp/tree" || why="tree does not say what main keeps: $(head -n 3 "$tmp/tree")"
	verdict "$name in the tree" "$why"
	end_child
}
# rustup's and the distribution's may both be there, of different layouts.
first=$(command -v rustc) second=/usr/bin/rustc
if [ -z "$first" ]; then
	echo "SKIP containers of Rust: needs rustc"
else
	rust "$first"
	[ ! -x "$second" ] || [ "$(realpath "$first")" = "$(realpath "$second")" ] || rust "$second"
fi
exit "$failed"
