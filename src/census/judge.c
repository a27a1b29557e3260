/* Whether what was read can be: every index within its table, every range in order, every number of a closed list, the blocks
 * of each segment as long as the segment. Behind this the rest of flotsam takes the parts as if it had made them itself. */
#include "census.h"

#include <inttypes.h>

static struct err *wrong(const char *where, uint64_t index, const char *what)
{
	return err_hint(err_new(ERR_BAD_DATA, "the census is damaged: %s: entry %" PRIu64 " %s", where, index, what),
			"flotsam snap PID -o FILE writes a new one");
}

static struct err *judge_target(const struct session_parts *p)
{
	struct coded_fault f;
	if (!p->target.arch)
		return err_new(ERR_UNSUPPORTED, "the census is of a machine that this flotsam does not know");
	return target_coded_well(&p->target, &f) ? NULL : wrong(f.where, f.index, f.what);
}

static struct err *judge_modules(const struct session_parts *p)
{
	uint64_t last = 0;
	for (size_t i = 0; i < p->modules.n; i++) {
		const struct module *m = &p->modules.at[i].m;
		if (!m->path || m->start < last || m->end < m->start || m->role > MODULE_VDSO)
			return wrong("modules", i, "is none, or out of order");
		last = m->start;
	}
	return NULL;
}

static struct err *judge_runtime(const struct session_parts *p)
{
	const struct runtime *rt = &p->runtime;
	int64_t threads = (int64_t)p->target.picture.threads.n;
	for (size_t i = 0; i < rt->extents.n; i++)
		if (rt->extents.at[i].kind > EXTENT_NO_ROOT || rt->extents.at[i].thread < -1 || rt->extents.at[i].thread >= threads)
			return wrong("runtime", i, "is of no known kind or thread");
	for (size_t i = 0; i < rt->regions.n; i++)
		if (!rt->regions.at[i].label)
			return wrong("runtime", i, "is a region without a name");
	return (int64_t)rt->threads.n == threads ? NULL : wrong("runtime", rt->threads.n, "is not the last thread");
}

static struct err *judge_facts(const struct session_parts *p)
{
	const struct alloc_facts *f = &p->alloc.facts;
	if (!f->name || !f->found_by)
		return wrong("alloc", 0, "has no name");
	if (!f->walked)
		return p->alloc.segments.n ? wrong("alloc", 0, "was not walked and has segments") : NULL;
	if (!is_power_of_two(f->granule) || f->granule < 8 || f->granule > 64 || f->header != 2u * p->target.arch->word ||
	    (f->mmap_tail && f->mmap_tail > 64) || f->min_chunk > 1024)
		return wrong("alloc", 0, "cuts chunks as no malloc does");
	return NULL;
}

static struct err *judge_lists(const struct alloc *a, int64_t threads)
{
	int64_t arenas = (int64_t)a->arenas.n, tcaches = (int64_t)a->tcaches.n;
	for (size_t i = 0; i < a->tcaches.n; i++)
		if (a->tcaches.at[i].thread < -1 || a->tcaches.at[i].thread >= threads)
			return wrong("alloc", i, "is a cache of no thread");
	for (size_t i = 0; i < a->lists.n; i++) {
		const struct alloc_list *l = &a->lists.at[i];
		if (l->state >= BLOCK_STATES || l->arena < -1 || l->arena >= arenas || l->tcache < -1 || l->tcache >= tcaches)
			return wrong("alloc", i, "is no list of chunks");
	}
	for (size_t i = 0; i < a->findings.list.n; i++)
		if (!a->findings.list.at[i].kind || !a->findings.list.at[i].text)
			return wrong("alloc", i, "is no finding");
	return NULL;
}

/* A heap may be large and hold few blocks, and the index over it is made of its size. */
static struct err *judge_room(const struct alloc *a, uint64_t blocks)
{
	const char *what;
	uint64_t bytes = 0, room = system_room("", &what);
	for (size_t i = 0; i < a->segments.n; i++)
		bytes += a->segments.at[i].arena == ARENA_MMAP ? sizeof(uint64_t) : (a->segments.at[i].end - a->segments.at[i].start) / 56;
	bytes += blocks * 16;
	if (bytes > room / 2)
		return err_new(ERR_LIMIT, "the census needs %" PRIu64 " MiB, and %s leaves %" PRIu64 " MiB", bytes >> 20, what, room >> 20);
	return NULL;
}

static struct err *judge_alloc(const struct census *c)
{
	const struct session_parts *p = c->parts;
	const struct alloc *a = &p->alloc;
	int64_t arenas = (int64_t)a->arenas.n;
	uint64_t last = 0;
	TRY(judge_facts(p));
	if (c->counts.n != a->segments.n || a->arenas.n > LIMIT_ARENAS)
		return wrong("alloc", c->counts.n, "is no segment's count");
	for (size_t i = 0; i < a->segments.n; i++) {
		const struct segment *s = &a->segments.at[i];
		if (s->arena < ARENA_MMAP || s->arena >= arenas || s->header_from < last || s->end > 1ull << 52)
			return wrong("alloc", i, "is no segment, or out of order");
		if (s->arena == ARENA_MMAP && c->counts.at[i] > 1)
			return wrong("alloc", i, "is one block and has several");
		last = s->end;
	}
	TRY(judge_lists(a, (int64_t)p->target.picture.threads.n));
	return judge_room(a, c->n_blocks);
}

static struct err *judge_names(const struct census *c)
{
	if (c->walked && (!c->labels.n || !c->classified))
		return wrong("labels", 0, "is missing, or blocks have no class");
	for (size_t i = 0; i < c->labels.n; i++)
		if (!c->labels.at[i].name || c->labels.at[i].by >= N_IDENTIFIED)
			return wrong("labels", i, "is none");
	for (size_t i = 0; i < c->holders.n; i++) {
		const struct holder *h = &c->holders.at[i];
		if (!h->name || h->rank < RANK_GLOBAL || h->rank > RANK_REGISTER || h->kind > HOLDER_REGISTER)
			return wrong("holders", i, "is none");
	}
	for (size_t i = 0; i < c->sets.n; i++) {
		const struct holder_set *s = &c->sets.at[i];
		if (s->n < 1 || s->n > 4)
			return wrong("holders", i, "is no set of them");
		for (int k = 0; k < (s->n > 3 ? 3 : s->n); k++)
			if (s->holders[k] >= c->holders.n)
				return wrong("holders", i, "is a set of what is not there");
	}
	return NULL;
}

static struct err *judge_kinds(const struct census *c)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < c->kinds.n; i++) {
		const struct census_kind *x = &c->kinds.at[i];
		bool used = block_state_is_used((enum block_state)x->state);
		if (x->state >= BLOCK_STATES || x->class_of > CLASS_RUNTIME || x->set > c->sets.n || (x->label == UINT32_MAX) == used ||
		    (used && x->label >= c->labels.n) || !x->blocks || x->blocks > UINT32_MAX)
			return wrong("kinds", i, "is of no known kind");
		if (x->chunk_bytes < (x->state == BLOCK_MMAPPED ? 4u : 2u) * (c->header / 2) || x->chunk_bytes > 1ull << 52)
			return wrong("kinds", i, "has an impossible size");
		sum += x->blocks;
	}
	return sum == c->n_blocks && sum < BLOCK_NONE ? NULL : wrong("kinds", c->kinds.n, "is not the last: the sum of their blocks is another");
}

static bool fits(const struct census *c, const struct census_cursor *t)
{
	const struct segment *s = &c->segments[t->segment];
	bool mapped = s->arena == ARENA_MMAP;
	if (t->next > s->end || (c->kinds.at[t->kind].state == BLOCK_MMAPPED && !mapped))
		return false;
	if (!t->left)
		return t->next == s->end;
	return (t->next - s->start) % c->granule == 0;
}

static struct err *judge_blocks(const struct census *c)
{
	AUTO_FREE uint64_t *seen = calloc(c->kinds.n + 1, sizeof *seen);
	struct census_cursor t;
	uint64_t n = 0;
	if (!seen)
		return err_nomem();
	for (census_begin(c, &t); census_next(&t); n++) {
		if (!fits(c, &t))
			return wrong("blocks", n, "does not fit where it stands");
		if (++seen[t.kind] > c->kinds.at[t.kind].blocks)
			return wrong("blocks", n, "is one more of its kind than there are");
	}
	return n == c->n_blocks && t.at == c->blocks.n ? NULL : wrong("blocks", n, "is missing");
}

static struct err *judge_leaders(const struct census *c)
{
	struct codec k = { .in = c->leaders };
	struct census_cursor t;
	for (census_begin(c, &t); census_next(&t);) {
		int64_t way = 0;
		if (c->kinds.at[t.kind].class_of != CLASS_INDIRECT)
			continue;
		codec_i64(&k, &way);
		if (k.failed || way < -(int64_t)t.id || way >= (int64_t)(c->n_blocks - t.id))
			return wrong("leaders", t.id, "leads nowhere");
	}
	return NULL;
}

struct err *census_judge(struct census *c)
{
	if (!c->look.kind || !c->look.writer)
		return wrong("look", 0, "does not say of what it is");
	TRY(judge_target(c->parts));
	TRY(judge_modules(c->parts));
	TRY(judge_runtime(c->parts));
	TRY(judge_alloc(c));
	TRY(judge_names(c));
	TRY(judge_kinds(c));
	TRY(judge_blocks(c));
	return judge_leaders(c);
}
