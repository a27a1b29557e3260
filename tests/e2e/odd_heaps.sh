#!/bin/bash
# The truth of fixtures whose malloc is set otherwise: what the environment can set, one by one. The walk is to be equal to the
# fixture's own list, and `flotsam verify` to find nothing.
set -u
cd "$(dirname "$0")/../.." || exit
settings='
GLIBC_TUNABLES=glibc.malloc.hugetlb=1
GLIBC_TUNABLES=glibc.malloc.hugetlb=2
GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4096
GLIBC_TUNABLES=glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1
GLIBC_TUNABLES=glibc.malloc.arena_max=1
GLIBC_TUNABLES=glibc.malloc.tcache_count=0
GLIBC_TUNABLES=glibc.malloc.tcache_count=300
GLIBC_TUNABLES=glibc.malloc.tcache_max=4096
GLIBC_TUNABLES=glibc.malloc.mxfast=0
GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=160
GLIBC_TUNABLES=glibc.malloc.top_pad=0
MALLOC_PERTURB_=165
'
log=$(mktemp) || exit
trap 'rm -f "$log"' EXIT
# Those that differ most in how they allocate.
export TRUTH_ONLY=${TRUTH_ONLY-'aligned|arenas|foreign_sbrk|freed|mmapped|noncontiguous|sizes|threads|trimmed'}
for setting in $settings; do
	if FIXTURE_LAUNCH="/usr/bin/env $setting ${FIXTURE_LAUNCH-}" CK_RUN_CASE=live "build/${MODE:-release}/tests/truth_test" >"$log" 2>&1; then
		echo "ok odd_heaps: $setting"
	else
		echo "not ok odd_heaps: $setting: $(grep -v '^Running\|^[0-9]*%' "$log" | head -n 6 | tr '\n' ' ')"
	fi
done
