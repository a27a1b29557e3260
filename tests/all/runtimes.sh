#!/bin/bash
# Programs whose language has memory of its own: CPython, Node's V8, the JVM, Go. That memory is named in the table of RSS, with the
# figure that the runtime or the kernel gives; what it holds of malloc's is reachable; and nothing in it is a leak.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/allocators.bash

fetch() { # PACKAGE...: sets root; SKIP and false when they cannot be had
	root=$(scripts/fetch.sh "$@" 2>"$tmp/log") && return
	echo "SKIP runtimes: needs the packages $* ($(tail -n 1 "$tmp/log"))"
	return 1
}
group() { # NAME: resident bytes of the mappings of that name
	sed -n '/"mappings": \[/,/^    \]/p' "$tmp/rss" | grep -A2 "\"name\": \"$1\"" | sed -n 's/.*"bytes": \([0-9]*\).*/\1/p'
}
# 500 blocks of 5,000 bytes that nothing but objects of the language holds: all there, none lost.
blocks_are_held() {
	local found
	found=$("$flotsam" blocks $server --format csv 2>>"$tmp/err" | awk -F, '$2 >= 5000 && $2 < 5100 && $3 == "used" { n[$4]++ } END { print n["reachable"] + 0, n["definite"] + n["indirect"] + 0 }')
	case $found in
	500\ 0 | 50[0-9]\ 0) ;;
	*) why="$why; reachable and lost of 500 blocks: $found" ;;
	esac
}
# Compilers and collectors of the runtime have come to rest: a second without a change of RSS.
settle() {
	local try last='' rss same=0
	for try in $(seq 300); do
		rss=$(sed -n 's/^VmRSS:[^0-9]*//p' "/proc/$server/status" 2>/dev/null)
		if [ "$rss" = "$last" ]; then same=$((same + 1)); else same=0 last=$rss; fi
		[ $same -lt 10 ] || return
		sleep 0.1
	done
}
# The group has between LEAST and MOST bytes, as far as an expression of the shell can tell when the server runs.
check_runtime() { # LANGUAGE GROUP LEAST MOST HELD COMMAND...
	local language=$1 group=$2 least=$3 most=$4 held=$5 status bytes why=
	shift 5
	if ! start_server "$@"; then
		echo "not ok runtimes: $language: does not start: $(tail -n 3 "$tmp/log" "$tmp/out" | tr '\n' ' ')"
		stop_server
		return
	fi
	settle
	"$flotsam" rss $server --format json --top 0 >"$tmp/rss" 2>"$tmp/err" || why="; rss: $(head -c 300 "$tmp/err")"
	"$flotsam" report $server --format json >"$tmp/report" 2>>"$tmp/err"
	status=$?
	[ $status = 0 ] || why="$why; status $status $(head -c 300 "$tmp/err")"
	bytes=$(group "$group") least=$(eval "echo \$(($least))") most=$(eval "echo \$(($most))")
	[ -n "$bytes" ] && [ "$bytes" -ge "$least" ] && [ "$bytes" -le "$most" ] || why="$why; $group has $bytes, not $least to $most"
	grep -q "\"$language manages memory of its own: its regions are roots" "$tmp/report" || why="$why; no note"
	"$flotsam" maps $server >"$tmp/maps" 2>>"$tmp/err"
	grep -q "$group" "$tmp/maps" || why="$why; maps do not name it"
	rss_is_exact
	[ "$held" = no ] || blocks_are_held
	if [ -z "$why" ]; then echo "ok runtimes: $language, $group"; else echo "not ok runtimes: $language, $group: ${why#; }"; fi
	stop_server
}
python_says() { # TEXT: of sys._debugmallocstats()
	sed -n "s/^# *$1 *= *\([0-9,]*\)\$/\1/p" "$tmp/log" | tr -d , | head -n 1
}
node_says() { # KEY of process.memoryUsage()
	sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$tmp/out"
}
resident() { # PATTERN: of the kernel's count, of the mappings that it matches
	awk -v p="$1" '/^[0-9a-f]+-[0-9a-f]+ / { hit = $0 ~ p } hit && $1 == "Rss:" { sum += $2 } END { print sum * 1024 }' "/proc/$server/smaps"
}

if fetch python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1; then
	cat >"$tmp/waits.py" <<-'PY'
	import sys
	keep = [bytearray(5000) for i in range(500)]
	objects = [object() for i in range(300000)]
	sys._debugmallocstats()
	print('ready', flush=True)
	sys.stdin.read()
	PY
	# No pool of it that is in use may be missing; arenas have 1 MiB.
	check_runtime CPython "CPython's object memory" "\$(python_says 'bytes in allocated blocks')" "\$(python_says 'arenas allocated current') << 20" yes \
		env -u PYTHONPATH -u PYTHONHOME -u PYTHONMALLOC LD_LIBRARY_PATH="$(echo "$root"/usr/lib/*-linux-gnu)" "$root/usr/bin/python3.11" "$tmp/waits.py"
fi

cat >"$tmp/waits.js" <<'JS'
const buffers = [], objects = [];
// A module's variables go with its function.
globalThis.kept = [buffers, objects];
for (let i = 0; i < 500; i++) buffers.push(Buffer.alloc(5000, 1));
for (let i = 0; i < 300000; i++) objects.push({ number: i, text: 'x' + i });
gc();
console.log('ready', JSON.stringify(process.memoryUsage()));
process.stdin.resume();
JS
node=
if command -v node >/dev/null; then
	node=(node)
elif fetch nodejs; then
	# Debian's looks for parts of its library where they would be installed.
	cat >"$tmp/node" <<-END
	#!/bin/sh
	[ "\$1" = inside ] || exec unshare -m "\$0" inside "\$@"
	shift
	mount -t tmpfs none /usr/share && mkdir /usr/share/nodejs && mount --bind '$root/usr/share/nodejs' /usr/share/nodejs || exit
	LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu) exec '$root/usr/bin/node' "\$@"
	END
	chmod +x "$tmp/node"
	node=("$tmp/node")
	"${node[@]}" --version >/dev/null 2>"$tmp/log" || { echo "SKIP runtimes: V8: needs nodejs, or root ($(tail -n 1 "$tmp/log"))"; node=; }
fi
# The runtime counts pages that it has taken, touched or not.
[ -z "${node:-}" ] || check_runtime V8 "V8's heap" '$(node_says heapUsed) * 9 / 10' '$(node_says heapTotal) * 12 / 10' yes \
	"${node[@]}" --expose-gc --no-memory-reducer "$tmp/waits.js"

# Waits.java, compiled for Java 8 and later:
#   import java.nio.ByteBuffer;
#   public class Waits {
#     static ByteBuffer[] keep = new ByteBuffer[500];
#     public static void main(String[] a) throws Exception {
#       for (int i = 0; i < keep.length; i++) keep[i] = ByteBuffer.allocateDirect(5000);
#       System.out.println("ready");
#       System.in.read();
#     }
#   }
base64 -d >"$tmp/Waits.class" <<'CLASS'
yv66vgAAADQAMwoAAgADBwAEDAAFAAYBABBqYXZhL2xhbmcvT2JqZWN0AQAGPGluaXQ+AQADKClWCQAIAAkHAAoMAAsADAEABVdhaXRzAQAEa2VlcAEAFltM
amF2YS9uaW8vQnl0ZUJ1ZmZlcjsKAA4ADwcAEAwAEQASAQATamF2YS9uaW8vQnl0ZUJ1ZmZlcgEADmFsbG9jYXRlRGlyZWN0AQAYKEkpTGphdmEvbmlvL0J5
dGVCdWZmZXI7CQAUABUHABYMABcAGAEAEGphdmEvbGFuZy9TeXN0ZW0BAANvdXQBABVMamF2YS9pby9QcmludFN0cmVhbTsIABoBAAVyZWFkeQoAHAAdBwAe
DAAfACABABNqYXZhL2lvL1ByaW50U3RyZWFtAQAHcHJpbnRsbgEAFShMamF2YS9sYW5nL1N0cmluZzspVgkAFAAiDAAjACQBAAJpbgEAFUxqYXZhL2lvL0lu
cHV0U3RyZWFtOwoAJgAnBwAoDAApACoBABNqYXZhL2lvL0lucHV0U3RyZWFtAQAEcmVhZAEAAygpSQEABENvZGUBAARtYWluAQAWKFtMamF2YS9sYW5nL1N0
cmluZzspVgEADVN0YWNrTWFwVGFibGUBAApFeGNlcHRpb25zBwAxAQATamF2YS9sYW5nL0V4Y2VwdGlvbgEACDxjbGluaXQ+ACEACAACAAAAAQAIAAsADAAA
AAMAAQAFAAYAAQArAAAAEQABAAEAAAAFKrcAAbEAAAAAAAkALAAtAAIAKwAAAEYAAwACAAAAKwM8G7IAB76iABSyAAcbEROIuAANU4QBAaf/6rIAExIZtgAb
sgAhtgAlV7EAAAABAC4AAAAJAAL8AAIB+gAYAC8AAAAEAAEAMAAIADIABgABACsAAAAWAAEAAAAAAAoRAfS9AA6zAAexAAAAAAAA
CLASS
java=$(command -v java)
if [ -z "$java" ] && fetch default-jre-headless; then
	# Its configuration stands below /etc.
	find "$root/usr/lib/jvm" -type l | while read -r link; do
		target=$(readlink "$link")
		case $target in /*) [ -e "$link" ] || [ ! -e "$root$target" ] || ln -sfn "$root$target" "$link" ;; esac
	done
	java=$(ls "$root"/usr/lib/jvm/java-*/bin/java 2>/dev/null | head -n 1)
	[ -n "$java" ] || echo "SKIP runtimes: JVM: needs default-jre-headless"
	export LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
fi
if [ -n "$java" ]; then
	check_runtime JVM 'Java heap' '64 << 20' '64 << 20' yes \
		"$java" -Xms64m -Xmx64m -XX:+UseSerialGC -XX:+AlwaysPreTouch -cp "$tmp" Waits
	# The compiler may go on between the look and the kernel's count.
	check_runtime JVM "JVM's code cache" '$(resident " rwxp ") / 2' '$(resident " rwxp ")' no "$java" -Xms64m -Xmx64m -XX:+UseG1GC -cp "$tmp" Waits
	unset LD_LIBRARY_PATH
fi

if fetch fzf; then
	# It says nothing before its input ends, so what writes to it says when all of it is read: a pipe holds less than the rest.
	mkfifo "$tmp/lines"
	{ seq 300000; echo ready >"$tmp/out"; exec sleep 600; } >"$tmp/lines" 2>/dev/null &
	writer=$!
	# What it gives back in the background it may have given back since.
	check_runtime Go "Go's heap" '$(resident "^c[0-9a-f]*-") / 2' '$(resident "^c[0-9a-f]*-") * 2' no \
		sh -c 'exec "$0" --filter=99999 <"$1" >/dev/null' "$root/usr/bin/fzf" "$tmp/lines"
	kill $writer
fi
