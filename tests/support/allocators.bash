# For the tests of allocators that are not walked. Sourced.
flotsam=${FLOTSAM:-build/release/flotsam}
fixtures=${FIXTURES:-build/release/fixtures}
tmp=$(mktemp -d) || exit
server=
finish() {
	stop_server
	rm -rf "$tmp"
}
trap finish EXIT
mkfifo "$tmp/in"
exec {held}<>"$tmp/in"

start_server() { # COMMAND...: true when it says that it is ready
	"$@" <"$tmp/in" >"$tmp/out" 2>"$tmp/log" &
	server=$!
	local try
	for try in $(seq 1200); do
		grep -q 'eady' "$tmp/out" && return
		kill -0 $server 2>/dev/null || return
		sleep 0.05
	done
	return 1
}
stop_server() {
	[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	server=
}
field() { # KEY: the first of its name in the report
	sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$tmp/report" | head -n 1
}
section() { # KEY
	sed -n "/^  \"$1\"/,/^  }/p" "$tmp/report"
}
# Resident by the kernel's own count of each mapping, and all of it explained.
rss_is_exact() {
	local rss total unexplained
	rss=$(awk '$1 == "Rss:" { sum += $2 } END { print sum * 1024 }' "/proc/$server/smaps")
	total=$(field total_bytes) unexplained=$(field unexplained_bytes)
	[ -n "$total" ] && [ "$unexplained" = 0 ] && [ $(((total > rss ? total - rss : rss - total) * 100)) -le "$rss" ] ||
		why="$why; rss $rss, total $total, unexplained $unexplained"
}
# By name and version (patterns; "null": the file does not tell); nothing is said of blocks, no page claims that nothing leaked.
check_not_walked() { # TEST NAME VERSION COMMAND...
	local test=$1 name=$2 version=$3 status why=
	shift 3
	if ! start_server "$@"; then
		echo "not ok allocators: $test: does not start: $(tail -n 3 "$tmp/log" | tr '\n' ' ')"
		stop_server
		return
	fi
	"$flotsam" report $server >"$tmp/page" 2>"$tmp/err"
	"$flotsam" report $server --format json >"$tmp/report" 2>>"$tmp/err"
	status=$?
	[ $status = 4 ] || why="$why; status $status $(head -c 300 "$tmp/err")"
	section allocator | grep -Eq "\"name\": \"$name\",\$" || why="$why; name"
	section allocator | grep -Eq "\"version\": \"?$version\"?,\$" || why="$why; version"
	section allocator | grep -q '"walked": false' || why="$why; walked"
	[ -z "$why" ] || why="$why: $(section allocator | tr -d '\n ')"
	section heap | grep -q ': [0-9]' && why="$why; figures in heap"
	section reachability | grep -q ': [0-9]' && why="$why; figures in reachability"
	grep -q '^  "leaks": null' "$tmp/report" || why="$why; a list of leaks"
	grep -Eq 'Nothing has leaked|LEAKED|KEPT ALIVE|in use, reachable' "$tmp/page" && why="$why; the page speaks of blocks"
	tr '\n' ' ' <"$tmp/page" | grep -q 'The heap is not walked' || why="$why; the page does not say that the heap is not walked"
	rss_is_exact
	if [ -z "$why" ]; then echo "ok allocators: $test"; else echo "not ok allocators: $test: ${why#; }"; fi
	stop_server
}
# Walked as glibc's, and a finding of this kind names what stands beside it.
check_beside() { # TEST KIND TEXT COMMAND...
	local test=$1 kind=$2 text=$3 why=
	shift 3
	start_server "$@" || why="; does not start: $(tail -n 3 "$tmp/log" | tr '\n' ' ')"
	"$flotsam" report $server --format json >"$tmp/report" 2>"$tmp/err"
	section allocator | grep -q '"name": "glibc"' && section allocator | grep -q '"walked": true' || why="$why; $(section allocator | tr -d '\n ')"
	grep -A2 "\"kind\": \"$kind\"" "$tmp/report" | grep -q "$text" || why="$why; no finding"
	if [ -z "$why" ]; then echo "ok allocators: $test"; else echo "not ok allocators: $test: ${why#; }"; fi
	stop_server
}
