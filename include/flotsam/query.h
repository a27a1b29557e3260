/* query: questions about a session, answered as plain structs. Nothing here prints. Sizes are bytes; UNKNOWN stands for a
 * figure that was not computed. Strings that came from the target are raw: whoever prints escapes them. */
#ifndef FLOTSAM_QUERY_H
#define FLOTSAM_QUERY_H

#include "flotsam/memory.h"
#include "flotsam/modules_values.h"

struct leak_group {
	unsigned number;	/* L1, L2... */
	char *label;
	const char *identified_by;
	uint64_t size;		/* usable bytes of one block */
	uint64_t blocks, bytes;
	uint64_t retained_bytes; /* with all that its blocks hold */
	uint64_t retained_blocks;
	uint64_t sample[4];
	unsigned n_samples;
	char *preview;		/* text at the first sample, escaped; NULL */
	struct likely likely;	/* of a group whose type is unknown, where types were told by DWARF; else n is 0 */
	char *perhaps;		/* the first of them, when most blocks that were looked at may be one; NULL */
};
struct holder_line {
	unsigned number;	/* H1, H2... */
	char *name, *where;	/* where may be NULL */
	const char *container;	/* "std::map<int, Session>", when it is one, or has one; NULL */
	const char *member;	/* where that stands: ".sessions", of a frame "sessions"; NULL: it is the holder itself */
	uint64_t items;		/* of that container; UNKNOWN */
	bool characters;	/* items are characters of a text */
	const char *kind;
	uint64_t address;	/* of the first of a set; 0: none */
	uint32_t set;		/* as graph_set() tells it of its blocks */
	uint64_t retained_blocks, retained_bytes;
	bool stack;		/* a frame or registers: no suspicion in itself */
};
struct pin { /* why a heap does not shrink */
	int arena;
	uint64_t heap, heap_bytes; /* where it is, how large */
	uint64_t free_below_top; /* all that is free below the block */
	uint64_t freed_bytes, freed_resident; /* what would come back if the block were gone */
	uint64_t block, block_bytes;
	const char *state;
	char *label, *holder;	/* holder may be NULL */
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
	uint64_t page;
	struct sparse_label sparse; /* that keeps most sparse pages; label NULL: not worth a line */
	char *sparse_holder;	/* of its sample; NULL: unknown */
	VEC(struct arena_line) arenas;
	bool complete, at_most, quiet;	/* coverage */
	VEC(char *) notes;		/* what the reader must know, in words */
	VEC(const struct finding *) findings;
	size_t findings_dropped;
	char allocator_note[256];	/* why the heap was not walked; "" */
};
/* Which blocks: words such as size>=1M, class=definite, label=Session*, holder=g_cache, text~GET, leaked; names of sets; & + -
 * between them, read from the left, & where none stands; ( ) around what belongs together. */
struct selector;
struct selector_names { /* what words may mean at the caller's */
	const uint64_t *(*set)(void *ctx, const char *name);	/* bits by id, or NULL */
	struct err *(*holder)(void *ctx, const char *word, const char **ret_name); /* H3 */
	struct err *(*holder_set)(void *ctx, const char *word, uint32_t *ret); /* H3 as graph_set() tells it */
	struct err *(*address)(void *ctx, const char *word, uint64_t *ret);    /* L1: the first block of that group */
	void *ctx;
};
/* Takes words until one that begins what is done with the blocks (group, sort, top, count, sum). Builds the stages of the
 * session that the words need. Caller frees. */
struct err *selector_create(struct session *s, const struct selector_names *names, const char *const *words, unsigned n, struct selector **ret,
			    unsigned *ret_taken) MUST_CHECK;
bool selector_match(struct selector *f, const struct block_cursor *c);
void selector_free(struct selector *f);
bool selector_is_verb(const char *word);
/* Can it be nothing but the first word of a filter: leaked, size>=1M, (used, L1? */
bool selector_begins(const char *word);

/* Where bytes stand in the picture. Returns false to stop. */
typedef bool query_found_fn(void *ctx, uint64_t address);
/* `aligned` to the needle's size when it is a word. *ret_bytes: how many were looked through. */
struct err *query_find(struct session *s, const uint8_t *needle, size_t n, bool aligned, query_found_fn *f, void *ctx, uint64_t *ret_bytes) MUST_CHECK;

/* What is at an address, in a few words: "g_cache+0x10", "libc.so.6+0x1d3c", "stack of thread 7, conn_loop()". Caller frees. */
char *query_place(struct session *s, uint64_t address);
/* The holder of a set, its names joined. Caller frees. */
char *query_set_name(const struct graph *g, uint32_t set);

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
/* pid 0: the machine alone. s, which may be NULL, is a look at that process: shut in, its mappings cannot be counted
 * anew. ERR_NOT_FOUND when there is no such process, and no word of its end in the kernel log. */
struct err *query_machine(const char *root, int pid, const struct session *s, struct machine **ret) MUST_CHECK;
void machine_free(struct machine *m);

/* A thread's stack. A line is a frame as people count them: functions that were inlined have one of their own. */
struct stack_line {
	unsigned frame;		/* index into frames: the machine's */
	unsigned level;		/* index into what modules_running() says of it */
	bool inlined, user;	/* user: not of libc, ld.so or libstdc++ */
	const char *function;	/* NULL: unknown */
	struct source_line line;
};
struct stack {
	unsigned thread;	/* index into the picture's threads */
	struct frame *frames;
	struct frame_registers *registers;
	size_t n_frames;
	VEC(struct stack_line) lines;
};
struct err *query_stack(struct session *s, unsigned thread, struct stack **ret) MUST_CHECK;
void stack_free(struct stack *st); /* NULL allowed */
/* The innermost line that is the program's own code; NULL when there is none. */
const struct stack_line *stack_user_line(const struct stack *st);
/* What that called, and is waited in: "pthread_cond_wait", not what makes the system call below it. NULL: unknown. */
const char *stack_waits_in(const struct stack *st);
/* A return address is looked up one byte before: it may be the first of the next function. */
uint64_t stack_pc(const struct stack *st, unsigned frame);

/* What a line's variables are computed from; line beyond the stack's: no frame. */
void query_value_place(const struct session *s, const struct stack *st, unsigned line, struct value_place *ret);
/* For struct container_heap: the type of the block that begins there, as far as session_types() was asked for it. */
uint32_t query_block_type(struct session *s, uint64_t address);
const char *query_block_type_name(struct session *s, uint32_t type);
/* The containers of the program's variables and of all threads' frames, largest first. Without the walk what pointers lead to stays
 * unknown. The caller frees by modules_containers_free(). */
struct err *query_containers(struct session *s, struct containers *ret) MUST_CHECK;

/* The container that a holder is, or has: a variable of the program or of a thread, a local of a frame. With `word` other than 0 the
 * one in which that word of it lies. As modules_container_at() has it; strings belong to the modules. False: none that is known. */
bool query_holder_container(struct session *s, uint32_t holder, uint64_t word, struct container *ret);

enum thread_state { THREAD_UNKNOWN, THREAD_RUNNING, THREAD_WAITING /* in a system call */ };
const char *thread_state_name(enum thread_state s);
enum thread_state query_thread_state(const struct session *s, unsigned thread);

/* A block that a word of a frame points at. Needs the walk. */
struct held_block {
	uint64_t word;		/* where the pointer stands; 0: in a register */
	uint64_t pointer;
	block_id id;
	bool stack_only;	/* nothing but frames and registers keeps it; false without the graph */
};
struct held_blocks { VEC(struct held_block) list; };
struct err *query_held(struct session *s, const struct stack *st, unsigned frame, struct held_blocks *ret) MUST_CHECK;

/* What a project has agreed to pass over: lines "leak:PATTERN" and "#" comments, as LeakSanitizer has them. A pattern may
 * match any part of a leak's label, of the module of its class, or of a holder's name, place or module; * is anything, ^ and
 * $ are the ends. */
struct suppressions {
	VEC(char *) patterns;
	char *text, *words;	/* the file; the same cut into patterns */
	uint64_t blocks, bytes, holders; /* passed over by query_suppress(): definite blocks, and holders */
};
struct err *suppressions_read(const char *path, struct suppressions *ret) MUST_CHECK; /* ERR_USAGE with the line */
/* The same of a text, which it takes and leaves whole; NULL has none. */
struct err *suppressions_parse(char *text, const char *name, struct suppressions *ret) MUST_CHECK;
bool suppressions_match(const char *pattern, const char *text);
/* Takes the matching leaks out of leaks and of the definite and indirect sums, the matching holders out of holders. */
void query_suppress(struct suppressions *s, struct report *r);
void suppressions_free(struct suppressions *s);

#endif
