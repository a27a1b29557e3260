/* Which container a holder is: by the variable that it is named after, or the locals of its frame. */
#include "flotsam/query.h"

struct kept { struct session *s; uint32_t holder; };

/* Of a frame only what the holder keeps is its own: what a reference leads to is another's. */
static bool keeps(const struct kept *k, block_id id)
{
	const struct graph *g = k->s->graph;
	uint32_t at = graph_set(g, id);
	if (!k->s->holders_done || !at || g->holders.at[k->holder].kind != HOLDER_FRAME)
		return true;
	const struct holder_set *set = &g->sets.at[at - 1];
	for (unsigned i = 0; i < set->n && i < 3; i++)
		if (set->holders[i] == k->holder)
			return true;
	return set->n > 3;
}

static uint64_t block_bytes(void *ctx, uint64_t address)
{
	const struct kept *k = ctx;
	const struct blocks *b = k->s->blocks;
	block_id id = blocks_at(b, address);
	bool used = id != BLOCK_NONE && blocks_payload(b, id) == address && block_state_is_used(blocks_state(b, id));
	return used && keeps(k, id) ? blocks_usable(b, id) : 0;
}

static bool take(void *ctx, uint64_t address)
{
	return block_bytes(ctx, address);
}

static uint32_t type_of(void *ctx, uint64_t address)
{
	return query_block_type(((const struct kept *)ctx)->s, address);
}

static const char *name_of_type(void *ctx, uint32_t type)
{
	return query_block_type_name(((const struct kept *)ctx)->s, type);
}

/* The variable of a thread that an address lies in. */
struct thread_spot { struct module *m; uint64_t in_block; /* of the variable */ };
static bool thread_spot(struct session *s, const struct thread *t, uint64_t address, struct thread_spot *ret)
{
	for (size_t i = 0; i < modules_count(s->modules); i++) {
		struct module *m = modules_get(s->modules, i);
		struct symbol sym;
		uint64_t start;
		if (!m->tls_bytes || !runtime_thread_variable(s->modules, s->target->arch, t, m, 0, &start) || address - start >= m->tls_bytes ||
		    !modules_tls_symbol_at(s->modules, m, address - start, &sym))
			continue;
		*ret = (struct thread_spot){ m, sym.address };
		return true;
	}
	return false;
}

/* All threads' objects of one name are one holder: their items are added up, unless one is asked for. */
static bool of_threads(struct session *s, const struct holder *h, const struct container_heap *heap, uint64_t word, struct container *ret)
{
	const struct picture *p = &s->target->picture;
	struct thread_spot at;
	bool found = false;
	size_t i = 0;
	while (i < p->threads.n && !thread_spot(s, &p->threads.at[i], word ? word : h->address, &at))
		i++;
	for (size_t t = i; i < p->threads.n && t < (word ? i + 1 : p->threads.n) && !interrupted; t++) {
		uint64_t address;
		struct container c;
		if (!runtime_thread_variable(s->modules, s->target->arch, &p->threads.at[t], at.m, at.in_block, &address) ||
		    !modules_container_of_thread(s->modules, at.m, at.in_block, address, heap, word, &c))
			continue;
		if (!found)
			*ret = c;
		else if (ret->items != UNKNOWN && c.items != UNKNOWN && !strcmp(ret->name, c.name))
			ret->items += c.items;
		found = true;
	}
	return found;
}

static bool of_frame(struct session *s, const struct holder *h, const struct container_heap *heap, uint64_t word, struct container *ret)
{
	uint64_t address = word ? word : h->address;
	const struct runtime_extent *x = runtime_extent_at(s->runtime, address);
	struct stack *st;
	bool found = false;
	if (!x || x->kind != EXTENT_STACK || x->thread < 0 || !s->target->picture.threads.at[x->thread].gregs.n)
		return false;
	AUTO_ERR struct err *e = query_stack(s, (unsigned)x->thread, &st);
	if (e)
		return false;
	unsigned frame = 0;
	while (frame < st->n_frames && (!st->frames[frame].cfa || address >= st->frames[frame].cfa))
		frame++;
	for (unsigned i = 0; i < st->lines.n && !interrupted; i++) {
		struct value_place at;
		struct container c;
		if (st->lines.at[i].frame != frame || !st->lines.at[i].user)
			continue;
		query_value_place(s, st, i, &at);
		if (!modules_container_of_frame(s->modules, &at, heap, word, &c) || (found && (c.items == UNKNOWN || c.items <= ret->items)))
			continue;
		*ret = c;
		found = true;
	}
	stack_free(st);
	return found;
}

bool query_holder_container(struct session *s, uint32_t holder, uint64_t word, struct container *ret)
{
	struct kept k = { s, holder };
	const struct container_heap heap = { block_bytes, take, s->types ? type_of : NULL, s->types ? name_of_type : NULL, &k };
	if (!s->blocks || !s->runtime || holder >= s->graph->holders.n)
		return false;
	const struct holder *h = &s->graph->holders.at[holder];
	switch (h->kind) {
	case HOLDER_GLOBAL:
		return modules_container_at(s->modules, h->address, &heap, word, ret);
	case HOLDER_TLS:
		return of_threads(s, h, &heap, word, ret);
	case HOLDER_FRAME:
		return of_frame(s, h, &heap, word, ret);
	case HOLDER_LIBC:
	case HOLDER_MAPPING:
	case HOLDER_KERNEL:
	case HOLDER_REGISTER:
		break;
	}
	return false;
}
