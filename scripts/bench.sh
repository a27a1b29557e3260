#!/bin/bash
# Measures flotsam on heaps of known make (fixtures/bench/heap.c). Environment: FLOTSAM, BENCH (where heap and yard are),
# BENCH_BLOCKS='1M 10M', BENCH_RUNS=7, BENCH_GCORE=1 (runs of gcore, 0 for none).
# Each figure is a median with its spread. The plain copy and flotsam take turns in the same run, so only ratios carry over to
# another machine. What a goal of the project was not reached by is said at the end of its line; the status is 0 all the same.
set -u
. "$(dirname "$0")/bench.bash"
runs=${BENCH_RUNS:-7} gcore_runs=${BENCH_GCORE:-1}
cores=$(nproc)

# FILE OBJECT [CLASS] KEY: a number of one report, empty when it is not there.
number() {
	perl -0777 -ne 'BEGIN { ($object, @keys) = splice @ARGV, 1 }
		my $in = $object eq "" ? $_ : /"$object"\s*:\s*(\{(?:[^{}]|(?1))*\})/ ? $1 : "";
		$in = $in =~ /"$keys[0]"\s*:\s*(\{[^{}]*\})/ ? $1 : "" if @keys > 1;
		print "$1\n" if $in =~ /"$keys[-1]"\s*:\s*([-0-9.e+]+)/' "$@"
}

# NAME FILE [GOAL-IN-SECONDS | xRATIO-TO-COPY]
row() {
	local name=$1 goal=${3-} m lo hi
	read -r m lo hi < <(spread "$tmp/$2") || { printf '  %-34s not reported\n' "$name"; return; }
	awk -v name="$name" -v m="$m" -v lo="$lo" -v hi="$hi" -v copy="$(median "$tmp/copy")" -v gcore="$(median "$tmp/gcore")" -v goal="$goal" '
	BEGIN {
		printf "  %-34s %9.4f s  (%.4f to %.4f)  %7.2f", name, m, lo, hi, m / copy
		if (gcore) printf "  %8.4f", m / gcore; else printf "  %8s", "-"
		if (goal ~ /^x/) { goal = substr(goal, 2) * copy; }
		if (goal != "") printf "  %s", m <= goal ? "goal reached" : "GOAL NOT REACHED: " sprintf("%.4f s", goal)
		print ""
	}'
}

look() { # PREFIX-OF-COMMAND: one report, its figures added to the files
	local seconds kib status report=$tmp/report
	read -r seconds kib status < <("$bench/yard" run "$@" "$flotsam" report "$pid" --format json -o "$report" 2>"$tmp/err")
	if [ "$status" != 0 ] && [ "$status" != 4 ]; then
		echo "bench: flotsam ended with status $status: $(head -n 3 "$tmp/err")" >&2
		exit 1
	fi
	last_seconds=$seconds last_kib=$kib
}

take() { # COMMAND FILE: the seconds of one run, for whoever reads text
	local seconds status
	read -r seconds _ status < <("$bench/yard" run "$flotsam" "$1" "$pid" -o "$tmp/page" 2>"$tmp/err")
	[ "$status" = 0 ] || [ "$status" = 4 ] || { echo "bench: flotsam $1 ended with status $status: $(head -n 3 "$tmp/err")" >&2; exit 1; }
	echo "$seconds" >>"$2"
}

# Commands of a sitting, each timed by itself: FILE-PREFIX [taskset -c N] -- COMMAND... -> $tmp/FILE-PREFIX_1 and so on
sit() {
	local prefix=$1 before=() commands=() status i=0
	shift
	while [ "$1" != -- ]; do
		before+=("$1")
		shift
	done
	shift
	while [ $# -gt 0 ]; do
		commands+=(-e "time $1")
		shift
	done
	read -r last_seconds last_kib status < <("$bench/yard" run "${before[@]}" "$flotsam" shell "$pid" "${commands[@]}" -o "$tmp/page" 2>"$tmp/err")
	[ "$status" = 0 ] || [ "$status" = 4 ] || { echo "bench: the prompt ended with status $status: $(head -n 3 "$tmp/err")" >&2; exit 1; }
	while read -r seconds; do
		i=$((i + 1))
		echo "$seconds" >>"$tmp/${prefix}_$i"
	done < <(sed -n 's/^[a-z]*: \([0-9.]*\) s$/\1/p' "$tmp/err")
}

ask_the_prompt() {
	local run some
	some=$("$flotsam" blocks "$pid" class=reachable top 2000 --format csv 2>/dev/null | tail -n 1 | cut -d, -f1)
	for run in 1 2 3; do
		# The first command of each pays for what all share.
		sit report -- report
		echo "$last_seconds" >>"$tmp/prompt_first"
		sit one taskset -c 0 -- 'blocks used count' 'blocks size>=100 count' "who $some" 'find hex:00ff17a55a71ff00'
		echo "$last_kib" >>"$tmp/prompt_kib"
		sit path -- 'blocks used count' "path $some" "path $some"
		sit tree -- 'blocks used count' 'tree top 20' 'tree top 20' 'blocks used sort retained top 20'
		echo "$last_kib" >>"$tmp/tree_kib"
	done
}

ask_the_census() {
	local run seconds kib status
	for run in 1 2 3; do
		rm -f "$tmp/census"
		read -r seconds kib status < <("$bench/yard" run "$flotsam" snap "$pid" -o "$tmp/census" 2>"$tmp/err")
		echo "$seconds" >>"$tmp/snap"
		rm -f "$tmp/bare"
		read -r seconds kib status < <("$bench/yard" run "$flotsam" snap "$pid" --no-references -o "$tmp/bare" 2>"$tmp/err")
		echo "$seconds" >>"$tmp/snap_bare"
		read -r seconds kib status < <("$bench/yard" run "$flotsam" blocks "$tmp/census" used count -o /dev/null 2>"$tmp/err")
		echo "$seconds" >>"$tmp/census_read"
		read -r seconds kib status < <("$bench/yard" run "$flotsam" who "$tmp/census" 0x1000 -o /dev/null 2>"$tmp/err")
		echo "$seconds" >>"$tmp/census_who"
		read -r seconds kib status < <("$bench/yard" run "$flotsam" diff -q "$tmp/census" "$tmp/census" -o /dev/null 2>"$tmp/err")
		echo "$seconds" >>"$tmp/diff"
		echo "$kib" >>"$tmp/diff_kib"
	done
}

# CENSUS: the bytes of its section of references, and how many there are: the first number in it (flotsam-census(5)).
references() {
	perl -e 'open my $f, "<:raw", $ARGV[0] or exit; local $/; my $d = <$f>;
		for my $i (0 .. unpack("V", substr $d, 12) - 1) {
			my ($id, undef, $at, $n) = unpack "VVQ<Q<", substr $d, 32 + 24 * $i, 24;
			next if $id != 14 || !$n;
			my ($v, $shift) = (0, 0);
			for (;; $shift += 7) { my $b = ord substr $d, $at++; $v |= ($b & 127) << $shift; last if $b < 128 }
			print "$n $v\n";
		}' "$1"
}

print_census() {
	local all bytes count
	all=$("$flotsam" blocks "$tmp/census" count --format csv 2>/dev/null | tail -n 1 | tr -d -c '0-9,' | cut -d, -f1)
	row 'census: look and file, wall clock' snap
	value '  beyond the report' "$(awk -v s="$(median "$tmp/snap")" -v p="$(median "$tmp/plain")" 'BEGIN { if (s != "" && p > 0) print s - p }')" s 3 at-most
	row '  without references' snap_bare
	value '  bytes, without references' "$(awk -v n="$(stat -c %s "$tmp/bare")" -v b="$all" 'BEGIN { if (b > 0) print n / b }')" 'a block, free ones too' 3 at-most
	read -r bytes count < <(references "$tmp/census")
	value '  references' "$(awk -v n="$bytes" -v r="$count" 'BEGIN { if (r > 0) print n * 8 / r }')" 'bits each' "$(awk -v b="$all" 'BEGIN { if (b > 0) printf "%.2f", 1.1 * log(b) / log(2) }')" at-most
	row 'census: read back' census_read 1
	row 'census: with its references' census_who 1
	row 'diff of two' diff 2
	value '  peak memory (largest process)' "$(awk -v k="$(median "$tmp/diff_kib")" 'BEGIN { print k / 1024 }')" MiB 200 at-most
}

per_second() { # NAME UNITS FILE WHAT GOAL: how much of it in a second
	value "$1" "$(awk -v n="$2" -v s="$(median "$tmp/$3")" 'BEGIN { if (n != "" && s > 0) print n / s }')" "$4" "$5" at-least
}

print_prompt() {
	local blocks=$1 gigabytes
	gigabytes=$(awk -v b="$(number "$tmp/last" coverage read_bytes)" 'BEGIN { if (b != "") print b / 1e9 }')
	row 'prompt: report and all, wall clock' prompt_first
	per_second 'prompt: blocks with a filter' "$(awk -v n="$blocks" 'BEGIN { print n / 1e6 }')" one_2 'M blocks/s on one core' 20
	per_second 'prompt: who' "$gigabytes" one_3 'GB/s on one core' 4
	per_second 'prompt: find' "$gigabytes" one_4 'GB/s on one core' 4
	row 'prompt: path, the first' path_2 2
	row 'prompt: path, the next' path_3
	row 'prompt: tree, computed' tree_2 10
	row 'prompt: tree again' tree_3
	row 'prompt: sorted by retained, first 20' tree_4
	value 'prompt: memory of the tree' "$(awk -v t="$(median "$tmp/tree_kib")" -v p="$(median "$tmp/prompt_kib")" -v n="$blocks" \
		'BEGIN { if (n > 0 && t != "") print (t - p) * 1024 / n }')" 'bytes a block beyond a filter' 48 at-most
}

measure() { # BLOCKS
	local run what
	rm -f "$tmp"/*
	mkfifo "$tmp/hold"
	"$bench/heap" "$1" "$tmp/ticks" <"$tmp/hold" >"$tmp/truth" &
	program=$!
	exec 7>"$tmp/hold"
	while [ ! -s "$tmp/truth" ]; do
		kill -0 $program 2>/dev/null || { echo "bench: the heap was not built" >&2; exit 1; }
		sleep 0.1
	done
	pid=$program
	echo
	echo "$1 blocks: $(cat "$tmp/truth")"
	for run in $(seq "$runs"); do
		"$bench/yard" copy "$pid" "$((cores < 2 ? 1 : 2))" >"$tmp/one" || exit
		awk '{ print $2 }' "$tmp/one" >>"$tmp/copy"
		awk '{ print $1 }' "$tmp/one" >>"$tmp/copied"
		"$bench/yard" gap "$tmp/ticks" >/dev/null
		look
		echo "$last_seconds" >>"$tmp/wall"
		echo "$last_kib" >>"$tmp/peak"
		"$bench/yard" gap "$tmp/ticks" >>"$tmp/gap"
		for what in stopped copy read walk mark holders types total marked_blocks index_bytes; do
			number "$tmp/report" timings $what >>"$tmp/t_$what"
		done
	done
	cp "$tmp/report" "$tmp/last"
	# In turn with plain reports, so that both see the same machine.
	for run in $(seq 3); do
		take report "$tmp/plain"
		take rss "$tmp/rss"
	done
	for run in $(seq 3); do
		look taskset -c 0
		number "$tmp/report" timings mark >>"$tmp/mark_one"
	done
	if command -v gcore >/dev/null; then
		for run in $(seq "$gcore_runs"); do
			"$bench/yard" gap "$tmp/ticks" >/dev/null
			gcore -o "$tmp/core" "$pid" >/dev/null 2>&1 || break
			rm -f "$tmp"/core.*
			"$bench/yard" gap "$tmp/ticks" >>"$tmp/gcore"
		done
	fi
	ask_the_prompt
	ask_the_census
	print_table
	print_prompt "$1"
	print_census
	exec 7>&-
	wait $program
	program=
}

print_table() {
	local copied read marked index peak
	copied=$(median "$tmp/copied") read=$(number "$tmp/last" coverage read_bytes) peak=$(median "$tmp/peak")
	marked=$(median "$tmp/t_marked_blocks") index=$(median "$tmp/t_index_bytes")
	printf '  %-34s %11s  %-20s  %7s  %8s\n' '' 'median' "(spread of $runs)" '/copy' '/gcore'
	row 'plain copy, 2 threads' copy
	row 'gcore: stopped (as the program sees)' gcore
	row 'flotsam: stopped' t_stopped x1.2
	row 'flotsam: stopped (as program sees)' gap
	row '  of it: copying' t_copy
	row 'read (stop, and what leads to it)' t_read
	row 'walk and index' t_walk
	row 'mark and classes' t_mark
	row 'holders' t_holders
	row 'types' t_types
	# The goal is one for 10 M blocks in 1 GB.
	row 'total, read to report' t_total "$(awk -v b="$copied" 'BEGIN { if (b > 5e8) print 3 }')"
	row 'wall clock of the command' wall
	value 'rss, to the plain report' "$(awk -v r="$(median "$tmp/rss")" -v p="$(median "$tmp/plain")" 'BEGIN { if (p > 0) print r / p }')" times 1.3 at-most
	value 'plain copy, bytes' "$(awk -v b="$copied" 'BEGIN { print b / 1048576 }')" MiB
	value 'flotsam read' "$(awk -v b="$read" 'BEGIN { if (b != "") print b / 1048576 }')" MiB
	value 'peak memory (largest process)' "$(awk -v k="$peak" 'BEGIN { print k / 1024 }')" MiB
	value '  beside what was read' "$(awk -v k="$peak" -v b="$read" 'BEGIN { if (b > 0) print 100 * (k * 1024 - b) / b }')" %
	value '  beside it and 4 bytes a block' \
		"$(awk -v k="$peak" -v b="$read" -v m="$marked" 'BEGIN { if (b > 0 && m != "") print 100 * (k * 1024 - b - 4 * m) / b }')" % 6 at-most
	value 'index' "$(awk -v i="$index" -v b="$read" 'BEGIN { if (i != "" && b > 0) print 100 * i / b }')" '% of what was read'
	value 'marking' "$(awk -v m="$marked" -v s="$(median "$tmp/t_mark")" 'BEGIN { if (m != "" && s > 0) print m / s / 1e6 }')" "M blocks/s on $cores cores"
	value 'marking' "$(awk -v m="$marked" -v s="$(median "$tmp/mark_one")" 'BEGIN { if (m != "" && s > 0) print m / s / 1e6 }')" 'M blocks/s on one core' 8 at-least
	value 'marking, one core to all' \
		"$(awk -v a="$(median "$tmp/mark_one")" -v b="$(median "$tmp/t_mark")" 'BEGIN { if (a > 0 && b > 0) print a / b }')" times 1.6 at-least
	echo "  lost blocks: $(number "$tmp/last" reachability definite blocks) definite, $(number "$tmp/last" reachability indirect blocks) indirect;" \
		"in truth $(number "$tmp/truth" '' definite) definite of $(number "$tmp/truth" '' lost)"
}

echo "$(nproc) cores, kernel $(uname -r), load $(cut -d' ' -f1-3 /proc/loadavg)"
read -r bytes seconds < <("$bench/yard" stream "$((cores < 2 ? 1 : 2))")
awk -v b="$bytes" -v s="$seconds" 'BEGIN { printf "streaming memory by 2 threads: %.1f GB/s\n", b / s / 1e9 }'
# The bound of what a second marker can bring: on some machines one thread takes most of what the memory gives.
for run in 1 2 3; do
	for threads in 1 2; do
		"$bench/yard" random $threads | awk '{ print $1 / $2 / 1e6 }' >>"$tmp/random$threads"
	done
done
awk -v a="$(median "$tmp/random1")" -v b="$(median "$tmp/random2")" \
	'BEGIN { if (a > 0) printf "random reads: %.0f M/s by one thread, %.2f times that by two\n", a, b / a }'
command -v gcore >/dev/null || echo "no gcore here (package gdb): no ratio to it"
for blocks in ${BENCH_BLOCKS:-1M 10M}; do
	blocks=${blocks/%M/000000}
	measure "${blocks/%k/000}"
done
