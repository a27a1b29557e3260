/* The holder: the process with the rights. It seizes, stops, copies and opens files; it parses nothing of the target's but
 * the numbers in maps lines and the names in task/. The analyst speaks to it over a socket pair, one fixed request and one
 * fixed reply at a time; descriptors come with the replies. */
#ifndef TARGET_HOLDER_H
#define TARGET_HOLDER_H

#include <stdint.h>
#include <sys/types.h>

#include "flotsam/target.h"

enum holder_op { HOLDER_OPEN_PROC = 1, HOLDER_OPEN_MAPPED, HOLDER_OPEN_PATH, HOLDER_PEEK, HOLDER_KERNEL_WORDS, HOLDER_ESTIMATE, HOLDER_LOOK };

enum { HOLDER_PEEK_MAX = 8192 };

struct holder_request {
	uint32_t op, flags;
	uint64_t a, b;
	char name[LIMIT_PATH];
};
struct holder_reply {
	int32_t os; /* 0 or errno */
	uint32_t n;
	uint64_t value;
	uint8_t bytes[HOLDER_PEEK_MAX];
};

/* Plan of a look, handed over as a memfd: this, then n_mutexes words, n_code pairs, n_skip pairs. */
enum { PLAN_NO_RESTART_FIX = 1, PLAN_SCAN_SHARED = 2, PLAN_READ_SWAP = 4 };
struct holder_plan {
	uint64_t max_stop_ns, flags, n_mutexes, n_code, n_skip;
	uint64_t words[];
};

/* Results of a look, at the start of the table file. Offsets are into that file. */
struct table_thread {
	int32_t tid, stopped;
	char comm[16];
	uint64_t tp;
	uint32_t gregs_n, fpregs_n;
	uint8_t gregs[512];
	uint8_t fpregs[15 << 10];
};
struct table_extent { uint64_t address, bytes, offset; };
struct table_run { uint64_t start, end, flags; };
enum look_outcome { LOOK_DONE, LOOK_EXEC, LOOK_GONE, LOOK_TOO_SMALL, LOOK_FROZEN, LOOK_REFUSED };
struct table_header {
	int32_t outcome, os;
	uint64_t stopped_ns, copy_ns, stops, quiet, have_pages, left_out;
	uint64_t threads, threads_n, extents, extents_n, runs, runs_n, maps, maps_n, bad, bad_n;
	uint64_t data_bytes, swapped_bytes, shared_file_bytes, device_bytes;
};

/* The holder's life: serves requests until the socket closes. Does not return. */
void holder_main(int socket, pid_t pid) __attribute__((noreturn));

/* One look (stop.c). Returns 0 or errno; the caller closes *ret_tables and *ret_data. */
int stop_and_copy(pid_t pid, const struct holder_plan *plan, const char *spool, int *ret_tables, int *ret_data, bool *ret_abandoned);
/* Bytes that a look would take now. */
int stop_estimate(pid_t pid, const struct holder_plan *plan, uint64_t *ret_bytes, uint64_t *ret_swapped);
/* Opens a path below /proc/PID/root: regular file, no magic links. -1 and errno. */
int holder_open_below(pid_t pid, const char *path);

#endif
