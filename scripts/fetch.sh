#!/bin/bash
# Unpacks Debian packages into the cache, without installing them. usage: fetch.sh PACKAGE[:FILE,...]...
# Prints the root they lie below: CACHE/root. Status 1, with the reason on stderr, when a package cannot be had.
# What a package depends on and this system lacks comes with it. What is in the cache is not fetched again.
# With FILEs (usr/bin/x, globs) these alone are unpacked, and nothing that the package depends on.
set -u
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flotsam}
mkdir -p "$cache/root" "$cache/packages" || exit
exec 9>"$cache/lock" && flock 9

# The download as root runs without apt's sandbox user, who cannot write below a private home.
apt() {
	apt-get -qq -o APT::Sandbox::User=root "$@"
}
unpack() { # PACKAGE NAME-IN-THE-CACHE [FILE]...
	local dir=$cache/packages/$2
	[ -e "$dir.unpacked" ] && return
	rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || return
	if ! apt download "$1" >log 2>&1; then
		# As root the lists can be brought up to what the mirror holds.
		if [ "$(id -u)" != 0 ] || ! apt update >>log 2>&1 || ! apt download "$1" >>log 2>&1; then
			echo "fetch.sh: cannot download $1: $(tail -n 1 log)" >&2
			return 1
		fi
	fi
	if [ $# -gt 2 ]; then
		dpkg-deb --fsys-tarfile ./*.deb | tar -x -C "$cache/root" --wildcards "${@:3}" || return
	else
		dpkg-deb -x ./*.deb "$cache/root" || return
	fi
	cd "$cache" && rm -rf "$dir" && touch "$dir.unpacked"
}

for word; do
	package=${word%%:*} files=${word#"$package"} name=${word//\//-}
	[ -e "$cache/packages/$name.done" ] && continue
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "fetch.sh: needs apt-get and dpkg" >&2; exit 1; }
	if [ -n "$files" ]; then
		IFS=, read -ra files <<<"${files#:}"
		unpack "$package" "$name" "${files[@]/#/./}" && touch "$cache/packages/$name.done" || exit
		continue
	fi
	# A package that is installed already is wanted in the cache all the same.
	needed=$(apt-get -s install --no-install-recommends "$package" 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p')
	for each in $needed $package; do
		unpack "$each" "$each" || exit
	done
	touch "$cache/packages/$name.done"
done
echo "$cache/root"
