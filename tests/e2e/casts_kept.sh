#!/bin/bash
# What code says of pointers is kept from one look to the next: the second look says the same and reads no code; files that are damaged,
# linked or writable by others, and folders that are not the caller's own, are not used.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/fixtures.bash
flotsam=${FLOTSAM:-build/release/flotsam} fixtures=${FIXTURES:-build/release/fixtures}
tmp=$(mktemp -d) || exit
children=()
trap 'for c in "${children[@]}"; do kill "$c" 2>/dev/null; done; rm -rf "$tmp"' EXIT
unset FLOTSAM_CACHE
export XDG_CACHE_HOME=$tmp/cache HOME=$tmp/user
mkdir "$HOME" "$tmp/cache"

mkfifo "$tmp/in"
exec 9<>"$tmp/in"
for fixture in types_c casts; do
	"$fixtures/$fixture" <"$tmp/in" 9>&- >"$tmp/truth" &
	children+=($!)
	told $! "$tmp/truth" || { echo "not ok casts_kept: $fixture does not rest"; exit 1; }
done
child=${children[1]}

folder=$XDG_CACHE_HOME/flotsam/casts
# What a look says of types, without what may differ: times, where casts come from, and types that only code's own variables have.
look() { # NAME
	"$flotsam" types "$child" --format json >"$tmp/$1.json" 2>"$tmp/$1.err" || { echo "not ok casts_kept: $1: $(cat "$tmp/$1.err")"; exit 1; }
	tr -d ' \n' <"$tmp/$1.json" | sed 's/"timings":{[^}]*}//; s/"recalled":[0-9]*//; s/\("dwarf":{"modules":[0-9]*\),"types":[0-9]*/\1/' >"$tmp/$1"
}
figure() { # NAME KEY
	tr -d ' \n' <"$tmp/$1.json" | sed -n "s/.*\"casts\":{[^}]*\"$2\":\([0-9]*\).*/\1/p"
}
is() { # NAME recalled|read SAME-AS WHAT
	local want=0
	[ "$2" = read ] || want=$(figure "$1" modules)
	if [ "$(figure "$1" recalled)" != "$want" ] || [ "$(figure "$1" modules)" -lt 1 ]; then
		echo "not ok casts_kept: $4: of $(figure "$1" modules) modules $(figure "$1" recalled) are recalled"
	elif ! cmp -s "$tmp/$1" "$tmp/$3"; then
		echo "not ok casts_kept: $4: it says something else"
	elif [ -s "$tmp/$1.err" ]; then
		echo "not ok casts_kept: $4: $(head -n 1 "$tmp/$1.err")"
	else
		echo "ok casts_kept: $4"
	fi
}

look first
look second
is first read first 'the first look reads code'
is second recalled first 'the second recalls it'

version=$(find "$folder" -type f | sed 's/.*-//; q')
kept=$(readelf -n "$fixtures/casts" | sed -n 's/.*Build ID: *\([0-9a-f]*\).*/\1/p')-$version
if [ "$(stat -c '%a %u' "$folder" "$folder/$kept" | tr '\n' ' ')" = "700 $(id -u) 600 $(id -u) " ]; then
	echo 'ok casts_kept: it is the caller'\''s alone'
else
	echo "not ok casts_kept: modes: $(stat -c '%n %a %u' "$folder" "$folder"/*)"
fi
cp "$folder/$kept" "$tmp/whole"

# WHAT: the file was changed; it is read by one look, and good for the next.
anew() {
	look changed
	is changed read first "$1 is not used"
	look after
	is after recalled first "$1 is made anew"
}
printf '\377' | dd of="$folder/$kept" bs=1 seek=100 conv=notrunc status=none
anew 'a damaged file'
truncate -s -1 "$folder/$kept"
anew 'a cut file'
: >"$folder/$kept"
anew 'an empty file'
rm "$folder/$kept" && ln -s "$tmp/whole" "$folder/$kept"
anew 'a link'
[ -L "$folder/$kept" ] || cmp -s "$tmp/whole" "$folder/$kept" && echo 'ok casts_kept: what it is made of is the same' || echo 'not ok casts_kept: the file differs'
chmod 666 "$folder/$kept"
anew 'a file that others may write'
# Of another program, under this one's name.
"$flotsam" types "${children[0]}" >"$tmp/other" 2>&1
other=$(readelf -n "$fixtures/types_c" | sed -n 's/.*Build ID: *\([0-9a-f]*\).*/\1/p')-$version
mv "$folder/$other" "$folder/$kept" || echo "not ok casts_kept: another program's is not kept"
anew 'a file of another build'

rm -f "$folder"/*
chmod 777 "$folder"
look open
is open read first 'a folder that others may write is not used'
[ -z "$(ls "$folder")" ] && echo 'ok casts_kept: and not written' || echo 'not ok casts_kept: an open folder was written'
rm -rf "$XDG_CACHE_HOME/flotsam" && : >"$XDG_CACHE_HOME/flotsam"
look none
is none read first 'no folder can be made, and nothing is said'
rm "$XDG_CACHE_HOME/flotsam" && mkdir "$tmp/elsewhere" && ln -s "$tmp/elsewhere" "$XDG_CACHE_HOME/flotsam"
look linked
[ -z "$(ls "$tmp/elsewhere")" ] && echo 'ok casts_kept: a linked folder is not used' || echo 'not ok casts_kept: a linked folder was written'
rm "$XDG_CACHE_HOME/flotsam"
FLOTSAM_CACHE=off look off
[ -z "$(ls "$XDG_CACHE_HOME")" ] && echo 'ok casts_kept: off keeps nothing' || echo 'not ok casts_kept: off wrote something'

unset XDG_CACHE_HOME
look home
[ -e "$HOME/.cache/flotsam/casts/$kept" ] && echo 'ok casts_kept: below HOME' || echo 'not ok casts_kept: nothing is below HOME'
if [ "$(id -u)" = 0 ]; then
	rm -rf "$HOME/.cache" && chown 65534 "$HOME"
	look foreign
	is foreign read first 'another user'\''s HOME is not used'
	[ -e "$HOME/.cache" ] && echo 'not ok casts_kept: a folder was made there' || echo 'ok casts_kept: nor written'
else
	echo 'SKIP casts_kept: needs root, for a HOME of another user'
fi
