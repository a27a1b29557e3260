#!/bin/bash
# find: every place of texts, bytes and words in a core, against a plain search through its segments; live as in the core.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/fixtures.bash
flotsam=${FLOTSAM:-build/release/flotsam}
fixture=${FIXTURES:-build/release/fixtures}/frames
command -v gcore >/dev/null || { echo 'SKIP find: needs gdb'; exit 0; }
tmp=$(mktemp -d) || exit
mkfifo "$tmp/in"
"$fixture" <"$tmp/in" >"$tmp/truth" 2>/dev/null &
child=$!
exec 9>"$tmp/in"
trap 'exec 9>&-; kill $child 2>/dev/null; rm -rf "$tmp"' EXIT
told $child "$tmp/truth"
gcore -o "$tmp/core" $child >/dev/null 2>&1
core=$tmp/core.$child
[ -s "$core" ] || { echo 'not ok find: gcore wrote no core'; exit 0; }

# HEX STEP: addresses, one a line, overlapping ones too.
plain() {
	perl -e 'my ($file, $hex, $step) = @ARGV;
		open my $f, "<:raw", $file or die; local $/; my $core = <$f>;
		my ($phoff, $phentsize, $phnum) = (unpack("Q<", substr $core, 32, 8), unpack("v2", substr $core, 54, 4));
		my $needle = pack "H*", $hex;
		for my $i (0 .. $phnum - 1) {
			my ($type, $flags, $at, $address, $physical, $bytes) = unpack "V2Q<4", substr $core, $phoff + $i * $phentsize, 40;
			next if $type != 1;
			my $segment = substr $core, $at, $bytes;
			for (my $k = -1; ($k = index $segment, $needle, $k + 1) >= 0;) {
				printf "0x%x\n", $address + $k if ($address + $k) % $step == 0;
			}
		}' "$core" "$1" "$2" | sort
}
request=$(sed -n 's/.*"request":"0x\([^"]*\)".*/\1/p' "$tmp/truth")
word=$(printf '%016x' "0x$request" | fold -w 2 | tac | tr -d '\n')
check() { # NAME OPERAND HEX STEP
	# The first address of a record is the place.
	"$flotsam" find "$core" "$2" --format csv 2>"$tmp/err" | sed 1d | cut -d, -f1 | tr -d '"' | sort >"$tmp/ours"
	plain "$3" "$4" >"$tmp/plain"
	if [ -s "$tmp/plain" ] && cmp -s "$tmp/ours" "$tmp/plain"; then
		echo "ok find: $1"
	else
		echo "not ok find: $1: $(wc -l <"$tmp/ours") places, not $(wc -l <"$tmp/plain"): $(diff "$tmp/ours" "$tmp/plain" | head -n 3 | tr '\n' ' ') $(head -n 1 "$tmp/err")"
	fi
}
check 'a text' GLIBC_ 474c4942435f 1
check 'one byte' hex:a7 a7 1
check 'two bytes' hex:ff7f ff7f 1
check 'zeros at both ends' hex:00000100 00000100 1
check 'bytes that overlap themselves' hex:ffffffff ffffffff 1
check 'a word' "0x$request" "$word" 8
live=$("$flotsam" find $child "0x$request" --format csv 2>/dev/null | sed 1d | cut -d, -f1 | tr -d '"' | grep -c 0x)
if [ "$live" -gt 0 ]; then echo 'ok find: live'; else echo 'not ok find: live: no place of a pointer that main holds'; fi
if [ "$("$flotsam" find "$core" hex:0123456789abcdef0123456789abcdef77 --format csv | wc -l)" = 1 ]; then
	echo 'ok find: nothing'
else
	echo 'not ok find: nothing: what is nowhere was found'
fi
