#!/bin/bash
# Runs test programs, as many at a time as there are cores, and counts. usage: run-tests.sh PROGRAM...
# A program either is of libcheck ("NN%: Checks: N, Failures: N, Errors: N") or prints "ok NAME" and "not ok NAME: why" lines.
# "SKIP NAME: needs PACKAGE" is a test that was left out. A program that crashes, or says nothing that can be counted, failed.
# Environment: MODE, CC, FLOTSAM, FIXTURES, for check-all CACHE; VERBOSE=1 prints all output, TEST_JOBS=1 has no two at a time. Last line: N passed, N failed, N skipped
set -u

# What an earlier build found in code is not what this one finds.
export FLOTSAM_CACHE=off
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-120} CK_VERBOSITY=normal
program_timeout=${PROGRAM_TIMEOUT:-600}

tmp=$(mktemp -d) && chmod 711 "$tmp" || exit
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

# LeakSanitizer stops its own process with ptrace, which a container may forbid: asked of a program with one leak.
leak_check_works() {
	printf '#include <stdlib.h>\nvoid *volatile p;\nint main(void) { p = malloc(7); p = 0; return 0; }\n' >"$tmp/leak.c"
	"${CC:-gcc}" -fsanitize=address -o "$tmp/leak" "$tmp/leak.c" 2>/dev/null || return 1
	ASAN_OPTIONS=detect_leaks=1 "$tmp/leak" 2>&1 | grep -q 'detected memory leaks'
}
if [ "${MODE:-release}" = asan ]; then
	leaks=1
	leak_check_works || { leaks=0; echo "note: LeakSanitizer cannot run here, leaks of our own go unseen"; }
	export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=$leaks} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
fi

count() { # PATTERN FILE
	grep -Ec "$1" "$2"
}

# What counts the lines that ran writes a file at the end.
[ "${MODE:-release}" = cov ] && export FLOTSAM_SANDBOX=off

# PROGRAM: its line, what it says of failures, and as the last line three numbers.
run_one() {
	local program=$1 name log started=$SECONDS status p=0 f=0 s checks failures errors
	name=$(basename "$program")
	case $program in */*) ;; *) program=./$program ;; esac
	log=$tmp/$name.log
	# What it leaves behind when it is killed goes with its own directory; tests become other users.
	mkdir -p -m 1777 "$tmp/$name.d" || return
	# What a shell starts in the background ignores Ctrl-C, which is not how tests are to find it.
	TMPDIR=$tmp/$name.d env --default-signal=INT,QUIT timeout -k 10 "$program_timeout" "$program" >"$log" 2>&1 </dev/null
	status=$?
	rm -rf "$tmp/$name.d"

	s=$(count '^SKIP ' "$log")
	while read -r checks failures errors; do
		p=$((p + checks - failures - errors)) f=$((f + failures + errors))
	done < <(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' "$log")
	if grep -Eq '^[0-9]+%: Checks: ' "$log"; then
		# A libcheck test that skips itself returns, and so was counted as passed.
		p=$((p > s ? p - s : 0))
	else
		p=$(count '^ok ' "$log") f=$(count '^not ok ' "$log")
		[ $((p + f + s)) -gt 0 ] || f=1
	fi
	[ $status -eq 0 ] || [ "$f" -gt 0 ] || f=1

	printf '%-28s %4d passed' "$name" "$p"
	[ "$f" -gt 0 ] && printf ', %d failed' "$f"
	[ "$s" -gt 0 ] && printf ', %d skipped' "$s"
	printf '  (%d s)\n' $((SECONDS - started))
	if [ "$f" -gt 0 ]; then
		[ $status -eq 124 ] && echo "  did not end in $program_timeout s"
		[ $status -gt 128 ] && echo "  died of signal $((status - 128))"
		# What failed first: a sanitizer may have much to say behind it.
		grep -E ':[FE]:|^not ok |^ERROR: |ERROR: .*Sanitizer' "$log" | head -n 20 | sed 's/^/  ! /'
		sed 's/^/  | /' "$log" | tail -n 40
	elif [ -n "${VERBOSE-}" ]; then
		sed 's/^/  | /' "$log"
	else
		grep '^SKIP ' "$log" | sed 's/^/  /'
	fi
	echo "$p $f $s"
}

jobs=${TEST_JOBS:-$(nproc)} passed=0 failed=0 skipped=0
declare -A result_of
# Takes the result of one that ended.
collect() {
	local pid p f s
	wait -n -p pid || true
	[ -n "${pid-}" ] || return
	head -n -1 "${result_of[$pid]}"
	read -r p f s < <(tail -n 1 "${result_of[$pid]}")
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	running=$((running - 1))
}
running=0 n=0
for program; do
	[ $running -lt "$jobs" ] || collect
	n=$((n + 1))
	run_one "$program" >"$tmp/result.$n" &
	result_of[$!]=$tmp/result.$n
	running=$((running + 1))
done
while [ $running -gt 0 ]; do
	collect
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
