#!/bin/bash
# Measures `flotsam sites` on the largest shared library of this machine (fixtures/bench/code.c loads it): the whole command, and that
# per 100 MB of code. Environment: FLOTSAM, BENCH (where code and yard are), BENCH_RUNS=7. The status is 0 whatever the figures are.
set -u
. "$(dirname "$0")/bench.bash"
runs=${BENCH_RUNS:-7}

number() { # KEY of the last report
	sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" "$tmp/report" | tail -n 1
}

# Of this machine's word size: compilers and browsers first, which ask for memory everywhere, then the largest.
mapfile -t libraries < <(ldconfig -p 2>/dev/null | sed -n 's/.*x86-64.* => //p; s/.*AArch64.* => //p' | xargs -r -d '\n' stat -L -c '%s %n' 2>/dev/null |
	awk '{ print (/libLLVM|libclang-cpp|webkit|libnode|libxul/ ? 1 : 0), $0 }' | sort -k1,1rn -k2,2rn | head -n 20 | cut -d' ' -f3-)
mkfifo "$tmp/hold"
"$bench/code" "${libraries[@]}" <"$tmp/hold" >"$tmp/says" 2>/dev/null &
program=$!
exec 7>"$tmp/hold"
while [ ! -s "$tmp/says" ]; do
	kill -0 $program 2>/dev/null || { echo 'bench: no library could be loaded' >&2; exit 1; }
	sleep 0.1
done
read -r pid library <"$tmp/says"
echo
for _ in $(seq "$runs"); do
	read -r seconds kib status < <("$bench/yard" run "$flotsam" sites "$pid" --format json -o "$tmp/report" 2>"$tmp/err")
	if [ "$status" != 0 ] && [ "$status" != 4 ]; then
		echo "bench: flotsam sites ended with status $status: $(head -n 3 "$tmp/err")" >&2
		exit 1
	fi
	echo "$seconds" >>"$tmp/seconds"
done
echo "sites: $(basename "$library"), $(number calls) calls of allocation functions, $(number constant_calls) of constant size"
sort -g "$tmp/seconds" | awk -v bytes="$(number bytes)" -v searched="$(number searched_bytes)" -v decoded="$(number decoded_bytes)" -v kib="$kib" '
	{ v[NR] = $1 }
	END {
		m = v[int((NR + 1) / 2)]
		printf "  %-34s %9.4f s  (%.4f to %.4f)\n", "wall clock of the command", m, v[1], v[NR]
		printf "  %-34s %9.1f MB, searched %.1f %%, decoded %.1f %% of it\n", "code", bytes / 1e6, 100 * searched / bytes, 100 * decoded / searched
		per = m * 1e8 / bytes
		verdict = bytes < 2e7 ? "too little code to judge" : per <= 5 ? "goal reached" : "GOAL NOT REACHED: 5 s"
		printf "  %-34s %9.2f s  %s\n", "per 100 MB of code", per, verdict
		printf "  %-34s %9.1f MiB\n", "peak memory (largest process)", kib / 1024
	}'
exec 7>&-
wait $program
program=
