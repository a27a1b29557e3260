/* verdict: what a report comes to. A closed list of rules, each with a mark that must be reached; those that reach it, the
 * weightiest first, each with the next step and what mends it. The rules stand in flotsam(1), under THE VERDICT. */
#ifndef FLOTSAM_VERDICT_H
#define FLOTSAM_VERDICT_H

#include "flotsam/query.h"
#include "flotsam/resources.h"

/* Marks. Of memory: so many bytes, and so much of the resident ones. */
enum {
	VERDICT_BYTES = 8 << 20, VERDICT_PERCENT = 20,
	VERDICT_HELD_BLOCKS = 500, VERDICT_HELD_BYTES = 256 << 20, /* of a holder either: pools and tables of fixed size are few blocks */
	VERDICT_LEAK_BYTES = 1 << 20,		     /* any leak; a smaller one counts when it is */
	VERDICT_LEAK_LEAST = 64 << 10, VERDICT_LEAK_PERCENT = 1, /* so many bytes and so much of what is in use */
	VERDICT_OUTSIDE_BYTES = 32 << 20, VERDICT_OUTSIDE_PERCENT = 50,
	VERDICT_FILES_BYTES = 64 << 20,		     /* files and libraries: page cache for the most part */
	VERDICT_LIMIT_PERCENT = 90,		     /* of the limit of a cgroup */
	VERDICT_DESCRIPTORS_PERCENT = 80, VERDICT_DESCRIPTORS_LEAST = 64, /* of RLIMIT_NOFILE */
	VERDICT_DESCRIPTORS = 100,		     /* of a kind that nobody keeps on purpose */
	VERDICT_DESCRIPTORS_ANY = 1000,		     /* of another kind, sockets with a peer left out */
	VERDICT_MAPPINGS_PERCENT = 80,		     /* of vm.max_map_count */
	VERDICT_THREADS = 250,			     /* in one place, and half of all */
	VERDICT_TIMERS = 100,
	VERDICT_LEAK_WEIGHT = 10,		     /* what is lost never comes back */
};

struct verdict {
	const char *kind;	/* "leak", "held" ...: part of the JSON */
	char *text;		/* sentences; raw */
	const char *command;	/* the next step: a command of flotsam on the same target; NULL: none */
	char *operand;		/* its words; may be NULL */
	const char *fix;	/* static text; NULL: none is known */
	uint64_t bytes, count;	/* that it is about; UNKNOWN */
	double weight;
};
struct verdicts { VEC(struct verdict) list; }; /* at least one, the weightiest first */
/* Reads what the rules need beside the report: descriptors, of many threads where they stand. */
struct err *query_verdicts(const struct report *r, struct verdicts **ret) MUST_CHECK;
/* Of a report and, unless NULL, what else is known. */
struct err *verdicts_judge(const struct report *r, const struct resources *beside, struct verdicts **ret) MUST_CHECK;
bool verdict_is_kind(const char *word);
void verdicts_free(struct verdicts *v); /* NULL allowed */

/* "12.0 MiB of 40-byte Timer blocks keep 610 MiB resident". Raw. */
void verdict_sparse(struct strbuf *to, const struct sparse_label *x, uint64_t page, bool resident);

/* Of a truncated core a leak list would be wrong; --force asks for it all the same. */
bool verdict_without_leaks(const struct report *r);
#endif
