#!/bin/bash
# The leaky server of fixtures/src, some thousand requests, and flotsam's report on it. FLOTSAM and FIXTURES say where they are.
set -u
flotsam=${FLOTSAM:-build/release/flotsam} fixtures=${FIXTURES:-build/release/fixtures}

tmp=$(mktemp -d) || exit
server=
finish() {
	[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

"$fixtures/leaky-api" --port 0 >"$tmp/server" 2>"$tmp/errors" &
server=$!
port=
for _ in $(seq 100); do
	port=$(sed -n 's/.*"port" *: *\([0-9]*\).*/\1/p' "$tmp/server" | head -n 1)
	[ -n "$port" ] && break
	sleep 0.1
done
[ -n "$port" ] || { echo "demo: the server does not say its port" >&2; cat "$tmp/errors" >&2; exit 1; }

echo "A leaky API server runs as pid $server; sending it some thousand requests ..."
"$fixtures/drive" "$port" || { echo "demo: the requests failed" >&2; exit 1; }
echo "\$ flotsam report $server"
"$flotsam" report "$server"
status=$?
[ $status -eq 0 ] && echo && echo "Now try it on a process of yours: $flotsam PID"
exit $status
