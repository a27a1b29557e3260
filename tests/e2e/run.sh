#!/bin/bash
# flotsam run: a program is looked at as it exits; its output and status are its own, a leak makes the status 1.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT

run() { # NAME STATUS PATTERN INPUT ARGUMENT...: of the report, which has PATTERN
	local name=$1 want=$2 pattern=$3 input=$4 status
	shift 4
	printf '%b' "$input" | "$FLOTSAM" run "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	if grep -q 'cannot hold' "$tmp/err"; then
		echo "SKIP run $name: needs linux 5.5 with seccomp"
	elif [ $status = "$want" ] && grep -q -- "$pattern" "$tmp/err"; then
		echo "ok run: $name"
	else
		echo "not ok run: $name: status $status: $(tail -c 500 "$tmp/err")"
	fi
}
growth=$FIXTURES/growth
run 'nothing leaked' 0 'held  *reachability.definite' 'cache 5 200\n' -- "$growth"
run 'a leak' 1 'fires  *reachability.definite.blocks > 0  *5$' 'lose 5 504\n' -- "$growth"
if [ -s "$tmp/out" ] && ! grep -q '"lost":{"blocks":5,' "$tmp/out"; then echo "not ok run: its output: $(cat "$tmp/out")"; else echo 'ok run: its output is its own'; fi
run 'its own failure' 2 'LEAKED' 'lose 5 504\nnonsense\n' -- "$growth"
run 'a rule' 0 'held  *reachability.definite.bytes > 1 MiB' 'lose 5 504\n' --fail-on 'reachability.definite.bytes > 1 MiB' -- "$growth"
run 'JSON' 1 '"schema": "flotsam.report/1"' 'lose 5 504\n' --format json -- "$growth"
run 'what it starts is not waited for' 0 'held' '' -- sh -c "echo 'lose 3 504' | '$growth' >/dev/null; exit 0"
run 'no program' 127 'cannot run' '' -- "$tmp/missing"
run 'killed' 3 'there was no look' '' -- sh -c 'kill -9 $$'
run 'which?' 2 'which program' ''
printf 'lose 5 504\n' | "$FLOTSAM" run -o "$tmp/report" -- "$growth" >"$tmp/out" 2>"$tmp/err"
status=$?
if grep -q 'cannot hold' "$tmp/err"; then
	echo 'SKIP run to a file: needs linux 5.5 with seccomp'
elif [ $status = 1 ] && grep -q LEAKED "$tmp/report" && ! grep -q LEAKED "$tmp/err"; then
	echo 'ok run: to a file'
else
	echo "not ok run: to a file: status $status: $(cat "$tmp/err")"
fi
