/* Who points there: the whole picture is streamed, no index is built. */
#include "edges.h"
#include "pieces.h"
#include "packed.h"

#include <pthread.h>

enum { WORDS = 512 };

struct scan {
	const struct graph *g;
	uint64_t low, bytes;	/* of the range looked for */
	unsigned word, step;
	struct memory_pieces pieces;
	struct references *found;
	pthread_mutex_t lock;	/* of what was found: it is little */
	bool nomem;
};

/* Always stores, advances by the comparison: branches would cost more. */
static size_t filter(const struct scan *s, const uint8_t *data, size_t n, uint32_t *offsets)
{
	size_t k = 0;
	if (s->word == 8 && s->step == 8) {
		for (size_t i = 0; i + 8 <= n; i += 8) {
			uint64_t w;
			memcpy(&w, data + i, 8);
			offsets[k] = (uint32_t)i;
			k += w - s->low < s->bytes;
		}
		return k;
	}
	for (size_t i = 0; i + s->word <= n; i += s->step) {
		uint64_t w = 0;
		memcpy(&w, data + i, s->word);
		offsets[k] = (uint32_t)i;
		k += w - s->low < s->bytes;
	}
	return k;
}

static void add_found(struct scan *s, uint64_t from, const uint8_t *data)
{
	pthread_mutex_lock(&s->lock);
	struct reference *r = vec_push(&s->found->list);
	if (r) {
		*r = (struct reference){ .from = from };
		memcpy(&r->value, data, s->word);
	}
	s->nomem |= !r;
	pthread_mutex_unlock(&s->lock);
}

static void scan_piece(void *ctx, size_t piece)
{
	struct scan *s = ctx;
	const struct memory_piece *p = &s->pieces.list.at[piece];
	uint32_t offsets[WORDS + 1];
	size_t stride = (size_t)WORDS * s->step;
	for (size_t at = 0; at < p->n; at += stride) {
		size_t k = filter(s, p->data + at, p->n - at < stride ? p->n - at : stride, offsets);
		for (size_t i = 0; i < k; i++)
			add_found(s, p->address + at + offsets[i], p->data + at + offsets[i]);
	}
}

const struct root_region *graph_root_at(const struct graph_priv *priv, uint64_t address)
{
	for (size_t i = 0; i < priv->regions.n; i++)
		if (address >= priv->regions.at[i].start && address < priv->regions.at[i].end)
			return &priv->regions.at[i];
	return NULL;
}

static void judge(const struct graph *g, struct reference *r)
{
	r->block = blocks_at(g->blocks, r->from);
	r->live = r->block != BLOCK_NONE && block_state_is_used(blocks_state(g->blocks, r->block)) &&
		  r->from >= blocks_payload(g->blocks, r->block);
	/* A stack may lie in a block. */
	if (!r->live || graph_is_stack_block(g->priv, r->block))
		r->live = graph_root_at(g->priv, r->from);
}

static int compare(const void *a, const void *b)
{
	const struct reference *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	/* Registers and the kernel's words. */
	return x->thread != y->thread ? (x->thread < y->thread ? -1 : 1) : x->value < y->value ? -1 : x->value > y->value;
}

/* Registers and the kernel's words: the graph noted those that point into the heap. */
static bool add_unplaced(const struct graph *g, uint64_t low, uint64_t bytes, struct references *ret)
{
	const struct graph_priv *priv = g->priv;
	for (size_t i = 0; i < priv->words.n; i++) {
		const struct root_word *w = &priv->words.at[i];
		if ((w->kind != ROOT_REGISTER && w->kind != ROOT_KERNEL) || w->value - low >= bytes)
			continue;
		struct reference *r = vec_push(&ret->list);
		if (!r)
			return false;
		*r = (struct reference){ .value = w->value, .block = BLOCK_NONE, .thread = w->thread, .kernel = w->kind == ROOT_KERNEL, .live = true };
	}
	return true;
}

/* Registers first, then by where they stand; each with what it is. */
static void order(const struct graph *g, struct references *refs)
{
	for (size_t i = 0; i < refs->list.n; i++)
		if (refs->list.at[i].from)
			judge(g, &refs->list.at[i]);
	if (refs->list.n)
		qsort(refs->list.at, refs->list.n, sizeof *refs->list.at, compare);
}

static struct err *stream(struct graph *g, uint64_t low, uint64_t high, struct references *ret)
{
	const struct graph_priv *priv = g->priv;
	struct scan s = { .g = g, .low = low, .bytes = high - low, .word = priv->word, .step = priv->o.unaligned ? 1 : priv->word,
			  .found = ret, .lock = PTHREAD_MUTEX_INITIALIZER };
	bool ok = graph_cut_memory(g, &s.pieces) && add_unplaced(g, low, high - low, ret);
	if (ok)
		graph_each_piece(g, s.pieces.list.n, scan_piece, &s);
	ret->scanned = s.pieces.bytes;
	vec_free(&s.pieces.list);
	if (!ok || s.nomem || interrupted)
		return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_nomem();
	return NULL;
}

struct err *graph_references(struct graph *g, uint64_t low, uint64_t high, struct references *ret)
{
	*ret = (struct references){ 0 };
	TRY(graph_need_references(g));
	struct err *e;
	if (((struct graph_priv *)g->priv)->packed) {
		e = add_unplaced(g, low, high - low, ret) ? packed_references(g, low, high, ret) : err_nomem();
	} else {
		e = stream(g, low, high, ret);
	}
	if (e)
		vec_free(&ret->list);
	else
		order(g, ret);
	return e;
}

struct word_reader { const struct graph *g; uint64_t payload; graph_word_of_block_fn *f; void *ctx; };

static bool on_kept(void *ctx, const struct pointer *p)
{
	struct word_reader *r = ctx;
	uint64_t value = p->id == BLOCK_NONE ? p->offset : blocks_payload(r->g->blocks, p->id) + p->offset;
	r->f(r->ctx, p->from - r->payload, value);
	return true;
}

struct err *graph_words(struct graph *g, block_id id, graph_word_of_block_fn *f, void *ctx)
{
	TRY(graph_need_references(g));
	const struct graph_priv *priv = g->priv;
	uint64_t value, usable = blocks_usable(g->blocks, id);
	struct word_reader r = { g, blocks_payload(g->blocks, id), f, ctx };
	if (priv->packed)
		packed_each(priv->packed, id, r.payload, on_kept, &r);
	else
		for (uint64_t off = 0; off + priv->word <= usable && !interrupted; off += priv->word)
			if (image_word(priv->img, r.payload + off, &value))
				f(ctx, off, value);
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

struct err *graph_reference_holder(struct graph *g, const struct reference *r, uint32_t *ret)
{
	TRY(graph_need_references(g));
	struct root_word w = { .value = r->value, .from = r->from, .thread = r->thread, .kind = r->kernel ? ROOT_KERNEL : ROOT_REGISTER };
	if (r->from) {
		const struct root_region *region = graph_root_at(g->priv, r->from);
		if (!region)
			return err_new(ERR_NOT_FOUND, "0x%llx is no root", (unsigned long long)r->from);
		w.kind = (uint8_t)region->kind;
		w.thread = (uint32_t)region->thread;
	}
	return graph_name_root(g, &w, ret);
}
