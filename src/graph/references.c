/* Who points there: the whole picture is streamed, no index is built. */
#include "graph.h"

#include <pthread.h>
#include <unistd.h>

enum { PIECE = 4 << 20, WORDS = 512, MAX_SCANNERS = 16 };

struct piece { uint64_t address; const uint8_t *data; size_t n; };
struct scan {
	const struct graph *g;
	uint64_t low, bytes;	/* of the range looked for */
	unsigned word, step;
	VEC(struct piece) pieces;
	size_t next;
	bool nomem;
};
struct scanner {
	struct scan *s;
	VEC(struct reference) found;
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

static bool scan_piece(struct scanner *me, const struct piece *p)
{
	uint32_t offsets[WORDS + 1];
	size_t stride = (size_t)WORDS * me->s->step;
	for (size_t at = 0; at < p->n; at += stride) {
		size_t k = filter(me->s, p->data + at, p->n - at < stride ? p->n - at : stride, offsets);
		for (size_t i = 0; i < k; i++) {
			struct reference *r = vec_push(&me->found);
			if (!r)
				return false;
			r->from = p->address + at + offsets[i];
			memcpy(&r->value, p->data + at + offsets[i], me->s->word);
		}
	}
	return true;
}

static void *scanner_main(void *arg)
{
	struct scanner *me = arg;
	struct scan *s = me->s;
	for (size_t i; !interrupted && (i = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED)) < s->pieces.n;)
		if (!scan_piece(me, &s->pieces.at[i]))
			s->nomem = true;
	return NULL;
}

static bool cut_pieces(struct scan *s, uint64_t *ret_bytes)
{
	const struct picture *p = image_picture(((const struct graph_priv *)s->g->priv)->img);
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		if (e->from_file)
			continue;
		*ret_bytes += e->bytes;
		for (uint64_t at = 0; at < e->bytes; at += PIECE) {
			struct piece *piece = vec_push(&s->pieces);
			if (!piece)
				return false;
			*piece = (struct piece){ e->address + at, e->data + at, e->bytes - at < PIECE ? e->bytes - at : PIECE };
		}
	}
	return true;
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
	return x->from < y->from ? -1 : x->from > y->from;
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

struct err *graph_references(struct graph *g, uint64_t low, uint64_t high, struct references *ret)
{
	TRY(graph_need_memory(g));
	const struct graph_priv *priv = g->priv;
	struct scan s = { .g = g, .low = low, .bytes = high - low, .word = priv->word, .step = priv->o.unaligned ? 1 : priv->word };
	struct scanner scanners[MAX_SCANNERS] = { 0 };
	pthread_t threads[MAX_SCANNERS];
	long cores = priv->o.threads > 0 ? priv->o.threads : sysconf(_SC_NPROCESSORS_ONLN);
	int count = cores < 1 ? 1 : cores > MAX_SCANNERS ? MAX_SCANNERS : (int)cores, started = 1;
	*ret = (struct references){ 0 };
	bool ok = cut_pieces(&s, &ret->scanned) && add_unplaced(g, low, high - low, ret);
	for (int i = 0; i < count; i++)
		scanners[i].s = &s;
	for (; ok && started < count && s.pieces.n > 1; started++)
		if (pthread_create(&threads[started], NULL, scanner_main, &scanners[started]))
			break;
	if (ok)
		scanner_main(&scanners[0]);
	for (int i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < started; i++) {
		for (size_t k = 0; ok && k < scanners[i].found.n; k++) {
			struct reference *r = vec_push(&ret->list);
			ok = r != NULL;
			if (ok)
				*r = scanners[i].found.at[k];
		}
		vec_free(&scanners[i].found);
	}
	vec_free(&s.pieces);
	if (!ok || s.nomem || interrupted) {
		vec_free(&ret->list);
		return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_nomem();
	}
	for (size_t i = 0; i < ret->list.n; i++)
		if (ret->list.at[i].from)
			judge(g, &ret->list.at[i]);
	if (ret->list.n)
		qsort(ret->list.at, ret->list.n, sizeof *ret->list.at, compare);
	return NULL;
}

struct err *graph_reference_holder(struct graph *g, const struct reference *r, uint32_t *ret)
{
	TRY(graph_need_memory(g));
	struct root_word w = { .value = r->value, .from = r->from, .thread = r->thread, .kind = r->kernel ? ROOT_KERNEL : ROOT_REGISTER };
	if (r->from) {
		const struct root_region *region = graph_root_at(g->priv, r->from);
		if (!region)
			return err_new(ERR_NOT_FOUND, "0x%llx is no root", (unsigned long long)r->from);
		w.kind = region->kind;
		w.thread = (uint32_t)region->thread;
	}
	return graph_name_root(g, &w, ret);
}
