#!/bin/bash
# Every fixture through a core that gdb's gcore writes, where gdb is not installed: from the cache.
set -u
cd "$(dirname "$0")/../.." || exit
if command -v gcore >/dev/null; then
	echo "ok gcore: make check runs it with the gdb that is installed"
	exit 0
fi

root=$(scripts/fetch.sh gdb) || { echo 'SKIP gcore: needs gdb'; exit 0; }
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT
# gcore runs the gdb beside it. Only gdb gets the libraries of the cache, not the fixtures.
cp "$root/usr/bin/gcore" "$tmp/gcore" || exit
cat >"$tmp/gdb" <<END
#!/bin/sh
export LD_LIBRARY_PATH='$root/usr/lib/$(gcc -print-multiarch):$root/lib/$(gcc -print-multiarch)' PYTHONHOME='$root/usr'
exec '$root/usr/bin/gdb' --data-directory '$root/usr/share/gdb' "\$@"
END
chmod +x "$tmp/gdb"
"$tmp/gdb" --version >"$tmp/version" 2>&1 || { echo "SKIP gcore: needs gdb ($(tail -n 1 "$tmp/version"))"; exit 0; }
PATH=$tmp:$PATH CK_RUN_CASE=gcore "build/${MODE:-release}/tests/truth_test"
