/* The holder: the process with the rights. It seizes, stops, copies and opens files; it parses nothing of the target's but
 * the numbers in maps lines and the names in task/. The analyst speaks to it over a socket pair, one fixed request and one
 * fixed reply at a time; descriptors come with them.
 *
 * For a look the holder forks a taker, which stops, copies, lets go, replies and ends. The end of a tracer lets go of all
 * that it traced, so nothing that befalls the taker, --max-stop included, can leave a thread stopped; a parent inside
 * vfork, which neither stops nor can be detached, is let go in no other way. */
#ifndef TARGET_HOLDER_H
#define TARGET_HOLDER_H

#include <stdint.h>
#include <sys/types.h>

#include "flotsam/target.h"

enum holder_op {
	HOLDER_OPEN_PROC = 1, /* name -> descriptor */
	HOLDER_OPEN_MAPPED,   /* a, b: start and end, name: path -> descriptor */
	HOLDER_OPEN_PATH,     /* name -> descriptor */
	HOLDER_PEEK,	      /* a: address, b: bytes -> bytes */
	HOLDER_PROBE,	      /* may we attach? */
	HOLDER_KERNEL_WORDS,  /* -> descriptor of the text of all epoll fdinfos */
	HOLDER_ESTIMATE,      /* plan -> value: bytes that a look would copy now */
	HOLDER_LOOK,	      /* plan, spool directory or "" -> descriptors of tables and data */
};

enum { HOLDER_PEEK_MAX = 65536 };

struct holder_request {
	uint32_t op;
	uint64_t a, b;
	char name[LIMIT_PATH];
};
struct holder_reply {
	int32_t os; /* 0 or errno: ETIME --max-stop, EAGAIN an exec, ENOBUFS grew, EBUSY nothing could be stopped */
	uint32_t n;
	uint64_t value;
	uint8_t bytes[HOLDER_PEEK_MAX];
};

/* Plan of a look, handed over as a memfd: this, then n_mutexes words, n_code pairs, n_skip pairs. */
enum { PLAN_NO_RESTART_FIX = 1, PLAN_SCAN_SHARED = 2, PLAN_READ_SWAP = 4, PLAN_NO_TOUCH = 8, PLAN_GENTLE = 16 };
struct holder_plan {
	uint64_t max_stop_ns, flags, n_mutexes, n_code, n_skip;
	uint64_t words[];
};

/* Results of a look, at the start of the table file. Offsets are into that file. */
struct table_thread {
	int32_t tid, stopped;
	char comm[16];
	uint64_t tp;
	uint64_t gregs, fpregs; /* offsets into the registers */
	uint32_t gregs_n, fpregs_n;
};
struct table_extent {
	uint64_t address, bytes, offset; /* offset into the data file */
};
struct table_run {
	uint64_t start, end, flags;
};
struct table_header {
	uint64_t stopped_ns, copy_ns, stops, quiet, have_pages;
	uint64_t threads, threads_n, regs, regs_n, extents, extents_n, runs, runs_n, maps, maps_n, bad, bad_n;
	uint64_t data_bytes, swapped_bytes, unswapped_bytes, shared_file_bytes, device_bytes;
};

/* Memory that the holder shares with its takers. A wait that a look has restarted is remembered for the next look. */
struct wait {
	pid_t tid;
	uint64_t call, sp, args[3];
};
struct waits {
	size_t n;
	struct wait at[4096];
};
struct holder_shared {
	volatile int abort; /* the analyst has gone: let go as soon as may be */
	int os;		    /* of a taker that failed */
	struct waits waits;
};

struct holder {
	pid_t pid;
	int proc, socket; /* /proc/PID, bound to this very process: a reused pid is not reached through it */
	struct holder_shared *shared;
};

/* The holder's life: serves requests until the socket closes. Does not return. */
void holder_main(int socket, pid_t pid) __attribute__((noreturn));
void holder_reply(const struct holder *h, const struct holder_reply *r, const int *fds, int n_fds);

/* files.c. A living thread: the group leader's own files are empty once it has exited. Descriptors: -1 and errno. */
pid_t holder_living(const struct holder *h);
int holder_proc(const struct holder *h, pid_t tid, const char *name);
int holder_open_proc(const struct holder *h, const char *name);
int holder_open_below(const struct holder *h, const char *path);
int holder_open_mapped(const struct holder *h, const struct holder_request *q);
int holder_kernel_words(const struct holder *h);
int holder_peek(const struct holder *h, const struct holder_request *q, struct holder_reply *r);
int holder_probe(const struct holder *h);

/* look.c. Bytes that a look would take now; errno or 0. */
int look_estimate(const struct holder *h, const struct holder_plan *plan, uint64_t *ret_bytes);
/* The taker's life. It replies when it has a picture, and exits; the holder replies in its place when it has none, so that
 * the target is free when the analyst hears of it. */
enum look_exit { LOOK_REPLIED = 0, LOOK_FAILED = 76, LOOK_MAX_STOP = 77 };
void look_take(const struct holder *h, const struct holder_plan *plan, const char *spool, unsigned attempt) __attribute__((noreturn));

#endif
