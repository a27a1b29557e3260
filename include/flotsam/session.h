/* session: a target and the lazy pipeline over it: a stage is built when first asked for. Owns every result. */
#ifndef FLOTSAM_SESSION_H
#define FLOTSAM_SESSION_H

#include "flotsam/graph.h"
#include "flotsam/types.h"

enum types_wanted { TYPES_VTABLE, TYPES_ALL /* by DWARF */, TYPES_AUTO /* all, where that takes little time */ };
enum types_because { BECAUSE_ASKED /* of a census: as it was written */, BECAUSE_CHEAP, BECAUSE_COSTLY, BECAUSE_NO_DWARF, BECAUSE_FETCHED /* debug files would have to be */ };
const char *types_because_name(enum types_because b); /* "asked", "cheap" ... */
enum { MAX_SAID = 32 };
struct said { uint64_t address; char *type; };
struct session;
struct session_options {
	struct target_options target;
	struct modules_options modules;
	struct alloc_options alloc;
	struct graph_options graph;
	enum types_wanted types;
	const char *said[MAX_SAID]; /* "ADDR=TYPE", "SYMBOL=TYPE": what the user knows; borrowed */
	unsigned n_said;
	bool guess;		/* types by shape and size alone, too */
	void (*progress)(void *ctx, const char *text); /* never called while the target is stopped; may be NULL */
	void *progress_ctx;
	/* Called once, when the target is open and nothing of it was read that it made itself but a core's headers. May be NULL. */
	struct err *(*opened)(void *ctx, struct session *s);
	void *opened_ctx;
};

struct timings { double read, walk, mark, holders, types, total; };

struct session {
	struct session_options options;
	struct target *target;
	struct modules *modules;
	struct image *image;
	struct runtime *runtime;
	struct alloc *alloc;	/* always there after the look; facts.walked tells */
	struct blocks *blocks;	/* NULL when the heap was not walked */
	struct graph *graph;
	struct types *types;
	struct tree *tree;
	struct process_status status;	/* live: just after the stop; else zero */
	struct cgroup_memory cgroup;
	double uptime;		/* seconds since the target's start; negative: unknown */
	char version[32];	/* glibc */
	char sandbox[160];	/* how the analyst is shut in, in words; "" when it is not */
	struct timings timings;
	bool holders_done;
	bool labels_by_dwarf;	/* after session_types() */
	enum types_because types_because;
	double types_cost;	/* of BECAUSE_COSTLY: about so many seconds */
	VEC(struct said) said;	/* kept for the next picture */
};

/* Opens the target and takes the look. Closes itself on error. */
struct err *session_open(const char *kind, const char *what, const struct session_options *o, struct session **ret) MUST_CHECK;
struct err *session_walk(struct session *s) MUST_CHECK;	   /* alloc, blocks */
struct err *session_graph(struct session *s) MUST_CHECK;   /* classes */
struct err *session_holders(struct session *s) MUST_CHECK;
struct err *session_types(struct session *s) MUST_CHECK;   /* labels, as options.types says now */
/* From now on what is at address is a `type`; see types_teach(). After session_types(). */
struct err *session_teach(struct session *s, uint64_t address, const char *type) MUST_CHECK;
struct err *session_tree(struct session *s) MUST_CHECK;	   /* dominators */
/* A new picture of a live target in place of the old one, which stays when none can be taken. */
struct err *session_refresh(struct session *s) MUST_CHECK;
void session_account(struct session *s, const struct kernel_account *a); /* what was kept, in place of what /proc says */
void session_close(struct session *s);

#endif
