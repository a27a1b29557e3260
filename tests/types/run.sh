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
	[ "$1" != - ] || return 0
	if [ ! -e "$dir/.unpacked" ]; then
		rm -rf "$dir" "$cache/fetch-$1" && mkdir -p "$cache/fetch-$1" && prepare_apt &&
			(cd "$cache/fetch-$1" && apt source --download-only "$1" >&2 && dpkg-source --no-check -x ./*.dsc "$dir" >&2) && touch "$dir/.unpacked"
	fi || return
	rm -rf "$cache/fetch-$1"
	echo "$dir"
}

# shellcheck source=tests/types/programs.sh
. "$here/programs.sh"

measure() { # NAME HALF PROGRAM
	local words=words_${1//-/_} i
	# What the last one said must not be taken for this one's word.
	rm -f "$work"/{in,out,record} && mkfifo "$work/in" && : >"$work/out" || return
	local ready=${ready_for[$1]-ready}
	! declare -F "prepare_$1" >/dev/null || "prepare_$1" || return
	eval "set -- \"\$1\" \"\$2\" \"\$3\" ${!words-}"
	RECORD_FILE=$work/record LD_PRELOAD=$TOOLS/recorder.so "${@:3}" <"$work/in" >"$work/out" &
	pid=$!
	exec 7>"$work/in"
	! declare -F "feed_$1" >/dev/null || "feed_$1"
	for ((i = 0; i < 1200; i++)); do
		grep -q "$ready" "$work/out" && break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	if ! grep -q "$ready" "$work/out"; then
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
	# A server reads no end of input.
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	pid=
	return $i
}

: >"$work/rows"
while read -r name half package; do
	[ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
	if ! source=$(source_of "$package"); then
		missing='its source cannot be had'
	elif ! [ -x "$cache/$name" ] && ! "build_$name" "$source" "$cache/$name" </dev/null >&2; then
		missing='it cannot be built'
	elif ! measure "$name" "$half" "$cache/$name"; then
		missing='it cannot be looked at'
	else
		continue
	fi
	echo "SKIP $name: $missing" >&2
	echo "| $name | $half | - | - | - | $missing | - | - | - | - |" >>"$work/rows"
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
