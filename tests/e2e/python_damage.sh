#!/bin/bash
# A process that looks like CPython and lies (fixtures/src/snake.c): what is sound of it is counted, what is not is told.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
mkfifo "$tmp/in"
exec 8<>"$tmp/in"
"$FIXTURES/snake" <"$tmp/in" >"$tmp/truth" &
pid=$!
for _ in $(seq 600); do
	grep -q ready "$tmp/truth" && break
	sleep 0.05
done
check() { # NAME COMMAND...
	local name=$1
	shift
	if "$@" >"$tmp/said" 2>&1; then echo "ok damaged python: $name"; else echo "not ok damaged python: $name: $(tail -c 600 "$tmp/said" "$tmp/found" | tr '\n' ' ')"; fi
}
count() { # TYPE
	awk -F, -v t="$1" '$4 == t { print $1; n++ } END { if (!n) print 0 }' "$tmp/csv"
}
truth() { # KEY
	sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$tmp/truth"
}
"$FLOTSAM" snap $pid --content=full -o "$tmp/core" || echo 'not ok damaged python: no core'
for target in $pid "$tmp/core"; do
	kind=$([ -f "$target" ] && echo core || echo process)
	"$FLOTSAM" objects "$target" --format csv >"$tmp/csv" 2>"$tmp/found"
	check "$kind: status 4" test $? = 4
	cat "$tmp/csv" >>"$tmp/found"
	check "$kind: sound objects" test "$(count snake.Good)" = "$(truth good)"
	check "$kind: a long name is cut" test "$(count "$(printf 'e%.0s' $(seq 199))")" = 20
	check "$kind: no name" test "$(count '(no name)')" = 10
	check "$kind: a module that cannot be found" test "$(count Vast)" = 15
	check "$kind: types that are none" test "$(grep -c 'ring\|alone\|huge\|chain' "$tmp/csv")" = 0
	"$FLOTSAM" objects "$target" --format json >"$tmp/found" 2>&1
	check "$kind: damaged pools" grep -q "\"damaged\": $(truth damaged)\$" "$tmp/found"
	"$FLOTSAM" objects "$target" --top 0 >"$tmp/found" 2>&1
	check "$kind: escaped" grep -q ' 30 .* snake.Ev\\x1b\[2Jil$' "$tmp/found"
	"$FLOTSAM" blocks "$target" group by label >"$tmp/found" 2>&1
	check "$kind: labels" grep -q 'snake.Good' "$tmp/found"
done
