#!/bin/bash
# Objects of CPython by type, against what the interpreter itself says: gc.get_objects(), sys.getsizeof(),
# sys.getallocatedblocks() and the numbers that a script made. In the interpreter's pools, in malloc's heap, and with the hooks
# that debug both; of the process and of a core. PYTHON names the interpreters (default: python3).
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
pid=
trap 'stop; rm -rf "$tmp"' EXIT
stop() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	pid=
}
mkfifo "$tmp/in"
exec 8<>"$tmp/in"

start() { # PYTHON PYTHONMALLOC: true when it has said what it has
	: >"$tmp/truth"
	env -u PYTHONPATH -u PYTHONHOME -u PYTHONSTARTUP -u PYTHONTRACEMALLOC -u PYTHONDEVMODE PYTHONMALLOC="$2" PYTHONUTF8=1 \
		"$1" -S fixtures/objects.py <"$tmp/in" >"$tmp/truth" 2>"$tmp/log" &
	pid=$!
	for _ in $(seq 1200); do
		[ -s "$tmp/truth" ] && tail -c 1 "$tmp/truth" | grep -q '^$' && return
		kill -0 $pid 2>/dev/null || return
		sleep 0.05
	done
	return 1
}
check() { # NAME COMMAND...
	local name=$1
	shift
	if "$@" >"$tmp/said" 2>&1; then echo "ok python: $name"; else echo "not ok python: $name: $(tail -c 600 "$tmp/said" | tr '\n' ' ')"; fi
}

cat >"$tmp/compare.py" <<'PY'
import json, sys
truth, found, how = json.load(open(sys.argv[1])), json.load(open(sys.argv[2])), sys.argv[3]
types = {x['type']: x for x in found['types']}
wrong = []
def check(good, *what):
    if not good:
        wrong.append(' '.join(map(str, what)))
def count(name):
    return types.get(name, {'count': 0})['count']
check(len(types) == len(found['types']), 'a type is listed twice')
for name, n in truth['own'].items():
    check(count(name) == n, name, count(name), 'not', n)
for name, n in truth['least'].items():
    check(n <= count(name) <= n + 60000, name, count(name), 'not', n, 'or some more')
# The collector knows no dict and no tuple of which it needs none; each of the others it has, but for a few of its own.
for name, n in truth['tracked'].items():
    if n >= 50 and name not in truth['own']:
        check(count(name) >= n - 3, name, count(name), 'not', n)
    if name in ('list', 'function', 'type', 'cell'):
        check(count(name) <= n + 20, name, count(name), 'more than', n)
extra = 32 if 'debug' in how else 0
for name, n in truth['sizes'].items():
    each = types[name]['bytes'] / count(name) if count(name) else 0
    check(n <= each <= n + 24 + extra, name, 'has', each, 'bytes, not', n)
# With their items: each of two blocks may be a little larger than what was asked for, one that malloc mapped by a page.
for name, n in truth['memory'].items():
    has = types[name]['bytes'] + types[name]['part_bytes'] if name in types else 0
    check(n <= has * 1.02 and (extra or has <= n * 1.02 + 48 * count(name) + 65536), name, 'with parts', has, 'not', n)
pools, blocks = found['pools'], found['malloc']['used_blocks']
if 'pymalloc' in how:
    check(abs(pools['used_blocks'] - truth['allocated']) <= truth['allocated'] * 0.03, pools['used_blocks'], 'blocks in pools, not', truth['allocated'])
    check(types['float']['pool_count'] == count('float'), 'floats outside of pools')
else:
    check(not pools['pools'] and blocks >= found['count'], 'pools without pymalloc')
check(not pools['unread'] and not pools['damaged'], 'pools', pools)
check(found['version'] == '%d.%d' % sys.version_info[:2], 'version', found['version'])
check(found['count'] == sum(x['count'] for x in found['types']) and found['bytes'] == sum(x['bytes'] for x in found['types']), 'sums')
check(types['shop.cart.Else\x1b[2Jwhere']['module'] == 'shop.cart' and types['dict']['module'] == 'builtins', 'modules')
print('; '.join(wrong))
sys.exit(bool(wrong))
PY

each_python() {
	local how
	for how in pymalloc malloc pymalloc_debug malloc_debug; do
		if ! start "$python" $how; then
			echo "not ok python: $name $how does not start: $(tail -c 300 "$tmp/log")"
			stop
			continue
		fi
		check "$name $how runs" "$FLOTSAM" objects $pid --format json -o "$tmp/json"
		check "$name $how: counts and bytes" "$python" -S "$tmp/compare.py" "$tmp/truth" "$tmp/json" $how
		case $how in
		pymalloc) pools "$name" ;;
		malloc) blocks "$name" ;;
		esac
		stop
	done
}
pools() { # NAME: the process has them
	local block
	block=$("$FLOTSAM" blocks $pid 'label=bytearray bytes' --format csv 2>"$tmp/err" | sed -n 2p | cut -d, -f1)
	"$FLOTSAM" who $pid "$block" --format csv >"$tmp/text" 2>&1
	check "$1: an object in a pool holds a block" grep -q '^0x[^,]*,'"$block"',0,root,.*,bytearray,' "$tmp/text"
	# On a terminal's line the middle of it is left out.
	"$FLOTSAM" path $pid "$block" --format csv 2>&1 | tr -d '\r' >"$tmp/text"
	check "$1: and the chain begins with it" grep -q ',"bytearray 0x[0-9a-f]*+0x[0-9a-f]*, .* bytearray bytes"$' "$tmp/text"
	"$FLOTSAM" path $pid "$block" >"$tmp/text" 2>&1
	check "$1: and the chain's text begins with it, too" grep -q '  bytearray 0x[0-9a-f]*.*bytearray bytes$' "$tmp/text"
	"$FLOTSAM" objects $pid '__main__.*' --top 3 >"$tmp/text" 2>&1
	check "$1: text" grep -q '__main__.Session$' "$tmp/text"
	check "$1: a glob" test "$(grep -c '__main__' "$tmp/text")" = 3
	"$FLOTSAM" objects $pid 'shop*' >"$tmp/text" 2>&1
	check "$1: names are escaped" grep -q 'shop.cart.Else\\x1b\[2Jwhere' "$tmp/text"
	"$FLOTSAM" objects $pid by module --format csv >"$tmp/modules.csv" 2>&1
	"$FLOTSAM" objects $pid --format csv >"$tmp/types.csv" 2>&1
	check "$1: modules have the sums of their types" awk -F, '{ sub(/\r/, "") } FNR == 1 { file++; next }
		file == 1 { of[$5] += $1; bytes[$5] += $2; n += $1 } file == 2 { if (of[$5] != $1 || bytes[$5] != $2) { print $5, $1, of[$5]; bad = 1 } m += $1 }
		END { print n, m; exit bad || n != m || !n }' "$tmp/types.csv" "$tmp/modules.csv"
	check "$1: by what?" test "$("$FLOTSAM" objects $pid by type >"$tmp/text" 2>&1; echo $?)" = 2
	# All its arenas are one holder: none of them tells more than another.
	"$FLOTSAM" tree $pid top 0 --format csv >"$tmp/tree" 2>"$tmp/err"
	check "$1: its memory is one holder" test "$(grep -c "CPython's object memory" "$tmp/tree")" = 1
	check "$1: core" "$FLOTSAM" snap $pid --content=full -o "$tmp/core"
	check "$1: core runs" "$FLOTSAM" objects "$tmp/core" --format csv -o "$tmp/core.csv"
	check "$1: process runs" "$FLOTSAM" objects $pid --format csv -o "$tmp/live.csv"
	check "$1: a core says the same" cmp "$tmp/core.csv" "$tmp/live.csv"
	check "$1: of many types" test "$(wc -l <"$tmp/live.csv")" -gt 40
	rm -f "$tmp/core"
}
told() { # KEY...: what the script says there
	"$python" -c 'import json, sys
v = json.load(open(sys.argv[1]))
for k in sys.argv[2:]: v = v[k]
print(v)' "$tmp/truth" "$@"
}
blocks() { # NAME: malloc has them
	local lost want
	want=$(told own __main__.Session)
	"$FLOTSAM" blocks $pid label=__main__.Session --format csv >"$tmp/csv" 2>"$tmp/err"
	check "$1: blocks have labels" test "$(wc -l <"$tmp/csv")" = $((want + 1))
	"$FLOTSAM" type $pid "$(sed -n 2p "$tmp/csv" | cut -d, -f1)" --format json >"$tmp/type" 2>&1
	check "$1: why" awk '/"label": "__main__.Session"/ { n++ } /"identified_by": "tag"/ { n++ } END { exit n != 2 }' "$tmp/type"
	"$FLOTSAM" blocks $pid 'label=list items' --format csv >"$tmp/csv" 2>"$tmp/err"
	check "$1: and parts of objects" test "$(wc -l <"$tmp/csv")" -gt 12000
	lost=$(told lost)
	if [ "$lost" = 0 ]; then
		echo "SKIP python $1 leak: needs ctypes"
		return
	fi
	"$FLOTSAM" report $pid --format json --top 0 >"$tmp/report" 2>"$tmp/err"
	# A number somewhere may look like the address of one.
	check "$1: a leak is told by type" awk -v n="$lost" '/"label": "float"/ { here = 1 } here && /"identified_by": "tag"/ { tag = 1 }
		here && /"blocks":/ { gsub(/[^0-9]/, ""); b = $0; exit } END { print b, tag; exit !(tag && b <= n && b >= n * 3 / 4) }' "$tmp/report"
}

for python in ${PYTHON:-python3}; do
	name=$("$python" -c 'import sys, sysconfig
if (3, 9) <= sys.version_info[:2] <= (3, 13) and sys.maxsize > 2**32 and not sysconfig.get_config_var("Py_GIL_DISABLED"): print("%d.%d" % sys.version_info[:2])' 2>"$tmp/log")
	if [ -z "$name" ]; then
		echo "SKIP python: needs python3 (3.9 to 3.13, of 64 bits)"
		continue
	fi
	each_python
done
