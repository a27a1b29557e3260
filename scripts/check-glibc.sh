#!/bin/bash
# The truth of the fixtures under the C libraries of other Debian releases, and what trim says beforehand: a line a library and
# way, then the count.
# Ways: by the library's own ld.so, or in a chroot where it is the system's; live, from the kernel's core, from gcore's; with
# libc's separate debug file and without. Environment: MODE, FLOTSAM, CACHE, SUITES.
set -u
cd "$(dirname "$0")/.." || exit
here=$PWD
. tests/support/fixtures.bash
build=$here/build/${MODE:-release}
export FLOTSAM=${FLOTSAM:-$build/flotsam} CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-120} CK_VERBOSITY=normal
suites=${SUITES:-bullseye bookworm trixie sid}
# All fixtures are built against the oldest library, which the others can stand in for.
oldest=bullseye

shared=$(mktemp -d) || exit
trap 'rm -rf "$shared"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM
tmp=$shared

row() { # LIBRARY WAY PASSED FAILED SKIPPED [LOG]
	printf '%-22s %-28s %4d passed, %d failed, %d skipped\n' "${@:1:5}"
	[ "$4" -eq 0 ] || grep -v '^warning: ' "$6" | sed 's/^/  | /' | head -n 60
}
skip() { # LIBRARY WAY WHY
	printf '%-22s %-28s    0 passed, 0 failed, 1 skipped: %s\n' "$@"
}

# What the compiler's own libraries want and older ones have not: a function of gcc 11's libstdc++, one of glibc 2.35.
cat >"$shared/compat.cc" <<'END'
#include <cstdlib>
namespace std { void __throw_bad_array_new_length() { abort(); } }
END
echo 'int _dl_find_object(void *pc, void *result) { (void)pc, (void)result; return -1; }' >"$shared/compat.c"

among() { # NAME "A|B|C"
	case "|$2|" in *"|$1|"*) return 0 ;; esac
	return 1
}

# What $left_out names is left out.
build_fixtures() { # ROOT TRIPLET CC CXX DIRECTORY FLAG...
	local root=$1 lib=$1/usr/lib/$2 cc=$3 cxx=$4 to=$5 source name flags own more
	shift 5
	more=("$@")
	mkdir -p "$to" || return
	for source in fixtures/src/lib*.c fixtures/src/{retention,types_c,unknown}.c $(grep -El '"(truth|asks|asks_new).h"' fixtures/src/*.c ${cxx:+fixtures/src/*.cc}); do
		name=$(basename "${source%.*}")
		flags=$(sed -n '1s,^\(//\|/\*\) *flags:\([^*]*\).*,\2,p' "$source")
		own=()
		among "$name" "$left_out" && continue
		case $name in
		lib*) name=$name.so flags="-shared -fPIC $flags" ;;
		*) own=("${more[@]}") ;;
		esac
		case $source in
		*.cc) set -- "$cxx" -std=gnu++17 -x c++ "$shared/compat.cc" ;;
		*) set -- "$cc" -std=gnu17 ;;
		esac
		# libstdc++ and libgcc are the compiler's and ask for a newer libc, unlike what they are run with.
		# shellcheck disable=SC2086
		timeout 120 "$@" --sysroot="$root" -B"$lib" -O1 -g -w -pthread -Wl,--allow-shlib-undefined "${own[@]}" -o "$to/$name" "$source" $flags >"$tmp/why" 2>&1 || { cat "$tmp/why"; return 1; }
	done
}

# One case of one test program. What is left out of the truth is not counted by the test.
run_case() { # TEST CASE LIBRARY WAY DIRECTORY OPTIONS LAUNCH...
	local test=$1 case=$2 library=$3 way=$4 directory=$5 options=$6 log=$tmp/log p=0 f=0 s left=0 status
	shift 6
	FIXTURES=$directory FLOTSAM_OPTIONS=$options FIXTURE_LAUNCH=$* CK_RUN_CASE=$case timeout -k 10 600 "${quiet[@]}" "$build/tests/$test" \
		>"$log" 2>&1 </dev/null
	status=$?
	s=$(grep -c '^SKIP ' "$log")
	[ "$test" != truth_test ] || left=$(tr '|' '\n' <<<"${TRUTH_LEAVE_OUT-}" | grep -c .)
	read -r p f < <(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' "$log" | {
		read -r checks failures errors && echo $((checks - failures - errors - s)) $((failures + errors))
	})
	[ "$status" -eq 0 ] || [ "${f:-0}" -gt 0 ] || f=1
	row "$library" "$way" "${p:-0}" "${f:-0}" $((s + left)) "$log"
}
truth() { # LIBRARY WAY CASE DIRECTORY OPTIONS LAUNCH...
	run_case truth_test "$3" "${@:1:2}" "${@:4}"
}
# Each way to find the arenas alone, and a second malloc beside the first, on a live process and on gcore's core.
ways() { # LIBRARY WAY DIRECTORY OPTIONS LAUNCH...
	run_case arena_from_test libc "$@"
}
# The calls that ask for memory, and disassembly against objdump's, on the same.
code() { # LIBRARY DIRECTORY OPTIONS LAUNCH...
	run_case code_test disas "$1" 'disassembly' "${@:2}"
	run_case code_test sites "$1" 'calls of malloc in code' "${@:2}"
}

# The settings of the environment, one by one.
settings() { # LIBRARY FIXTURES LAUNCH...
	local library=$1 fixtures=$2 log=$tmp/log p f
	shift 2
	FIXTURES=$fixtures FIXTURE_LAUNCH=$* TRUTH_ONLY='freed|mmapped|noncontiguous|sizes|threads' \
		timeout -k 10 300 "${quiet[@]}" tests/e2e/odd_heaps.sh >"$log" 2>&1 </dev/null
	p=$(grep -c '^ok ' "$log") f=$(grep -c '^not ok ' "$log")
	[ $((p + f)) -gt 0 ] || f=1
	row "$library" 'malloc set otherwise' "$p" "$f" 0 "$log"
}

# The functions that the threads of this fixture stand in, as it says in its source; of another word size than flotsam's own the vDSO, in
# which threads wait, is known by what the process touched of it.
live_stacks() { # LIBRARY FIXTURES LAUNCH...
	local library=$1 fixtures=$2 pid in out said frames
	shift 2
	coproc { exec "$@" "$fixtures/frames" 2>/dev/null; }
	pid=$COPROC_PID in=${COPROC[1]} out=${COPROC[0]}
	while read -r -t 60 -u "$out" said && [ "${said%\}}" = "$said" ]; do :; done
	settled "$pid"
	"${quiet[@]}" "$FLOTSAM" stack "$pid" all >"$tmp/log" 2>&1
	exec {in}>&- 2>/dev/null
	wait "$pid" 2>/dev/null
	frames=$(sed -n 's/^#[0-9]* *\([a-z_]*\)() at frames\.c.*/\1/p' "$tmp/log" | tr '\n' ' ')
	case $frames in
	'wait_for_end main stand consume parse serve serve serve serve io_main stand on_signal provoke signal_main pool_wait pool_main pool_wait pool_main pool_wait pool_main ')
		row "$library" 'stacks, live' 1 0 0 ;;
	*) row "$library" 'stacks, live' 0 1 0 "$tmp/log" ;;
	esac
}

# How flotsam found the arenas, and what it takes the library for.
identity() { # LIBRARY WAY DIRECTORY VERSION FOUND-BY OPTIONS LAUNCH...
	local library=$1 way=$2 directory=$3 version=$4 by=$5 options=$6 said pid in out
	shift 6
	coproc { exec "${quiet[@]}" "$@" "$directory/clean" 2>/dev/null; }
	pid=$COPROC_PID in=${COPROC[1]} out=${COPROC[0]}
	said=
	while read -r -t 60 -u "$out" said && [ "$said" != ']}' ]; do :; done
	# shellcheck disable=SC2086
	"${quiet[@]}" "$FLOTSAM" report "$pid" --format json $options >"$tmp/report" 2>"$tmp/log"
	exec {in}>&-
	wait "$pid" 2>/dev/null
	said=$(sed -n 's/.*"allocator":{[^}]*"version":"\([^"]*\)"[^}]*"found_by":"\([^"]*\)".*/\1 by \2/p' <(tr -d '\n ' <"$tmp/report"))
	if [ "$said" = "$version by ${by// /}" ]; then
		row "$library" "$way" 1 0 0
	else
		echo "flotsam says '$said', not '$version by $by'" >>"$tmp/log"
		row "$library" "$way" 0 1 0 "$tmp/log"
	fi
}

# Where this system has debug files of its own, and they are those of a library here, flotsam must not find them.
quiet=()
if [ -d /usr/lib/debug ] && unshare -m sh -c 'mount -t tmpfs none /usr/lib/debug' 2>/dev/null; then
	quiet=(unshare -m sh -c 'mount -t tmpfs none /usr/lib/debug && exec "$@"' sh)
fi
# A root of its own with the kernel's file systems in it. chroot(1) would leave the directory that the core is written to.
cat >"$shared/enter" <<'END'
#!/bin/sh
# usage: enter ROOT PROGRAM ARGUMENT...
[ "$1" = inside ] || exec unshare -m "$0" inside "$@"
shift
mkdir -p "$1/proc" "$1/dev" "$1/var/tmp" && mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" &&
	exec perl -e 'chroot shift or die; exec @ARGV' "$@"
END
chmod +x "$shared/enter"

library_checks() { # SUITE ROOT TRIPLET LOADER FIXTURES
	local suite=$1 root=$2 triplet=$3 fixtures=$5 version library ld debug
	version=$(grep -ao 'release version 2\.[0-9]*' "$root/lib/$triplet/libc.so.6" | head -n 1 | grep -o '2\.[0-9]*')
	library="$suite $version ${triplet%%-*}"
	ld=("$root/$4" --library-path "$root/lib/$triplet:$root/usr/lib/$triplet")
	debug="--debug-dir $root/usr/lib/debug"
	identity "$library" 'found without debug file' "$fixtures" "$version" 'file signature' '' "${ld[@]}"
	ways "$library" 'file, live, code, heap alone' "$fixtures" '' "${ld[@]}"
	code "$library" "$fixtures" '' "${ld[@]}"
	live_stacks "$library" "$fixtures" "${ld[@]}"
	truth "$library" 'ld.so, live' live "$fixtures" '' "${ld[@]}"
	truth "$library" 'ld.so, core' kernel "$fixtures" '' "${ld[@]}"
	# Nothing there names a program that its loader was given: of two libraries the program's is not known.
	TRUTH_LEAVE_OUT=second truth "$library" 'ld.so, core without names' nameless "$fixtures" '' "${ld[@]}"
	# Eight in so many are cores.
	LOOKS=48 run_case inside_malloc_test cores "$library" 'died at any moment' "$fixtures" '' "${ld[@]}"
	run_case inside_malloc_test deaths "$library" 'died of damage' "$fixtures" '' "${ld[@]}"
	[ "${triplet%%-*}" != x86_64 ] || settings "$library" "$fixtures" "${ld[@]}"
	run_case malloc_test trim "$library" 'what malloc_trim gives back' "$fixtures" '' "${ld[@]}"
	if [ "${triplet%%-*}" = x86_64 ]; then
		run_case verify_test damage "$library" 'damaged heaps' "$fixtures" '' "${ld[@]}"
		run_case verify_test attacks "$library" 'heaps under attack' "$fixtures" '' "${ld[@]}"
	fi
	run_case malloc_test lists "$library" "malloc's own figures" "$fixtures" '' "${ld[@]}"
	[ "${triplet%%-*}" != i386 ] || run_case labels_test machines "$library" 'types of blocks' "$fixtures" '' "${ld[@]}"
	# gdb takes its time: on i386 one library will do. It leaves out stacks with guard pages as 2.42 makes them; which threads
	# have ended can then not be told.
	if [ "$triplet:$suite" = i386-linux-gnu:bookworm ] || [ "${triplet%%-*}" = x86_64 ]; then
		TRUTH_LEAVE_OUT=${TRUTH_LEAVE_OUT-}$([ "${version#2.}" -ge 42 ] && echo '|forked|trimmed') \
			truth "$library" 'ld.so, gcore' gcore "$fixtures" '' "${ld[@]}"
	fi
	[ -d "$root/usr/lib/debug" ] || return
	static_checks "$suite" "$root" "$triplet"
	identity "$library" 'found with debug file' "$fixtures" "$version" symbols "$debug" "${ld[@]}"
	ways "$library" 'symbols alone' "$fixtures" "$debug" "${ld[@]}"
	truth "$library" 'ld.so, live, debug file' live "$fixtures" "$debug" "${ld[@]}"
	truth "$library" 'ld.so, core, debug file' kernel "$fixtures" "$debug" "${ld[@]}"
	if ! "$shared/enter" "$root" "/$4" --list "/$4" >"$tmp/why" 2>&1; then
		skip "$library" 'chroot' "needs unshare, mount and perl, as root: $(tail -n 1 "$tmp/why")"
		return
	fi
	entered=$root$shared
	mkdir -p "$entered" && cp -r "$fixtures" "$entered" || exit
	truth "$library" 'chroot, live' live "$fixtures" '' "$shared/enter" "$root"
	truth "$library" 'chroot, core, --sysroot' kernel "$fixtures" "--sysroot $root" "$shared/enter" "$root"
	rm -rf "$entered"
}

# The fixtures in C++: left out where no library of it is at hand.
in_cxx='containers|inheritance|new_array'

# Programs that hold their library, without a symbol or a banner of its version.
static_checks() { # SUITE ROOT TRIPLET
	local suite=$1 root=$2 triplet=$3 kind compat=() left_out="$in_cxx|dlopen"
	# pthread_exit() unwinds, and gcc 12's unwinder does not get on with glibc 2.31.
	[ "$suite" = $oldest ] && compat=("$shared/compat.c") left_out="$left_out|leader_gone"
	for kind in static static-pie; do
		build_fixtures "$root" "$triplet" "${FIXTURE_CC:-gcc}" '' "$tmp/$kind" -$kind -s -fPIE "${compat[@]}" || exit
		TRUTH_STRIPPED=1 ways "$library" "$kind: file, live, heap alone" "$tmp/$kind" '' /usr/bin/env "LD_LIBRARY_PATH=$root/lib/$triplet"
		TRUTH_STRIPPED=1 TRUTH_LEAVE_OUT="$left_out|second" truth "$library" "$kind, stripped, live" live "$tmp/$kind" '' ''
		TRUTH_STRIPPED=1 TRUTH_LEAVE_OUT="$left_out|second" truth "$library" "$kind, stripped, core" kernel "$tmp/$kind" '' ''
	done
}

# Pages of 64 KiB, in what the kernel says, in what it maps and with that in malloc.
large_pages() { # LIBRARY ROOT TRIPLET FLAG...
	local library=$1 root=$2 triplet=$3 name
	local names=(clean freed mmapped noncontiguous sizes threads trimmed)
	shift 3
	mkdir -p "$tmp/large" || exit
	for name in "${names[@]}"; do
		"$cross" --sysroot="$root" -B"$root/usr/lib/$triplet" -std=gnu17 -O1 -g -w -pthread -static -Wl,-e,large_pages -o "$tmp/large/$name" \
			"fixtures/src/$name.c" tests/support/large_pages.S "$@" >"$tmp/why" 2>&1 || { row "$library" 'qemu, 64 KiB pages' 0 1 0 "$tmp/why"; return; }
	done
	TRUTH_ONLY=$(IFS='|'; echo "${names[*]}") truth "$library" 'qemu, 64 KiB pages' kernel "$tmp/large" '' "$emulator" -p 65536
}

# A machine that is not this one: under qemu-user, which writes the core of a program that aborts. Such a core has neither the
# names of mappings nor thread pointers.
foreign_checks() { # SUITE ROOT TRIPLET FIXTURES
	local suite=$1 root=$2 triplet=$3 version kind compat=() left_out=
	[ "$suite" = $oldest ] && compat=("$shared/compat.c")
	version=$(grep -ao 'release version 2\.[0-9]*' "$root/lib/$triplet/libc.so.6" | head -n 1 | grep -o '2\.[0-9]*')
	library="$suite $version ${triplet%%-*}"
	# The fixtures are looked for below the root where they were run, beside it.
	entered=$root$shared
	mkdir -p "$entered$(dirname "${4#"$shared"}")" && cp -r "$4" "$entered${4#"$shared"}" || exit
	# qemu crashes when it writes the core of a process whose first thread has ended, and gives that of a forked child the
	# parent's thread id.
	export TRUTH_EMULATED=1 TRUTH_LEAVE_OUT="$in_cxx|leader_gone|forked"
	truth "$library" 'qemu, core' kernel "$4" "--sysroot $root" "$emulator" -L "$root"
	run_case arena_from_test emulated "$library" 'qemu, each way to arenas' "$4" "--sysroot $root" "$emulator" -L "$root"
	run_case code_test emulated "$library" 'qemu, code' "$4" "--sysroot $root" "$emulator" -L "$root"
	run_case labels_test emulated "$library" 'qemu, types of blocks' "$4" "--sysroot $root" "$emulator" -L "$root"
	foreign_stacks "$library" "$root" "$version" "$4"
	large_pages "$library" "$root" "$triplet" "${compat[@]}"
	for kind in static static-pie; do
		build_fixtures "$root" "$triplet" "$cross" '' "$tmp/$kind" -$kind -s -fPIE "${compat[@]}" || exit
		mkdir -p "$root$tmp" && cp -r "$tmp/$kind" "$root$tmp" || exit
		TRUTH_STRIPPED=1 TRUTH_LEAVE_OUT="$TRUTH_LEAVE_OUT|dlopen|second" truth "$library" "qemu, core, $kind, stripped" kernel "$tmp/$kind" "--sysroot $root" "$emulator"
	done
	unset TRUTH_EMULATED
	rm -rf "$entered"
}
# The functions that the threads of this fixture stand in, as it says in its source; and what the report says of the core.
foreign_stacks() { # LIBRARY ROOT VERSION FIXTURES
	local library=$1 root=$2 version=$3 pid in out said frames core=
	mkdir -p "$tmp/core" && rm -f "$tmp/core"/* || exit
	coproc { ulimit -c unlimited && cd "$tmp/core" && exec "$emulator" -L "$root" "$4/frames" 2>/dev/null; }
	pid=$COPROC_PID in=${COPROC[1]} out=${COPROC[0]}
	while read -r -t 60 -u "$out" said && [ "${said%\}}" = "$said" ]; do :; done
	settled "$pid"
	kill -ABRT "$pid"
	wait "$pid" 2>/dev/null
	exec {in}>&- 2>/dev/null
	core=$(ls "$tmp/core"/qemu_* 2>/dev/null)
	"${quiet[@]}" "$FLOTSAM" stack "$core" all --sysroot "$root" >"$tmp/stacks" 2>"$tmp/log"
	"${quiet[@]}" "$FLOTSAM" report "$core" --sysroot "$root" >"$tmp/report" 2>>"$tmp/log"
	frames=$(sed -n 's/^#[0-9]* *\([a-z_]*\)() at frames\.c.*/\1/p' "$tmp/stacks" | tr '\n' ' ')
	cat "$tmp/stacks" "$tmp/report" >>"$tmp/log"
	# Newer libraries sign return addresses, and elfutils 0.188 takes what their CFI says of it for a register window of SPARC's
	# (libdw/cfi.c: DW_CFA_GNU_window_save): functions that save no register end the stack.
	case $version:$frames in *'wait_for_end main stand consume parse serve serve serve serve io_main '*) ;; 2.3*) core= ;; esac
	case $frames in *'pool_wait pool_main pool_wait pool_main pool_wait pool_main '*) ;; *) core= ;; esac
	grep -q "6 threads)  aarch64 glibc $version\$" "$tmp/report" || core=
	if [ -n "$core" ]; then row "$library" 'qemu, stacks' 1 0 0; else row "$library" 'qemu, stacks' 0 1 0 "$tmp/log"; fi
}

fetch() { # SUITE ARCHITECTURE PACKAGE...
	scripts/fetch-suite.sh "$@" 2>"$tmp/why"
}

# All suites of a machine, and what to build with. Without a loader that runs here it is emulated.
machine() { # ARCHITECTURE TRIPLET LOADER CC CXX PACKAGE...
	local arch=$1 triplet=$2 loader=$3 cc=$4 cxx=$5 suite root fixtures=$tmp/$1
	shift 5
	if ! command -v "$cc" >/dev/null; then
		in_turn "$arch" skip "all, $arch" 'all' "needs $cc"
		return
	fi
	if ! root=$(fetch $oldest "$arch" "$@"); then
		in_turn "$arch" skip "all, $arch" 'all' "needs packages: $(tail -n 1 "$tmp/why")"
		return
	fi
	left_out='' build_fixtures "$root" "$triplet" "$cc" "$cxx" "$fixtures" || exit
	for suite in $suites; do
		if [ "$suite" = $oldest ] || root=$(fetch "$suite" "$arch" "$@"); then
			if [ -n "$loader" ]; then
				in_turn "$arch-$suite" library_checks "$suite" "$root" "$triplet" "$loader" "$fixtures"
			else
				in_turn "$arch-$suite" foreign_checks "$suite" "$root" "$triplet" "$fixtures"
			fi
		else
			in_turn "$arch-$suite" skip "$suite, $arch" 'all' "needs packages: $(tail -n 1 "$tmp/why")"
		fi
	done
}

# Libraries are checked side by side, as many as there are processors; what each says is printed when all have ended.
in_turn() { # NAME COMMAND...
	tmp=$shared/$1
	mkdir "$tmp" || exit
	ran+=("$1")
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	(
		entered=
		trap '[ -z "$entered" ] || rm -rf "$entered"' EXIT
		trap 'exit 130' TERM
		shift
		export TMPDIR=$tmp
		"$@" >"$tmp/rows" 2>&1
		echo $? >"$tmp/status"
	) &
	tmp=$shared
}
ran=()

packages='libc6 libgcc-s1 libc6-dev linux-libc-dev'
# shellcheck disable=SC2086
machine amd64 x86_64-linux-gnu lib64/ld-linux-x86-64.so.2 "${FIXTURE_CC:-gcc}" "${FIXTURE_CXX:-g++}" $packages libstdc++6 libc6-dbg
export TRUTH_LEAVE_OUT=$in_cxx
# shellcheck disable=SC2086
machine i386 i386-linux-gnu lib/ld-linux.so.2 i686-linux-gnu-gcc '' $packages
cross=aarch64-linux-gnu-gcc
if emulator=$(scripts/fetch.sh qemu-user-static 2>"$shared/why")/usr/bin/qemu-aarch64-static && [ -x "$emulator" ]; then
	# shellcheck disable=SC2086
	machine arm64 aarch64-linux-gnu '' $cross '' $packages
else
	in_turn arm64 skip 'all, arm64' 'all' "needs the package qemu-user-static: $(tail -n 1 "$shared/why")"
fi
wait
for name in "${ran[@]}"; do
	cat "$shared/$name/rows"
	[ -f "$shared/$name/status" ] || row "$name" 'ended early' 0 1 0 /dev/null
done >"$shared/rows"
cat "$shared/rows"
read -r passed failed skipped < <(sed -n 's/^[^ |].* \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped.*/\1 \2 \3/p' "$shared/rows" |
	awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }')
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
