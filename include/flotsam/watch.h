/* watch: a process over time. What /proc says of it for nothing, which rule that breaks, and what a look adds to it. Nothing here
 * prints, and but for the summary of a look nothing comes from the target. */
#ifndef FLOTSAM_WATCH_H
#define FLOTSAM_WATCH_H

#include "flotsam/diff.h"
#include "flotsam/trend.h"

struct watch_vitals { /* UNKNOWN where /proc does not tell */
	uint64_t rss, anon, swap, size, threads, descriptors;
	uint64_t group, at_high;	/* of its own memory group: bytes in use, times above memory.high */
	uint64_t limit, limit_usage;	/* the tightest limit above it, and what is in use of that; else of the machine's memory */
	bool limit_of_group;
	char comm[64];	/* foreign */
	double pressure; /* percent of the last ten seconds in which some of its group waited for memory; negative: unknown */
};

/* Tells one process of a number from the next, and one program in it from the next. */
struct watch_identity {
	int pid;
	uint64_t start;			   /* clock ticks; 0: whatever there is */
	uint64_t stack, exe_dev, exe_inode; /* 0: not known */
};
enum watch_seen { WATCH_GONE, WATCH_THERE, WATCH_EXEC /* the same process, another program */ };
/* Reads below root. Takes the identity over when it is new. */
enum watch_seen watch_vitals_read(const char *root, struct watch_identity *who, struct watch_vitals *ret);

/* What /proc/PID/smaps_rollup says: the kernel walks the page tables for it, and holds off the target's own mmap() meanwhile.
 * So it is read each ten minutes, and when RSS has moved by a twentieth. */
struct watch_rollup { uint64_t rss, pss, anonymous, private_dirty, swap, anon_huge; };
struct watch_rollup_due { double at; uint64_t rss; bool read; };
bool watch_rollup_due(struct watch_rollup_due *d, double now, uint64_t rss);
bool watch_rollup_read(const char *root, int pid, struct watch_rollup *ret);

struct watch_rules { double growth, level, hold; }; /* bytes a second, part of the limit, seconds; 0: no such rule */
struct watch_rules_state { bool grew, was_high; double high_since; uint64_t at_high; };
void watch_rules_begin(struct watch_rules_state *s); /* at the start, and when another process or program is followed */
/* The rule that begins to hold now: "growth", "level", "memory.high"; NULL: none. */
const char *watch_rules_judge(const struct watch_rules *r, struct watch_rules_state *s, const struct watch_vitals *v, const struct trend *t, double now);

/* Seconds until the limit at the slope of a trend that grows; negative: never. False: there is no saying. */
struct watch_until { double at, soonest, latest; };
bool watch_until(const struct trend *t, const struct watch_vitals *v, struct watch_until *ret);

/* What a look found, as it is handed from the process that took it to the one that goes on: of a fixed size, since who has read
 * the target's bytes is not to be believed. */
enum { WATCH_GROUPS = 16, WATCH_TEXT = 512 };
struct watch_group {
	char label[WATCH_TEXT], holder[WATCH_TEXT]; /* foreign; cut */
	uint64_t size;
	int32_t class_of; /* enum block_class */
	int64_t more_blocks, more_bytes;
	double slope; /* bytes a second */
};
struct watch_look {
	double time, stopped; /* seconds since 1970; of the stop */
	uint32_t compared;    /* with the first look at this process */
	struct class_sum used, leaked, new_leaked;
	int64_t more_blocks, more_bytes;
	uint32_t n_groups; /* that grew, most first */
	struct watch_group groups[WATCH_GROUPS];
};
void watch_look_sum(struct watch_look *to, const struct diff *d, bool compared);
/* False: no look stands there. What is not as it must be is put right. */
bool watch_look_read(int fd, struct watch_look *ret);

/* All that is known now; what a line or the page shows of it. */
struct watch_state {
	struct watch_identity who;
	unsigned run; /* programs that were followed before this one */
	struct watch_vitals vitals;
	struct watch_rollup rollup;
	bool has_rollup, looked;
	struct series rss; /* and swap */
	struct trend trend;
	struct watch_look look; /* the last one */
	double interval, started, now; /* seconds since 1970 */
	uint64_t samples, lost_lines;
};
enum watch_what { WATCH_START, WATCH_SAMPLE, WATCH_ALARM, WATCH_LOOK, WATCH_ERROR, WATCH_EXIT, WATCH_RESTART, WATCH_PROGRAM, WATCH_END };
const char *watch_what_name(enum watch_what w);
struct watch_event {
	enum watch_what what;
	const char *reason;	 /* of an alarm, a look, the end; NULL */
	const struct err *error; /* of WATCH_ERROR */
	bool has_rollup;	 /* this sample read it */
};

#endif
