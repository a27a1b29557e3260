#!/bin/bash
# Builds this system's musl from Debian's source with its older malloc, which no package has. usage: build-musl.sh
# Prints the directory in the cache that it is in: bin/musl-gcc builds for it. Status 1, with the reason on stderr, when it cannot be had.
set -u
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flotsam}
to=$cache/musl-oldmalloc
mkdir -p "$cache" || exit
exec 9>"$cache/lock.musl" && flock 9
[ -e "$to/done" ] && { echo "$to"; exit; }
give_up() {
	echo "build-musl.sh: $1: $(tail -n 1 "$to/log")" >&2
	exit 1
}
rm -rf "$to" && mkdir -p "$to/lists/partial" "$to/packages/archives/partial" && cd "$to" || exit
. /etc/os-release
# Lists of their own: the system's may name no sources.
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian ${VERSION_CODENAME:-stable} main" >sources.list
apt() {
	timeout 300 apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::sourcelist="$to/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$to/lists" -o Dir::Cache="$to/packages" "$@" >>log 2>&1
}
: >log
apt update && apt source --download-only musl || give_up 'cannot download the source of musl'
tar -xzf musl_*.orig.tar.gz && cd musl-*/ || give_up 'cannot unpack musl'
{ ./configure --prefix="$to" --syslibdir="$to/lib" --with-malloc=oldmalloc CC=gcc && make -s -j2 && make -s install; } >../log 2>&1 || give_up 'cannot build musl'
cd "$to" && rm -rf musl-*/ lists packages && touch done && echo "$to"
