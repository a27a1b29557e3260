/* From the picture to references in compact form: where pointers may stand, who holds the words of roots, and the batches
 * (pack_batch.c), which know nothing of each other, so that threads share them out. */
#include "pack.h"
#include "pieces.h"

static void on_piece(void *ctx, size_t piece)
{
	struct pack *p = ctx;
	if (!__atomic_load_n(&p->nomem, __ATOMIC_RELAXED) && !pack_batch(p, (uint32_t)piece))
		__atomic_store_n(&p->nomem, true, __ATOMIC_RELAXED);
}

static bool pack_batches(struct pack *p)
{
	p->n_batches = (uint32_t)((p->sources + BATCH - 1) / BATCH);
	p->batches = calloc(p->n_batches + 1ul, sizeof *p->batches);
	if (!p->batches)
		return false;
	graph_each_piece(p->g, p->n_batches, on_piece, p);
	return !p->nomem;
}

static int by_start(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static bool add_stretch(struct stretches *s, uint64_t start, uint64_t end)
{
	struct stretch *x = vec_push(&s->list);
	if (x)
		*x = (struct stretch){ start, end };
	return x;
}

/* Kernel addresses (vsyscall, in cores) are no memory of the program. */
static bool add_place(struct pack *p, struct place place)
{
	if (place.start >= place.end || place.end >> 52)
		return true;
	struct place *x = vec_push(&p->places);
	if (x)
		*x = place;
	return x;
}

/* What the picture has outside the heap and the roots: nobody reads it there, and a pointer may stand in it all the same. */
static bool add_stale(struct pack *p)
{
	const struct picture *pic = image_picture(p->priv->img);
	const struct alloc *a = p->g->blocks->alloc;
	struct stretches known = { 0 };
	bool ok = true;
	size_t k = 0;
	for (size_t i = 0; i < a->segments.n && ok; i++)
		ok = add_stretch(&known, a->segments.at[i].start, a->segments.at[i].end);
	for (size_t i = 0; i < p->priv->regions.n && ok; i++)
		ok = add_stretch(&known, p->priv->regions.at[i].start, p->priv->regions.at[i].end);
	if (known.list.n)
		qsort(known.list.at, known.list.n, sizeof *known.list.at, by_start);
	for (size_t i = 0; i < pic->extents.n && ok; i++) {
		const struct extent *e = &pic->extents.at[i];
		uint64_t at = e->address, end = e->address + e->bytes;
		while (k < known.list.n && known.list.at[k].end <= at)
			k++;
		for (size_t j = k; !e->from_file && ok && at < end; j++) {
			uint64_t stop = j < known.list.n && known.list.at[j].start < end ? known.list.at[j].start : end;
			ok = add_place(p, (struct place){ at, stop, PLACE_STALE, -1 });
			if (stop == end)
				break;
			at = known.list.at[j].end > at ? known.list.at[j].end : at;
		}
	}
	vec_free(&known.list);
	return ok;
}

/* Modules and the memory of threads, without overlaps. */
static bool add_named(struct pack *p)
{
	struct stretches *s = &p->named;
	bool ok = true;
	size_t n = 0;
	for (size_t i = 0; i < modules_count(p->priv->ms) && ok; i++)
		ok = add_stretch(s, modules_get(p->priv->ms, i)->start, modules_get(p->priv->ms, i)->end);
	for (size_t i = 0; i < p->priv->rt->extents.n && ok; i++)
		ok = add_stretch(s, p->priv->rt->extents.at[i].start, p->priv->rt->extents.at[i].end);
	if (s->list.n)
		qsort(s->list.at, s->list.n, sizeof *s->list.at, by_start);
	for (size_t i = 0; i < s->list.n; i++) {
		struct stretch x = s->list.at[i];
		if (n && s->list.at[n - 1].end >= x.start)
			s->list.at[n - 1].end = x.end > s->list.at[n - 1].end ? x.end : s->list.at[n - 1].end;
		else if (x.start < x.end)
			s->list.at[n++] = x;
	}
	s->list.n = n;
	return ok;
}

static bool add_roots(struct pack *p)
{
	for (size_t i = 0; i < p->priv->regions.n; i++) {
		const struct root_region *r = &p->priv->regions.at[i];
		if (!add_place(p, (struct place){ r->start, r->end, r->kind == ROOT_STACK ? PLACE_STACK : PLACE_MEMORY, r->thread }))
			return false;
	}
	return true;
}

static void write_places(const struct pack *p, struct bits_out *to)
{
	uint64_t last = 0;
	bits_number(to, p->places.n);
	for (size_t i = 0; i < p->places.n; i++) {
		const struct place *x = &p->places.at[i];
		bits_signed(to, (int64_t)(x->start - last));
		bits_number(to, x->end - x->start);
		bits_number(to, x->kind);
		bits_number(to, (uint64_t)(x->thread + 1));
		last = x->end;
	}
}

/* Registers and words that the kernel holds. */
static void write_unplaced(const struct pack *p, struct bits_out *to)
{
	uint64_t n = 0;
	for (size_t i = 0; i < p->priv->words.n; i++)
		n += !p->priv->words.at[i].from;
	bits_number(to, n);
	for (size_t i = 0; i < p->priv->words.n; i++) {
		const struct root_word *w = &p->priv->words.at[i];
		struct target_block t;
		if (w->from)
			continue;
		enum hit hit = graph_resolve(p->g->blocks, w->value, &t);
		bits_number(to, (uint64_t)w->thread << 1 | (w->kind == ROOT_KERNEL));
		bits_number(to, block_id_of(&t));
		bits_number(to, t.offset << 1 | graph_is_strong(p->g, hit, &t, w->value, 0));
	}
}

static struct err *write_holders(struct pack *p, struct bits_out *to)
{
	size_t n = p->priv->words.n;
	AUTO_FREE struct named_word *named = calloc(n + 1, sizeof *named);
	if (!named)
		return err_nomem();
	TRY(graph_name_words(p->g, named));
	bits_number(to, n);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && named[k].holder == named[i].holder; k++)
			;
		bits_number(to, k - i);
		bits_number(to, named[i].holder);
	}
	return NULL;
}

/* Where weak chains begin. */
static void write_weak(const struct pack *p, struct bits_out *to)
{
	const struct graph *g = p->g;
	uint64_t n = 0;
	block_id last = 0;
	for (block_id id = 0; id < g->blocks->n; id++)
		n += bit_test(p->priv->weak, id) && g->class_of[id] == CLASS_POSSIBLE;
	bits_number(to, n);
	for (block_id id = 0; id < g->blocks->n && n; id++)
		if (bit_test(p->priv->weak, id) && g->class_of[id] == CLASS_POSSIBLE) {
			bits_number(to, id - last);
			last = id;
		}
}

static struct err *write_all(struct pack *p, struct bits_out *to)
{
	if (!add_roots(p) || !add_stale(p) || !add_named(p))
		return err_nomem();
	p->sources = p->g->blocks->n + (uint64_t)p->places.n;
	if (p->sources >= UINT32_MAX - OUTSIDE)
		return err_new(ERR_LIMIT, "%llu sources of references are too many", (unsigned long long)p->sources);
	if (!pack_batches(p))
		return err_nomem();
	if (interrupted)
		return err_new(ERR_INTERRUPTED, "interrupted");
	bits_number(to, p->references);
	bits_number(to, p->step);
	bits_number(to, p->g->blocks->n);
	write_places(p, to);
	write_unplaced(p, to);
	TRY(write_holders(p, to));
	write_weak(p, to);
	for (uint32_t i = 0; i < p->n_batches; i++) {
		struct bits_out *b = &p->batches[i];
		bits_number(to, b->bytes.n);
		if (!vec_reserve(&to->bytes, b->bytes.n + 1))
			return err_nomem();
		memcpy(to->bytes.at + to->bytes.n, b->bytes.at, b->bytes.n);
		to->bytes.n += b->bytes.n;
		vec_free(&b->bytes);
	}
	return to->failed ? err_nomem() : NULL;
}

/* The addresses that told words hold, and those where stale words stand: each once, ascending. */
static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void give_named(struct pack *p, struct graph_packed *ret)
{
	size_t n = 0;
	if (p->asked.n)
		qsort(p->asked.at, p->asked.n, sizeof *p->asked.at, by_address);
	for (size_t i = 0; i < p->asked.n; i++)
		if (!n || p->asked.at[i] != p->asked.at[n - 1])
			p->asked.at[n++] = p->asked.at[i];
	p->asked.n = n;
	memcpy(&ret->named, &p->asked, sizeof ret->named);
	memset(&p->asked, 0, sizeof p->asked);
}

struct err *graph_pack(struct graph *g, struct graph_packed *ret)
{
	struct bits_out to = { 0 };
	*ret = (struct graph_packed){ 0 };
	if (!g->priv || !g->blocks->n)
		return NULL;
	struct pack p = { .g = g, .priv = g->priv, .lock = PTHREAD_MUTEX_INITIALIZER };
	p.step = p.priv->o.unaligned ? 1 : p.priv->word;
	struct err *e = NULL;
	if (p.priv->packed) {
		struct span old = packed_bytes(p.priv->packed);
		if (vec_reserve(&to.bytes, old.n + 1))
			memcpy(to.bytes.at, old.p, to.bytes.n = old.n);
		else
			e = err_nomem();
	} else {
		e = write_all(&p, &to);
	}
	for (uint32_t i = 0; p.batches && i < p.n_batches; i++)
		vec_free(&p.batches[i].bytes);
	free(p.batches);
	vec_free(&p.places);
	vec_free(&p.named.list);
	if (e) {
		vec_free(&p.asked);
		vec_free(&to.bytes);
		return e;
	}
	give_named(&p, ret);
	ret->at = to.bytes.at;
	ret->n = to.bytes.n;
	return NULL;
}
