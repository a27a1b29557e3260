#!/bin/bash
# scripts/run-tests.sh itself: what it counts, and that a crash, a silent program and a bad status are failures.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT

program() { # NAME BODY
	printf '#!/bin/sh\n%s\n' "$2" >"$tmp/$1" && chmod +x "$tmp/$1"
}
expect() { # NAME STATUS LAST-LINE PROGRAM...
	local name=$1 status=$2 line=$3 out got
	shift 3
	out=$(MODE=release scripts/run-tests.sh "${@/#/$tmp/}" 2>&1)
	got=$?
	if [ "$got" = "$status" ] && [ "$(tail -n 1 <<<"$out")" = "$line" ]; then
		echo "ok runner: $name"
	else
		echo "not ok runner: $name: status $got, $(tail -n 1 <<<"$out"), not status $status, $line"
	fi
}

program check_good 'echo "100%: Checks: 5, Failures: 0, Errors: 0"'
program check_skips 'echo "SKIP x: needs y"; echo "100%: Checks: 2, Failures: 0, Errors: 0"'
program check_bad 'echo "60%: Checks: 5, Failures: 1, Errors: 1"; exit 1'
program lines 'echo "ok a"; echo "SKIP b: needs c"; echo "ok d"'
program lines_bad 'echo "ok a"; echo "not ok b: c"'
program crash 'kill -SEGV $$'
program late_crash 'echo "100%: Checks: 5, Failures: 0, Errors: 0"; kill -ABRT $$'
program silent 'exit 0'
program status 'echo "ok a"; exit 3'
program litters "echo \$TMPDIR >$tmp/where; mktemp -d >/dev/null; echo 'ok a'; kill -KILL \$\$"

expect 'passed checks' 0 '5 passed, 0 failed, 0 skipped' check_good
expect 'a test that skips itself is not passed' 0 '1 passed, 0 failed, 1 skipped' check_skips
expect 'failures and errors' 1 '3 passed, 2 failed, 0 skipped' check_bad
expect 'lines' 0 '2 passed, 0 failed, 1 skipped' lines
expect 'a failed line' 1 '1 passed, 1 failed, 0 skipped' lines_bad
expect 'a crash' 1 '0 passed, 1 failed, 0 skipped' crash
expect 'a crash behind the last check' 1 '5 passed, 1 failed, 0 skipped' late_crash
expect 'a program that says nothing' 1 '0 passed, 1 failed, 0 skipped' silent
expect 'a bad status' 1 '1 passed, 1 failed, 0 skipped' status
expect 'one that is killed' 1 '1 passed, 1 failed, 0 skipped' litters
left=$(cat "$tmp/where")
if [ -n "$left" ] && [ ! -e "$left" ]; then echo 'ok runner: and leaves nothing behind'; else echo "not ok runner: and leaves nothing behind: $left"; fi
expect 'going on behind a failure, and the sum' 1 '8 passed, 1 failed, 2 skipped' crash lines check_good check_skips
