#!/bin/bash
# x/FMT: each form and size against gdb on the same core, byte for byte; live as in the core; JSON; what cannot be read.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/fixtures.bash
flotsam=${FLOTSAM:-build/release/flotsam}
fixture=${FIXTURES:-build/release/fixtures}/frames
for program in gdb gcore; do
	command -v $program >/dev/null || { echo 'SKIP x: needs gdb'; exit 0; }
done
tmp=$(mktemp -d) || exit
mkfifo "$tmp/in"
"$fixture" <"$tmp/in" >"$tmp/truth" 2>/dev/null &
child=$!
exec 9>"$tmp/in"
trap 'exec 9>&-; kill $child 2>/dev/null; rm -rf "$tmp"' EXIT
told $child "$tmp/truth"
address() { # KEY
	sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$tmp/truth"
}
gcore -o "$tmp/core" $child >/dev/null 2>&1
core=$tmp/core.$child
[ -s "$core" ] || { echo 'not ok x: gcore wrote no core'; exit 0; }

request=$(address request)
commands=()
for form in 16gx 8wx 9hx 17bx gx 5gd 5wd 3hd 9bd 5hu 3wu 4go 5wo 3bt 2ht 9gz 20c 3s 4ga 3gf 2wf; do
	for at in "$request" "$(address buffer)" never main; do
		[ "$form $at" = '3s main' ] && continue # gdb shows bytes as the locale has them
		echo "x/$form $at" >>"$tmp/script"
		[ $at = never ] && at='&never'
		commands+=(-ex "x/$form $at")
	done
done
LC_ALL=C gdb -nx -batch "${commands[@]}" "$fixture" "$core" 2>/dev/null | grep '^0x' >"$tmp/gdb"
"$flotsam" shell "$core" -x "$tmp/script" >"$tmp/ours" 2>"$tmp/err"
if cmp -s "$tmp/gdb" "$tmp/ours" && [ "$(grep -c . "$tmp/ours")" -gt 150 ]; then
	echo 'ok x: as gdb shows it'
else
	echo "not ok x: as gdb shows it: $(diff "$tmp/gdb" "$tmp/ours" | head -n 4 | tr '\n\t' '; ') $(head -n 1 "$tmp/err")"
fi

"$flotsam" shell "$core" -e 'x/4gx main' >"$tmp/plain" 2>/dev/null
"$flotsam" shell "$core" -e 'time x/4gx main' >"$tmp/timed" 2>"$tmp/err"
if [ -s "$tmp/plain" ] && cmp -s "$tmp/plain" "$tmp/timed" && grep -Eqx 'x: [0-9]+\.[0-9]{4} s' "$tmp/err"; then
	echo 'ok x: timed'
else
	echo "not ok x: timed: $(head -n 1 "$tmp/err")"
fi

# What is not said stays as it was.
printf '%s\n' "x/3gx $request" x x/2 x/d x/2wu x x/c x/2s x >"$tmp/script"
commands=()
while read -r line; do commands+=(-ex "$line"); done <"$tmp/script"
LC_ALL=C gdb -nx -batch "${commands[@]}" "$fixture" "$core" 2>/dev/null | grep '^0x' >"$tmp/gdb"
"$flotsam" shell "$core" -x "$tmp/script" >"$tmp/ours" 2>"$tmp/err"
if cmp -s "$tmp/gdb" "$tmp/ours" && [ "$(grep -c . "$tmp/ours")" -gt 9 ]; then
	echo 'ok x: goes on as gdb does'
else
	echo "not ok x: goes on as gdb does: $(diff "$tmp/gdb" "$tmp/ours" | head -n 6 | tr '\n\t' '; ') $(head -n 1 "$tmp/err")"
fi
"$flotsam" x "$core" /3i main >"$tmp/ours"
if cmp -s "$tmp/ours" <("$flotsam" disas "$core" main 3) && [ -s "$tmp/ours" ]; then echo 'ok x: machine code'; else echo 'not ok x: machine code'; fi

"$flotsam" x "$core" /64bx "$request" >"$tmp/core_bytes"
"$flotsam" x $child /64bx "$request" >"$tmp/live_bytes"
if [ -s "$tmp/core_bytes" ] && cmp -s "$tmp/core_bytes" "$tmp/live_bytes"; then echo 'ok x: live'; else echo 'not ok x: live: differs from the core'; fi

json=$("$flotsam" x "$core" /3gd "$request" --format json | tr -d ' \n')
case $json in
*'"schema":"flotsam.x/1"'*'"format":"d","size":8,"lines":[{"address":"'$request'","symbol":null,"values":["41",'*'"complete":true}') echo 'ok x: json' ;;
*) echo "not ok x: json: $json" ;;
esac
json=$("$flotsam" x "$core" /2wx never+4 --format json | tr -d ' \n')
case $json in
*'"symbol":"never+4","values":["0x'*) echo 'ok x: json names the symbol' ;;
*) echo "not ok x: json names the symbol: $json" ;;
esac

refused() { # NAME STATUS WHAT WORDS...
	local name=$1 status=$2 what=$3 got
	shift 3
	"$flotsam" x "$core" "$@" >"$tmp/out" 2>"$tmp/err"
	got=$?
	if [ $got = "$status" ] && grep -q -- "$what" "$tmp/err"; then echo "ok x: $name"; else echo "not ok x: $name: status $got, $(head -n 1 "$tmp/err")"; fi
}
refused 'unreadable memory' 3 '0x10 cannot be read' /gx 0x10
refused 'no such format' 2 "'/4q' is no format" /4q main
refused 'no units' 2 'from 1 to' /0x main
refused 'too many units' 2 'from 1 to' /99999999999999999999x main
refused 'no address' 2 'x needs an address' /gx
refused 'no such symbol' 3 "no symbol is called 'nowhere'" /gx nowhere
