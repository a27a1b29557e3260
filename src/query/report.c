/* The report: leaks grouped, holders ranked, why heaps do not shrink, and what the reader must know. */
#include "flotsam/query.h"

#include <inttypes.h>
#include <stdarg.h>

static void note(struct report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct report *r, const char *fmt, ...)
{
	char *text;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	char **slot = n < 0 ? NULL : vec_push(&r->notes);
	if (slot)
		*slot = text;
	else if (n >= 0)
		free(text);
}

/* Leaks: definite blocks grouped by (label, size). Indirect blocks count for the group of the leader that holds them. */
enum { LOOKED_AT = 64, ASKED = 100 /* groups */ };
struct members { /* of a group: as many as are looked at for what they may be, from all over it */
	block_id id[LOOKED_AT];
	unsigned n;
	uint64_t met, each;	/* every so many is taken */
};
struct grouping {
	struct report *r;
	VEC(struct members) members; /* by group */
	struct map64 by_key;	 /* label << 32 | size... -> group index */
	struct map64 leader_group; /* leader id -> group index */
	bool nomem;
};

static void add_member(struct members *m, block_id id)
{
	if (m->met++ % m->each)
		return;
	if (m->n == LOOKED_AT) {
		for (unsigned i = 0; i < LOOKED_AT / 2; i++)
			m->id[i] = m->id[2 * i];
		m->n = LOOKED_AT / 2;
		m->each *= 2;
	}
	m->id[m->n++] = id;
}

static struct leak_group *group_of(struct grouping *gr, block_id id, uint64_t usable)
{
	struct types *t = gr->r->session->types;
	uint32_t label = types_label(t, id);
	uint64_t index, key = ((uint64_t)label << 40) ^ usable;
	if (!map64_find(&gr->by_key, key, &index)) {
		struct leak_group *g = vec_push(&gr->r->leaks);
		struct members *m = vec_push(&gr->members);
		index = gr->r->leaks.n - 1;
		if (!g || !m || !map64_put(&gr->by_key, key, index)) {
			gr->nomem = true;
			return NULL;
		}
		*g = (struct leak_group){ .label = strdup(t->labels[label].name), .identified_by = identified_by_name(t->labels[label].by), .size = usable };
		*m = (struct members){ .each = 1 };
	}
	add_member(&gr->members.at[index], id);
	if (!map64_put(&gr->leader_group, id, index))
		gr->nomem = true;
	return &gr->r->leaks.at[index];
}

static int compare_leaks(const void *a, const void *b)
{
	const struct leak_group *x = a, *y = b;
	if (x->retained_bytes != y->retained_bytes)
		return x->retained_bytes > y->retained_bytes ? -1 : 1;
	if (x->blocks != y->blocks)
		return x->blocks > y->blocks ? -1 : 1;
	return x->sample[0] < y->sample[0] ? -1 : x->sample[0] > y->sample[0];
}

static void add_definite(struct grouping *gr, const struct block_cursor *c)
{
	struct leak_group *g = group_of(gr, c->id, c->usable);
	char text[80];
	if (!g)
		return;
	g->blocks++;
	g->bytes += c->usable;
	g->retained_bytes += c->usable;
	g->retained_blocks++;
	if (g->n_samples < 4)
		g->sample[g->n_samples++] = c->payload;
	if (g->n_samples == 1 && !g->preview && types_preview(gr->r->session->types, c->id, text, sizeof text))
		g->preview = strdup(text);
}

/* What the largest groups without a name may be; members are by the order in which groups were found. */
static struct err *propose(struct grouping *gr)
{
	struct report *r = gr->r;
	struct types *t = r->session->types;
	for (size_t i = 0; i < r->leaks.n && i < ASKED && t->typing; i++) {
		struct leak_group *g = &r->leaks.at[i];
		const struct members *m = &gr->members.at[g->number];
		if (strcmp(g->identified_by, identified_by_name(BY_SIZE)))
			continue;
		TRY(types_likely(t, m->id, m->n, &g->likely));
		if (g->likely.n && g->likely.at[0].fits * 2 > g->likely.looked_at) {
			struct strbuf name = { 0 };
			type_table_name(t->typing->table, g->likely.at[0].type, &name);
			g->perhaps = name.text;
		}
	}
	return NULL;
}

static struct err *find_leaks(struct report *r)
{
	struct session *s = r->session;
	struct graph *g = s->graph;
	struct grouping gr = { .r = r };
	struct block_cursor c;
	if (!g->sums[CLASS_DEFINITE].blocks)
		return NULL;
	for (blocks_begin(s->blocks, &c); blocks_next(&c) && !gr.nomem && !interrupted;)
		if (g->class_of[c.id] == CLASS_DEFINITE)
			add_definite(&gr, &c);
	for (blocks_begin(s->blocks, &c); blocks_next(&c) && !gr.nomem && !interrupted;) {
		uint64_t leader, index;
		if (g->class_of[c.id] == CLASS_INDIRECT && map64_find(&g->leader_of, c.id, &leader) && map64_find(&gr.leader_group, leader, &index)) {
			r->leaks.at[index].retained_bytes += c.usable;
			r->leaks.at[index].retained_blocks++;
		}
	}
	for (size_t i = 0; i < r->leaks.n; i++)
		r->leaks.at[i].number = (unsigned)i;
	if (r->leaks.n)
		qsort(r->leaks.at, r->leaks.n, sizeof *r->leaks.at, compare_leaks);
	struct err *e = gr.nomem ? err_nomem() : propose(&gr);
	for (size_t i = 0; i < r->leaks.n; i++)
		r->leaks.at[i].number = (unsigned)i + 1;
	vec_free(&gr.members);
	map64_free(&gr.by_key);
	map64_free(&gr.leader_group);
	return e;
}

static int compare_holders(const void *a, const void *b)
{
	const struct holder_line *x = a, *y = b;
	if (x->retained_bytes != y->retained_bytes)
		return x->retained_bytes > y->retained_bytes ? -1 : 1;
	return strcmp(x->name, y->name);
}

char *query_set_name(const struct graph *g, uint32_t index)
{
	const struct holder_set *set = &g->sets.at[index];
	struct strbuf s = { 0 };
	for (int i = 0; i < (set->n > 3 ? 3 : set->n); i++) {
		if (i)
			strbuf_puts(&s, " + ");
		strbuf_puts(&s, g->holders.at[set->holders[i]].name);
	}
	if (set->n > 3)
		strbuf_puts(&s, " and more");
	return s.text ? s.text : strdup("");
}

/* Which of them are containers, and of how much: those that a report may show. */
static void name_containers(struct report *r)
{
	enum { MOST = 200 };
	for (size_t i = 0; i < r->holders.n && i < MOST && !interrupted; i++) {
		struct holder_line *h = &r->holders.at[i];
		const struct holder_set *set = &r->session->graph->sets.at[h->set - 1];
		struct container c;
		if (set->n != 1 || !query_holder_container(r->session, set->holders[0], 0, &c))
			continue;
		h->container = c.type;
		h->member = *c.name ? c.name : NULL;
		h->items = c.items;
		h->characters = c.characters;
	}
}

static struct err *find_holders(struct report *r)
{
	const struct graph *g = r->session->graph;
	for (size_t i = 0; i < g->sets.n; i++) {
		const struct holder_set *set = &g->sets.at[i];
		if (!set->blocks)
			continue;
		const struct holder *first = &g->holders.at[set->holders[0]];
		struct holder_line *h = vec_push(&r->holders);
		if (!h)
			return err_nomem();
		*h = (struct holder_line){ .name = query_set_name(g, (uint32_t)i), .where = set->n == 1 && first->where ? strdup(first->where) : NULL,
					   .kind = holder_kind_name(first->kind), .address = first->address, .set = (uint32_t)i + 1, .retained_blocks = set->blocks, .retained_bytes = set->bytes,
					   .stack = first->rank >= RANK_FRAME };
		if (!h->name)
			return err_nomem();
	}
	if (r->holders.n)
		qsort(r->holders.at, r->holders.n, sizeof *r->holders.at, compare_holders);
	for (size_t i = 0; i < r->holders.n; i++)
		r->holders.at[i].number = (unsigned)i + 1;
	name_containers(r);
	return NULL;
}

/* States and arenas, in one pass. */
static struct err *sum_heap(struct report *r)
{
	struct session *s = r->session;
	const struct alloc *a = s->alloc;
	struct class_sum states[BLOCK_STATES] = { 0 };
	if (!vec_reserve(&r->arenas, a->arenas.n + 1))
		return err_nomem();
	for (size_t i = 0; i < a->arenas.n; i++) {
		const struct arena *x = &a->arenas.at[i];
		*vec_push(&r->arenas) = (struct arena_line){ .index = (int)i, .address = x->address, .system_bytes = x->system_mem,
							     .top_bytes = x->top_bytes, .heaps = x->heaps, .consistent = x->consistent };
	}
	struct block_cursor c;
	for (blocks_begin(s->blocks, &c); blocks_next(&c) && !interrupted;) {
		states[c.state].blocks++;
		states[c.state].bytes += c.usable;
		struct arena_line *line = c.arena >= 0 ? &r->arenas.at[c.arena] : NULL;
		if (block_state_is_used(c.state)) {
			r->used.blocks++;
			r->used.bytes += c.usable;
			if (line)
				line->used_bytes += c.usable;
		} else if (block_state_is_free(c.state)) {
			r->free.blocks++;
			r->free.bytes += c.chunk_bytes - a->facts.header;
			if (line)
				line->free_bytes += c.usable;
		}
	}
	for (int i = 0; i < BLOCK_STATES; i++)
		if (states[i].blocks)
			r->states[r->n_states++] = (struct state_line){ block_state_name((enum block_state)i), states[i].blocks, states[i].bytes };
	return NULL;
}

static struct err *add_pin(struct report *r, const struct heap_pin *x)
{
	struct pin *p = vec_push(&r->pins);
	if (!p)
		return err_nomem();
	*p = (struct pin){ .arena = x->arena, .heap = x->start, .heap_bytes = x->end - x->start, .free_below_top = x->below_bytes, .block = x->block,
			   .block_bytes = blocks_usable(r->session->blocks, x->id), .freed_bytes = x->freed_bytes, .freed_resident = x->freed_resident,
			   .state = block_state_name(x->state), .label = strdup(x->label),
			   .holder = x->holders ? query_set_name(r->session->graph, x->holders - 1) : NULL };
	return p->label ? NULL : err_nomem();
}

enum { MUCH = 4 << 20 }; /* less is not worth a line */

static struct err *find_sparse(struct report *r, const struct frag *f)
{
	uint64_t worth = f->resident / 10 > MUCH ? f->resident / 10 : MUCH;
	if (f->sparse_pages * f->page < worth)
		return NULL;
	const struct sparse_label *first = &f->sparse.at[0];
	r->sparse = *first;
	if (first->pages * f->page < worth) {
		r->sparse = (struct sparse_label){ .live_bytes = f->sparse_bytes, .pages = f->sparse_pages };
		for (size_t i = 0; i < f->sparse.n; i++)
			r->sparse.blocks += f->sparse.at[i].blocks;
	}
	r->sparse.label = strdup(r->sparse.sample ? first->label : "blocks of many kinds");
	const struct session *s = r->session;
	block_id id = r->sparse.sample ? blocks_at(s->blocks, r->sparse.sample) : BLOCK_NONE;
	uint32_t set = id != BLOCK_NONE && s->holders_done ? graph_set(s->graph, id) : 0;
	r->sparse_holder = set ? query_set_name(s->graph, set - 1) : NULL;
	return r->sparse.label ? NULL : err_nomem();
}

/* Worth a line: heaps of which much would come back without their last live block, and what keeps the sparse pages. */
static struct err *find_pins(struct report *r)
{
	struct frag *f;
	struct err *e = NULL;
	TRY(heap_frag(r->session, &f));
	for (size_t i = 0; i < f->pins.n && !e; i++) {
		const struct heap_pin *x = &f->pins.at[i];
		if (x->freed_bytes >= MUCH || (x->freed_bytes >= MUCH / 4 && x->freed_bytes >= (x->end - x->start) / 4))
			e = add_pin(r, x);
	}
	r->page = f->page;
	if (!e)
		e = find_sparse(r, f);
	heap_frag_free(f);
	return e;
}

static void add_findings(struct report *r, const struct findings *f)
{
	for (size_t i = 0; i < f->list.n; i++) {
		const struct finding **slot = vec_push(&r->findings);
		if (slot)
			*slot = &f->list.at[i];
	}
	r->findings_dropped += f->dropped;
}

static void judge_coverage(struct report *r)
{
	struct session *s = r->session;
	const struct picture *p = &s->target->picture;
	r->at_most = p->at_most || p->truncated;
	r->complete = s->blocks && !s->alloc->partial && !p->truncated && !p->at_most;
	for (size_t i = 0; i < p->skipped.n; i++)
		if (p->skipped.at[i].may_hold_roots && p->skipped.at[i].bytes)
			note(r, "%" PRIu64 " KiB not read (%s): it may hold pointers", p->skipped.at[i].bytes / 1024, p->skipped.at[i].reason);
	if (p->truncated)
		note(r, "the core is truncated: a leak list would be wrong");
	if (s->blocks && s->alloc->partial)
		note(r, "a part of the heap could not be walked: see the findings");
	r->quiet = s->blocks ? s->alloc->facts.quiet : p->quiet;
	if (!r->quiet)
		note(r, "a thread was inside malloc: blocks in transit are not judged");
	if (s->types_because == BECAUSE_COSTLY && !s->labels_by_dwarf)
		note(r, "--types=all would name blocks by DWARF too, in about %.0f s more", s->types_cost < 1.5 ? 2 : s->types_cost);
	if (s->runtime->language)
		note(r, "%s manages memory of its own: its regions are roots, and are not walked%s", s->runtime->language,
		     strcmp(s->runtime->language, "CPython") ? "" : "; the command objects lists what stands in them, by type");
	for (size_t i = 0; i < modules_count(s->modules); i++) {
		struct module *m = modules_get(s->modules, i);
		if (m->role == MODULE_PROGRAM && !m->have_symtab)
			note(r, "%s has no symbols: its globals are told by module and address", m->name);
		if (m->role != MODULE_VDSO && !m->have_file && m->path[0] == '/')
			note(r, "%s: %s; names there are missing", m->name, m->no_file_why ? m->no_file_why : "no file");
	}
}

/* heap.free.bytes = trimmable + top + pinned + nonresident, by the pages of the same chunks. */
static void split_free(struct report *r)
{
	r->free_split_known = r->rss.known;
	r->free_trimmable = r->rss.bytes[RSS_FREE_TRIMMABLE] - r->rss.trimmable_headers;
	r->free_top = r->rss.bytes[RSS_FREE_TOP];
	r->free_pinned = r->rss.bytes[RSS_FREE_PINNED];
	r->free_nonresident = r->rss.free_nonresident;
}

static struct err *fill(struct report *r)
{
	struct session *s = r->session;
	TRY(session_types(s));
	TRY(session_holders(s));
	TRY(memory_rss(s, &r->rss, NULL));
	if (s->blocks) {
		TRY(sum_heap(r));
		TRY(find_pins(r));
		split_free(r);
	}
	if (s->graph) {
		memcpy(r->classes, s->graph->sums, sizeof r->classes);
		r->stack_only = s->graph->stack_only;
		/* Of a truncated core a leak list would be wrong. */
		if (!s->target->picture.truncated || s->options.target.force)
			TRY(find_leaks(r));
		TRY(find_holders(r));
	} else if (s->alloc->findings.list.n) {
		snprintf(r->allocator_note, sizeof r->allocator_note, "%s", s->alloc->findings.list.at[0].text);
	}
	add_findings(r, &s->target->picture.findings);
	add_findings(r, &s->alloc->findings);
	judge_coverage(r);
	return NULL;
}

struct err *query_report(struct session *s, struct report **ret)
{
	struct report *r = calloc(1, sizeof *r);
	if (!r)
		return err_nomem();
	r->session = s;
	struct err *e = fill(r);
	if (!e && interrupted)
		e = err_new(ERR_INTERRUPTED, "interrupted");
	if (e) {
		report_free(r);
		return e;
	}
	*ret = r;
	return NULL;
}

void report_free(struct report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->leaks.n; i++) {
		free(r->leaks.at[i].label);
		free(r->leaks.at[i].preview);
		free(r->leaks.at[i].perhaps);
	}
	for (size_t i = 0; i < r->holders.n; i++) {
		free(r->holders.at[i].name);
		free(r->holders.at[i].where);
	}
	for (size_t i = 0; i < r->pins.n; i++) {
		free(r->pins.at[i].label);
		free(r->pins.at[i].holder);
	}
	free(r->sparse.label);
	free(r->sparse_holder);
	for (size_t i = 0; i < r->notes.n; i++)
		free(r->notes.at[i]);
	vec_free(&r->leaks);
	vec_free(&r->holders);
	vec_free(&r->pins);
	vec_free(&r->arenas);
	vec_free(&r->notes);
	vec_free(&r->findings);
	free(r);
}
