/* What the files of watch share. */
#ifndef FRONT_WATCH_H
#define FRONT_WATCH_H
#include "flotsam/diff.h"
#include "flotsam/trend.h"
#include "front.h"

struct vitals { /* what /proc tells for nothing; UNKNOWN where it does not */
	uint64_t rss, anon, swap, size, threads, descriptors;
	uint64_t group, at_high;	/* of its own memory group: bytes in use, times above memory.high */
	uint64_t limit, limit_usage;	/* the tightest limit above it */
};
/* False: there is no such process, or another has its number by now. *start 0: whatever there is. */
bool vitals_read(int pid, uint64_t *start, struct vitals *v);
double front_now(void); /* seconds since 1970 */

struct watch {
	const struct arguments *a;
	struct progress *p;
	struct out *o;
	struct look_name target;
	int pid;
	uint64_t start;		/* clock ticks: tells one process of a number from the next */
	unsigned run;		/* starts of the process that were followed */
	struct series rss;
	struct trend trend;
	int first;		/* census of the first look of this run; -1: none */
	int line, metrics;	/* nameless memory for what a look says */
	const char *why;	/* of the look that is being taken */
	double started, last_look, high_since;
	bool grew, was_high, gone;
	uint64_t at_high, host_bytes, samples, lost_lines;
};

/* Lines of the log, one JSON object each. */
void watch_event(struct watch *w, const char *event, const char *reason);
void watch_sample_line(struct watch *w, const struct vitals *v);
void watch_error_line(struct watch *w, const struct err *e);
void watch_look_line(const struct watch *w, const struct session *s, const struct diff *d, bool with_base, struct out *o);
void watch_copy_line(struct watch *w); /* of a look, from w->line to the log */
#endif
