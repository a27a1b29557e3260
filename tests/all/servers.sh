#!/bin/bash
# nginx, memcached and python3 as Debian packs them, under load on loopback. No definite leak that Valgrind, on the same server
# under the same load, does not call lost too; RSS explained to 1 %; a verdict of nothing unusual; and the server still serves after a look.
set -u
cd "$(dirname "$0")/../.." || exit
flotsam=${FLOTSAM:-build/release/flotsam}

connect() { # PORT: descriptor 3, as soon as somebody listens
	local try
	for try in $(seq 600); do
		{ exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null && return
		[ -z "${PID-}" ] || kill -0 "$PID" 2>/dev/null || return
		sleep 0.1
	done
	return 1
}
# In one write: bash writes line by line, and a small second segment waits for the answer to the first.
send() { # FORMAT ARG...
	# shellcheck disable=SC2059
	printf "$@" | cat >&3
}
ask_http() { # PATH [close]: one request on descriptor 3; true when it is answered with 200
	local line length=0 status
	send 'GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n' "$1" "${2:+Connection: close$'\r\n'}"
	IFS= read -r -t 60 status <&3 || return
	while IFS= read -r -t 60 line <&3 && [ "$line" != $'\r' ]; do
		case ${line,,} in content-length:*) length=${line#*: } length=${length%$'\r'} ;; esac
	done
	[ "$length" -eq 0 ] || IFS= read -r -t 60 -N "$length" line <&3
	case $status in *' 200 '* | *' 404 '*) return 0 ;; esac
	return 1
}
# The load: short connections, long ones, wrong requests; and some connections that stay open in the background while we look.
drive() { # SERVER PORT
	local i line
	case $1 in
	nginx | python3)
		for i in $(seq 30); do
			connect "$2" && ask_http "/file$((i % 4)).txt" close || return
		done
		if [ "$1" = nginx ]; then
			connect "$2" || return
			for i in $(seq 60); do
				ask_http "/file$((i % 4)).txt?$i" || return
			done
			# Half a request, that the server keeps in mind.
			connect "$2" && printf 'GET /file1.txt HTTP/1.1\r\nX-Half: ' >&3
		fi
		;;
	memcached)
		for i in 1 2 3; do
			connect "$2" && printf 'version\r\n' >&3 && IFS= read -r -t 60 line <&3 || return
			printf 'bogus\r\n' >&3 && IFS= read -r -t 60 line <&3 || return
		done
		for i in $(seq 400); do
			printf 'set key%d 0 0 %d\r\n%0*d\r\n' "$i" $((i * 7)) $((i * 7)) 1
		done | cat >&3
		for i in $(seq 400); do
			IFS= read -r -t 60 line <&3 && [ "$line" = $'STORED\r' ] || return
		done
		for i in $(seq 1 5 400); do
			send 'delete key%d\r\nincr key%d 1\r\n' "$i" $((i + 1))
			IFS= read -r -t 60 line <&3 && IFS= read -r -t 60 line <&3 || return
		done
		;;
	esac
}
if [ "${1-}" = --drive ]; then
	drive "$2" "$3"
	exit
fi

root=$(scripts/fetch.sh nginx nginx-common memcached libevent-2.1-7 libsasl2-2 libpcre2-8-0 libssl3 zlib1g \
	python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1) ||
	{ echo "SKIP servers: needs the packages nginx, memcached and python3.11"; exit 0; }
libs=$(echo "$root"/usr/lib/*-linux-gnu | tr ' ' :):$(echo "$root"/lib/*-linux-gnu | tr ' ' :)
tmp=$(mktemp -d) || exit
server=
finish() {
	[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM
mkdir -p "$tmp/www" "$tmp/logs"
chmod 755 "$tmp"
for i in 0 1 2 3; do
	head -c $((i * 20000 + 10)) /dev/zero | tr '\0' "$i" >"$tmp/www/file$i.txt"
done

# memcached sets both limits to the 1024 of its -c. Valgrind keeps 12 descriptors to itself and lets the hard limit of the rest
# be set to what it is, no more and no less (coregrind/m_syswrap/syswrap-generic.c, PRE(sys_setrlimit)).
ulimit -Sn 1024
ulimit -Hn 1036

free_port() {
	local port
	while port=$((20000 + RANDOM)); do
		{ exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || { echo $port; return; }
	done
}
# What starts a server, in the array of that name.
command_of() { # SERVER PORT
	case $1 in
	nginx)
		cat >"$tmp/nginx.conf" <<-CONF
		daemon off; master_process off; pid $tmp/nginx.pid; error_log $tmp/logs/error.log;
		events { worker_connections 64; }
		http { access_log $tmp/logs/access.log; client_body_temp_path $tmp/b; proxy_temp_path $tmp/p; fastcgi_temp_path $tmp/f;
			uwsgi_temp_path $tmp/u; scgi_temp_path $tmp/s; gzip on; gzip_min_length 1000; gzip_types text/plain;
			server { listen 127.0.0.1:$2; root $tmp/www; } }
		CONF
		command=("$root/usr/sbin/nginx" -p "$tmp" -c "$tmp/nginx.conf")
		;;
	memcached)
		command=("$root/usr/bin/memcached" -l 127.0.0.1 -p "$2" -U 0 -t 2 -m 16)
		[ "$(id -u)" = 0 ] && command+=(-u root)
		;;
	python3)
		command=("$root/usr/bin/python3.11" -m http.server --bind 127.0.0.1 --directory "$tmp/www" "$2")
		;;
	esac
	environment=(env -u PYTHONPATH -u PYTHONHOME "LD_LIBRARY_PATH=$libs")
}

result() { # NAME STATUS WHY
	if [ "$2" -eq 0 ]; then echo "ok servers: $1"; else echo "not ok servers: $1: $(tr '\n' ' ' <<<"$3" | cut -c1-600)"; fi
}
number() { # FILE KEY
	perl -0777 -ne 'BEGIN { $key = pop @ARGV } print $1 if /"$key"\s*:\s*([0-9.]+)/' "$1" "$2"
}

for name in nginx memcached python3; do
	port=$(free_port)
	command_of $name "$port"
	if command -v valgrind >/dev/null; then
		out=$("${environment[@]}" scripts/referee --definite --drive "$PWD/tests/all/servers.sh --drive $name $port" "${command[@]}" 2>&1)
		result "$name: no definite leak that Valgrind does not know" $? "$out"
		echo "note: $name: $out"
	else
		echo "SKIP servers $name: needs valgrind"
	fi

	port=$(free_port)
	command_of $name "$port"
	"${environment[@]}" "${command[@]}" >"$tmp/log" 2>&1 </dev/null &
	server=$!
	PID=$server drive $name "$port"
	result "$name: serves" $? "$(tail -n 3 "$tmp/log")"
	"$flotsam" report $server --format json >"$tmp/report" 2>"$tmp/err"
	result "$name: report" $? "$(cat "$tmp/err")"
	total=$(number "$tmp/report" total_bytes) unexplained=$(number "$tmp/report" unexplained_bytes)
	[ -n "$total" ] && [ -n "$unexplained" ] && [ "$total" -gt 0 ] && [ $((unexplained * 100)) -le "$total" ]
	result "$name: RSS explained to 1 %" $? "$unexplained of $total unexplained"
	# What works as it should has no trouble that one would name.
	verdict=$("$flotsam" report $server -q 2>>"$tmp/err")
	case $verdict in nothing-unusual:*) true ;; *) false ;; esac
	result "$name: nothing unusual" $? "$verdict"
	PID=$server drive $name "$port"
	result "$name: serves after the look" $? "$(tail -n 3 "$tmp/log")"
	kill $server
	wait $server 2>/dev/null
	server=
done
