#!/bin/bash
# Measures what types by DWARF cost and name, on a heap of known make (fixtures/bench/typed.cc) and on a program with much DWARF
# (scripts/bench-dwarf.sh). Environment: FLOTSAM, BENCH (where typed and yard are), BENCH_TYPED='1M 10M', BENCH_TYPES_RUNS=3,
# BENCH_DWARF: that program, empty for none. Each figure is a median; the status is 0 whatever the figures are.
set -u
. "$(dirname "$0")/bench.bash"
runs=${BENCH_TYPES_RUNS:-3} dwarf=${BENCH_DWARF-}

number() { # FILE KEY: the first of that name
	sed -n "s/^ *\"$2\": \([-0-9.]*\),*\$/\1/p" "$1" | head -n 1
}
difference() {
	awk -v a="$1" -v b="$2" 'BEGIN { if (a != "" && b != "") print a - b }'
}

start() { # PROGRAM [ARGUMENT]: it prints a line once it is ready, and waits for the end of its input
	rm -rf "${tmp:?}"/*
	mkfifo "$tmp/hold"
	"$@" <"$tmp/hold" >"$tmp/truth" &
	program=$!
	exec 7>"$tmp/hold"
	while [ ! -s "$tmp/truth" ]; do
		kill -0 $program 2>/dev/null || { echo "bench: $1 ended" >&2; exit 1; }
		sleep 0.1
	done
}
stop() {
	exec 7>&-
	wait $program
	program=
}
take() { # FILE-PREFIX COMMAND [OPTION]...: seconds and KiB of one run
	local prefix=$1 command=$2 seconds kib status
	shift 2
	read -r seconds kib status < <("$bench/yard" run "$flotsam" "$command" "$program" "$@" 2>"$tmp/err")
	[ "$status" = 0 ] || [ "$status" = 4 ] || { echo "bench: flotsam $command ended with status $status: $(head -n 3 "$tmp/err")" >&2; exit 1; }
	echo "$seconds" >>"$tmp/${prefix}_seconds"
	echo "$kib" >>"$tmp/${prefix}_kib"
}

# How many of the blocks whose type the program tells are called so.
right() {
	perl -0777 -e '
		my ($truth, $types) = map { open my $f, "<", $_ or die; <$f> } @ARGV;
		my ($all, $right) = (0, 0);
		my ($list) = $truth =~ /"types":\{([^}]*)\}/;
		while ($list =~ /"([^"]+)":(\d+)/g) {
			my ($name, $n, $got) = ($1, $2, 0);
			while ($types =~ /\{([^{}]*"type": "\Q$name\E[<"][^{}]*)\}/g) { my $row = $1; $got += $1 if $row =~ /"blocks": (\d+)/ }
			$all += $n;
			$right += $got < $n ? $got : $n;
		}
		printf "%.3f\n", 100 * $right / $all if $all' "$tmp/truth" "$1"
}

typed_heap() { # BLOCKS
	start "$bench/typed" "$1"
	local blocks plain all
	blocks=$(sed 's/.*"blocks":\([0-9]*\).*/\1/' "$tmp/truth")
	for _ in $(seq "$runs"); do
		take plain report --types=vtable --format json -o "$tmp/plain"
		take all report --types=all --format json -o "$tmp/all"
		number "$tmp/plain" types >>"$tmp/plain_types"
		number "$tmp/all" types >>"$tmp/all_types"
	done
	take types types --format json -o "$tmp/table"
	echo
	echo "types: $blocks blocks of known types"
	plain=$(median "$tmp/plain_seconds") all=$(median "$tmp/all_seconds")
	value 'report --types=vtable' "$plain" s
	value 'report --types=all' "$all" s
	# The goal is one for 10 M blocks.
	value '  beyond the report' "$(difference "$all" "$plain")" s "$(awk -v b="$blocks" 'BEGIN { g = b * 15 / 1e7; print g < 1 ? 1 : g }')" at-most
	value '  beyond it, of the step types' "$(difference "$(median "$tmp/all_types")" "$(median "$tmp/plain_types")")" s
	value '  beside its memory' "$(difference "$(median "$tmp/all_kib")" "$(median "$tmp/plain_kib")" |
		awk -v n="$blocks" -v d="$dwarf_kib" '{ print ($1 - d) * 1024 / n }')" 'bytes a block, DWARF apart' 8 at-most
	value 'blocks named' "$(awk -v n="$(number "$tmp/table" named_blocks)" -v b="$(number "$tmp/table" blocks)" 'BEGIN { if (b > 0) print 100 * n / b }')" %
	value 'bytes named' "$(awk -v n="$(number "$tmp/table" named_bytes)" -v b="$(number "$tmp/table" bytes)" 'BEGIN { if (b > 0) print 100 * n / b }')" %
	value 'blocks with the right type' "$(right "$tmp/table")" '% of those that have one' 99 at-least
	stop
}

# What DWARF takes of a heap so small that nothing else counts.
dwarf_memory() {
	start "$bench/typed" 1000
	take plain report --types=vtable -o "$tmp/plain"
	take all report --types=all -o "$tmp/all"
	dwarf_kib=$(difference "$(median "$tmp/all_kib")" "$(median "$tmp/plain_kib")")
	stop
}

much_dwarf() {
	start "$dwarf"
	for _ in $(seq "$runs"); do
		take plain report --types=vtable -o "$tmp/plain"
		take all types --format json -o "$tmp/table"
	done
	echo
	echo "types: a program of $(stat -c %s "$dwarf" | awk '{ printf "%.0f MB", $1 / 1e6 }'), $(number "$tmp/table" types) types"
	value 'report --types=vtable' "$(median "$tmp/plain_seconds")" s
	value 'types' "$(median "$tmp/all_seconds")" s
	value '  memory beyond the report' "$(difference "$(median "$tmp/all_kib")" "$(median "$tmp/plain_kib")" | awk '{ print $1 / 1024 }')" MiB 300 at-most
	stop
}

dwarf_memory
for blocks in ${BENCH_TYPED:-1M 10M}; do
	blocks=${blocks/%M/000000}
	typed_heap "${blocks/%k/000}"
done
[ -z "$dwarf" ] || much_dwarf
