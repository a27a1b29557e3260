#!/bin/bash
# Some four hundred small programs (fixtures/referee), each judged by scripts/referee: flotsam must call the same blocks lost as
# Valgrind. At -O0 every program, at -O2 at least 157 of 165 (dead registers and stack slots differ there); a version that frees
# everything loses nothing in any. ONLY=PATTERN picks programs by name.
set -u
cd "$(dirname "$0")/../.." || exit
cc=${FIXTURE_CC:-gcc} cxx=${FIXTURE_CXX:-g++}

if ! command -v valgrind >/dev/null; then
	root=$(scripts/fetch.sh valgrind) || { echo "SKIP referee: needs valgrind"; exit 0; }
	export VALGRIND=$root/usr/bin/valgrind VALGRIND_LIB=$root/usr/libexec/valgrind
fi
command -v ${cxx%% *} >/dev/null || { echo "SKIP referee: needs g++"; exit 0; }
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
# Without the symbols of ld.so it cannot start (it replaces strlen there). Of debug files elsewhere it finds those that a file
# names (.gnu_debuglink), below the file's own folder (coregrind/m_debuginfo/readelf.c, find_debug_file).
valgrind_starts() {
	"${VALGRIND:-valgrind}" -q --leak-check=no true 2>/dev/null
}
take_debug_files() {
	local root lib dir name
	root=$(scripts/fetch.sh libc6-dbg) || return
	for lib in $(ldd /bin/true | grep -o '/[^ ]*'); do
		lib=$(readlink -f "$lib") dir=$(dirname "$lib")
		name=$(readelf -p .gnu_debuglink "$lib" | sed -n 's/.* \([^ ]*\.debug\)$/\1/p')
		[ -n "$name" ] || continue
		mkdir -p "$tmp/debug$dir" "$tmp/debug${dir#/usr}"
		find "$root/usr/lib/debug/.build-id" -name "$name" -exec cp {} "$tmp/debug$dir/$name" \;
		cp "$tmp/debug$dir/$name" "$tmp/debug${dir#/usr}/" 2>/dev/null
	done
	export VALGRIND_OPTS="${VALGRIND_OPTS-} --extra-debuginfo-path=$tmp/debug"
	valgrind_starts
}
valgrind_starts || take_debug_files || { echo "SKIP referee: needs libc6-dbg"; exit 0; }
# Once, so that no two of the jobs below build it.
scripts/referee --clean true >/dev/null 2>&1

# NAME POINT SOURCE FLAGS...   one line a program, whatever its optimisation
programs() {
	local flow kind n=0
	for flow in $(seq 30); do
		# Every flow with some kinds, every kind with some flows.
		for kind in $((flow % 7 + 1)) $(((flow * 3 + 4) % 7 + 1)) $((flow % 4 + 8)); do
			n=$((n + 1))
			echo "flow$flow-kind$kind $((n % 2)) flows.$([ "$kind" -lt 8 ] && echo c || echo cc) -DFLOW=$flow -DKIND=$kind"
		done
	done | sort -u -k1,1
	for n in $(seq 28); do
		# Threads that live are gone for Valgrind when a program exits.
		echo "shape$n $((n == 21 ? 1 : n % 2)) shapes.c -DSHAPE=$n"
	done
	for n in $(seq 16); do
		echo "case$n $((n % 2)) containers.cc -DCASE=$n"
	done
}

judge() { # NAME POINT SOURCE FLAGS... : one line of results for each optimisation
	local name=$1 pause=$2 source=fixtures/referee/$3 compiler="$cc -std=gnu17" o good out status
	shift 3
	[[ $source = *.cc ]] && compiler="$cxx -std=gnu++17"
	for o in -O0 -O2; do
		for good in '' -DGOOD; do
			[ -n "$good" ] && [[ $name = shape* ]] && continue
			local program="$tmp/$name$o$good"
			# shellcheck disable=SC2086
			$compiler -D_GNU_SOURCE -pthread -g ${LAZY:--Wl,-z,now} "$o" $good "$@" -o "$program" "$source" 2>"$program.log" ||
				{ echo "broken $o ${good:-bad} $name: $(head -n 1 "$program.log")"; continue; }
			# Twice when they differ: Valgrind puts heaps at low addresses, which some number may happen to be.
			for _ in 1 2; do
				out=$(scripts/referee ${good:+--clean} --at "$([ "$pause" = 1 ] && echo pause || echo exit)" \
					"$program" $([ "$pause" = 1 ] && echo pause) 2>&1)
				status=$?
				[ $status = 1 ] || break
			done
			case $status in 0) status=same ;; 1) status=differ ;; *) status=broken ;; esac
			echo "$status $o ${good:-bad} $name: $(tr '\n' ' ' <<<"$out")"
			rm -f "$program"*
		done
	done
}
export -f judge
export tmp cc cxx
programs | grep -E "^${ONLY:-}" | xargs -d '\n' -P "$(nproc)" -I{} bash -c 'judge {}' >"$tmp/results"

sort -V "$tmp/results" | while read -r result o good name rest; do
	name=${name%:}
	case $result$o$good in
	same*-O2bad | differ*-O2bad) continue ;;
	same*) echo "ok referee $name $o ${good#-D}" ;;
	*) echo "not ok referee $name $o ${good#-D}: $rest" ;;
	esac
done
all=$(grep -Ec '^(same|differ) -O2 bad' "$tmp/results")
same=$(grep -c '^same -O2 bad' "$tmp/results")
grep '^differ -O2 bad' "$tmp/results" | sed 's/^/note: /'
if [ $((same * 165)) -ge $((all * 157)) ] && [ "$all" -gt 0 ]; then
	echo "ok referee: $same of $all at -O2 the same"
else
	echo "not ok referee: $same of $all at -O2 the same, and at least 157 of 165 must be"
fi
