#!/bin/bash
# A crash in libdw costs names, not the report: a library that crashes in its stead is preloaded into flotsam.
set -u
flotsam=${FLOTSAM:-build/release/flotsam} fixtures=${FIXTURES:-build/release/fixtures}
if [ "${MODE:-release}" = asan ] || [ "${MODE:-release}" = tsan ]; then
	echo 'SKIP crash: needs a build without a sanitizer, which shall see the crash'
	exit 0
fi
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT
coproc { exec "$fixtures/clean" 2>/dev/null; }
pid=$COPROC_PID in=${COPROC[1]} out=${COPROC[0]}
while read -r -t 60 -u "$out" line && [ "$line" != ']}' ]; do :; done

# Where memory went, which does not depend on names.
sums() {
	tr -d '\n ' <"$1" | grep -o '"causes":\[[^]]*'
}
try() { # WHERE COMMAND...
	local where=$1 status whole
	shift
	"$flotsam" "$@" >"$tmp/whole" 2>"$tmp/why"
	whole=$?
	CRASH=$where LD_PRELOAD=$fixtures/libcrash.so "$flotsam" "$@" >"$tmp/crashed" 2>"$tmp/why"
	status=$?
	if ! grep -q '^crash$' "$tmp/why"; then
		echo "not ok crash: in $where: nothing crashed"
	elif [ "$status" -ne "$whole" ] || [ ! -s "$tmp/crashed" ]; then
		echo "not ok crash: in $where: status $status, not $whole: $(tail -n 1 "$tmp/why")"
	elif [ "$(sums "$tmp/crashed")" != "$(sums "$tmp/whole")" ]; then
		echo "not ok crash: in $where: another account"
	else
		echo "ok crash: in $where"
	fi
}
try variables report "$pid" --format json
try frames stack "$pid"
if "$flotsam" report "$pid" --format json | tr -d '\n ' | grep -q '"kind":"names"'; then
	echo 'not ok crash: said where none was'
elif CRASH=variables LD_PRELOAD=$fixtures/libcrash.so "$flotsam" report "$pid" --format json 2>"$tmp/why" | tr -d '\n ' | grep -q '"kind":"names"'; then
	echo 'ok crash: is said'
else
	echo 'not ok crash: is not said'
fi
exec {in}>&-
wait "$pid" 2>/dev/null
