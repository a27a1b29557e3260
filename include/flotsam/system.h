/* system: what the kernel says: maps, smaps, status, cgroup. Every function reads text or a file descriptor, or a path
 * below a root prefix, so that tests have a known machine. Sizes are bytes. A `text` of n bytes is followed by a NUL, as
 * system_read() leaves it; system_maps_next() alone needs none. */
#ifndef FLOTSAM_SYSTEM_H
#define FLOTSAM_SYSTEM_H

#include "flotsam/base.h"

/* One line of /proc/PID/maps (proc_pid_maps(5)). `path` points into the text, `path_n` bytes, not terminated. */
struct maps_line {
	uint64_t start, end, offset, inode;
	uint32_t dev_major, dev_minor;
	bool r, w, x, shared, deleted;
	const char *path;
	size_t path_n;
};
/* Parses the line at *text (of *n bytes) and moves both past it. False at the end or on a line that is none; a bad line
 * is skipped and counted in *bad (may be NULL). Allocates nothing. */
bool system_maps_next(const char **text, size_t *n, struct maps_line *ret, size_t *bad);

/* The parts of one smaps entry that we use. */
struct smaps_entry {
	struct maps_line map;
	uint64_t size, rss, pss, shared_clean, shared_dirty, private_clean, private_dirty, swap, anon_huge, locked;
	bool flag_io, flag_pf, flag_dontdump, flag_ht;
	bool flag_userfaultfd; /* um, uw or ui: its pages may be another's to fill */
};
typedef bool system_smaps_fn(void *ctx, const struct smaps_entry *e);
struct err *system_smaps_each(int fd, system_smaps_fn *f, void *ctx) MUST_CHECK;

struct process_status { /* /proc/PID/status; sizes bytes; UINT64_MAX where the kernel has no such line */
	char name[64];
	char state;
	int tgid, ppid, tracer, threads;
	uint32_t uid[4], gid[4];
	uint64_t vm_size, vm_rss, rss_anon, rss_file, rss_shmem, vm_pte, vm_swap, vm_lck;
	bool kernel_thread; /* Kthread: 1, or no VmSize and no exe */
};
struct err *system_status(const char *text, size_t n, struct process_status *ret) MUST_CHECK;
/* Fields of /proc/PID/stat that follow the comm: start time in clock ticks since boot, state. comm may hold ')' and spaces. */
bool system_stat(const char *text, size_t n, char *ret_state, uint64_t *ret_start_ticks);
double system_uptime(const char *root);
/* Whole file below root (root "" or "/x"), NUL-terminated, caller frees; NULL and errno when it cannot. */
char *system_read(const char *root, const char *path, size_t *ret_n);
char *system_read_fd(int fd, size_t *ret_n);

struct cgroup_memory {
	bool known;
	int version; /* 1 or 2 */
	char path[1024];
	uint64_t usage, limit;	/* limit: the tightest of the group and its ancestors; UINT64_MAX: none */
	uint64_t limit_usage;	/* usage of the group that has the tightest limit */
	uint64_t anon, file;	/* UINT64_MAX: unknown */
	uint64_t events_oom_kill;
};
/* Of the process whose /proc/PID/cgroup text is given. Mount points are read from ROOT/proc/self/mountinfo. */
void system_cgroup(const char *root, const char *proc_cgroup, struct cgroup_memory *ret);
/* Room for `us`: the least of MemAvailable, each cgroup limit above us minus usage, RLIMIT_AS minus what is used.
 * *ret_what names the tightest (static text). */
uint64_t system_room(const char *root, const char **ret_what);
/* Words that only the kernel holds, from fdinfo of an epoll descriptor ("tfd: .. data: hex") and /proc/PID/timers. */
typedef void system_word_fn(void *ctx, uint64_t value);
bool system_fdinfo_is_epoll(const char *text, size_t n);
void system_fdinfo_epoll(const char *text, size_t n, system_word_fn *f, void *ctx);
void system_timers(const char *text, size_t n, system_word_fn *f, void *ctx);

#endif
