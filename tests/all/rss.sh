#!/bin/bash
# rss of nginx, PostgreSQL, python3, node and the leaky API fixture, looked at under load: the table adds up to the resident pages,
# at most 1 % of it unexplained, and agrees with what the kernel says of each mapping (smaps). The process is stopped between the two
# accounts, so that both are of the same moment.
set -u
cd "$(dirname "$0")/../.." || exit
flotsam=${FLOTSAM:-build/release/flotsam} fixtures=${FIXTURES:-build/release/fixtures}
export LC_ALL=C

tmp=$(mktemp -d) || exit
chmod 755 "$tmp"
server='' load='' looked_at=''
finish_server() {
	touch "$tmp/enough"
	[ -n "$looked_at" ] && kill -CONT "$looked_at" 2>/dev/null
	[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	[ -n "$load" ] && wait "$load" 2>/dev/null
	server='' load='' looked_at=''
	rm -f "$tmp/enough"
}
trap 'finish_server; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

result() { # NAME STATUS WHY
	if [ "$2" -eq 0 ]; then echo "ok rss: $1"; else echo "not ok rss: $1: $(tr '\n' ' ' <<<"$3" | cut -c1-600)"; fi
}
free_port() {
	local port
	while port=$((20000 + RANDOM)); do
		{ exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || { echo $port; return; }
	done
}
packages() { # PACKAGE...: their root and libraries
	root=$(scripts/fetch.sh "$@" 2>"$tmp/why") || return
	libs=$(echo "$root"/usr/lib/*-linux-gnu | tr ' ' :):$(echo "$root"/lib/*-linux-gnu | tr ' ' :)
}

# smaps and the table side by side. Prints what does not fit; nothing when all does.
compare() { # REPORT SMAPS
	perl -e '
	use strict; use warnings;
	local $/; open my $f, "<", shift or die; my $json = <$f>; open $f, "<", shift or die; my $smaps = <$f>;
	my ($table) = $json =~ /"rss"\s*:\s*(\{.*?\n  \})/s or die "no table\n";
	my ($kernel) = $json =~ /"kernel"\s*:\s*(\{.*?\})/s or die "no kernel\n";
	my %cause = $table =~ /"cause"\s*:\s*"(\w+)",\s*(?:"blocks"\s*:\s*\S+,\s*)?"bytes"\s*:\s*(\d+)/gs;
	my ($total) = $table =~ /"total_bytes"\s*:\s*(\d+)/; my ($rest) = $table =~ /"unexplained_bytes"\s*:\s*(\d+)/;
	my ($swapped) = $table =~ /"swapped_bytes"\s*:\s*(\d+)/; my ($rollup) = $kernel =~ /"rss_bytes"\s*:\s*(\d+)/;
	my ($rss, $swap, $files, $bss, $shared, $anonymous, $stack, $end, $behind) = (0) x 9;
	for (split /^(?=[0-9a-f]+-[0-9a-f]+ )/m, $smaps) {
		my ($from, $to, $prot, $inode, $path) = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)$/m or next;
		my ($r) = /^Rss: +(\d+) kB/m; my ($s) = /^Swap: +(\d+) kB/m;
		$r *= 1024; $rss += $r; $swap += 1024 * $s;
		my $memory = $path =~ m{^(/dev/shm/|/memfd:|/SYSV|/dev/zero)};
		if ($prot =~ /s/ && ($memory || !$inode)) { $shared += $r }
		elsif ($inode && !$memory) { $files += $r; $behind = 1 }
		elsif ($path =~ /^\[stack/) { $stack += $r }
		elsif ($path eq "" && $behind && $from eq $end) { $bss += $r; $anonymous += $r; $behind = 0 }
		else { $anonymous += $r; $behind = 0 }
		$end = $to;
	}
	my $sum = $rest; $sum += $_ for values %cause;
	my $malloc = 0; $malloc += $cause{$_} // 0 for qw(in_use leaked possible free_trimmable free_top free_pinned runtime overhead);
	my $own = $files; $own = ($cause{files} // 0) - $files;
	my $few = 64 << 10; # pages of the kernel (vvar) that smaps leaves out
	print "causes add up to $sum, not $total\n" if $sum != $total;
	print "$rest of $total unexplained\n" if 100 * $rest > $total;
	print "$total, but smaps counts $rss\n" if abs($total - $rss) > $few;
	print "rss_bytes $rollup, but smaps counts $rss\n" if $rollup != $rss;
	print "swapped $swapped, but smaps counts $swap\n" if $swapped != $swap;
	print "shared memory ", $cause{shared_memory} // 0, ", but smaps counts $shared\n" if ($cause{shared_memory} // 0) != $shared;
	print "files $cause{files}, but smaps counts $files and $bss behind them\n" if $own < 0 || $own > $bss;
	print "malloc $malloc, but smaps counts $anonymous anonymous\n" if $malloc > $anonymous;
	print "stacks $cause{stacks}, but smaps counts $stack of the first alone\n" if ($cause{stacks} // 0) < $stack;
	printf STDERR "%.1f MiB, %.3f %% unexplained\n", $total / 1048576, 100 * $rest / $total;
	' "$@"
}

# Until each of its threads has come to its stop.
stop() { # PID
	local states
	kill -STOP "$1"
	for _ in $(seq 600); do
		states=$(cat "/proc/$1"/task/*/stat 2>/dev/null | sed 's/.*) //' | cut -c1 | sort -u)
		[ "$states" != T ] || return 0
		sleep 0.05
	done
}
look() { # NAME PID
	looked_at=$2
	stop "$2"
	"$flotsam" rss "$2" --format json >"$tmp/json" 2>"$tmp/err"
	result "$1: JSON" $? "$(cat "$tmp/err")"
	cat "/proc/$2/smaps" >"$tmp/smaps"
	"$flotsam" rss "$2" -v >"$tmp/text" 2>"$tmp/err"
	result "$1: text" $? "$(cat "$tmp/err")"
	kill -CONT "$2"
	looked_at=
	local said
	said=$(compare "$tmp/json" "$tmp/smaps" 2>"$tmp/note") && [ -z "$said" ]
	result "$1: agrees with smaps" $? "$said $(cat "$tmp/note")"
	echo "note: $1: $(cat "$tmp/note")"
	said=$(awk 'length > 80' "$tmp/text") && [ -z "$said" ] && grep -q '^BY ARENA' "$tmp/text" && grep -q '^BY MAPPING' "$tmp/text"
	result "$1: the text fits 80 columns, with its parts" $? "$said"
}

# Requests until there is a file `enough`; back when the first hundred or so are answered.
load_http() { # NAME-FOR-servers.sh PORT PID
	PID=$3 tests/all/servers.sh --drive "$1" "$2" || return
	while [ ! -e "$tmp/enough" ]; do
		PID=$3 tests/all/servers.sh --drive "$1" "$2"
	done >/dev/null 2>&1 &
	load=$!
}
web() { # NAME COMMAND...: a server of HTTP on $port
	local name=$1 kind=$1
	shift
	[ "$kind" = nginx ] || kind=python3
	"$@" >"$tmp/log" 2>&1 </dev/null &
	server=$!
	load_http $kind "$port" $server
	result "$name: serves" $? "$(tail -n 3 "$tmp/log")"
	look "$name" $server
	finish_server
}

mkdir -p "$tmp/www" "$tmp/logs"
for i in 0 1 2 3; do
	head -c $((i * 20000 + 10)) /dev/zero | tr '\0' "$i" >"$tmp/www/file$i.txt"
done

if packages nginx nginx-common libpcre2-8-0 libssl3 zlib1g; then
	port=$(free_port)
	cat >"$tmp/nginx.conf" <<-CONF
	daemon off; master_process off; pid $tmp/nginx.pid; error_log $tmp/logs/error.log;
	events { worker_connections 64; }
	http { access_log $tmp/logs/access.log; client_body_temp_path $tmp/b; proxy_temp_path $tmp/p; fastcgi_temp_path $tmp/f;
		uwsgi_temp_path $tmp/u; scgi_temp_path $tmp/s; gzip on; gzip_min_length 1000; gzip_types text/plain;
		server { listen 127.0.0.1:$port; root $tmp/www; } }
	CONF
	web nginx env "LD_LIBRARY_PATH=$libs" "$root/usr/sbin/nginx" -p "$tmp" -c "$tmp/nginx.conf"
else
	echo "SKIP rss nginx: needs the package nginx"
fi

if packages python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g; then
	port=$(free_port)
	web python3 env -u PYTHONPATH -u PYTHONHOME "LD_LIBRARY_PATH=$libs" "$root/usr/bin/python3.11" -m http.server --bind 127.0.0.1 \
		--directory "$tmp/www" "$port"
else
	echo "SKIP rss python3: needs the package python3.11"
fi

node=$(command -v node) libs=
[ -n "$node" ] || { packages nodejs && node=$root/usr/bin/node; }
if [ -n "$node" ] && LD_LIBRARY_PATH=$libs "$node" -e 0 2>/dev/null; then
	port=$(free_port)
	cat >"$tmp/shop.js" <<-'JS'
	// Objects on the engine's own heap, buffers beside it, and a cache of both that only grows.
	const cache = new Map();
	require('http').createServer((request, response) => {
		const id = cache.size;
		const body = Buffer.alloc(1000 + id % 90 * 1000, 'x');
		cache.set(id, { url: request.url + '?' + id, body, tags: Array.from({ length: 50 }, (_, i) => 'tag' + id + '-' + i) });
		response.writeHead(200, { 'Content-Length': 5 });
		response.end('done\n');
	}).listen(Number(process.argv[2]), '127.0.0.1');
	JS
	web node env "LD_LIBRARY_PATH=$libs" "$node" "$tmp/shop.js" "$port"
else
	echo "SKIP rss node: needs the package nodejs"
fi

coproc { exec "$fixtures/leaky-api" --port 0 2>/dev/null; }
server=$COPROC_PID
IFS= read -r -t 60 -u "${COPROC[0]}" hello
port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' <<<"$hello")
"$fixtures/drive" "$port" 200 >/dev/null
result 'leaky-api: serves' $? "$hello"
while [ ! -e "$tmp/enough" ]; do "$fixtures/drive" "$port" 20; done >/dev/null 2>&1 &
load=$!
look leaky-api $server
finish_server

# PostgreSQL does not run as root: then in a user namespace where it is somebody else.
as=()
[ "$(id -u)" = 0 ] && as=(unshare --user --map-user=1000 --map-group=1000)
if ! packages postgresql-15 libpq5; then
	echo "SKIP rss PostgreSQL: needs the package postgresql-15"
elif ! "${as[@]}" true 2>/dev/null; then
	echo "SKIP rss PostgreSQL: needs unshare of util-linux, and a kernel that lets root make user namespaces"
else
	bin=$root/usr/lib/postgresql/15/bin
	export LD_LIBRARY_PATH=$libs PGHOST=$tmp PGUSER=owner PGDATABASE=postgres
	mkdir -m 700 "$tmp/data"
	"${as[@]}" "$bin/initdb" -D "$tmp/data" -A trust -U owner --no-sync --no-locale -E UTF8 >"$tmp/log" 2>&1
	result 'PostgreSQL: a cluster' $? "$(tail -n 3 "$tmp/log")"
	"${as[@]}" "$bin/postgres" -D "$tmp/data" -k "$tmp" -h '' >"$tmp/log" 2>&1 </dev/null &
	server=$!
	for _ in $(seq 600); do
		"${as[@]}" "$bin/pg_isready" -q && break
		kill -0 $server 2>/dev/null || break
		sleep 0.1
	done
	"${as[@]}" "$bin/pgbench" -q -i -s 2 >"$tmp/err" 2>&1
	result 'PostgreSQL: serves' $? "$(tail -n 3 "$tmp/log" "$tmp/err")"
	while [ ! -e "$tmp/enough" ]; do "${as[@]}" "$bin/pgbench" -n -c 2 -T 2; done >/dev/null 2>&1 &
	load=$!
	backend=
	for _ in $(seq 600); do
		for child in $(cat /proc/$server/task/*/children 2>/dev/null); do
			grep -q 'postgres: owner' "/proc/$child/cmdline" 2>/dev/null && backend=$child
		done
		[ -n "$backend" ] && break
		sleep 0.1
	done
	look 'PostgreSQL, the first process' $server
	[ -n "$backend" ]
	result 'PostgreSQL: a backend' $? 'none was seen'
	[ -z "$backend" ] || look 'PostgreSQL, a backend' "$backend"
	unset LD_LIBRARY_PATH
	finish_server
fi
