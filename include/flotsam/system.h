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
	uint64_t size, rss, pss, anonymous, shared_clean, shared_dirty, private_clean, private_dirty, swap, anon_huge, locked, swap_pss, file_huge, shmem_huge, private_hugetlb, shared_hugetlb;
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
	uint64_t vm_size, vm_rss, rss_anon, rss_file, rss_shmem, vm_pte, vm_swap, vm_lck, vm_data;
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
	uint64_t limit_cache;	/* page cache of that group that is inactive; UINT64_MAX: unknown */
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

/* The machine. Each reads its sources below root; what the kernel does not tell is UINT64_MAX. Nothing here fails: a file
 * that is missing or cut leaves its figures unknown. */
enum { SYSTEM_ORDERS = 16, SYSTEM_ZONES = 8 };
struct system_zone {
	unsigned node, index;	/* index: its place in the node, which `reserve` counts */
	char name[16];
	unsigned orders;	/* 0: it has no line in buddyinfo */
	uint64_t blocks[SYSTEM_ORDERS];	/* free blocks of 2^order pages */
	uint64_t free, min, low, high, managed; /* pages */
	uint64_t reserve[SYSTEM_ZONES]; /* pages kept from requests that may use a higher zone, by the index of that zone */
	unsigned n_reserve;
	uint64_t pageblocks, pageblocks_unmovable; /* 0: pagetypeinfo was not readable */
};
struct system_zones { VEC(struct system_zone) list; uint64_t pageblock_pages; };
void system_zones_read(const char *root, struct system_zones *ret); /* vec_free(&ret->list) */
/* The kernel's own indices in thousandths: towards 0 a request of that order fails for want of memory, towards 1000 for
 * fragmentation, -1000: it does not fail; and the part of the free memory that such a request cannot use. */
int system_fragmentation_index(const struct system_zone *z, unsigned order);
int system_unusable_index(const struct system_zone *z, unsigned order);
/* Would the zone serve it at once, to a request that may use zones up to the index `highest`? */
bool system_zone_serves(const struct system_zone *z, unsigned order, unsigned highest);

struct system_memory { /* bytes; /proc/meminfo and the settings below /proc/sys/vm */
	uint64_t total, free, available, buffers, cached, anon, anon_huge, shmem, slab_reclaimable, slab_unreclaimable, kernel_stacks,
		page_tables, unevictable, swap_total, swap_free, commit_limit, committed, huge_page, hugetlb;
	uint64_t overcommit, admin_reserve, user_reserve, max_mappings, swappiness, extfrag_threshold;
	char thp[16], thp_defrag[16]; /* "" unknown */
};
void system_memory_read(const char *root, struct system_memory *ret);
struct system_counters { /* since boot; /proc/vmstat */
	uint64_t oom_kills, direct_reclaims, compact_stalls, compact_failures, compact_successes, thp_faults, thp_fallbacks,
		thp_collapses, thp_collapse_failures, swapped_in, swapped_out, major_faults;
};
void system_counters_read(const char *root, struct system_counters *ret);
struct system_pressure { /* percent of the time over 10, 60 and 300 s that some, or all, waited for memory */
	bool known;
	double some[3], full[3];
	uint64_t some_us, full_us;
};
void system_pressure_read(const char *root, const char *path, struct system_pressure *ret);
struct system_swap { char path[256], type[16]; uint64_t size, used; int priority; };
struct system_swaps { struct system_swap *at; size_t n, cap; };
void system_swaps_read(const char *root, struct system_swaps *ret); /* vec_free(ret) */

/* A memory cgroup. Limits are UINT64_MAX when there is none. */
struct system_group {
	char *path;	/* below the mount; "/" is the root */
	uint64_t usage, limit, high, peak, swap, swap_limit; /* v1: swap_limit is for memory and swap together, swap the same */
	uint64_t anon, file, inactive_file, shmem, kernel;
	uint64_t at_limit, at_high, ooms, oom_kills; /* how often; v1: at_limit is failcnt */
	bool under_oom, kill_disabled; /* v1 */
	struct system_pressure pressure; /* v2 */
};
struct system_groups {
	int version;	/* 0: no memory controller was found */
	struct system_group *at;
	size_t n, cap;
	bool cut;	/* more than LIMIT_GROUPS */
};
/* Of a process's /proc/PID/cgroup text the group and those above it, or with NULL the whole tree, parents first. */
void system_groups_read(const char *root, const char *proc_cgroup, struct system_groups *ret);
void system_groups_free(struct system_groups *g);

/* Groups by name. Directories as they are seen below root; the caller frees them. */
/* The group `path`: below a mount, or a directory that has cgroup.procs. NULL: there is none. */
char *system_group_dir(const char *root, const char *path);
/* The group of a unit of systemd's, the one nearest to the root; ".service" may be left out. NULL: it does not run. */
char *system_unit_dir(const char *root, const char *unit, bool *ret_several);
/* The processes in it and in the groups below it. */
struct system_pids { int *at; size_t n, cap; };
void system_group_pids(const char *root, const char *dir, struct system_pids *ret); /* vec_free(ret) */

struct system_kill { /* by the kernel, for want of memory */
	double seconds;	/* since boot; negative: unknown */
	int pid, order, score_adj; /* order: of the request that found no memory; -1 unknown */
	uint64_t vm, anon, file, shmem;
	bool by_group;	/* by the limit of a cgroup, not by the machine */
	char comm[64], constraint[32], group[256], task_group[256]; /* group: the one whose limit it was */
};
struct system_kernel_log {
	bool readable;
	VEC(struct system_kill) kills;	/* the last 1000, oldest first */
	uint64_t failures;	/* "page allocation failure" lines, and the smallest order among them */
	int failed_order;
};
void system_kernel_log_read(const char *root, struct system_kernel_log *ret); /* vec_free(&ret->kills) */

struct system_process { /* one process's own limits; UINT64_MAX: none, or unknown where it is no limit */
	int pid, oom_score, oom_score_adj;
	struct process_status status;
	uint64_t address_space, data, stack, locked, files; /* soft limits; bytes, files a number */
	uint64_t mappings;
	struct system_groups groups; /* its own and those above it */
};
/* False when there is no such process below root. */
bool system_process_read(const char *root, int pid, struct system_process *ret);
void system_process_free(struct system_process *p);

/* The sockets of one table of /proc/PID/net ("tcp", "tcp6", "udp", "unix", ...), by inode, with a word for their state
 * (static; "" where the table has none). */
typedef void system_socket_fn(void *ctx, uint64_t inode, const char *state);
void system_sockets(const char *table, const char *text, system_socket_fn *f, void *ctx);

#endif
