#!/bin/bash
# flotsam system on this machine, against /proc and /sys as perl reads them: by another hand, and between two readings that
# must agree, since the figures move. And the text, of the machines in tests/machines: 80 columns.
set -u
# The kernel's own indices are in debugfs: mounted for this test alone where that is allowed.
if [ -z "${OWN_MOUNTS-}" ] && ! [ -r /sys/kernel/debug/extfrag/extfrag_index ] && unshare -m mount -t debugfs none /sys/kernel/debug 2>/dev/null; then
	OWN_MOUNTS=1 exec unshare -m sh -c 'mount -t debugfs none /sys/kernel/debug && exec "$0"' "$0"
fi
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
group=
trap 'rm -rf "$tmp"; [ -z "$group" ] || rmdir "$group" 2>/dev/null' EXIT

if ! perl -MJSON::PP -e 1 2>/dev/null; then
	echo 'SKIP system: needs perl'
else
	FLOTSAM=$FLOTSAM perl -MJSON::PP - $$ <<'PERL'
use strict;
my $pid = shift;
sub slurp { open(my $f, '<', $_[0]) or return undef; local $/; my $t = <$f>; $t }
sub report { my ($name, $why) = @_; print defined $why ? "not ok system: $name: $why\n" : "ok system: $name\n" }
sub ask { my $t = `$ENV{FLOTSAM} system @_ --format json`; $? ? undef : decode_json($t) }

# The orders, once buddyinfo stood still around the question.
my ($j, $before, $after);
for (1 .. 50) {
	$before = slurp('/proc/buddyinfo') . (slurp('/sys/kernel/debug/extfrag/extfrag_index') // '');
	$j = ask();
	$after = slurp('/proc/buddyinfo') . (slurp('/sys/kernel/debug/extfrag/extfrag_index') // '');
	last if $before eq $after;
	select undef, undef, undef, 0.1;
}
my %zone = map { ("$_->{node} $_->{zone}" => $_) } @{ $j->{zones} };
if ($before ne $after) {
	print "SKIP system: free blocks by order: needs a machine that stands still\n";
} else {
	my $why;
	for (split /\n/, slurp('/proc/buddyinfo')) {
		/^Node (\d+), zone +(\S+) +(.*?) *$/ or next;
		my ($z, @n) = ($zone{"$1 $2"}, split / +/, $3);
		my ($pages, $blocks) = (0, 0);
		$pages += $n[$_] * 2 ** $_, $blocks += $n[$_] for 0 .. $#n;
		for my $o (0 .. $#n) {
			my $suitable = 0;
			$suitable += $n[$_] * 2 ** $_ for $o .. $#n;
			my $unusable = $pages ? int(($pages - $suitable) * 1000 / $pages) : 1000;
			my $index = !$blocks ? 0 : $suitable ? -1000 : 1000 - int((1000 + int($pages * 1000 / 2 ** $o)) / $blocks);
			my $got = $z->{orders}[$o];
			$why //= "$1 $2 order $o" if !$got || $got->{free_blocks} != $n[$o] || abs($got->{unusable_index} * 1000 - $unusable) > 0.1 ||
				abs($got->{fragmentation_index} * 1000 - $index) > 0.1;
		}
		$why //= "$1 $2 has more orders" if @{ $z->{orders} } != @n;
	}
	report('free blocks by order and both indices', $why);
	for my $kind (['extfrag_index', 'fragmentation_index'], ['unusable_index', 'unusable_index']) {
		my $text = slurp("/sys/kernel/debug/extfrag/$kind->[0]");
		if (!defined $text) { print "SKIP system: $kind->[0] of the kernel: needs debugfs at /sys/kernel/debug\n"; next }
		undef $why;
		for (split /\n/, $text) {
			/^Node (\d+), zone +(\S+) +(.*?) *$/ or next;
			my ($z, @v) = ($zone{"$1 $2"}, split / +/, $3);
			abs($z->{orders}[$_]{$kind->[1]} - $v[$_]) < 0.0005 or $why //= "$1 $2 order $_: $z->{orders}[$_]{$kind->[1]}, kernel $v[$_]" for 0 .. $#v;
		}
		report("$kind->[0] of the kernel", $why);
	}
}

# What does not move: watermarks, totals, settings.
my ($page, $why) = ($j->{page_bytes});
my ($node, $name);
for (split /\n/, slurp('/proc/zoneinfo')) {
	($node, $name) = ($1, $2), next if /^Node (\d+), zone +(\S+)/;
	next unless /^ +(min|low|high|managed) +(\d+)$/ && $zone{"$node $name"};
	my $got = $zone{"$node $name"}{"$1_bytes"};
	$why //= "$node $name $1: $got" if $got != $2 * $page;
}
report('watermarks', $why);
undef $why;
my %key = (MemTotal => 'total_bytes', SwapTotal => 'swap_total_bytes', Hugepagesize => 'huge_page_bytes', Hugetlb => 'hugetlb_bytes');
for (split /\n/, slurp('/proc/meminfo')) {
	next unless /^(\w+): +(\d+) kB/ && $key{$1};
	$why //= "$1: $j->{memory}{$key{$1}}" if $j->{memory}{$key{$1}} != $2 * 1024;
}
my ($max) = slurp('/proc/sys/vm/max_map_count') =~ /(\d+)/;
$why //= "max_map_count $j->{settings}{max_map_count}" if $j->{settings}{max_map_count} != $max;
my ($limit) = slurp('/proc/meminfo') =~ /CommitLimit: +(\d+)/;
$why //= "CommitLimit $j->{commit}{limit_bytes}" if $j->{commit}{limit_bytes} != $limit * 1024;
report('totals and settings', $why);

# What only grows: between a reading before and one after.
sub vmstat { my %v = slurp('/proc/vmstat') =~ /^(\w+) (\d+)$/mg; my $s = 0; /^allocstall/ and $s += $v{$_} for keys %v; $v{stall} = $s; \%v }
my %counter = (oom_kill => 'oom_kills', pgmajfault => 'major_faults', thp_fault_alloc => 'thp_faults', thp_fault_fallback => 'thp_fallbacks',
	compact_stall => 'compact_stalls', pswpout => 'pages_swapped_out', stall => 'direct_reclaims');
my $first = vmstat();
$j = ask($pid);
my $last = vmstat();
undef $why;
for (keys %counter) {
	next unless defined $first->{$_};
	my $got = $j->{counters}{$counter{$_}};
	$why //= "$_: $got" if $got < $first->{$_} || $got > $last->{$_};
}
report('counters', $why);

my $maps = () = slurp("/proc/$pid/maps") =~ /\n/g;
my ($score) = slurp("/proc/$pid/oom_score_adj") =~ /(-?\d+)/;
my ($files) = slurp("/proc/$pid/limits") =~ /Max open files +(\d+)/;
my $p = $j->{process};
undef $why;
$why = "mappings $p->{mappings}, not $maps" if $p->{mappings} != $maps;
$why //= "oom_score_adj $p->{oom_score_adj}" if $p->{oom_score_adj} != $score;
$why //= "files $p->{limit_files}" if $p->{limit_files} != $files;
report('a process', $why);

# Its group, and the limits on the way to the root.
undef $why;
if (!defined $j->{cgroup_version}) {
	print "SKIP system: cgroups: needs a mounted memory controller\n";
} else {
	my ($v2, $mount, $top) = ($j->{cgroup_version} == 2);
	for (split /\n/, slurp('/proc/self/mountinfo')) {
		my @f = split / /;
		my ($type) = / - (\S+)/;
		($top, $mount) = @f[3, 4] if !$mount && ($v2 ? $type eq 'cgroup2' : $type eq 'cgroup' && /\bmemory\b[^ ]*$/);
	}
	for (@{ $j->{cgroups} }) {
		my $text = slurp($mount . ($_->{path} eq '/' ? '' : $_->{path}) . ($v2 ? '/memory.max' : '/memory.limit_in_bytes')) // 'max';
		my $limit = $text =~ /^(\d+)/ && $1 < 2**62 ? $1 : undef;
		$why //= "$_->{path}: " . ($_->{limit_bytes} // 'none') if ($limit // -1) != ($_->{limit_bytes} // -1);
	}
	my ($own) = slurp("/proc/$pid/cgroup") =~ ($v2 ? qr/^0::(.*)$/m : qr/^\d+:[^:]*\bmemory\b[^:]*:(.*)$/m);
	$own =~ s/^\Q$top\E// if $top ne '/';
	$why //= "lowest is $j->{cgroups}[-1]{path}, not $own" if $j->{cgroups}[-1]{path} ne ($own || '/');
	report('control groups', $why);
}
PERL
fi

unpack() { # TREE DIR
	awk -v dir="$2" '/^== / { close(file); file = dir "/" $2; path = file; sub(/[^\/]*$/, "", path); system("mkdir -p " path); printf "" > file; next }
		{ print > file }' "$1"
}
for tree in tests/machines/*.tree; do
	name=$(basename "$tree" .tree)
	unpack "$tree" "$tmp/$name"
	wide=$("$FLOTSAM" system --root "$tmp/$name" --top 0 | LC_ALL=C.UTF-8 awk 'length > 80' | head -n 3)
	if [ -z "$wide" ]; then echo "ok system: 80 columns, $name"; else echo "not ok system: 80 columns, $name: $wide"; fi
done
verdict=$("$FLOTSAM" system --root "$tmp/strict" -q | grep -c 'fails with ENOMEM')
if [ "$verdict" = 1 ]; then echo 'ok system: -q has the verdict'; else echo "not ok system: -q has $verdict verdicts"; fi
events=$("$FLOTSAM" system --root "$tmp/cgroup2" 4242 | grep -c 'stood at its limit 57 times')
if [ "$events" = 2 ]; then echo 'ok system: events of a group'; else echo "not ok system: events of a group: $events lines"; fi
"$FLOTSAM" system 2147483646 >/dev/null 2>&1
if [ $? = 3 ]; then echo 'ok system: no such process'; else echo 'not ok system: no such process: not 3'; fi

# What the kernel does at a limit is what was said of it. A process near its limit on address space:
kinds() { "$FLOTSAM" system "$1" --format json | sed -n 's/.*"kind": "\(.*\)".*/\1/p' | tr '\n' ' '; }
if ! command -v prlimit >/dev/null; then
	echo 'SKIP system: a limit on address space: needs util-linux'
else
	sleep 60 &
	pid=$!
	size=$(awk '/^VmSize/ { print int($2 * 1024 / 0.98) }' "/proc/$pid/status")
	prlimit --pid "$pid" --as="$size:"
	case $(kinds "$pid") in
	*address-space*) echo 'ok system: a limit on address space' ;;
	*) echo "not ok system: a limit on address space: $(kinds "$pid")" ;;
	esac
	kill "$pid"
fi

# And one that is killed by the limit of its control group, while the machine has memory: before, and when it is gone.
group=/sys/fs/cgroup/memory/flotsam-system-$$ limit=memory.limit_in_bytes
if [ ! -d /sys/fs/cgroup/memory ]; then
	group=/sys/fs/cgroup/flotsam-system-$$ limit=memory.max
fi
if ! mkdir "$group" 2>/dev/null || ! echo $((64 << 20)) >"$group/$limit" 2>/dev/null; then
	rmdir "$group" 2>/dev/null
	echo 'SKIP system: killed by a control group: needs root and a memory controller'
elif ! [ -r /dev/kmsg ] || ! dd if=/dev/kmsg of=/dev/null iflag=nonblock count=1 2>/dev/null; then
	rmdir "$group"
	echo 'SKIP system: killed by a control group: needs CAP_SYSLOG'
else
	mkfifo "$tmp/go"
	# It fills its group to 95 %, waits to be told, and takes more.
	sh -c 'echo $$ >'"$group"'/cgroup.procs; exec perl -e '\''
		open my $f, "<", "/proc/self/cgroup"; $| = 1;
		my ($n, @keep) = (0);
		while ($n++ < 56) { push @keep, "x" x (1 << 20) }
		print "near\n"; open my $go, "<", $ARGV[0]; <$go>;
		push @keep, "x" x (1 << 20) while 1;
	'\'' '"$tmp/go" >"$tmp/near" &
	pid=$!
	for _ in $(seq 600); do
		[ -s "$tmp/near" ] && break
		sleep 0.1
	done
	before=$(kinds "$pid")
	echo >"$tmp/go"
	wait "$pid" 2>/dev/null
	status=$?
	after=$("$FLOTSAM" system "$pid" -q | tr '\n' ' ' | tr -s ' ')
	case $before in
	*cgroup-limit*) echo 'ok system: near the limit of a control group' ;;
	*) echo "not ok system: near the limit of a control group: $before" ;;
	esac
	case $status,$after in
	137,*"pid $pid (perl) was killed"*"the limit of cgroup"*"flotsam-system-$$ was reached"*) echo 'ok system: killed by a control group' ;;
	*) echo "not ok system: killed by a control group: status $status: $after" ;;
	esac
	rmdir "$group"
fi
