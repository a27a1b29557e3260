#!/bin/bash
# jemalloc, gperftools' tcmalloc, mimalloc and musl as Debian packs them: named with their version, RSS exact, nothing walked.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/allocators.bash
cc=${CC:-gcc}

fetch() { # PACKAGE...: sets root and libs; SKIP and false when they cannot be had
	root=$(scripts/fetch.sh "$@" 2>"$tmp/log") && { libs=$(echo "$root"/usr/lib/*-linux-gnu); return; }
	echo "SKIP allocators: needs the packages $* ($(tail -n 1 "$tmp/log"))"
	return 1
}
version_of() { # PACKAGE: upstream's, from the cache or the lists
	apt-cache show "$1" 2>/dev/null | sed -n 's/^Version: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p' | head -n 1 | sed 's/\./\\./g'
}

if fetch redis-server libjemalloc2; then
	check_not_walked 'redis-server' jemalloc "$(version_of libjemalloc2)" env LD_LIBRARY_PATH="$libs" "$root/usr/bin/redis-server" --port 0 \
		--unixsocket "$tmp/socket" --dir "$tmp" --save ''
	check_not_walked 'jemalloc, preloaded' jemalloc "$(version_of libjemalloc2)" env LD_PRELOAD="$libs/libjemalloc.so.2" "$fixtures/allocations"
fi
if fetch libtcmalloc-minimal4; then
	"$cc" -w -o "$tmp/tcmalloc" fixtures/src/allocations.c "$libs"/libtcmalloc_minimal.so.4 -Wl,--no-as-needed,-rpath,"$libs" 2>"$tmp/log" &&
		check_not_walked 'tcmalloc, linked' 'tcmalloc \(gperftools\)' "$(version_of libtcmalloc-minimal4)" "$tmp/tcmalloc" ||
		echo "not ok allocators: tcmalloc: $(head -n 1 "$tmp/log")"
fi
if fetch libmimalloc2.0; then
	check_not_walked 'mimalloc, preloaded' mimalloc "$(version_of libmimalloc2.0)" env LD_PRELOAD="$libs/libmimalloc.so.2.0" "$fixtures/allocations"
fi
if fetch musl-tools; then
	version=$(version_of musl)
	sed "s|/usr/lib/x86_64-linux-musl|$root&|g; s|/usr/include/x86_64-linux-musl|$root&|g; s|/lib/ld-musl|$root&|g" \
		"$root/usr/lib/x86_64-linux-musl/musl-gcc.specs" >"$tmp/specs" 2>/dev/null
	musl_build() { # NAME FLAG...
		local name=$1
		shift
		gcc -specs "$tmp/specs" -w -o "$tmp/$name" fixtures/src/allocations.c -L"$root/lib/x86_64-linux-musl" "$@" 2>"$tmp/log" && return
		echo "SKIP allocators: musl: needs a gcc for its specs ($(head -n 1 "$tmp/log"))"
		return 1
	}
	musl_build musl && check_not_walked 'musl' 'musl mallocng' "$version" "$tmp/musl"
	musl_build musl_static -static && check_not_walked 'musl, static' 'musl mallocng' null "$tmp/musl_static"
	musl_build musl_stripped -static -s && check_not_walked 'musl, static and stripped' 'musl|unknown' null "$tmp/musl_stripped"
fi
# Its malloc before mallocng, which it can still be configured with; only a symbol tells that of a release that has both.
if musl=$(scripts/build-musl.sh 2>"$tmp/log"); then
	for kind in '' -static; do
		"$musl/bin/musl-gcc" -w $kind -o "$tmp/old$kind" fixtures/src/allocations.c 2>"$tmp/log" ||
			{ echo "not ok allocators: musl oldmalloc $kind: $(head -n 1 "$tmp/log")"; continue; }
		[ -n "$kind" ] && version=null || version=$(tr '\0' '\n' <"$musl/lib/libc.so" | grep -aEx '1\.[0-9]+\.[0-9]+' | head -n 1 | sed 's/\./\\./g')
		check_not_walked "musl oldmalloc${kind:+, static}" 'musl oldmalloc' "$version" "$tmp/old$kind"
	done
else
	echo "SKIP allocators: musl oldmalloc: needs gcc, make and the source package musl ($(tail -n 1 "$tmp/log"))"
fi
