/* What each section holds, member by member, for the writer and the reader at once. A member may be added at a section's end:
 * an older reader does not look there, and a newer one takes what is missing for unknown. */
#include "census.h"

const char *const census_sections[N_SECTIONS] = { "look",   "target",  "maps",	  "pages", "modules", "runtime", "alloc",
						  "graph",  "labels",  "holders", "kinds", "blocks",  "leaders", "references", "symbols" };
const char census_magic[8] = { 'F', 'L', 'O', 'T', 'S', 'A', 'M', '\x1a' };

void census_code_look(struct codec *k, struct census *c)
{
	codec_string(k, &c->look.writer);
	codec_string(k, &c->look.kind);
	codec_u64(k, &c->look.taken);
	codec_u64(k, &c->look.clock);
	codec_u64(k, &c->look.instance);
}

static void code_module(struct codec *k, struct module_part *part)
{
	struct module *m = &part->m;
	struct module_segment *s;
	uint64_t id_bytes = m->build_id_n;
	codec_string(k, &m->path);
	CODEC_U(k, m->role);
	codec_u64(k, &m->start);
	codec_u64(k, &m->end);
	codec_u64(k, &m->bias);
	codec_u64(k, &id_bytes);
	if (id_bytes > sizeof m->build_id)
		k->failed = true;
	for (m->build_id_n = 0; m->build_id_n < id_bytes && !k->failed; m->build_id_n++)
		CODEC_U(k, m->build_id[m->build_id_n]);
	codec_bool(k, &m->have_file);
	codec_string(k, &m->no_file_why);
	codec_bool(k, &m->have_symtab);
	codec_bool(k, &m->have_dwarf);
	CODEC_EACH(k, &part->segments, s) {
		codec_u64(k, &s->start);
		codec_u64(k, &s->end);
		codec_u64(k, &s->file_end);
		codec_u64(k, &s->file_offset);
		CODEC_U(k, s->prot);
	}
}

void census_code_modules(struct codec *k, struct session_parts *p)
{
	struct module_part *m;
	CODEC_EACH(k, &p->modules, m)
		code_module(k, m);
}

void census_code_symbols(struct codec *k, struct session_parts *p)
{
	struct symbol_part *s;
	uint64_t last = 0;
	if (!codec_more(k)) /* as it was written until there were references */
		return;
	CODEC_EACH(k, &p->symbols, s) {
		uint64_t way = s->address - last;
		codec_u64(k, &way);
		k->failed |= way > UINT64_MAX - last;
		last = s->address = last + way;
		codec_u64(k, &s->size);
		codec_string(k, &s->name);
		k->failed |= !s->name;
		codec_bool(k, &s->is_function);
		codec_bool(k, &s->is_object);
		codec_bool(k, &s->is_global);
	}
}

void census_code_runtime(struct codec *k, struct session_parts *p)
{
	struct runtime *rt = &p->runtime;
	struct runtime_extent *e;
	struct runtime_thread *t;
	struct runtime_region *region;
	uint64_t last = 0, *tp;
	codec_string(k, &rt->language);
	CODEC_EACH(k, &rt->extents, e) {
		codec_range(k, &last, &e->start, &e->end);
		codec_u64(k, &e->live_from);
		CODEC_U(k, e->kind);
		CODEC_I(k, e->thread);
	}
	CODEC_EACH(k, &rt->threads, t) {
		codec_u64(k, &t->tp);
		codec_u64(k, &t->stack_start);
		codec_u64(k, &t->stack_end);
		codec_u64(k, &t->live_from);
		codec_u64(k, &t->dtv);
		codec_bool(k, &t->sp_elsewhere);
	}
	CODEC_EACH(k, &rt->dead_threads, tp)
		codec_u64(k, tp);
	if (!codec_more(k)) /* as it was written until there were regions */
		return;
	last = 0;
	CODEC_EACH(k, &rt->regions, region) {
		codec_range(k, &last, &region->start, &region->end);
		codec_string(k, &region->label);
	}
}

static void code_facts(struct codec *k, struct alloc_facts *f)
{
	codec_string(k, &f->name);
	codec_array(k, f->version, sizeof f->version);
	codec_string(k, &f->found_by);
	codec_bool(k, &f->walked);
	unsigned *units[] = { &f->granule, &f->header, &f->mmap_tail, &f->min_chunk };
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		CODEC_U(k, *units[i]);
	uint64_t *figures[] = { &f->trim_threshold, &f->top_pad,   &f->mmap_threshold, &f->n_mmaps,  &f->mmapped_mem,
				&f->n_mmaps_max,    &f->arena_max, &f->tcache_count,   &f->huge_page };
	for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
		codec_u64(k, figures[i]);
	codec_bool(k, &f->fixed_threshold);
}

static void code_arenas(struct codec *k, struct alloc *a)
{
	struct arena *x;
	CODEC_EACH(k, &a->arenas, x) {
		codec_u64(k, &x->address);
		codec_bool(k, &x->main);
		codec_bool(k, &x->contiguous);
		codec_u64(k, &x->top);
		codec_u64(k, &x->top_bytes);
		codec_bool(k, &x->top_doubtful);
		codec_u64(k, &x->system_mem);
		codec_u64(k, &x->walked_bytes);
		CODEC_U(k, x->mutex);
		CODEC_U(k, x->heaps);
		codec_bool(k, &x->consistent);
	}
}

static void code_lists(struct codec *k, struct alloc *a)
{
	struct alloc_tcache *t;
	struct alloc_list *l;
	struct runtime_extent *e;
	CODEC_EACH(k, &a->tcaches, t) {
		codec_u64(k, &t->address);
		CODEC_I(k, t->thread);
	}
	CODEC_EACH(k, &a->lists, l) {
		CODEC_U(k, l->state);
		CODEC_I(k, l->arena);
		CODEC_I(k, l->tcache);
		CODEC_U(k, l->index);
		uint64_t *figures[] = { &l->head, &l->low, &l->high, &l->chunks, &l->bytes };
		for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
			codec_u64(k, figures[i]);
	}
	CODEC_EACH(k, &a->state_extents, e) {
		codec_u64(k, &e->start);
		codec_u64(k, &e->end);
	}
}

void census_code_alloc(struct codec *k, struct session_parts *p, struct census *c)
{
	struct alloc *a = &p->alloc;
	struct segment *s;
	uint32_t *count;
	uint64_t last = 0;
	code_facts(k, &a->facts);
	code_arenas(k, a);
	CODEC_EACH(k, &a->segments, s) {
		uint64_t header = s->start - s->header_from;
		codec_range(k, &last, &s->start, &s->end);
		CODEC_I(k, s->arena);
		codec_u64(k, &header);
		s->header_from = s->start - header;
		k->failed |= header > s->start;
	}
	CODEC_EACH(k, &c->counts, count)
		CODEC_U(k, *count);
	code_lists(k, a);
	codec_findings(k, &a->findings);
	codec_bool(k, &a->partial);
	if (codec_more(k)) /* until then the picture alone told */
		codec_bool(k, &a->facts.quiet);
	else
		a->facts.quiet = p->target.picture.quiet;
}

void census_code_graph(struct codec *k, struct session_parts *p, struct census *c)
{
	struct graph *g = &p->graph;
	codec_bool(k, &c->classified);
	for (int i = 0; i <= CLASS_RUNTIME; i++) {
		codec_u64(k, &g->sums[i].blocks);
		codec_u64(k, &g->sums[i].bytes);
	}
	codec_u64(k, &g->stack_only.blocks);
	codec_u64(k, &g->stack_only.bytes);
	for (int i = 0; i < N_INTERIOR_RULES; i++)
		codec_u64(k, &g->rule_counts[i]);
	codec_u64(k, &g->root_words);
	codec_u64(k, &g->scanned_root_bytes);
	codec_u64(k, &g->marked);
}

void census_code_labels(struct codec *k, struct census *c)
{
	struct label *l;
	CODEC_EACH(k, &c->labels, l) {
		codec_text(k, &l->name);
		CODEC_U(k, l->by);
	}
}

void census_code_holders(struct codec *k, struct census *c)
{
	struct holder *h;
	struct holder_set *s;
	CODEC_EACH(k, &c->holders, h) {
		CODEC_U(k, h->rank);
		CODEC_U(k, h->kind);
		codec_text(k, &h->name);
		codec_text(k, &h->where);
		codec_u64(k, &h->address);
	}
	CODEC_EACH(k, &c->sets, s) {
		CODEC_U(k, s->n);
		for (int i = 0; i < (s->n > 3 ? 3 : s->n); i++)
			CODEC_U(k, s->holders[i]);
		codec_u64(k, &s->blocks);
		codec_u64(k, &s->bytes);
	}
}

void census_code_kinds(struct codec *k, struct census *c)
{
	struct census_kind *x;
	codec_u64(k, &c->n_blocks);
	CODEC_EACH(k, &c->kinds, x) {
		codec_u64(k, &x->chunk_bytes);
		codec_u64(k, &x->blocks);
		uint32_t label = x->label + 1;
		CODEC_U(k, label);
		x->label = label - 1;
		CODEC_U(k, x->set);
		CODEC_U(k, x->state);
		CODEC_U(k, x->class_of);
		codec_bool(k, &x->stack_only);
	}
}
