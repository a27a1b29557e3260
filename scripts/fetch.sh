#!/bin/bash
# Unpacks Debian packages into the cache, without installing them. usage: fetch.sh PACKAGE...
# Prints the root they lie below: CACHE/root. Status 1, with the reason on stderr, when a package cannot be had.
# A package that is there already is not fetched again. What a package depends on must be named too.
set -u
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flotsam}
mkdir -p "$cache/root" "$cache/packages" || exit
exec 9>"$cache/lock" && flock 9

for package; do
	[ -e "$cache/packages/$package.done" ] && continue
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "fetch.sh: needs apt-get and dpkg" >&2; exit 1; }
	dir=$cache/packages/$package
	rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || exit
	# The sandbox user of apt cannot write below a private home; as root the download then runs unsandboxed, with a warning.
	if ! apt-get -qq -o APT::Sandbox::User=root download "$package" >log 2>&1; then
		# As root the lists may be missing or older than what the mirror holds.
		[ "$(id -u)" = 0 ] && apt-get -qq update >>log 2>&1 && apt-get -qq -o APT::Sandbox::User=root download "$package" >>log 2>&1 ||
			{ echo "fetch.sh: cannot download $package: $(tail -n 1 log)" >&2; exit 1; }
	fi
	dpkg-deb -x ./*.deb "$cache/root" || exit
	rm -rf "$dir" && touch "$cache/packages/$package.done"
done
echo "$cache/root"
