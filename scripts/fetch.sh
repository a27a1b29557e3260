#!/bin/bash
# Unpacks Debian packages into the cache, without installing them. usage: fetch.sh PACKAGE...
# Prints the root they lie below: CACHE/root. Status 1, with the reason on stderr, when a package cannot be had.
# What a package depends on and this system lacks comes with it. What is in the cache is not fetched again.
set -u
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flotsam}
mkdir -p "$cache/root" "$cache/packages" || exit
exec 9>"$cache/lock" && flock 9

# The download as root runs without apt's sandbox user, who cannot write below a private home.
apt() {
	apt-get -qq -o APT::Sandbox::User=root "$@"
}
unpack() { # PACKAGE
	local dir=$cache/packages/$1
	[ -e "$dir.unpacked" ] && return
	rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || return
	if ! apt download "$1" >log 2>&1; then
		# As root the lists can be brought up to what the mirror holds.
		if [ "$(id -u)" != 0 ] || ! apt update >>log 2>&1 || ! apt download "$1" >>log 2>&1; then
			echo "fetch.sh: cannot download $1: $(tail -n 1 log)" >&2
			return 1
		fi
	fi
	dpkg-deb -x ./*.deb "$cache/root" && cd "$cache" && rm -rf "$dir" && touch "$dir.unpacked"
}

for package; do
	[ -e "$cache/packages/$package.done" ] && continue
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "fetch.sh: needs apt-get and dpkg" >&2; exit 1; }
	# A package that is installed already is wanted in the cache all the same.
	needed=$(apt-get -s install --no-install-recommends "$package" 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p')
	for each in $needed $package; do
		unpack "$each" || exit
	done
	touch "$cache/packages/$package.done"
done
echo "$cache/root"
