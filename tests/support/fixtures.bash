# Sourced: waiting for programs that tests start. Nothing here is timed but by limits that no machine reaches.

# Its threads all sleep, and did a while ago.
settled() { # PID
	local try quiet=0
	for try in $(seq 600); do
		if cat "/proc/$1"/task/*/stat 2>/dev/null | sed 's/.*) //' | grep -qv '^S'; then quiet=0; else quiet=$((quiet + 1)); fi
		[ $quiet -lt 5 ] || return 0
		sleep 0.05
	done
}
# A fixture has told its truth, one object, to FILE, and rests.
told() { # PID FILE
	local try
	for try in $(seq 1200); do
		case $(tail -n 1 "$2") in *'}') settled "$1" && return ;; esac
		kill -0 "$1" 2>/dev/null || return
		sleep 0.05
	done
	return 1
}
# The leaky API in the background: $server, and its $port. Needs $tmp, FIXTURES.
start_api() {
	local try
	"$FIXTURES/leaky-api" --port 0 >"$tmp/server" &
	server=$!
	port=
	for try in $(seq 600); do
		port=$(sed -n 's/.*"port" *: *\([0-9]*\).*/\1/p' "$tmp/server" | head -n 1)
		[ -n "$port" ] && break
		sleep 0.1
	done
}
