#!/bin/bash
# flotsam check: every number of a report is a figure that a rule can name, by key, index and name; units, percentages,
# suppressions, exit status. A program that sleeps gives the same figures twice.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
exec 9>/dev/null
mkfifo "$tmp/in"
(
	cd "$tmp" && ulimit -c unlimited
	exec "$FIXTURES/inheritance" <"$tmp/in" >"$tmp/truth"
) &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$tmp"' EXIT
exec 9>"$tmp/in"
. tests/support/fixtures.bash
told $pid "$tmp/truth"

expect() { # NAME STATUS ARGUMENT...
	local name=$1 want=$2 status
	shift 2
	"$FLOTSAM" check "$pid" "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	if [ $status = "$want" ]; then echo "ok check: $name"; else echo "not ok check: $name: status $status: $(cat "$tmp/out" "$tmp/err")"; fi
}

if ! perl -MJSON::PP -e 1 2>/dev/null; then
	echo 'SKIP check: every number: needs perl'
else
	for types in vtable all; do
	"$FLOTSAM" report "$pid" --types=$types --format json >"$tmp/report"
	FLOTSAM=$FLOTSAM perl -MJSON::PP - "$pid" "$tmp/report" $types <<'PERL'
use strict;
my ($pid, $file, $types) = @ARGV;
my (@rules, $why);
sub walk {
	my ($path, $v) = @_;
	return if $path =~ /^(timings|rss\.cgroup|rss\.vmrss_bytes|target\.(uptime|stopped)_seconds)/;
	if (ref $v eq 'HASH') {
		walk(length $path ? "$path.$_" : $_, $v->{$_}) for sort keys %$v;
	} elsif (ref $v eq 'ARRAY') {
		push @rules, ["$path.length", scalar @$v];
		for my $i (0 .. $#$v) {
			walk("$path.$i", $v->[$i]);
			my ($name) = ref $v->[$i] eq 'HASH' ? grep { defined } @{ $v->[$i] }{qw(cause state rank rule)} : ();
			walk("$path.$name", $v->[$i]) if defined $name;
		}
	} elsif (JSON::PP::is_bool($v)) {
		push @rules, [$path, $v ? 1 : 0];
	} elsif (defined $v && $v =~ /^\d+$/) {
		push @rules, [$path, $v];
	}
}
walk('', decode_json(do { local $/; open my $f, '<', $file or die; <$f> }));
my $n = @rules;
while (my @some = splice @rules, 0, 16) {
	for my $equal (1, 0) {
		my @line = map { ('--fail-on', "$_->[0] " . ($equal ? '==' : '!=') . " $_->[1]") } @some;
		open my $f, '-|', $ENV{FLOTSAM}, 'check', $pid, "--types=$types", @line or die;
		my @out = <$f>;
		my @bad = grep { !/^@{[$equal ? 'fires' : 'held']} / } @out;
		$why //= @bad ? $bad[0] : 'lines are missing' if @bad || @out != @some;
	}
}
$why //= "only $n" if $n < 60;
print defined $why ? "not ok check: every number, $types: $why\n" : "ok check: every number, $types\n";
PERL
	done
fi

# One event has leaked: 104 usable bytes, and one more block of the program's own.
expect 'the default rule' 1
expect 'the default rule, suppressed by label' 1 --suppress <(printf '# known\n\nleak:nothing_like_it\n')
expect 'by a part of the label' 0 --suppress <(printf '  leak:^ev*t$  \n')
grep -q '^passed over by .* 1 blocks, 104 B' "$tmp/out" && echo 'ok check: what was passed over' || echo "not ok check: what was passed over: $(cat "$tmp/out")"
expect 'by the module of its class' 0 --suppress <(echo 'leak:inheritance')
echo 'leak:event' >"$tmp/known"
expect 'by a file' 0 --suppress "$tmp/known"
expect 'an anchor' 1 --suppress <(echo 'leak:^vent')
expect 'a holder passed over' 0 --fail-on 'holders.H2.retained_bytes > 0' --suppress <(echo 'leak:g_second')
expect 'by the module of a holder' 0 --fail-on 'holders.H2.retained_bytes > 0' --suppress <(echo 'leak:^inherit*ce$')
expect 'the same holder' 1 --fail-on 'holders.H2.retained_bytes > 0'
expect 'not a suppression' 2 --suppress <(echo 'race:event')
expect 'no file' 3 --suppress "$tmp/nothing"
expect 'any rule' 1 --fail-on 'rss.total_bytes < 1' --fail-on 'leaks.L1.bytes == 104'
expect 'units' 0 --fail-on 'leaks.L1.bytes > 0.104k' --fail-on 'leaks.L1.bytes>1KiB' --fail-on 'leaks.L1.bytes >= 0.001M'
expect 'more units' 1 --fail-on 'rss.total_bytes >=1MiB'
expect 'a percentage' 1 --fail-on 'rss.causes.files.bytes > 50 %'
expect 'a percentage that holds' 0 --fail-on 'rss.causes.leaked.bytes > 50%'
expect 'what is not there' 0 --fail-on 'leaks.L99.bytes > 0' --fail-on 'heap.states.in_transit.blocks > 0'
for rule in 'rss.total' 'rss.totl_bytes > 1' 'reachability > 1' 'leaks.L9.bites > 1' 'heap.states.gone.blocks > 1' 'target.comm == 1' \
	'rss.total_bytes > 1 mb' 'rss.total_bytes > -1' 'rss.total_bytes > 0x1' 'rss.total_bytes = 1' 'target.pid > 1 %' '> 1' ''; do
	expect "refused: '$rule'" 2 --fail-on "$rule"
done
expect 'JSON' 1 --format json
grep -q '"fires": 1' "$tmp/out" && grep -q '"value": 1,' "$tmp/out" && echo 'ok check: JSON says so' || echo "not ok check: JSON says so: $(cat "$tmp/out")"
"$FLOTSAM" report "$pid" --fail-on 'rss.total_bytes > 1' 2>/dev/null
[ $? = 2 ] && echo 'ok check: belongs to check' || echo 'not ok check: belongs to check'
# A core that ends early: what seems lost may be held by what is missing, so that the true figure is 0 or more.
kill -ABRT "$pid" && wait "$pid" 2>/dev/null
core=$(ls "$tmp"/core* 2>/dev/null | head -n 1)
if [ -z "$core" ]; then
	echo 'SKIP check: of a core that ends early: needs a core_pattern that writes core'
else
	truncate -s -4096 "$core"
	pid=$core
	expect 'an upper bound is undecided' 4 --force --fail-on 'reachability.definite.bytes > 0'
	grep -q 'undecided .* at most 104 B' "$tmp/out" && echo 'ok check: and says so' || echo "not ok check: and says so: $(cat "$tmp/out")"
	expect 'but not above itself' 0 --force --fail-on 'reachability.definite.bytes > 1 GiB' --fail-on 'reachability.definite.bytes < 0'
	expect 'nor where any number will do' 1 --force --fail-on 'reachability.definite.bytes >= 0'
	expect 'what is null is undecided' 4 --fail-on 'leaks.length > 0'
	expect 'one that fires wins' 1 --fail-on 'leaks.length > 0' --fail-on 'rss.total_bytes > 1'
fi
