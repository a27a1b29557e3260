#!/bin/bash
# Mallocs that are not glibc's and need no package: sanitizers, one in the program; and glibc's own a second time in a process.
set -u
cd "$(dirname "$0")/../.." || exit
. tests/support/allocators.bash
cc=${CC:-gcc} source=fixtures/src/allocations.c

build() { # NAME FLAG...: a program below $tmp; SKIP and false when the compiler cannot
	local name=$1
	shift
	"$cc" -w -g -o "$tmp/$name" "$@" 2>"$tmp/log" && return
	echo "SKIP allocators: $name: needs a compiler that can ($(head -n 1 "$tmp/log"))"
	return 1
}
cat >"$tmp/own.c" <<'C'
#include <stddef.h>
#include <string.h>
static char pool[64 << 20];
static size_t at;
void *malloc(size_t n) { char *p = pool + at; at += (n + 31) & ~(size_t)15; *(size_t *)p = n; return p + 16; }
void free(void *p) { (void)p; }
void *calloc(size_t a, size_t b) { return malloc(a * b); }
void *realloc(void *p, size_t n) { void *q = malloc(n); return p ? memcpy(q, p, ((size_t *)p)[-2] < n ? ((size_t *)p)[-2] : n) : q; }
C
cat >"$tmp/second.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
void *g_kept;
int main(void)
{
#ifdef NAMESPACE
	void *h = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
#else
	void *h = dlopen("libc.so.6", RTLD_NOW);
#endif
	void *(*second)(size_t) = h ? (void *(*)(size_t))dlsym(h, "malloc") : NULL;
	if (!second || second == malloc)
		return 1;
	g_kept = malloc(100);
	for (int i = 0; i < 1000; i++)
		*(void **)second(100) = second(50);
	puts("ready");
	fflush(stdout);
	char byte;
	while (read(0, &byte, 1) > 0)
		;
}
C

build asan -fsanitize=address $source && check_not_walked 'AddressSanitizer' AddressSanitizer null "$tmp/asan"
build lsan -fsanitize=leak $source && check_not_walked 'LeakSanitizer' LeakSanitizer null "$tmp/lsan"
if command -v clang >/dev/null; then
	cc=clang build clang_asan -fsanitize=address $source && check_not_walked 'AddressSanitizer in the program' AddressSanitizer null "$tmp/clang_asan"
fi
build own $source "$tmp/own.c" && check_not_walked 'in the program' unknown null "$tmp/own"
build own_static -static $source "$tmp/own.c" && strip "$tmp/own_static" && check_not_walked 'in a stripped static program' unknown null "$tmp/own_static"

build dlmopen -DNAMESPACE "$tmp/second.c" -ldl && check_beside 'another namespace' second-malloc libc.so.6 "$tmp/dlmopen"
build static_dlopen -static "$tmp/second.c" && check_beside "a static program's plugin" second-malloc libc.so.6 "$tmp/static_dlopen"
# A pointer of the program's own that ld.so sets to malloc, and the program to a function of another library.
cat >"$tmp/hook.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <lzma.h>
void *(*volatile g_hook)(size_t) = malloc;
int main(void)
{
	char *volatile kept = g_hook(100);
	g_hook = (void *(*)(size_t))lzma_version_string;
	puts(kept ? "ready" : "");
	fflush(stdout);
	char byte;
	while (read(0, &byte, 1) > 0)
		;
}
C
if build hook "$tmp/hook.c" -llzma; then
	if start_server "$tmp/hook" && "$flotsam" report $server --format json >"$tmp/report" && section allocator | grep -q '"walked": true'; then
		echo 'ok allocators: a hook in data is no binding'
	else
		echo "not ok allocators: a hook in data is no binding: $(section allocator | tr -d '\n ')"
	fi
	stop_server
fi
debug=$(ls /lib/*-linux-gnu/libc_malloc_debug.so.0 /lib64/libc_malloc_debug.so.0 2>/dev/null | head -n 1)
if [ -n "$debug" ]; then
	check_not_walked 'libc_malloc_debug with MALLOC_CHECK_' unknown null env LD_PRELOAD="$debug" MALLOC_CHECK_=3 "$fixtures/allocations"
	if start_server env LD_PRELOAD="$debug" "$fixtures/allocations" && "$flotsam" report $server --format json >"$tmp/report" &&
		section allocator | grep -q '"walked": true'; then
		echo "ok allocators: libc_malloc_debug that only passes on"
	else
		echo "not ok allocators: libc_malloc_debug that only passes on: $(section allocator | tr -d '\n ')"
	fi
	stop_server
else
	echo "SKIP allocators: libc_malloc_debug: needs glibc 2.34 with libc_malloc_debug.so.0"
fi
