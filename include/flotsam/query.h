/* query: questions about a session, answered as plain structs. Nothing here prints. Sizes are bytes; UNKNOWN stands for a
 * figure that was not computed. Strings that came from the target are raw: whoever prints escapes them. */
#ifndef FLOTSAM_QUERY_H
#define FLOTSAM_QUERY_H

#include "flotsam/session.h"

#define UNKNOWN UINT64_MAX

/* Where resident memory went. The list is closed; its names are part of the JSON. */
enum rss_cause { RSS_IN_USE, RSS_LEAKED, RSS_POSSIBLE, RSS_FREE_TRIMMABLE, RSS_FREE_TOP, RSS_FREE_PINNED, RSS_RUNTIME, RSS_OVERHEAD,
		 RSS_FILES, RSS_SHARED_MEMORY, RSS_OTHER_MAPPINGS, RSS_STACKS, RSS_CAUSES };
const char *rss_cause_name(enum rss_cause c);

struct rss_table {
	bool known;		/* residency was readable; else `bytes` are sizes, resident or not (a core) */
	uint64_t bytes[RSS_CAUSES];
	uint64_t blocks[RSS_CAUSES]; /* UNKNOWN where a cause has none */
	uint64_t total;		/* pages present and not the zero page */
	uint64_t unexplained;	/* total minus the causes */
	uint64_t vmrss;		/* the kernel's counter, UNKNOWN for a core */
	uint64_t swapped;
	uint64_t free_nonresident; /* free bytes that the kernel has already back */
	uint64_t trimmable_headers; /* a part of RSS_FREE_TRIMMABLE that is no usable byte of a free chunk */
};
/* Needs the walk; the graph where there is one. */
struct err *query_rss(struct session *s, struct rss_table *ret) MUST_CHECK;

struct leak_group {
	unsigned number;	/* L1, L2... */
	char *label;
	const char *identified_by;
	uint64_t size;		/* usable bytes of one block */
	uint64_t blocks, bytes;
	uint64_t retained_bytes; /* with all that its blocks hold */
	uint64_t sample[4];
	unsigned n_samples;
	char *preview;		/* text at the first sample, escaped; NULL */
};
struct holder_line {
	unsigned number;	/* H1, H2... */
	char *name, *where;	/* where may be NULL */
	const char *kind;
	uint64_t retained_blocks, retained_bytes;
	bool stack;		/* a frame or registers: no suspicion in itself */
};
struct pin { /* why a heap does not shrink */
	int arena;
	uint64_t heap_bytes, free_below_top; /* what would come back if the block were gone */
	uint64_t block, block_bytes;
	char *label;
};
struct arena_line { int index; uint64_t address, system_bytes, used_bytes, free_bytes, top_bytes; unsigned heaps; bool consistent; };
struct state_line { const char *state; uint64_t blocks, bytes; };

struct report {
	struct session *session; /* borrowed: identity, status, coverage */
	struct rss_table rss;
	struct class_sum used, free, classes[CLASS_RUNTIME + 1], stack_only;
	uint64_t free_trimmable, free_top, free_pinned, free_nonresident; /* sum: free.bytes */
	bool free_split_known;
	struct state_line states[BLOCK_STATES];
	size_t n_states;
	VEC(struct leak_group) leaks;	/* by what they retain, largest first */
	VEC(struct holder_line) holders;
	VEC(struct pin) pins;
	VEC(struct arena_line) arenas;
	bool complete, at_most;		/* coverage */
	VEC(char *) notes;		/* what the reader must know, in words */
	VEC(const struct finding *) findings;
	size_t findings_dropped;
	char allocator_note[256];	/* why the heap was not walked; "" */
};
struct err *query_report(struct session *s, struct report **ret) MUST_CHECK;
void report_free(struct report *r);

/* What a kind of finding says of the target, and what to do about it. */
struct finding_kind {
	const char *kind;
	bool damage;		/* malloc's records contradict each other; else a limit of the look */
	const char *meaning, *next;
};
const struct finding_kind *query_finding_kind(const char *kind);  /* never NULL */

struct verify_line {
	const struct finding *finding;
	const struct finding_kind *kind;
	char *neighbour_label;	/* NULL without a neighbour that is a block */
	uint64_t neighbour_bytes;
};
struct verify {
	struct session *session; /* borrowed */
	uint64_t blocks, free_blocks, arenas, segments, mmapped, tcaches;
	VEC(struct verify_line) lines; /* damage first, then what limits the look */
	size_t damage, dropped;	/* lines that are damage; findings that the limit left out */
	bool walked, complete;
	bool in_malloc;		/* somebody stood inside malloc: lists were not judged in full */
};
struct err *query_verify(struct session *s, struct verify **ret) MUST_CHECK;
void verify_free(struct verify *v); /* NULL allowed */

/* The machine: what the kernel would refuse now, and why. Needs no session. */
enum verdict_when { VERDICT_NOW, VERDICT_SOON, VERDICT_PAST, VERDICT_NOTE };
const char *verdict_when_name(enum verdict_when w); /* "now", ... */
struct machine_verdict {
	const char *kind;	/* static word with dashes */
	enum verdict_when when;
	char *text, *step;	/* sentences; step (what helps) may be NULL */
};
struct machine {
	const char *root;	/* borrowed; "": this machine */
	uint64_t page;
	struct system_zones zones;
	struct system_memory memory;
	struct system_counters counters;
	struct system_pressure pressure;
	struct system_swaps swaps;
	struct system_groups groups;	/* of the process alone, when there is one */
	struct system_kernel_log log;
	int pid;			/* 0: none was named */
	bool have_process;		/* false: it has ended */
	struct system_process process;
	unsigned orders;		/* that the kernel keeps lists of; 0: unknown */
	int served;			/* the largest order that a request of the kernel gets at once; -1: none */
	uint64_t commit_room;		/* UNKNOWN unless overcommit is strict */
	VEC(struct machine_verdict) verdicts; /* worst first */
};
/* pid 0: the machine alone. ERR_NOT_FOUND when there is no such process, and no word of its end in the kernel log. */
struct err *query_machine(const char *root, int pid, struct machine **ret) MUST_CHECK;
void machine_free(struct machine *m);

#endif
