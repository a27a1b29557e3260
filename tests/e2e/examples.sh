#!/bin/bash
# Each example of each command's help, run as it stands but for the names of this target: none may be refused. Those of the
# prompt are lines of one sitting; between them stands a word that no command is called, so that what is refused has its place.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
target=
trap '[ -n "$target" ] && kill "$target"; rm -rf "$tmp"' EXIT
. tests/support/fixtures.bash

mkfifo "$tmp/in"
"$FIXTURES/commands" <"$tmp/in" >"$tmp/truth" &
target=$!
exec 9>"$tmp/in"
told "$target" "$tmp/truth" || { echo 'not ok examples: the fixture does not rest'; exit; }
truth() { sed -n "s/.*\"$1\":\"\(0x[0-9a-f]*\)\".*/\1/p" "$tmp/truth"; }
list=$(truth list) ring=$(truth ring)

mkdir "$tmp/bin" "$tmp/here"
ln -s "$FLOTSAM" "$tmp/bin/flotsam"
PATH="$tmp/bin:$PATH"
cd "$tmp/here" || exit
# What the examples read.
cp "$FIXTURES/clean" ./tests
ln -s / saved
echo 'help' >questions.txt
echo 'leak:nothing' >known-leaks.txt
flotsam snap "$target" -o core.4242 --content=full || echo "not ok examples: snap ended with $?"
flotsam snap "$target" -o now.census || echo "not ok examples: snap ended with $?"
for name in core.1 core.2; do ln core.4242 "$name"; done
for name in base yesterday a b c; do ln now.census "$name.census"; done
heap=$(flotsam heaps core.4242 --format csv | sed -n '2s/,.*//p')
stack=$(flotsam maps core.4242 --format jsonl | sed -n '/"stack"/s/.*"start":"\(0x[0-9a-f]*\)".*/\1/p' | tail -n 1)
range=$heap..$(printf '0x%x' $((heap + 0x1000)))

# Not here: a language's objects and a service are other tests' (python.sh, watch.sh, exercise.sh), and their targets others.
elsewhere=' objects watch exercise '
# The names of this target for those of the page.
ours() {
	sed "s/\b4242\b/$target/g; s/core\.$target/core.4242/g; s/\b4250\b/$target/g; s/^disas 0x[0-9a-f]*/disas main+4/
		s/0x7f3a10000000\.\.0x7f3a10040000/$range/; s/0x7f3a10012340/$heap+0x340/; s/0x7ffd12345678/$stack/; s/0x55d0c0a012a0\|0x5555555592a0\|0x5555559c/$list/g
		s/g_cache\.first/g_circle->first/g; s/g_cache/g_list/g; s/struct point/struct node/g; s/std::vector<int>/shape::circle/g
		s/\bSession\b/shape::circle/g; s/\bsession\b/node/g; s/^istype 3 node/istype 3 unmistakable_type/; s/^cycle L1/cycle $ring/
		s/\(cycle .*\) $list/\1 $ring/; s/^stack 3/stack 2/; s/ $target 40/ $target size=40/; s/\(arena\|bins\|map $target\) 3\b/\1 1/
		s/ | .*\(jq\|less\|flamegraph\.pl\).*/ | cat >piped/"
}
# What takes no target that is open, what the prompt does not take, and the rest, which is a line of it as well.
sort_out() { # COMMAND
	while IFS= read -r line; do
		case $line in
		*'['* | "$1 -"*) ;;
		*flotsam\ shell* | flotsam\ snap* | flotsam\ diff* | flotsam\ run* | flotsam\ report\ now* | *--against* | *--suppress* | *--istype* | *--root* | *'||'*)
			printf '%s\n' "$line" >>"$tmp/batch" ;;
		flotsam\ *) printf 'at:%s\n%s\n' "$1" "$(sed "s/^flotsam \([a-z]*\)\( $target\b\| [^ ]*core\.4242\|\)/\1/" <<<"$line")" >>"$tmp/lines" ;;
		*) printf 'at:%s\n%s\n' "$1" "$line" >>"$tmp/lines" ;;
		esac
	done
}
for command in $(flotsam --help | sed -n 's/^  \([a-z]*\)  *[a-z].*/\1/p'); do
	case $elsewhere in *" $command "*) continue ;; esac
	# Two blanks part an example from what is said of it; deeper lines go on with what was said.
	examples=$(flotsam help "$command" | sed '/^output:/,$d' | sed -n 's/^  \([a-z].*\)/\1/p' | sed 's/   *.*//' | grep -v '^then' | { if [ "$command" = help ]; then grep '^help'; else cat; fi; } | ours)
	[ -n "$examples" ] || echo "not ok examples: $command has none"
	sort_out "$command" <<<"$examples"
done

# What the numbers of examples stand for: item 3 has a vtable, and item 5 lies in the heap.
{ printf 'report\nblocks leaked top 2\nblocks label=shape::circle\nblocks used top 20\nlet big = used\n'; cat "$tmp/lines"; } >"$tmp/script"
flotsam shell "$target" -x "$tmp/script" >"$tmp/said" 2>"$tmp/refused" || :
n=$(grep -c '^at:' "$tmp/script")
seen=$(grep -c "no command is called 'at:" "$tmp/refused")
if [ "$n" -gt 120 ] && [ "$seen" -eq "$n" ]; then echo "ok examples: the sitting takes all"; else echo "not ok examples: of $n lines the sitting took $seen"; fi
wrong=$(awk -v q="'" '/^flotsam: no command is called .at:/ { split($0, part, q); at = part[2]; next } /^flotsam: / { print at, $0 }' "$tmp/refused")
if [ -z "$wrong" ]; then echo "ok examples: none at the prompt is refused"; else echo "not ok examples: refused: $(tr '\n' ';' <<<"$wrong")"; fi

while IFS= read -r line; do
	# What is written must be new.
	line=$(sed 's/ -o \(now\|core\)\./ -o new./' <<<"$line")
	rm -f new.*
	said=$(bash -c "${line% || alert}" 2>&1 >/dev/null </dev/null)
	status=$?
	# 1: a rule is broken, or the heap is.
	if [ $status -gt 1 ] || grep -q '^flotsam: ' <<<"$said"; then echo "not ok examples: $line: status $status: $said"; else echo "ok examples: ${line//$target/PID}"; fi
done <"$tmp/batch"
exec 9>&-
