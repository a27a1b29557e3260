#!/bin/bash
# Runs test programs one after the other and counts. usage: run-tests.sh PROGRAM...
# A program either is of libcheck ("NN%: Checks: N, Failures: N, Errors: N") or prints "ok NAME" and "not ok NAME: why" lines.
# "SKIP NAME: needs PACKAGE" is a test that was left out. A program that crashes, or says nothing that can be counted, failed.
# Environment: MODE, CC, FLOTSAM, FIXTURES, for check-all CACHE; VERBOSE=1 prints all output. Last line: N passed, N failed, N skipped
set -u

export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-120} CK_VERBOSITY=normal
program_timeout=${PROGRAM_TIMEOUT:-600}

tmp=$(mktemp -d) || exit
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

passed=0 failed=0 skipped=0
for program; do
	name=$(basename "$program")
	case $program in */*) ;; *) program=./$program ;; esac
	log=$tmp/$name.log
	started=$SECONDS
	timeout -k 10 "$program_timeout" "$program" >"$log" 2>&1 </dev/null
	status=$?

	p=0 f=0
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
	[ $status -eq 0 ] || [ $f -gt 0 ] || f=1
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))

	printf '%-28s %4d passed' "$name" "$p"
	[ $f -gt 0 ] && printf ', %d failed' "$f"
	[ "$s" -gt 0 ] && printf ', %d skipped' "$s"
	printf '  (%d s)\n' $((SECONDS - started))
	if [ $f -gt 0 ]; then
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
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
