#!/bin/bash
# report as pprof, folded and prometheus: the figures are those of the JSON, and the tools of the field read them.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
server='' web=''
trap 'kill $server $web 2>/dev/null; wait; rm -rf "$tmp"' EXIT
. tests/support/fixtures.bash
start_api
"$FIXTURES/drive" "$port" >/dev/null || echo 'not ok formats: the requests failed'

check() { # NAME CONDITION...
	local name=$1
	shift
	if "$@"; then echo "ok formats: $name"; else echo "not ok formats: $name"; fi
}
# The server sleeps between requests: each look finds the same.
"$FLOTSAM" snap "$server" -o "$tmp/before" || echo "not ok formats: snap ended with $?"
for format in json folded prometheus pprof; do
	"$FLOTSAM" report "$server" --format $format -o "$tmp/$format" || echo "not ok formats: $format ended with $?"
done
figure() { # PATH of the JSON
	perl -MJSON::PP -e 'my $v = decode_json(join "", <STDIN>); $v = /^\d+$/ ? $v->[$_] : $v->{$_} for split /\./, $ARGV[0]; print $v' "$1" <"$tmp/json"
}
metric() { # NAME WITH LABELS
	awk -v name="flotsam_$1" '$1 == name { print $2 }' "$tmp/prometheus"
}

if ! perl -MJSON::PP -e 1 2>/dev/null; then
	echo 'SKIP formats: needs perl'
	exit
fi
used=$(figure heap.used.bytes)
check 'folded sums up' [ "$(awk '{ sum += $NF } END { print sum }' "$tmp/folded")" = "$used" ]
check 'folded: a holder, what lies between, the block' grep -q '^g_timers;24 B;char\[\] 32008 B [0-9]*$' "$tmp/folded"
check 'folded: leaks' grep -q '^(leaked);24 B;char\[\] ' "$tmp/folded"
check 'folded: a stack and a number' [ "$(grep -vc '^[^;].* [1-9][0-9]*$' "$tmp/folded")" = 0 ]

check 'prometheus: definite' [ "$(metric 'used_bytes{class="definite"}')" = "$(figure reachability.definite.bytes)" ]
check 'prometheus: leaked' [ "$(metric leaked_blocks)" = $(($(figure reachability.definite.blocks) + $(figure reachability.indirect.blocks))) ]
check 'prometheus: threads' [ "$(metric threads)" = "$(figure target.threads)" ]
check 'prometheus: holder' [ "$(metric 'holder_retained_bytes{holder="g_timers"}')" = "$(perl -MJSON::PP -e '
	my $r = decode_json(join "", <STDIN>); print $_->{retained_bytes} for grep { $_->{name} eq "g_timers" } @{ $r->{holders} }' <"$tmp/json")" ]
check 'prometheus: causes and the rest are rss' perl -e '
	my ($sum, %v) = (0);
	while (<STDIN>) { my ($name, $n) = /^flotsam_(\S+) (\d+)$/ or next; $v{$name} = $n; $sum += $n if $name =~ /^rss_(cause|unexplained)_bytes/ }
	exit !($sum == $v{rss_bytes} && $sum > 0)' <"$tmp/prometheus"
# The digits of a pid may well stand in a figure, which is the last word.
check 'prometheus: no pid, no address' [ "$(sed 's/ [^ ]*$//' "$tmp/prometheus" | grep -Ewc "$server|0x[0-9a-f]*")" = 0 ]
if command -v promtool >/dev/null; then
	check 'promtool' promtool check metrics <"$tmp/prometheus"
else
	echo 'SKIP formats promtool: needs prometheus'
fi

# The messages of profile.proto, read without flotsam: sums by sample type, strings by number, nothing left over.
cat >"$tmp/read.pl" <<'PERL'
use strict;
local $/;
open my $f, '-|', 'gzip', '-dc', $ARGV[0] or die;
my $all = <$f>;
sub varint { my ($s, $at) = @_; my ($v, $shift) = (0, 0); while (1) { my $b = ord substr $$s, $$at++, 1; $v |= ($b & 127) << $shift; return $v if $b < 128; $shift += 7 } }
sub fields { my ($s) = @_; my ($at, @f) = (0); while ($at < length $s) { my $t = varint(\$s, \$at); my $w = $t & 7;
	if ($w == 0) { push @f, [$t >> 3, varint(\$s, \$at)] } elsif ($w == 2) { my $n = varint(\$s, \$at); push @f, [$t >> 3, substr $s, $at, $n]; $at += $n } else { die "wire $w" } } @f }
my @top = fields($all);
my @strings = map { $_->[1] } grep { $_->[0] == 6 } @top;
my %location = map { my %l = map { @$_ } fields($_->[1]); my %line = map { @$_ } fields($l{4}); $l{1} => $line{1} } grep { $_->[0] == 4 } @top;
my %function = map { my %l = map { @$_ } fields($_->[1]); $l{1} => $strings[$l{2}] } grep { $_->[0] == 5 } @top;
my ($blocks, $bytes, %leaf) = (0, 0);
for my $s (grep { $_->[0] == 2 } @top) {
	my @l = fields($s->[1]);
	my @v = map { $_->[1] } grep { $_->[0] == 2 } @l;
	my @at = map { $function{$location{$_->[1]}} // die } grep { $_->[0] == 1 } @l;
	$blocks += $v[0], $bytes += $v[1];
	$leaf{join ';', reverse @at} += $v[1];
}
my @types = map { join '/', map { $strings[$_->[1]] } fields($_->[1]) } grep { $_->[0] == 1 } @top;
my ($program) = map { my %m = map { @$_ } fields($_->[1]); "$strings[$m{5}] $strings[$m{6}]" } grep { $_->[0] == 3 } @top;
print "$blocks $bytes @types ", $strings[0] eq '' ? 'empty' : 'first', " $program\n", map { "$_ $leaf{$_}\n" } sort keys %leaf;
PERL
perl "$tmp/read.pl" "$tmp/pprof" >"$tmp/read"
read -r blocks bytes first second empty program id <"$tmp/read"
check 'pprof sums up' [ "$blocks $bytes" = "$(figure heap.used.blocks) $used" ]
check 'pprof: types' [ "$first $second $empty" = 'inuse_objects/count inuse_space/bytes empty' ]
check 'pprof: stacks are those of folded' diff -q <(tail -n +2 "$tmp/read" | LC_ALL=C sort) <(LC_ALL=C sort "$tmp/folded")
check 'pprof: the program comes first' [ "${program##*/}" = leaky-api ]
if command -v readelf >/dev/null; then
	check 'pprof: build-id' [ "$id" = "$(readelf -n "$FIXTURES/leaky-api" | sed -n 's/.*Build ID: //p')" ]
fi
# Of a census the chains are short, the sums the same.
"$FLOTSAM" report "$tmp/before" --format folded >"$tmp/short"
check 'folded of a census' [ "$(awk '{ sum += $NF } END { print sum }' "$tmp/short")" = "$used" ]
"$FLOTSAM" report "$tmp/before" --format prometheus | grep -v stopped >"$tmp/old"
check 'prometheus of a census' diff <(grep -v stopped "$tmp/prometheus") "$tmp/old"

# go tool pprof keeps what it fetches below these.
export HOME=$tmp PPROF_TMPDIR=$tmp
pprof() {
	go tool pprof -sample_index=inuse_space -unit=B -nodefraction=0 -nodecount=1000000 "$@" 2>"$tmp/error" || cat "$tmp/error"
}
sum() { # "Showing nodes accounting for 123B, 100% of 123B total"
	sed -n 's/^Showing nodes accounting for \([0-9]*\)B\{0,1\}, .*/\1/p' "$1"
}
pprof_test() {
	local after address request
	pprof -top "$tmp/pprof" >"$tmp/top"
	check 'go tool pprof -top: a label' grep -q 'char\[\] 32008 B' "$tmp/top"
	check 'go tool pprof -top: the sum' [ "$(sum "$tmp/top")" = "$used" ]
	go tool pprof -top -sample_index=inuse_objects -nodefraction=0 -nodecount=1000000 "$tmp/pprof" >"$tmp/top" 2>"$tmp/error"
	check 'go tool pprof -top: blocks' [ "$(sum "$tmp/top")" = "$blocks" ]
	pprof -top -diff_base "$tmp/pprof" "$tmp/pprof" >"$tmp/top"
	check 'go tool pprof -diff_base: nothing has grown' [ "$(sum "$tmp/top")" = 0 ]
	"$FIXTURES/drive" "$port" >/dev/null || echo 'not ok formats: the requests failed'
	"$FLOTSAM" report "$server" --format json -o "$tmp/json" 2>"$tmp/error" || echo "not ok formats: json ended with $?"
	"$FLOTSAM" report "$server" --format pprof -o "$tmp/pprof.after" || echo "not ok formats: pprof ended with $?"
	after=$(figure heap.used.bytes)
	for base in -base -diff_base; do
		pprof -top $base "$tmp/pprof" "$tmp/pprof.after" >"$tmp/top"
		check "go tool pprof $base: what has grown" [ "$(sum "$tmp/top")" = $((after - used)) ]
		check "go tool pprof $base: the leak grew" grep -Eq '^ *[1-9][0-9]*B .*char\[\] 32008 B' "$tmp/top"
	done

	go tool pprof -no_browser -http=127.0.0.1: "$tmp/pprof" >"$tmp/web" 2>&1 &
	web=$!
	for _ in $(seq 600); do
		address=$(sed -n 's|^Serving web UI on http://\(127[.0-9]*\):\([0-9]*\)$|\1/\2|p' "$tmp/web")
		[ -n "$address" ] || ! kill -0 "$web" 2>/dev/null && break
		sleep 0.1
	done
	if [ -n "$address" ] && exec 3<>"/dev/tcp/$address"; then
		request=${address/\//:}
		printf 'GET /ui/top HTTP/1.0\r\nHost: %s\r\n\r\n' "$request" >&3
		timeout 60 cat <&3 >"$tmp/page"
		exec 3>&-
	else
		cat "$tmp/web"
	fi
	check 'go tool pprof -http: answers' grep -q '^HTTP/1.[01] 200' "$tmp/page"
	check 'go tool pprof -http: a label' grep -q 'char\[\] 32008 B' "$tmp/page"
	kill "$web" && wait "$web" 2>/dev/null
	web=
}
if command -v go >/dev/null && go tool -n pprof >/dev/null 2>&1; then
	pprof_test
else
	echo 'SKIP formats go tool pprof: needs golang'
fi
