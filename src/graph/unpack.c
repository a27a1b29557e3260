/* References in compact form, read in place: opening them judges every bit of them and notes where every eighth source begins;
 * then the pointers of a source are decoded when somebody asks for them. */
#include "edges.h"
#include "packed.h"
#include "pieces.h"

#include <inttypes.h>

enum { INDEX_STEP = 8 };
#define MOST_ADDRESS (1ull << 56)

struct shape_in { uint64_t gap[SLOTS]; uint8_t pointing[SLOTS]; uint32_t table; uint8_t n; bool own; };
struct batch_in {
	struct span s;
	uint64_t pointing[POINTING + 2]; /* offset * 2 + strong */
	uint32_t common[COMMON], n_common;
	uint32_t n_pointing, n_tables, targets;
	VEC(uint64_t) outside;	/* addresses: targets behind the blocks */
	VEC(struct shape_in) shapes;
	struct prefix_in sources, counts, words, *tables;
};

struct packed {
	struct span all;	/* borrowed */
	bool opened;
	unsigned step;
	uint32_t n, sources;	/* blocks; and places */
	VEC(struct place) places;
	VEC(struct batch_in) batches;
	uint64_t *index;	/* bit, within its batch, of every eighth source */
	VEC(uint32_t) holder_of; /* by root word */
	struct map64 word_at;	/* where a root word stands -> its number */
};

static struct err *damaged(const char *what, uint64_t i)
{
	return err_hint(err_new(ERR_BAD_DATA, "the census is damaged: references: %s %" PRIu64 " cannot be", what, i),
			"flotsam snap PID -o FILE writes a new one");
}

static uint64_t take_number_below(struct bits_in *in, uint32_t n)
{
	uint32_t few;
	unsigned bits = number_bits(n, &few);
	uint64_t v = bits_take(in, bits);
	return v < few ? v : (v << 1 | bits_take(in, 1)) - few;
}

/* Wrong targets come out as n or more, which judging refuses. */
static uint64_t take_target(const struct batch_in *b, const struct prefix_in *code, struct bits_in *in, uint64_t source, uint64_t before)
{
	uint32_t symbol = prefix_take(code, in);
	if (symbol == TARGET_NUMBER)
		return take_number_below(in, b->targets);
	if (symbol >= TARGET_COMMON)
		return symbol - TARGET_COMMON < b->n_common ? b->common[symbol - TARGET_COMMON] : UINT64_MAX;
	if (symbol == TARGET_SELF || symbol == TARGET_AGAIN)
		return symbol == TARGET_SELF ? source : before;
	uint32_t at = symbol < TARGET_AGAIN ? symbol - TARGET_AHEAD : symbol - TARGET_ON;
	uint64_t way = 1ull << at % 32 | bits_take(in, at % 32), from = symbol < TARGET_AGAIN ? source : before;
	return at < 32 ? from + way : from - way;
}

/* A word's gap, and what it points at in its block. */
static uint64_t take_word(const struct batch_in *b, struct bits_in *in, uint64_t *ret_pointing)
{
	uint32_t symbol = prefix_take(&b->words, in), class = symbol / b->n_pointing, which = symbol % b->n_pointing;
	uint64_t gap = class;
	if (class >= DIRECT_GAPS) {
		unsigned bits = class - DIRECT_GAPS + GAP_LEAST - 1;
		gap = 1ull << bits | bits_take(in, bits);
	}
	*ret_pointing = b->pointing[which];
	if (which == b->n_pointing - 1) {
		unsigned bits = (unsigned)bits_take(in, 6);
		uint64_t offset = bits <= GAP_MOST ? bits_take(in, bits) : MOST_ADDRESS;
		*ret_pointing = offset << 1 | bits_take(in, 1);
	}
	return gap;
}

/* The source that stands at `in`. False: damaged, or f wants no more. */
static bool decode(const struct packed *k, const struct batch_in *b, struct bits_in *in, uint32_t source, uint64_t base, packed_fn *f, void *ctx)
{
	uint32_t symbol = prefix_take(&b->sources, in);
	const struct shape_in *shape = symbol >= SOURCE_SHAPES ? &b->shapes.at[symbol - SOURCE_SHAPES] : NULL;
	uint64_t n = shape ? shape->n : 0, at = 0, target = UINT64_MAX / 2;
	if (symbol == SOURCE_LISTED) {
		unsigned bits = prefix_take(&b->counts, in);
		n = 1ull << bits | bits_take(in, bits);
	}
	for (uint64_t i = 0; i < n && !in->failed; i++) {
		uint64_t gap, pointing;
		if (shape) {
			gap = shape->gap[i];
			pointing = b->pointing[shape->pointing[i]];
		} else {
			gap = take_word(b, in, &pointing);
		}
		target = take_target(b, &b->tables[shape && shape->own ? shape->table + i : i > 0], in, source, target);
		at += gap;
		if (target >= b->targets || pointing >= MOST_ADDRESS || at >= MOST_ADDRESS)
			return false;
		struct pointer p = { .id = (block_id)target, .from = base + at++ * k->step, .offset = pointing >> 1, .packed = true, .strong = pointing & 1 };
		if (target >= k->n) {
			p.id = BLOCK_NONE;
			p.offset = b->outside.at[target - k->n];
		}
		if (f && !f(ctx, &p))
			return false;
	}
	return !in->failed;
}

bool packed_each(const struct packed *k, uint32_t source, uint64_t base, packed_fn *f, void *ctx)
{
	const struct batch_in *b = &k->batches.at[source / BATCH];
	struct bits_in in = { b->s, k->index[source / INDEX_STEP], false };
	for (uint32_t i = source - source % INDEX_STEP; i < source; i++)
		decode(k, b, &in, i, 0, NULL, NULL);
	return decode(k, b, &in, source, base, f, ctx);
}

/* Opening */

static bool read_pointing(struct batch_in *b, struct bits_in *in)
{
	uint64_t n = bits_take_number(in);
	if (in->failed || n > POINTING)
		return false;
	b->n_pointing = (uint32_t)n + 2;
	b->pointing[0] = 1;
	for (uint32_t i = 1; i <= n; i++) {
		b->pointing[i] = bits_take_number(in);
		if (b->pointing[i] >= MOST_ADDRESS)
			return false;
	}
	return !in->failed;
}

static bool read_targets(struct batch_in *b, uint32_t blocks, struct bits_in *in)
{
	uint64_t n = bits_take_number(in), last = 0;
	if (in->failed || n >= OUTSIDE || n > in->s.n)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t *slot = vec_push(&b->outside);
		if (!slot)
			return false;
		*slot = last += (uint64_t)bits_take_signed(in);
	}
	b->targets = blocks + (uint32_t)n;
	n = bits_take_number(in);
	if (in->failed || n > COMMON)
		return false;
	for (; b->n_common < n; b->n_common++) {
		uint64_t to = bits_take_number(in);
		if (to >= b->targets)
			return false;
		b->common[b->n_common] = (uint32_t)to;
	}
	return !in->failed;
}

static bool read_shapes(struct batch_in *b, struct bits_in *in)
{
	uint64_t n = bits_take_number(in);
	b->n_tables = 2;
	if (in->failed || n > SHAPES)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		struct shape_in *x = vec_push(&b->shapes);
		uint64_t v = bits_take_number(in);
		if (!x || in->failed || !(v >> 1) || v >> 1 > SLOTS)
			return false;
		x->n = (uint8_t)(v >> 1);
		x->own = v & 1;
		x->table = b->n_tables;
		b->n_tables += x->own ? x->n : 0;
		for (uint32_t k = 0; k < x->n; k++) {
			x->gap[k] = bits_take_number(in);
			v = bits_take_number(in);
			if (in->failed || x->gap[k] >= MOST_ADDRESS || v >= b->n_pointing - 1)
				return false;
			x->pointing[k] = (uint8_t)v;
		}
	}
	return true;
}

/* What stands in front of a batch's bits. */
static bool read_head(struct batch_in *b, uint32_t blocks, struct bits_in *in)
{
	if (!read_pointing(b, in) || !read_targets(b, blocks, in) || !read_shapes(b, in) || !prefix_read(in, (uint32_t)b->shapes.n + SOURCE_SHAPES, &b->sources) ||
	    !prefix_read(in, COUNT_CLASSES, &b->counts) || !prefix_read(in, GAP_CLASSES * b->n_pointing, &b->words) || b->words.n == 1)
		return false;
	b->tables = calloc(b->n_tables, sizeof *b->tables);
	for (uint32_t i = 0; b->tables && i < b->n_tables; i++)
		if (!prefix_read(in, TARGET_SYMBOLS, &b->tables[i]))
			return false;
	return b->tables;
}

struct judging { uint64_t end, seen; bool place; };

static bool on_judged(void *ctx, const struct pointer *p)
{
	struct judging *j = ctx;
	j->seen++;
	return p->from < j->end && !(j->place && p->id == BLOCK_NONE);
}

/* Every source of a batch, each within its memory. */
static struct err *judge_batch(struct packed *k, const struct blocks *blocks, uint32_t number, struct bits_in *in, struct judging *j)
{
	uint64_t first = (uint64_t)number * BATCH, end = first + BATCH < k->sources ? first + BATCH : k->sources;
	struct block_cursor c;
	blocks_begin(blocks, &c);
	if (first < k->n)
		blocks_seek(&c, (block_id)first);
	for (uint64_t i = first; i < end; i++) {
		uint64_t base;
		j->place = i >= k->n;
		if (!(i % INDEX_STEP))
			k->index[i / INDEX_STEP] = in->at;
		if (i < k->n) {
			if (!blocks_next(&c))
				return damaged("block", i);
			base = c.payload;
			j->end = base + c.usable;
		} else {
			base = align_up(k->places.at[i - k->n].start, k->step);
			j->end = k->places.at[i - k->n].end;
		}
		if (!decode(k, &k->batches.at[number], in, (uint32_t)i, base, on_judged, j))
			return damaged("source", i);
	}
	return NULL;
}

/* Batches know nothing of each other: threads share them out. */
struct reading { struct packed *k; const struct blocks *blocks; struct err **errors; uint64_t seen; };

static void on_batch(void *ctx, size_t number)
{
	struct reading *r = ctx;
	struct batch_in *b = &r->k->batches.at[number];
	struct bits_in bits = { b->s, 0, false };
	struct judging j = { 0 };
	if (read_head(b, r->k->n, &bits))
		r->errors[number] = judge_batch(r->k, r->blocks, (uint32_t)number, &bits, &j);
	else
		r->errors[number] = damaged("batch", number);
	__atomic_fetch_add(&r->seen, j.seen, __ATOMIC_RELAXED);
}

static struct err *find_batches(struct packed *k, struct bits_in *in)
{
	for (uint32_t i = 0; (uint64_t)i * BATCH < k->sources; i++) {
		struct batch_in *b = vec_push(&k->batches);
		uint64_t bytes = bits_take_number(in), at = in->at / 8;
		if (!b)
			return err_nomem();
		if (in->failed || bytes > k->all.n - at)
			return damaged("batch", i);
		b->s = (struct span){ k->all.p + at, (size_t)bytes };
		in->at += bytes * 8;
	}
	return NULL;
}

static struct err *read_batches(struct packed *k, const struct graph *g, struct bits_in *in, uint64_t references)
{
	TRY(find_batches(k, in));
	AUTO_FREE struct err **errors = calloc(k->batches.n + 1, sizeof(struct err *));
	struct reading r = { .k = k, .blocks = g->blocks, .errors = errors };
	struct err *first = NULL;
	k->index = calloc(k->sources / INDEX_STEP + 1ul, sizeof *k->index);
	if (!k->index || !errors)
		return err_nomem();
	graph_each_piece(g, k->batches.n, on_batch, &r);
	for (size_t i = 0; i < k->batches.n; i++)
		if (!first)
			first = errors[i];
		else
			err_free(errors[i]);
	if (!first && interrupted)
		first = err_new(ERR_INTERRUPTED, "interrupted");
	return first || r.seen == references ? first : damaged("the number of all,", references);
}

static struct err *read_places(struct packed *k, struct bits_in *in, int64_t threads)
{
	uint64_t n = bits_take_number(in), last = 0;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t start = last + (uint64_t)bits_take_signed(in), bytes = bits_take_number(in), kind = bits_take_number(in);
		int64_t thread = (int64_t)bits_take_number(in) - 1;
		if (in->failed || start >= MOST_ADDRESS || bytes >= MOST_ADDRESS || !bytes || kind > PLACE_STALE || thread < -1 || thread >= threads ||
		    (kind == PLACE_STACK) != (thread >= 0))
			return damaged("place", i);
		struct place *x = vec_push(&k->places);
		if (!x)
			return err_nomem();
		*x = (struct place){ start, start + bytes, (enum place_kind)kind, (int)thread };
		last = x->end;
	}
	if (k->n + n >= UINT32_MAX)
		return damaged("place", n);
	k->sources = k->n + (uint32_t)n; /* and the targets outside fit behind the blocks: */
	if (k->n >= UINT32_MAX - OUTSIDE)
		return damaged("block", k->n);
	return in->failed ? damaged("place", n) : NULL;
}

/* Root words in the order in which they were gathered: memory, the kernel, stacks, registers. */
struct gathering { struct graph *g; struct root_word w; bool nomem; };

static bool add_word(struct gathering *ga, const struct pointer *p)
{
	struct graph_priv *priv = ga->g->priv;
	struct root_word *w = vec_push(&priv->words);
	if (!w)
		return !(ga->nomem = true);
	*w = ga->w;
	w->from = p->from;
	w->value = blocks_payload(ga->g->blocks, p->id) + p->offset;
	w->strength = p->strong ? STRENGTH_STRONG : STRENGTH_WEAK;
	return true;
}

static bool on_root(void *ctx, const struct pointer *p)
{
	return add_word(ctx, p);
}

static struct err *gather_places(struct graph *g, struct packed *k, enum place_kind kind)
{
	struct gathering ga = { .g = g };
	for (size_t i = 0; i < k->places.n && !ga.nomem; i++) {
		const struct place *x = &k->places.at[i];
		ga.w = (struct root_word){ .thread = (uint32_t)x->thread, .kind = kind == PLACE_STACK ? ROOT_STACK : ROOT_MEMORY };
		if (x->kind == kind)
			packed_each(k, k->n + (uint32_t)i, align_up(x->start, k->step), on_root, &ga);
	}
	return ga.nomem ? err_nomem() : NULL;
}

static struct err *gather_unplaced(struct graph *g, const struct packed *k, struct bits_in in, bool kernel)
{
	const struct picture *pic = image_picture(((struct graph_priv *)g->priv)->img);
	struct gathering ga = { .g = g, .w = { .kind = kernel ? ROOT_KERNEL : ROOT_REGISTER } };
	uint64_t n = bits_take_number(&in);
	for (uint64_t i = 0; i < n && !ga.nomem; i++) {
		uint64_t whose = bits_take_number(&in), target = bits_take_number(&in), offset = bits_take_number(&in);
		if (in.failed || target >= k->n || offset >= MOST_ADDRESS || whose >> 1 >= (whose & 1 ? UINT32_MAX : pic->threads.n))
			return damaged("register", i);
		struct pointer p = { .id = (block_id)target, .offset = offset >> 1, .strong = offset & 1 };
		ga.w.thread = (uint32_t)(whose >> 1);
		if ((whose & 1) == kernel)
			add_word(&ga, &p);
	}
	return ga.nomem ? err_nomem() : NULL;
}

static bool pass_unplaced(struct bits_in *in)
{
	for (uint64_t n = bits_take_number(in); n && !in->failed; n--)
		for (int i = 0; i < 3; i++)
			bits_take_number(in);
	return !in->failed;
}

static uint64_t key_of(const struct root_word *w)
{
	return w->from ? w->from : MOST_ADDRESS << 1 | (uint64_t)(w->kind == ROOT_KERNEL) << 32 | w->thread;
}

static struct err *gather_roots(struct graph *g, struct packed *k, struct bits_in unplaced)
{
	struct graph_priv *priv = g->priv;
	for (size_t i = 0; i < k->places.n; i++) {
		const struct place *x = &k->places.at[i];
		struct root_region *r = x->kind == PLACE_STALE ? NULL : vec_push(&priv->regions);
		if (r)
			*r = (struct root_region){ x->start, x->end, x->kind == PLACE_STACK ? ROOT_STACK : ROOT_MEMORY, x->thread };
		else if (x->kind != PLACE_STALE)
			return err_nomem();
	}
	TRY(gather_places(g, k, PLACE_MEMORY));
	TRY(gather_unplaced(g, k, unplaced, true));
	priv->n_memory = priv->words.n;
	TRY(gather_places(g, k, PLACE_STACK));
	TRY(gather_unplaced(g, k, unplaced, false));
	for (size_t i = 0; i < priv->words.n; i++)
		if (!map64_put(&k->word_at, key_of(&priv->words.at[i]), i))
			return err_nomem();
	return NULL;
}

/* Runs of the same holder. */
static struct err *read_holders(const struct graph *g, struct packed *k, struct bits_in *in)
{
	const struct graph_priv *priv = g->priv;
	while (k->holder_of.n < priv->words.n) {
		uint64_t run = bits_take_number(in), holder = bits_take_number(in);
		if (in->failed || !run || run > priv->words.n - k->holder_of.n || holder >= g->holders.n)
			return damaged("holder of word", k->holder_of.n);
		if (!vec_reserve(&k->holder_of, run))
			return err_nomem();
		while (run--)
			k->holder_of.at[k->holder_of.n++] = (uint32_t)holder;
	}
	return NULL;
}

/* Passed over until the words are known. */
static bool pass_holders(struct bits_in *in)
{
	for (uint64_t n = bits_take_number(in); n && !in->failed;) {
		uint64_t run = bits_take_number(in);
		bits_take_number(in);
		if (!run || run > n)
			return false;
		n -= run;
	}
	return !in->failed;
}

static struct err *read_weak(struct graph *g, struct bits_in *in)
{
	struct graph_priv *priv = g->priv;
	uint64_t id = 0;
	priv->weak = calloc(g->blocks->n / 64 + 1, sizeof *priv->weak);
	if (!priv->weak)
		return err_nomem();
	for (uint64_t n = bits_take_number(in); n && !in->failed; n--) {
		uint64_t way = bits_take_number(in);
		if (way >= g->blocks->n - id)
			return damaged("weak pointer to", id);
		id += way;
		bit_set(priv->weak, id);
	}
	return in->failed ? damaged("weak pointer to", id) : NULL;
}

/* What can be told of the classes again. */
static struct err *find_special(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	for (block_id id = 0; id < g->blocks->n; id++) {
		block_id *slot = g->class_of[id] == CLASS_RUNTIME ? vec_push(&priv->runtime_ids) : NULL;
		if (slot)
			*slot = id;
		else if (g->class_of[id] == CLASS_RUNTIME)
			return err_nomem();
	}
	for (size_t i = 0; i < priv->rt->threads.n; i++) {
		uint64_t sp = priv->rt->threads.at[i].live_from;
		block_id id = sp ? blocks_at(g->blocks, sp) : BLOCK_NONE;
		block_id *slot = id != BLOCK_NONE && block_state_is_used(blocks_state(g->blocks, id)) ? vec_push(&priv->stack_ids) : NULL;
		if (slot)
			*slot = id;
	}
	return NULL;
}

static struct err *open_all(struct graph *g, struct packed *k)
{
	struct graph_priv *priv = g->priv;
	struct bits_in in = { k->all, 0, false };
	uint64_t references = bits_take_number(&in), step = bits_take_number(&in), n = bits_take_number(&in);
	if (in.failed || (step != 1 && step != priv->word) || n != g->blocks->n || !n)
		return damaged("blocks,", n);
	k->step = (unsigned)step;
	k->n = (uint32_t)n;
	TRY(read_places(k, &in, (int64_t)image_picture(priv->img)->threads.n));
	struct bits_in unplaced = in;
	if (!pass_unplaced(&in))
		return damaged("register", 0);
	struct bits_in holders = in;
	if (!pass_holders(&in))
		return damaged("holder", 0);
	TRY(read_weak(g, &in));
	TRY(read_batches(k, g, &in, references));
	TRY(gather_roots(g, k, unplaced));
	if (bits_take_number(&holders) != priv->words.n)
		return damaged("root word", priv->words.n);
	TRY(read_holders(g, k, &holders));
	return find_special(g);
}

struct err *packed_open(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	struct packed *k = priv->packed;
	if (k->opened)
		return NULL;
	struct err *e = open_all(g, k);
	if (e) {
		/* So that it can be tried again when it was interrupted. */
		struct span all = k->all;
		graph_priv_clear(g);
		priv->packed = calloc(1, sizeof *k);
		if (priv->packed)
			priv->packed->all = all;
		return e;
	}
	k->opened = true;
	return NULL;
}

struct err *graph_unpack(struct graph *g, struct image *img, struct runtime *rt, struct span references)
{
	struct graph_priv *priv = calloc(1, sizeof *priv);
	struct packed *k = calloc(1, sizeof *k);
	if (!priv || !k) {
		free(priv);
		free(k);
		return err_nomem();
	}
	k->all = references;
	priv->packed = k;
	priv->img = img;
	priv->rt = rt;
	priv->word = image_arch(img)->word;
	priv->mask = UINT64_MAX;
	g->priv = priv;
	return NULL;
}

struct span packed_bytes(const struct packed *k)
{
	return k->all;
}

void packed_free(struct packed *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->batches.n; i++) {
		struct batch_in *b = &k->batches.at[i];
		for (uint32_t t = 0; b->tables && t < b->n_tables; t++)
			prefix_in_free(&b->tables[t]);
		free(b->tables);
		prefix_in_free(&b->sources);
		prefix_in_free(&b->counts);
		prefix_in_free(&b->words);
		vec_free(&b->outside);
		vec_free(&b->shapes);
	}
	vec_free(&k->batches);
	vec_free(&k->places);
	vec_free(&k->holder_of);
	map64_free(&k->word_at);
	free(k->index);
	free(k);
}

/* Answers */

struct wanted {
	const struct graph *g;
	uint64_t low, bytes;
	block_id first, last;
	struct references *to;
	bool inside_is_known; /* a place: what it shares with a block was told with the block */
	bool nomem;
};

static bool covered(const struct graph *g, uint64_t from)
{
	block_id id = blocks_at(g->blocks, from);
	return id != BLOCK_NONE && from - blocks_payload(g->blocks, id) < blocks_usable(g->blocks, id);
}

static bool on_wanted(void *ctx, const struct pointer *p)
{
	struct wanted *w = ctx;
	if (p->id < w->first || p->id > w->last)
		return true;
	uint64_t value = blocks_payload(w->g->blocks, p->id) + p->offset;
	if (value - w->low >= w->bytes || (w->inside_is_known && covered(w->g, p->from)))
		return true;
	struct reference *r = vec_push(&w->to->list);
	if (!r)
		return !(w->nomem = true);
	r->from = p->from;
	r->value = value;
	return true;
}

struct err *packed_references(struct graph *g, uint64_t low, uint64_t high, struct references *ret)
{
	const struct graph_priv *priv = g->priv;
	const struct packed *k = priv->packed;
	struct wanted w = { .g = g, .low = low, .bytes = high - low, .first = blocks_at(g->blocks, low), .last = blocks_at(g->blocks, high - 1), .to = ret };
	struct block_cursor c;
	if (w.first == BLOCK_NONE)
		return err_hint(err_new(ERR_UNSUPPORTED, "a census knows the pointers to blocks alone, and 0x%" PRIx64 " is in none", low),
				"ask the process, or a core of it");
	if (w.last == BLOCK_NONE) /* the last word of a top chunk's is the end of its segment */
		w.last = k->n - 1;
	blocks_begin(g->blocks, &c);
	for (uint32_t i = 0; i < k->sources && !w.nomem && !interrupted; i += BATCH) {
		const struct batch_in *b = &k->batches.at[i / BATCH];
		struct bits_in in = { b->s, k->index[i / INDEX_STEP], false };
		for (uint32_t s = i; s < k->sources && s - i < BATCH && !w.nomem; s++) {
			w.inside_is_known = s >= k->n;
			uint64_t base = s < k->n && blocks_next(&c) ? c.payload : s < k->n ? 0 : align_up(k->places.at[s - k->n].start, k->step);
			decode(k, b, &in, s, base, on_wanted, &w);
		}
	}
	if (w.nomem)
		return err_nomem();
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

void packed_name_words(const struct graph *g, struct named_word *named)
{
	const struct graph_priv *priv = g->priv;
	for (size_t i = 0; i < priv->words.n; i++) {
		uint32_t holder = priv->packed->holder_of.at[i];
		named[i] = (struct named_word){ holder, g->holders.at[holder].rank, i };
	}
}

struct err *packed_name_root(const struct graph *g, const struct root_word *w, uint32_t *ret_holder)
{
	const struct graph_priv *priv = g->priv;
	uint64_t i;
	if (!map64_find(&priv->packed->word_at, key_of(w), &i))
		return err_new(ERR_NOT_FOUND, "0x%" PRIx64 " is no root that the census knows", w->from);
	*ret_holder = priv->packed->holder_of.at[i];
	return NULL;
}
