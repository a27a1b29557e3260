#!/bin/bash
# Unpacks packages of another Debian suite into the cache, without installing them.
# usage: fetch-suite.sh SUITE ARCHITECTURE PACKAGE...      prints CACHE/suites/SUITE-ARCHITECTURE, the root they lie below
# Status 1, with the reason on stderr, when they cannot be had. They come by apt, from the mirror that apt is set up for, and
# with a state of its own: nothing of the system's changes. What is in the cache is used for a month.
set -u
suite=$1 arch=$2
shift 2
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flotsam}/suites
root=$cache/$suite-$arch
stamp=$root/.has-$(printf '%s' "$*" | tr -c 'a-z0-9\n' -)
mkdir -p "$cache" || exit
exec 9>"$cache/lock" && flock 9
if [ -n "$(find "$stamp" -mtime -30 2>/dev/null)" ]; then
	echo "$root"
	exit
fi

state=$(mktemp -d "$cache/apt-XXXXXX") || exit
trap 'rm -rf "$state"' EXIT
give_up() {
	# An older copy is better than none.
	if [ -e "$stamp" ]; then
		echo "$root"
		exit 0
	fi
	echo "fetch-suite.sh: $*" >&2
	exit 1
}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || give_up 'needs apt-get and dpkg'
mirror=$(apt-get update --print-uris 2>/dev/null | sed -n "s,^'\(.*/debian\)/*/dists/[a-z]*/InRelease'.*,\1,p" | head -n 1)
[ -n "$mirror" ] || give_up 'apt is set up for no Debian mirror'

keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] && signed=" signed-by=$keys"
mkdir -p "$state"/{lists,archives}/partial "$state/parts" "$state/debs" && : >"$state/status"
echo "deb [arch=$arch${signed-}] $mirror $suite main" >"$state/sources.list"
# As root without apt's sandbox user, who cannot write below a private home.
apt() {
	apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
		-o Dir::State::status="$state/status" -o Dir::Cache="$state" -o Dir::Etc::sourcelist="$state/sources.list" \
		-o Dir::Etc::sourceparts="$state/parts" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=1 \
		-o Acquire::http::Timeout=20 "$@" >>"$state/log" 2>&1
}
apt update && cd "$state/debs" && apt download "$@" || give_up "$suite: $(grep -E '^[EW]:' "$state/log" | tail -n 1)"

rm -rf "$root" && mkdir -p "$root" || exit
for each in ./*.deb; do
	dpkg-deb -x "$each" "$root" || exit
done
# Suites before and after the move of /lib to /usr/lib look the same from here on.
for each in lib lib64; do
	[ -e "$root/$each" ] || ln -s "usr/$each" "$root/$each"
done
find "$root" -type l | while read -r link; do
	target=$(readlink "$link")
	case $target in /*) ln -srfn "$root$target" "$link" ;; esac
done
touch "$stamp"
echo "$root"
