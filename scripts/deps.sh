#!/bin/sh
# usage: deps.sh [--check] NAME...    NAME: a pkg-config module, or c++
# Silent when all are there. Otherwise installs them (root with apt-get), or, with --check or without those rights, prints
# the one command that does and exits 1.
set -u

check=
[ "${1-}" = --check ] && { check=1; shift; }

package_of() {
	case $1 in
	libdw) echo libdw-dev ;;
	libelf) echo libelf-dev ;;
	zlib) echo zlib1g-dev ;;
	libzstd) echo libzstd-dev ;;
	liblzma) echo liblzma-dev ;;
	libseccomp) echo libseccomp-dev ;;
	capstone) echo libcapstone-dev ;;
	readline) echo libreadline-dev ;;
	check) echo check ;;
	jansson) echo libjansson-dev ;;
	c++) echo g++ ;;
	*) echo "deps.sh: no package is known for '$1'" >&2; exit 2 ;;
	esac
}

# libstdc++ is linked for its demangler: the compiler driver itself says whether it finds it.
have_cxx() {
	command -v g++ >/dev/null 2>&1
}

PKG_CONFIG=${PKG_CONFIG:-pkg-config}
missing=
have_pkg_config=1
command -v "$PKG_CONFIG" >/dev/null 2>&1 || { have_pkg_config=; missing=" pkg-config"; }
[ -n "$check" ] && set -- "$@" c++
for name; do
	case $name in
	c++) have_cxx && continue ;;
	*) [ -n "$have_pkg_config" ] && "$PKG_CONFIG" --exists "$name" 2>/dev/null && continue ;;
	esac
	package=$(package_of "$name") || exit
	case "$missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -z "$missing" ] && exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ -z "$check" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "flotsam: installing$missing" >&2
	export DEBIAN_FRONTEND=noninteractive
	# Lists that were never fetched, or are too old for what the mirror holds, are fetched once.
	if ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 && apt-get -qq -o=Dpkg::Use-Pty=0 ${install#apt-get} >/dev/null 2>&1; then
		exit 0
	fi
	apt-get -qq update >&2 && apt-get -qq -o=Dpkg::Use-Pty=0 ${install#apt-get} >/dev/null && exit 0
	echo "flotsam: cannot install$missing" >&2
	exit 1
fi
if command -v apt-get >/dev/null 2>&1; then
	[ "$(id -u)" = 0 ] || install="sudo $install"
	printf 'flotsam needs%s. Run:\n  %s\n' "$missing" "$install" >&2
else
	printf 'flotsam needs what Debian calls%s\n' "$missing" >&2
fi
exit 1
