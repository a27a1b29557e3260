/* Resident memory by cause. Base: the pages that were present and not the zero page at the stop. Each page's bytes go to the
 * states of the bytes in it; what belongs to nobody is unexplained and said so.
 *
 * What malloc_trim would return is heap's to say (src/heap/runs.c). */
#include "rss.h"

static const char *const cause_names[RSS_CAUSES] = { "in_use",	 "leaked",   "possible", "free_trimmable", "free_top",	     "free_pinned",
						     "runtime", "overhead", "files",	 "shared_memory",  "other_mappings", "stacks" };

const char *rss_cause_name(enum rss_cause c)
{
	return cause_names[c];
}

static void give(struct rss *r, enum rss_cause cause, uint64_t n)
{
	r->t->bytes[cause] += n;
	r->claimed += n;
	if (r->part)
		r->part[cause] += n;
}

static void add(struct rss *r, enum rss_cause cause, uint64_t start, uint64_t end)
{
	if (start < end)
		give(r, cause, residency_bytes(&r->pages, start, end));
}

static enum rss_cause used_cause(const struct rss *r, block_id id)
{
	if (!r->g || (r->t->leaks_unknown && r->g->class_of[id] != CLASS_RUNTIME))
		return RSS_IN_USE;
	switch ((enum block_class)r->g->class_of[id]) {
	case CLASS_DEFINITE:
	case CLASS_INDIRECT:
		return RSS_LEAKED;
	case CLASS_POSSIBLE:
		return RSS_POSSIBLE;
	case CLASS_RUNTIME:
		return RSS_RUNTIME;
	case CLASS_NONE:
	case CLASS_REACHABLE:
		break;
	}
	return RSS_IN_USE;
}

/* A free chunk: what trim would return, what it would not, what is gone already. */
static void add_free(struct rss *r, const struct block_cursor *c)
{
	uint64_t end = c->chunk + c->chunk_bytes, all = residency_bytes(&r->pages, c->payload, end);
	const struct free_run *run = heap_run_of(&r->runs, c);
	uint64_t from = run->back_from > c->payload ? run->back_from : c->payload, to = run->back_to < end ? run->back_to : end;
	uint64_t trimmable = to > from ? residency_bytes(&r->pages, from, to) : 0;
	bool other_top = run->top && !run->at_break && c->arena >= 0 && !r->s->alloc->arenas.at[c->arena].main;
	give(r, RSS_FREE_TRIMMABLE, trimmable);
	give(r, other_top ? RSS_FREE_TOP : RSS_FREE_PINNED, all - trimmable);
	r->t->free_nonresident += end - c->payload - all;
	r->t->blocks[trimmable ? RSS_FREE_TRIMMABLE : other_top ? RSS_FREE_TOP : RSS_FREE_PINNED]++;
	/* A header in the middle of pages that go back is no overhead that stays. */
	if (run->back_from <= c->chunk && c->payload <= run->back_to) {
		uint64_t header = residency_bytes(&r->pages, c->chunk, c->payload);
		give(r, RSS_FREE_TRIMMABLE, header);
		r->t->trimmable_headers += header;
	} else {
		add(r, RSS_OVERHEAD, c->chunk, c->payload);
	}
}

/* The parts are by index; the last is that of mmapped blocks. */
static void at_arena(struct rss *r, int arena)
{
	if (r->split)
		r->part = r->split->arenas.at[arena == ARENA_MMAP ? r->split->arenas.n - 1 : (size_t)arena].bytes;
}

static void add_heap(struct rss *r)
{
	struct block_cursor c;
	const struct alloc *a = r->s->alloc;
	for (size_t i = 0; i < a->segments.n; i++) {
		at_arena(r, a->segments.at[i].arena);
		add(r, RSS_OVERHEAD, a->segments.at[i].header_from, a->segments.at[i].start);
	}
	for (blocks_begin(r->s->blocks, &c); blocks_next(&c) && !interrupted;) {
		at_arena(r, c.arena);
		uint64_t end = c.chunk + c.chunk_bytes;
		if (c.state == BLOCK_FENCE) {
			add(r, RSS_OVERHEAD, c.chunk, end);
		} else if (c.state == BLOCK_FOREIGN) {
			add(r, RSS_OTHER_MAPPINGS, c.chunk, end);
		} else if (block_state_is_free(c.state)) {
			add_free(r, &c);
		} else {
			enum rss_cause cause = used_cause(r, c.id);
			/* The header is malloc's; an mmapped block's last page is the program's to its end. */
			add(r, RSS_OVERHEAD, c.chunk, c.payload);
			add(r, cause, c.payload, end);
			r->t->blocks[cause]++;
		}
	}
	r->part = NULL;
}

static enum rss_cause mapping_cause(const struct mapping *m)
{
	bool memory = !strncmp(m->path, "/dev/shm/", 9) || !strncmp(m->path, "/memfd:", 7) || !strncmp(m->path, "/SYSV", 5) || !strncmp(m->path, "/dev/zero", 9);
	if (m->shared && (memory || !m->inode))
		return RSS_SHARED_MEMORY;
	if (m->inode && !memory && !strstr(m->path, "anon_hugepage"))
		return RSS_FILES;
	return !strncmp(m->path, "[stack", 6) ? RSS_STACKS : RSS_OTHER_MAPPINGS;
}

/* The rest of a mapping, between the segments of malloc and the stacks. */
static void add_piece(struct rss *r, const struct mapping *m, uint64_t start, uint64_t end)
{
	enum rss_cause cause = mapping_cause(m);
	const struct runtime *rt = r->s->runtime;
	/* .bss belongs to its file as much as .data. */
	if (cause == RSS_OTHER_MAPPINGS && modules_at(r->s->modules, start) && modules_at(r->s->modules, start)->role != MODULE_VDSO)
		cause = RSS_FILES;
	for (size_t i = 0; start < end; i++) {
		while (i < rt->extents.n && (rt->extents.at[i].end <= start || cause == RSS_FILES))
			i++;
		if (i >= rt->extents.n || rt->extents.at[i].start >= end) {
			add(r, cause, start, end);
			return;
		}
		const struct runtime_extent *e = &rt->extents.at[i];
		if (e->start > start)
			add(r, cause, start, e->start);
		uint64_t from = e->start > start ? e->start : start, to = e->end < end ? e->end : end;
		add(r, e->kind == EXTENT_ALLOCATOR ? RSS_OVERHEAD : RSS_STACKS, from, to);
		start = to;
	}
}

static void add_mappings(struct rss *r)
{
	const struct alloc *a = r->s->alloc;
	size_t k = 0;
	for (size_t i = 0; i < r->p->maps.n; i++) {
		const struct mapping *m = &r->p->maps.at[i];
		uint64_t at = m->start;
		if (!r->p->have_pages && !(m->prot & PROT_W))
			continue; /* by size, what is only mapped says nothing */
		while (r->s->blocks && k < a->segments.n && a->segments.at[k].end <= at)
			k++;
		for (size_t s = k; r->s->blocks && s < a->segments.n && a->segments.at[s].header_from < m->end; s++) {
			if (a->segments.at[s].header_from > at)
				add_piece(r, m, at, a->segments.at[s].header_from);
			at = a->segments.at[s].end;
		}
		if (at < m->end)
			add_piece(r, m, at, m->end);
	}
}

static struct err *make_parts(struct rss *r)
{
	size_t n = r->s->alloc->arenas.n;
	if (!vec_reserve(&r->split->arenas, n + 1))
		return err_nomem();
	for (size_t i = 0; i <= n; i++)
		*vec_push(&r->split->arenas) = (struct rss_part){ .arena = i < n ? (int)i : ARENA_MMAP };
	return NULL;
}

struct err *memory_rss(struct session *s, struct rss_table *ret, struct rss_split *split)
{
	struct rss r = { .s = s, .g = s->graph, .p = &s->target->picture, .t = ret,
			 .pages = { .p = &s->target->picture }, .runs = { .s = s }, .split = split };
	*ret = (struct rss_table){ .known = r.p->have_pages, .vmrss = UNKNOWN,
				   .leaks_unknown = r.p->truncated && !s->options.target.force };
	for (size_t i = 0; i < r.p->pages.n; i++) {
		const struct page_run *g = &r.p->pages.at[i];
		if (g->flags & PAGE_SWAPPED)
			ret->swapped += g->end - g->start;
		else if (!(g->flags & PAGE_ZERO))
			ret->total += g->end - g->start;
	}
	if (split)
		TRY(make_parts(&r));
	TRY(heap_locked(s, &r.locked));
	r.runs.locked = &r.locked;
	if (s->blocks)
		add_heap(&r);
	vec_free(&r.locked.list);
	add_mappings(&r);
	if (!ret->known)
		ret->total = r.claimed;
	ret->unexplained = ret->total > r.claimed ? ret->total - r.claimed : 0;
	if (s->status.vm_rss)
		ret->vmrss = s->status.vm_rss;
	for (int i = RSS_FILES; i < RSS_CAUSES; i++)
		ret->blocks[i] = UNKNOWN;
	ret->blocks[RSS_OVERHEAD] = UNKNOWN;
	for (size_t i = 0; split && i < split->arenas.n; i++)
		for (int k = 0; k < RSS_CAUSES; k++)
			split->arenas.at[i].total += split->arenas.at[i].bytes[k];
	if (split)
		TRY(rss_groups(&r));
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}
