#!/bin/bash
# flotsam watch: a program that grows is told to grow, the rule fires, a look follows; the program ends, comes back, and the log
# stays whole whatever happens. Nothing here is timed but by limits that no machine reaches.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
target= watcher= again= feeder= other=
trap '[ -n "$watcher" ] && kill "$watcher" 2>/dev/null; exec 7>&- 8>&- 9>&-; for p in $target $again $feeder $other; do kill "$p" 2>/dev/null; done; rm -rf "$tmp"' EXIT
mkfifo "$tmp/in" "$tmp/in2" "$tmp/in3"
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
verdict 'and tells the time until the limit' "$(grep -q '"trend":"grows".*"seconds_until_limit":[0-9]' "$tmp/log"; echo $?)"
wait_for '"event":"look".*"reason":"growth"'
verdict 'and is looked at' $?
verdict 'the look names blocks' "$(grep -c '"event":"look".*"used":{"blocks":[1-9]' "$tmp/log" | sed 's/^[1-9].*/0/;t;s/.*/1/')"
for _ in $(seq 600); do
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
"$FLOTSAM" watch $again --interval 0.5 --look 0.4s -o "$tmp/log2" 2>"$tmp/err" &
watcher=$!
for _ in $(seq 600); do
	[ "$(grep -c '"event":"look".*"reason":"time"' "$tmp/log2")" -ge 2 ] && grep -q '"new_leaked":{"blocks":[1-9]' "$tmp/log2" && break
	sleep 0.1
done 2>/dev/null
kill -TERM $watcher
wait $watcher
watcher=
verdict 'looks at times' "$([ "$(grep -c '"event":"look".*"reason":"time"' "$tmp/log2")" -ge 2 ]; echo $?)"
verdict 'what is new' "$(grep -q '"event":"look".*"new_leaked":{"blocks":[1-9]' "$tmp/log2"; echo $?)" "$(cat "$tmp/log2")"
kill $feeder
wait $feeder 2>/dev/null
feeder=
"$FLOTSAM" watch 999999999 >"$tmp/out" 2>&1
verdict 'no such process' "$([ $? = 3 ]; echo $?)"
"$FLOTSAM" watch $again --growth 50 >"$tmp/out" 2>&1
verdict 'a rate needs a time' "$([ $? = 2 ]; echo $?)"

# smaps_rollup is read once where nothing moves; the level of a limit that is as good as nothing is held.
"$FLOTSAM" watch $again --interval 0.05 --count 5 >"$tmp/log" 2>"$tmp/err"
verdict 'smaps_rollup is read once' "$([ "$(grep -c '"event":"sample"' "$tmp/log")" = 5 ] && [ "$(grep -c '"rollup":{"rss_bytes":[1-9]' "$tmp/log")" = 1 ]; echo $?)"
"$FLOTSAM" watch $again --interval 0.1 --level 0.0001% --hold 0.3s >"$tmp/log" 2>"$tmp/err" &
watcher=$!
wait_for '"event":"look".*"reason":"level"'
time_of() { # EVENT: of the first
	sed -n "s/^{\"event\":\"$1\",\"time\":\([0-9.]*\),.*/\1/p" "$tmp/log" | head -n 1
}
verdict 'the rule of the level fires, once held' "$(awk -v from="$(time_of sample)" -v to="$(time_of alarm)" 'BEGIN { exit !(from && to - from > 0.298) }'; echo $?)"
kill -TERM $watcher
wait $watcher
watcher=
"$FLOTSAM" watch $again --interval 0.05 --count 2 --format text >"$tmp/out" 2>"$tmp/err"
verdict 'in words' "$(grep -q '^[0-9:]*  RSS [0-9.]* [KM]iB  too early to say' "$tmp/out"; echo $?)" "$(cat "$tmp/out")"

# Another program in the same process: looks begin anew.
# shellcheck disable=SC2016
bash -c 'read -r line; exec "$1"' sh "$FIXTURES/growth" <"$tmp/in3" >"$tmp/said" &
other=$!
exec 7>"$tmp/in3"
"$FLOTSAM" watch $other --interval 0.1 --look 0.1s -o "$tmp/log3" 2>"$tmp/err" 7>&- &
watcher=$!
log_has() { # PATTERN: until the third log has it
	for _ in $(seq 600); do
		grep -q "$1" "$tmp/log3" 2>/dev/null && return 0
		sleep 0.1
	done
	return 1
}
log_has '"event":"look".*"groups"'
echo go >&7
log_has '"event":"exec"'
verdict 'another program in the process is told' $?
for _ in $(seq 600); do
	sed '1,/"event":"exec"/d' "$tmp/log3" | grep -q '"event":"look".*"groups"' && break
	sleep 0.1
done
after=$(sed '1,/"event":"exec"/d' "$tmp/log3" | grep '"event":"look"')
# Looks while the program is still being loaded find no heap to compare with.
verdict 'and its looks are compared with its own first' "$(head -n 1 <<<"$after" | grep -qv '"more_bytes"' && sed 1d <<<"$after" | grep -q '"more_bytes"'; echo $?)" "$after"
kill -TERM $watcher
wait $watcher
watcher=
exec 7>&-
wait $other 2>/dev/null
other=

# What runs in a group: the oldest, and when that ends the next. The group is a directory that looks like one.
mkdir "$tmp/group" "$tmp/group/below"
sleep 600 9>&- &
other=$!
echo $other >"$tmp/group/below/cgroup.procs"
echo $again >"$tmp/group/cgroup.procs"
"$FLOTSAM" watch --cgroup "$tmp/group" --interval 0.1 --main oldest -o "$tmp/log4" 2>"$tmp/err" 9>&- &
watcher=$!
for _ in $(seq 600); do
	grep -q '"event":"sample".*"pid":'"$again," "$tmp/log4" 2>/dev/null && break
	sleep 0.1
done
verdict 'the oldest process of a group' "$(grep -q '"event":"sample".*"pid":'"$again," "$tmp/log4"; echo $?)" "$(cat "$tmp/log4" "$tmp/err")"
exec 9>&-
wait $again
again=
for _ in $(seq 600); do
	grep -q '"event":"restart".*"pid":'"$other[,}]" "$tmp/log4" && break
	sleep 0.1
done
verdict 'the next, when it has ended' "$(grep -q '"event":"restart".*"pid":'"$other[,}]" "$tmp/log4"; echo $?)" "$(tail -n 3 "$tmp/log4")"
kill -TERM $watcher
wait $watcher
watcher=
"$FLOTSAM" watch --unit no-such-unit-$$ >"$tmp/out" 2>&1
verdict 'no such unit' "$([ $? = 3 ] && grep -q "no unit 'no-such-unit-" "$tmp/out"; echo $?)" "$(cat "$tmp/out")"
"$FLOTSAM" watch $other --unit x >"$tmp/out" 2>&1
verdict 'one target' "$([ $? = 2 ]; echo $?)"

# A disk that fills up, and is emptied: whole lines alone, and the lost ones are counted. A limit of the file's size is such a disk.
: >"$tmp/log5"
(
	ulimit -f 2
	exec "$FLOTSAM" watch $other --interval 0.02 -o "$tmp/log5" 2>"$tmp/err"
) &
watcher=$!
for _ in $(seq 600); do
	[ "$(wc -c <"$tmp/log5")" -gt 1500 ] && break
	sleep 0.1
done
full=$(wc -c <"$tmp/log5")
sleep 0.5
verdict 'a disk that is full: the watch goes on' "$([ "$full" -gt 1500 ] && [ "$(wc -c <"$tmp/log5")" -le 2048 ] && kill -0 $watcher; echo $?)"
# While it runs, what does not fit stands there for a moment.
kill -TERM $watcher
wait $watcher
watcher=
if have_perl; then
	is_json "$tmp/log5"
	verdict 'whole lines alone' "$?" "$(cat "$tmp/log5")"
fi
printf '{"pad":"%02028d"}\n' 0 >"$tmp/log5"
(
	ulimit -f 2
	exec "$FLOTSAM" watch $other --interval 0.02 -o "$tmp/log5" 2>"$tmp/err"
) &
watcher=$!
# Until it has tried to write, and could not.
for _ in $(seq 600); do
	awk '/^syscw:/ { exit !($2 > 1) }' /proc/$watcher/io 2>/dev/null && break
	sleep 0.1
done
kill -STOP $watcher
: >"$tmp/log5"
kill -TERM $watcher
kill -CONT $watcher
wait $watcher
watcher=
verdict 'emptied: how many were lost' "$(tail -n 1 "$tmp/log5" | grep -q '"event":"end".*"reason":"interrupted".*"lost_lines":[1-9]'; echo $?)" "$(cat "$tmp/log5")"
# Metrics that cannot be written are an event, and leave no part behind.
"$FLOTSAM" watch $other --interval 0.05 --look 0.01s --count 2 --prometheus "$tmp/none/metrics" >"$tmp/log" 2>"$tmp/err"
verdict 'metrics that cannot be written' "$([ $? = 0 ] && grep -q '"event":"error".*cannot write' "$tmp/log" && tail -n 1 "$tmp/log" | grep -q '"reason":"count"'; echo $?)" "$(cat "$tmp/log")"
