#!/bin/bash
# The command as a user drives it: a closed pipe, Ctrl-C, a job that is stopped; the target goes on.
set -u
flotsam=${FLOTSAM:-build/release/flotsam}
tmp=$(mktemp -d) || exit
sleep 1000 &
target=$!
trap 'kill $target 2>/dev/null; rm -rf "$tmp"' EXIT

field() { # PID FIELD
	awk -v f="$2:" '$1 == f { print $2 }' "/proc/$1/status"
}
# Nobody traces the target and it sleeps as before.
free() {
	for _ in $(seq 600); do
		[ "$(field $target TracerPid)" = 0 ] && [ "$(field $target State)" = S ] && return
		sleep 0.05
	done
	return 1
}
check() { # NAME WHY: by the status before
	if [ $? = 0 ]; then echo "ok $1"; else echo "not ok $1: $2"; fi
}

"$flotsam" report $target 2>/dev/null | head -c 1 >/dev/null
free
check closed_pipe "state $(field $target State), tracer $(field $target TracerPid)"

bad=
for delay in 0.005 0.01 0.02 0.03 0.05 0.08; do
	timeout -s INT $delay "$flotsam" report $target >/dev/null 2>&1
	free || bad="$bad $delay"
done
[ -z "$bad" ]
check interrupted "held after$bad s"

# A stop of flotsam's own does not hold the target.
"$flotsam" report $target >/dev/null 2>&1 &
look=$!
sleep 0.01
kill -STOP $look 2>/dev/null
free
check flotsam_stopped "state $(field $target State)"
kill -CONT $look 2>/dev/null
wait $look 2>/dev/null

"$flotsam" report $$ >"$tmp/out" 2>"$tmp/err"
[ $? = 3 ] && [ ! -s "$tmp/out" ] && grep -q '^flotsam: will not stop' "$tmp/err" && grep -q '^  .*--force' "$tmp/err"
check refuses_its_parent "$(tr '\n' ' ' <"$tmp/err")"

kill $target
wait $target 2>/dev/null
"$flotsam" report $target >"$tmp/out" 2>"$tmp/err"
[ $? = 3 ] && grep -q "no process $target" "$tmp/err"
check no_such_process "$(tr '\n' ' ' <"$tmp/err")"
