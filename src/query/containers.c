/* Containers: variables of the program and of frames; blocks are claimed by a bit each, so that nothing is counted twice. */
#include "flotsam/query.h"

enum { MAX_LINES = 20000 }; /* frames of thousands of threads look alike */

struct claims {
	struct session *s;
	const struct blocks *b;
	uint64_t *bits;
};

static block_id starting_at(const struct claims *c, uint64_t address)
{
	block_id id = blocks_at(c->b, address);
	return id != BLOCK_NONE && blocks_payload(c->b, id) == address && block_state_is_used(blocks_state(c->b, id)) ? id : BLOCK_NONE;
}

static uint64_t block_bytes(void *ctx, uint64_t address)
{
	block_id id = starting_at(ctx, address);
	return id == BLOCK_NONE ? 0 : blocks_usable(((struct claims *)ctx)->b, id);
}

static bool take(void *ctx, uint64_t address)
{
	struct claims *c = ctx;
	block_id id = starting_at(c, address);
	uint64_t bit = 1ull << id % 64;
	if (id == BLOCK_NONE || c->bits[id / 64] & bit)
		return false;
	c->bits[id / 64] |= bit;
	return true;
}

uint32_t query_block_type(struct session *s, uint64_t address)
{
	block_id id = s->types ? blocks_at(s->blocks, address) : BLOCK_NONE;
	if (id == BLOCK_NONE || blocks_payload(s->blocks, id) != address || !block_state_is_used(blocks_state(s->blocks, id)))
		return TYPE_UNKNOWN;
	uint32_t label = types_label(s->types, id);
	switch (s->types->labels[label].by) {
	case BY_TEXT:
		return TYPE_TEXT; /* its label tells its length too, which is no type */
	case BY_VTABLE:
	case BY_RUNTIME:
	case BY_TAG:
	case BY_DWARF:
		return label + N_TYPES_KNOWN;
	case BY_SIZE:
	case BY_BYTES:
	case N_IDENTIFIED:
		break;
	}
	return TYPE_UNKNOWN;
}

const char *query_block_type_name(struct session *s, uint32_t type)
{
	return type == TYPE_TEXT ? "char[]" : s->types->labels[type - N_TYPES_KNOWN].name;
}

static uint32_t type_of(void *ctx, uint64_t address)
{
	return query_block_type(((struct claims *)ctx)->s, address);
}

static const char *name_of_type(void *ctx, uint32_t type)
{
	return query_block_type_name(((struct claims *)ctx)->s, type);
}

static struct err *add_threads(struct session *s, struct containers *c)
{
	const struct stack none = { 0 };
	struct value_place at;
	if (!s->target->picture.threads.n)
		return NULL;
	query_value_place(s, &none, 0, &at);
	return modules_containers_threads(c, at.tls, at.tls_ctx);
}

static struct err *add_line(struct session *s, struct containers *c, const struct stack *st, unsigned line)
{
	const struct stack_line *l = &st->lines.at[line];
	struct value_place at;
	AUTO_FREE char *where = NULL;
	if (!l->user)
		return NULL;
	if (asprintf(&where, "%s() #%u, thread %u", l->function ? l->function : "?", line, st->thread + 1) < 0)
		return err_nomem();
	query_value_place(s, st, line, &at);
	return modules_containers_frame(c, &at, where);
}

static struct err *add_frames(struct session *s, struct containers *c)
{
	size_t n = s->target->picture.threads.n, lines = 0;
	struct err *e = NULL;
	for (unsigned t = 0; t < n && !e && lines < MAX_LINES; t++) {
		struct stack *st;
		TRY(query_stack(s, t, &st));
		for (unsigned i = 0; i < st->lines.n && !e; i++, lines++)
			e = interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : add_line(s, c, st, i);
		stack_free(st);
	}
	c->cut |= lines >= MAX_LINES;
	return e;
}

static int compare(const void *a, const void *b)
{
	const struct container *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	if (x->items != y->items)
		return x->items < y->items ? 1 : -1;
	int by_name = strcmp(x->name, y->name);
	return by_name ? by_name : x->address < y->address ? -1 : x->address > y->address;
}

static struct err *collect(struct session *s, const struct container_heap *heap, struct containers *c)
{
	TRY(modules_containers_begin(s->modules, heap, c));
	TRY(modules_containers_globals(c));
	TRY(add_threads(s, c));
	TRY(add_frames(s, c));
	bool cut = c->cut;
	TRY(modules_containers_finish(c));
	c->cut |= cut;
	if (c->list.n)
		qsort(c->list.at, c->list.n, sizeof *c->list.at, compare);
	return NULL;
}

struct err *query_containers(struct session *s, struct containers *ret)
{
	struct claims claims = { .s = s, .b = s->blocks };
	AUTO_FREE uint64_t *bits = s->blocks ? calloc(s->blocks->n / 64 + 1, sizeof *bits) : NULL;
	const struct container_heap heap = { block_bytes, take, s->types ? type_of : NULL, s->types ? name_of_type : NULL, &claims };
	if (s->blocks && !bits)
		return err_nomem();
	claims.bits = bits;
	struct err *e = collect(s, s->blocks ? &heap : NULL, ret);
	if (e)
		modules_containers_free(ret);
	return e;
}
