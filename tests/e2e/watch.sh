#!/bin/bash
# flotsam watch: a program that grows is told to grow, the rule fires, a look follows; the program ends, comes back, and the log
# stays whole whatever happens. Nothing here is timed but by limits that no machine reaches.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
target= watcher= again= feeder=
trap '[ -n "$watcher" ] && kill "$watcher" 2>/dev/null; exec 8>&- 9>&-; for p in $target $again $feeder; do kill "$p" 2>/dev/null; done; rm -rf "$tmp"' EXIT
mkfifo "$tmp/in" "$tmp/in2"
# By a name that nothing else has.
name=flot-$$
cp "$FIXTURES/growth" "$tmp/$name" || exit
"$tmp/$name" <"$tmp/in" >"$tmp/said" &
target=$!
exec 8>"$tmp/in"

verdict() { # NAME STATUS [WHY]
	if [ "$2" = 0 ]; then echo "ok watch: $1"; else echo "not ok watch: $1: ${3-}$(tail -c 600 "$tmp/log" 2>/dev/null)"; fi
}
# PATTERN: until a line of the log has it; each second one more of what $1 says is done.
wait_for() {
	for _ in $(seq 600); do
		grep -q "$1" "$tmp/log" 2>/dev/null && return 0
		kill -0 "$watcher" 2>/dev/null || { grep -q "$1" "$tmp/log" 2>/dev/null; return; }
		[ -z "${2-}" ] || echo "$2" >&8
		sleep 0.1
	done
	return 1
}
is_json() { # every line
	perl -MJSON::PP -ne 'decode_json($_)' "$1" 2>/dev/null
}
have_perl() { perl -MJSON::PP -e 1 2>/dev/null; }

"$FLOTSAM" watch "$name" --interval 0.1 --growth 1kB/h --prometheus "$tmp/metrics" -o "$tmp/log" 2>"$tmp/err" 8>&- &
watcher=$!
wait_for '"event":"sample"'
verdict 'samples' $?
wait_for '"event":"alarm".*"reason":"growth"' 'cache 500 1000'
verdict 'the rule of growth fires' $?
wait_for '"event":"look".*"reason":"growth"'
verdict 'and is looked at' $?
verdict 'the look names blocks' "$(grep -c '"event":"look".*"used":{"blocks":[1-9]' "$tmp/log" | sed 's/^[1-9].*/0/;t;s/.*/1/')"
for _ in $(seq 100); do
	[ -s "$tmp/metrics" ] && break
	sleep 0.1
done
verdict 'metrics are written' "$(grep -q '^flotsam_used_bytes{class="reachable"} [1-9]' "$tmp/metrics"; echo $?)"

# It ends, and another of its name comes.
exec 8>&-
wait_for '"event":"exit"'
verdict 'the end of the process' $?
"$tmp/$name" <"$tmp/in2" >"$tmp/said" &
again=$!
exec 9>"$tmp/in2"
wait_for "\"event\":\"restart\".*\"pid\":$again"
verdict 'is followed across a restart' $?
kill -TERM "$watcher"
wait "$watcher"
status=$?
watcher=
verdict 'SIGTERM: status' "$([ $status = 143 ]; echo $?)" "$status "
verdict 'SIGTERM: the log has an end' "$(tail -n 1 "$tmp/log" | grep -q '"event":"end".*"reason":"interrupted"'; echo $?)"
verdict 'mode 0600' "$([ "$(stat -c %a "$tmp/log")" = 600 ]; echo $?)"
if have_perl; then
	is_json "$tmp/log"
	verdict 'every line is JSON' $?
else
	echo 'SKIP watch every line is JSON: needs perl'
fi

# A full disk loses lines and says how many; the next log is written behind the last.
"$FLOTSAM" watch $again --interval 0.05 --count 3 -o /dev/full >"$tmp/out" 2>&1
verdict 'a full disk' $?
before=$(wc -l <"$tmp/log")
"$FLOTSAM" watch $again --interval 0.05 --count 3 -o "$tmp/log" 2>"$tmp/err"
verdict 'appends' "$([ "$(tail -n 1 "$tmp/log" | grep -c '"reason":"count","samples":3,"lost_lines":0')" = 1 ] && [ "$(wc -l <"$tmp/log")" = $((before + 5)) ]; echo $?)"
# Looks at times, and what has changed since the first.
(
	while echo 'lose 2 504' >&9; do
		sleep 0.05
	done
) &
feeder=$!
"$FLOTSAM" watch $again --interval 0.5 --look 0.4s --count 4 >"$tmp/log2" 2>"$tmp/err"
verdict 'looks at times' "$([ "$(grep -c '"event":"look".*"reason":"time"' "$tmp/log2")" -ge 2 ]; echo $?)"
verdict 'what is new' "$(grep -q '"event":"look".*"new_leaked":{"blocks":[1-9]' "$tmp/log2"; echo $?)" "$(cat "$tmp/log2")"
kill $feeder
wait $feeder 2>/dev/null
feeder=
"$FLOTSAM" watch 999999999 >"$tmp/out" 2>&1
verdict 'no such process' "$([ $? = 3 ]; echo $?)"
"$FLOTSAM" watch $again --growth 50 >"$tmp/out" 2>&1
verdict 'a rate needs a time' "$([ $? = 2 ]; echo $?)"
