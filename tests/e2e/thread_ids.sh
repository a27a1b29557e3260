#!/bin/bash
# A process whose threads have lower ids than itself, since ids begin anew at the end: each thread's stack is its own all the same.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/fixtures.bash
flotsam=$(realpath "${FLOTSAM:-build/release/flotsam}")
fixture=$(realpath "${FIXTURES:-build/release/fixtures}")/threads
if [ "${1-}" = inside ]; then
	# The next id but one is the last there is.
	echo $(($(cat /proc/sys/kernel/pid_max) - 2)) >/proc/sys/kernel/ns_last_pid || exit 9
	"$fixture" <"$2/in" >"$2/truth" 2>/dev/null &
	child=$!
	exec 9>"$2/in"
	told $child "$2/truth"
	lower=0
	for task in /proc/$child/task/*; do
		[ "${task##*/}" -lt $child ] && lower=$((lower + 1))
	done
	"$flotsam" blocks $child --format csv >"$2/blocks" 2>"$2/err"
	kill $child
	[ $lower -ge 3 ] || exit 9
	exit 0
fi
unshare --fork --pid --mount-proc true 2>/dev/null || { echo 'SKIP thread_ids: needs the right to make a pid namespace'; exit 0; }
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT
mkfifo "$tmp/in"
unshare --fork --pid --mount-proc bash "$PWD/tests/e2e/thread_ids.sh" inside "$tmp"
case $? in
0) ;;
9) echo 'SKIP thread_ids: needs a kernel with ns_last_pid (CONFIG_CHECKPOINT_RESTORE)'; exit 0 ;;
*) echo "not ok thread_ids: $(head -n 1 "$tmp/err")"; exit 0 ;;
esac
held=$(sed -n "s/.*\"address\":\"\([^\"]*\)\".*a live thread's frame holds it.*/\1/p" "$tmp/truth")
column=$(head -n 1 "$tmp/blocks" | tr ',' '\n' | grep -n '^stack_only$' | cut -d: -f1)
wrong=0 n=0
for address in $held; do
	n=$((n + 1))
	[ "$(grep "^$address," "$tmp/blocks" | cut -d, -f"$column")" = true ] || wrong=$((wrong + 1))
done
if [ $n -eq 3 ] && [ $wrong -eq 0 ]; then
	echo 'ok thread_ids: what frames of threads with lower ids hold, only they hold'
else
	echo "not ok thread_ids: $wrong of $n blocks that frames hold are held by something else"
fi
