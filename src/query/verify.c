/* What is damaged: the findings, each with what it means and what to do, and what was looked at to be able to say so. */
#include "flotsam/query.h"

#define WRITTEN_BEYOND "A block was written beyond its end, most likely the one that lies before this address"
#define RUN_ASAN "run the program with -fsanitize=address, or under valgrind, and repeat what led here"
#define WATCH "watch the address with a hardware watchpoint (gdb: watch -l *(long *)ADDRESS) to see who writes it"
#define WRITTEN_AFTER_FREE "A freed block was written to, or the block before it was written beyond its end"

/* The checks are those that glibc itself makes when it comes across the chunk (malloc/malloc.c: malloc_printerr), and the ones
 * that need the whole heap. */
static const struct finding_kind kinds[] = {
	{ "malloc-abort", true, "malloc's own checks found damage, or a wrong call, and ended the program. The records may contradict nothing "
	  "else: it stopped in time. What was damaged may have been so for long.",
	  "flotsam stack CORE shows the call that malloc refused; " RUN_ASAN },
	{ "bad-size", true, WRITTEN_BEYOND ": its header has no possible size. free() of it, or of a neighbour, will abort.",
	  "look at who fills the block before it; " RUN_ASAN },
	{ "bad-flags", true, WRITTEN_BEYOND ": the flags of its header contradict the arena that it lies in.",
	  "look at who fills the block before it; " RUN_ASAN },
	{ "bad-prev-size", true,
	  "A free chunk's size does not stand again behind it. malloc will merge or unlink the wrong memory there.",
	  "look at who writes to the block before this address, and to the freed one; " RUN_ASAN },
	{ "prev-in-use", true,
	  WRITTEN_BEYOND ": the bit that tells whether the block before is in use is wrong (one zero byte too many does that).",
	  "look for strings and buffers filled to the last byte in the block before it; " RUN_ASAN },
	{ "not-merged", true, "Two free chunks lie side by side; malloc would have merged them. One of the headers was written to.",
	  "look at who writes to the block before this address; " RUN_ASAN },
	{ "bad-link", true, WRITTEN_AFTER_FREE ": the links of a list of free chunks contradict each other.",
	  "find who still holds a pointer to the freed block and writes through it; " RUN_ASAN },
	{ "bad-bin", true, "A list holds a free chunk of a size that does not belong there, or in the wrong order.",
	  "look at who writes to the block before it; " RUN_ASAN },
	{ "bad-state", true, "A block is on a list of free chunks and yet in use by its neighbour's word, or on two lists.",
	  "look for a block that is freed twice or used after it was freed; " RUN_ASAN },
	{ "free-not-listed", true, "A chunk is free by its neighbour's word and on no list: its links, or the list's head, were written to.",
	  "find who writes to the freed block or overflows into it; " RUN_ASAN },
	{ "bad-fastbin", true, WRITTEN_AFTER_FREE ": a list of small free chunks leads somewhere else.",
	  "find who still holds a pointer to the freed block and writes through it; " RUN_ASAN },
	{ "bad-tcache", true, WRITTEN_AFTER_FREE ": a thread's cache of free blocks leads somewhere else, or counts wrongly. "
	  "malloc may hand out any address from it.",
	  "find who still holds a pointer to the freed block and writes through it; " RUN_ASAN },
	{ "bad-key", true, "A block in a thread's cache was written to after it was freed: its second word is no longer malloc's mark.",
	  "find who still holds a pointer to this block; " RUN_ASAN },
	{ "double-free", true, "A block is on malloc's lists twice: it was freed twice, and will be handed out twice.",
	  "find both calls of free() for this block; " RUN_ASAN },
	{ "overlap", true, "Two heaps claim the same memory: a heap's header or an arena's record was written to.", WATCH },
	{ "bad-top", true, "The end of a heap is recorded wrongly: " "the last block was written beyond its end, or the arena itself was. "
	  "malloc will hand out memory that it does not have.",
	  "look at who fills the last block of the heap; " RUN_ASAN },
	{ "bad-arena", true, "An arena's own record is damaged.", WATCH },
	{ "bad-params", true, "malloc's own parameters (mp_) are damaged.", WATCH },
	{ "bad-heap", true, "The header of a thread's heap is damaged: something wrote before its first block or far beyond another one.", WATCH },
	{ "system-mem", true, "An arena counts another amount of memory than its heaps have: its record, or a heap's header, was written to.", WATCH },
	{ "bad-mmapped", true, "The header of a block with a mapping of its own is damaged; free() of it will abort or unmap something else.",
	  "look for writes before the start of that block, or beyond the end of the mapping before it; " RUN_ASAN },
	{ "mmap-count", true, "malloc counts another number of mapped blocks than there are headers: one of them was probably overwritten.",
	  "look for writes before the start of a large block; " RUN_ASAN },
};
static const struct finding_kind not_damage = { "", false, "", "" };

const struct finding_kind *query_finding_kind(const char *kind)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (!strcmp(kinds[i].kind, kind))
			return &kinds[i];
	return &not_damage;
}

static struct err *add_line(struct verify *v, const struct finding *f, const struct finding_kind *kind)
{
	struct session *s = v->session;
	struct verify_line *line = vec_push(&v->lines);
	if (!line)
		return err_nomem();
	*line = (struct verify_line){ .finding = f, .kind = kind };
	v->damage += kind->damage;
	if (!f->neighbour || !s->blocks)
		return NULL;
	block_id id = blocks_at(s->blocks, f->neighbour);
	if (id == BLOCK_NONE)
		return NULL;
	line->neighbour_bytes = blocks_usable(s->blocks, id);
	if (!block_state_is_used(blocks_state(s->blocks, id)))
		return NULL;
	line->neighbour_label = strdup(types_name(s->types, id));
	return line->neighbour_label ? NULL : err_nomem();
}

static struct err *add_lines(struct verify *v, const struct findings *f, bool of_alloc, bool damage)
{
	for (size_t i = 0; i < f->list.n; i++) {
		/* Two segments of a core may overlap, which is no damage of the heap. */
		const struct finding_kind *kind = of_alloc ? query_finding_kind(f->list.at[i].kind) : &not_damage;
		if (kind->damage == damage)
			TRY(add_line(v, &f->list.at[i], kind));
	}
	return NULL;
}

static void count(struct verify *v)
{
	struct session *s = v->session;
	struct block_cursor c;
	v->arenas = s->alloc->arenas.n;
	v->tcaches = s->alloc->tcaches.n;
	for (size_t i = 0; i < s->alloc->segments.n; i++)
		v->segments += s->alloc->segments.at[i].arena != ARENA_MMAP;
	for (blocks_begin(s->blocks, &c); blocks_next(&c) && !interrupted;) {
		v->blocks += block_state_is_used(c.state) || c.state == BLOCK_IN_TRANSIT;
		v->free_blocks += block_state_is_free(c.state);
		v->mmapped += c.state == BLOCK_MMAPPED;
		v->in_malloc |= c.state == BLOCK_IN_TRANSIT;
	}
}

static struct err *fill(struct verify *v)
{
	struct session *s = v->session;
	const struct picture *p = &s->target->picture;
	TRY(session_types(s));
	v->walked = s->blocks != NULL;
	v->complete = v->walked && !s->alloc->partial && !p->truncated;
	v->in_malloc = v->walked ? !s->alloc->facts.quiet : !p->quiet;
	if (v->walked)
		count(v);
	if (interrupted)
		return err_new(ERR_INTERRUPTED, "interrupted");
	v->dropped = s->alloc->findings.dropped;
	TRY(add_lines(v, &s->alloc->findings, true, true));
	TRY(add_lines(v, &p->findings, false, false));
	return add_lines(v, &s->alloc->findings, true, false);
}

struct err *query_verify(struct session *s, struct verify **ret)
{
	struct verify *v = calloc(1, sizeof *v);
	if (!v)
		return err_nomem();
	v->session = s;
	struct err *e = fill(v);
	if (e) {
		verify_free(v);
		return e;
	}
	*ret = v;
	return NULL;
}

void verify_free(struct verify *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->lines.n; i++)
		free(v->lines.at[i].neighbour_label);
	vec_free(&v->lines);
	free(v);
}
