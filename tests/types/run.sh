#!/bin/bash
# What flotsam says blocks are, against what their allocation sites say, on programs built from Debian's source.
# usage: run.sh [PROGRAM...]     needs FLOTSAM, TOOLS (recorder.so, sites), CACHE; prints the text of RESULTS.md
# Half of the programs is held back: rules are made on the open half alone, and what is wrong on the other is not shown.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit
cache=$CACHE/types
flags='-O2 -g -w'
mkdir -p "$cache" || exit
work=$(mktemp -d) || exit
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT

# Source packages come by apt with a state of its own: nothing of the system's changes.
apt() {
	apt-get -qq -o Dir::State="$cache/apt" -o Dir::State::lists="$cache/apt/lists" -o Dir::State::status="$cache/apt/status" -o Dir::Cache="$cache/apt" \
		-o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts="$cache/apt/parts" -o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::Retries=1 -o Acquire::http::Timeout=20 "$@"
}
prepare_apt() {
	[ -e "$cache/apt/ready" ] && return
	local mirror
	mirror=$(apt-get update --print-uris 2>/dev/null | sed -n "s,^'\(.*/debian\)/*/dists/[a-z]*/InRelease'.*,\1,p" | head -n 1)
	mkdir -p "$cache"/apt/{lists,archives}/partial "$cache/apt/parts" && : >"$cache/apt/status" &&
		echo "deb-src ${mirror:-http://deb.debian.org/debian} bookworm main" >"$cache/apt/sources.list" && apt update >&2 && touch "$cache/apt/ready"
}
source_of() { # PACKAGE: its folder, named on standard output
	local dir=$cache/source-$1
	if [ ! -e "$dir/.unpacked" ]; then
		rm -rf "$dir" "$cache/fetch-$1" && mkdir -p "$cache/fetch-$1" && prepare_apt &&
			(cd "$cache/fetch-$1" && apt source --download-only "$1" >&2 && dpkg-source --no-check -x ./*.dsc "$dir" >&2) && touch "$dir/.unpacked"
	fi || return
	rm -rf "$cache/fetch-$1"
	echo "$dir"
}

# NAME half package; build_NAME SOURCE PROGRAM compiles, words_NAME are its arguments.
programs='cjson open cjson
tinyxml2 open tinyxml2
lua open lua5.4
jansson held jansson
jsoncpp held libjsoncpp
mawk held mawk'
build_cjson() { gcc $flags -I"$1" -o "$2" "$here/programs/cjson.c" "$1/cJSON.c" -lm; }
build_tinyxml2() { g++ $flags -I"$1" -o "$2" "$here/programs/tinyxml2.cc" "$1/tinyxml2.cpp"; }
build_lua() {
	local sources
	sources=$(ls "$1"/src/*.c | grep -v '/luac\.c$')
	# Debian's patch names the folder of modules in a header that its own build makes.
	mkdir -p "$work/lua" && echo '#define DEB_HOST_MULTIARCH ""' >"$work/lua/lua5.4-deb-multiarch.h" &&
		gcc $flags -I"$work/lua" -DLUA_USE_POSIX -DLUA_USE_DLOPEN -o "$2" $sources -lm -ldl -Wl,-E
}
words_lua=$here/programs/lua.lua
build_jansson() {
	command -v cmake >/dev/null || { echo 'needs cmake' >&2; return 1; }
	mkdir -p "$work/jansson" && (cd "$work/jansson" && CFLAGS=$flags cmake "$1" -DJANSSON_BUILD_DOCS=OFF -DJANSSON_EXAMPLES=OFF -DJANSSON_WITHOUT_TESTS=ON &&
		make) >&2 && gcc $flags -I"$work/jansson/include" -o "$2" "$here/programs/jansson.c" "$work/jansson/lib/libjansson.a"
}
build_jsoncpp() { g++ $flags -I"$1/include" -o "$2" "$here/programs/jsoncpp.cc" "$1"/src/lib_json/*.cpp; }
build_mawk() {
	cp -a "$1" "$work/mawk" && (cd "$work/mawk" && CFLAGS=$flags ./configure && make CFLAGS="$flags") >&2 && cp "$work/mawk/mawk" "$2"
}
words_mawk="-f $here/programs/mawk.awk"

measure() { # NAME HALF PROGRAM
	local words=words_$1 i
	# What the last one said must not be taken for this one's word.
	rm -f "$work"/{in,out,record} && mkfifo "$work/in" && : >"$work/out" || return
	RECORD_FILE=$work/record LD_PRELOAD=$TOOLS/recorder.so "$3" ${!words-} <"$work/in" >"$work/out" &
	pid=$!
	exec 7>"$work/in"
	for ((i = 0; i < 1200; i++)); do
		grep -q ready "$work/out" && break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	if ! grep -q ready "$work/out"; then
		echo "$1 did not get ready" >&2
		exec 7>&-
		kill "$pid" 2>/dev/null
		wait "$pid"
		pid=
		return 1
	fi
	# From here on its calls are glibc's, and it waits again.
	kill -USR1 "$pid"
	for ((i = 0; i < 600; i++)); do
		grep -q "^SigPnd.*[1-9a-f]\|^ShdPnd.*[1-9a-f]" "/proc/$pid/status" || break
		sleep 0.1
	done
	"$TOOLS/sites" "$pid" "$work/record" >"$work/truth" && "$FLOTSAM" types "$pid" --format jsonl >"$work/types" &&
		"$FLOTSAM" blocks "$pid" --types=all --format jsonl >"$work/blocks" &&
		LC_ALL=C awk -f "$here/compare.awk" -v program="$1" -v half="$2" "$work/truth" "$work/types" "$work/blocks" >>"$work/rows"
	i=$?
	exec 7>&-
	wait "$pid"
	pid=
	return $i
}

: >"$work/rows"
while read -r name half package; do
	[ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
	source=$(source_of "$package") && { [ -x "$cache/$name" ] || "build_$name" "$source" "$cache/$name"; } && measure "$name" "$half" "$cache/$name" ||
		echo "SKIP $name: it cannot be had, built or looked at" >&2
done <<<"$programs"

cat <<'EOF'
# What blocks are, against their allocation sites

Made by `make types-results`. The programs are built from Debian 12's source with `-O2 -g`. A preloaded recorder notes the size that
each allocation asks for and the calls above it; `sites` maps each of these to the type of what receives the pointer: a variable by its
DWARF location behind the call, a member or variable that it is stored to, the object that a constructor gets, the result of
`std::allocator<T>::allocate`. flotsam sees none of that. Its label counts as right when it is that type, an array of it, or the type
with a tail; `char` of any sign is one type. Programs that are *held* back were not looked at while rules were made: what is wrong on
them is not shown.

*known*: blocks whose site says a type. *named*: blocks / bytes asked for that flotsam names beyond their size. *right*: of the named
blocks whose truth is known. A to D: share of all blocks in that tier @ right among them. All in %.

| program | half | blocks | known | named | right | A | B | C | D |
|---|---|---|---|---|---|---|---|---|---|
EOF
grep '^|' "$work/rows"
if grep -q '^wrong' "$work/rows"; then
	printf '\n## What is wrong on the open half\n\n| program | blocks | tier | flotsam | site |\n|---|---|---|---|---|\n'
	grep '^wrong' "$work/rows" | sort -t"$(printf '\t')" -k2,2nr | head -n 20 | sed 's/^wrong //; s/|/\\|/g; s/\t/ | /g; s/^/| /; s/$/ |/'
fi
