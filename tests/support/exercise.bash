# Sourced: the leaky API, driven by flotsam exercise, against what it says of itself. Needs $tmp, FLOTSAM, FIXTURES, perl.
. tests/support/fixtures.bash
truth() { # FILE
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return
	printf 'GET /truth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n' >&3
	# One object; the connection may stay.
	perl -e 'my $t = ""; while (sysread STDIN, my $b, 65536) { $t .= $b; last if $t =~ /\r\n\r\n(.*)/s && $t =~ /Content-Length: *(\d+)/i && length($t) - index($t, "\r\n\r\n") - 4 >= $1 } $t =~ s/.*?\r\n\r\n//s; print $t' <&3 >"$1"
	exec 3>&-
}
# NAME ROUNDS PER HOLDER WAY REQUEST...: the holder (or "leaked") grows by what the way has cost, within 5 %, and nothing else but the
# log of requests; way "-": the holder grows not at all, and with holder "-" nothing does.
exercise() {
	local name=$1 rounds=$2 per=$3 holder=$4 way=$5 status
	shift 5
	truth "$tmp/before"
	"$FLOTSAM" exercise "$server" --rounds "$rounds" --per "$per" --format json --run "'$FIXTURES/drive' $port $per $*" >"$tmp/json" 2>"$tmp/err"
	status=$?
	truth "$tmp/after"
	perl -MJSON::PP - "$name" "$holder" "$way" $((per * (rounds + 2))) "$status" "$tmp/json" "$tmp/before" "$tmp/after" "$tmp/err" <<'PERL'
use strict;
my ($name, $holder, $way, $requests, $status, @files) = @ARGV;
my $err = do { local $/; open my $f, '<', pop @files; <$f> };
my ($got, $before, $after) = map { local $/; open my $f, '<', $_ or die; my $t = <$f>; eval { decode_json($t) } } @files;
sub cost { my ($t) = @_; for my $w (@{ $t->{costs} }) { return $w->{bytes} if $w->{way} eq $way } 'none' }
my ($line) = grep { $holder eq 'leaked' ? $_->{leaked} : ($_->{holder} // '') eq $holder } @{ $got->{holders} // [] };
my @others = map { $_->{leaked} ? 'leaked' : $_->{holder} // 'what has no name' } @{ $got->{holders} // [] };
@others = grep { $_ ne $holder && $_ ne 'g_request_log' } @others;
my $why = '';
if (!$got) {
	$why = "status $status, no answer: $err";
} elsif ($way eq '-') {
	$why = "$holder grows by $line->{bytes}{per_request}" if $line;
} else {
	my $true = (cost($after) - cost($before)) / $requests;
	my $found = $line ? $line->{bytes}{per_request} : 0;
	$why = "status $status, $found a request, truly $true" if $status != 1 || $true <= 0 || abs($found / $true - 1) > 0.05;
	printf "# %s: %.2f a request, truly %.2f\n", $name, $found, $true;
}
$why .= " grows too: @others" if @others && ($way ne '-' || $holder eq '-');
print $why eq '' ? "ok exercise: $name\n" : "not ok exercise: $name: $why\n";
PERL
}
