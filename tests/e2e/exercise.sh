#!/bin/bash
# flotsam exercise on the leaky API: each way in which it leaks is found with its cost, a warm cache is not; a few rounds, as the
# whole of it takes long (tests/all/exercise.sh).
set -u
cd "$(dirname "$0")/../.." || exit
perl -MJSON::PP -e 1 2>/dev/null || { echo 'SKIP exercise: needs perl'; exit; }
tmp=$(mktemp -d) || exit
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$tmp"' EXIT
. tests/support/exercise.bash
start_api

exercise 'listeners' 7 60 g_listeners listener POST /subscribe 12
exercise 'lost uploads' 7 60 leaked lost_upload POST /upload 900
exercise 'a warm cache' 7 60 g_cache - GET '/product/#'

"$FLOTSAM" exercise "$server" --rounds 7 --per 60 --run "'$FIXTURES/drive' $port 60 POST /subscribe 12" >"$tmp/text" 2>"$tmp/err"
status=$?
if [ $status = 1 ] && grep -q '^It grows: each request leaves ' "$tmp/text" && grep -q 'g_listeners' "$tmp/text" && ! grep -q 'leaked:' "$tmp/text"; then
	echo 'ok exercise: in words'
else
	echo "not ok exercise: in words: status $status: $(cat "$tmp/text" "$tmp/err")"
fi
expect() { # NAME STATUS ARGUMENT...
	local name=$1 want=$2
	shift 2
	"$FLOTSAM" exercise "$@" >"$tmp/out" 2>&1
	status=$?
	if [ $status = "$want" ]; then echo "ok exercise: $name"; else echo "not ok exercise: $name: status $status: $(cat "$tmp/out")"; fi
}
# A program that does nothing does not grow.
sleep 600 &
idle=$!
expect 'an idle process' 0 $idle --rounds 7 --run true
kill $idle
wait $idle 2>/dev/null
expect 'a command that fails' 2 "$server" --rounds 3 --run 'exit 3'
expect 'no command' 2 "$server"
expect 'no process' 3 999999999 --run true
