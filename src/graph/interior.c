/* Interior pointers: the cases in which a pointer into the middle of a block is how its owner holds it. Requested sizes are
 * unknown from outside, so every comparison with one allows the slack of one granule. */
#include "pieces.h"

#include <pthread.h>

static const char *const rule_names[N_INTERIOR_RULES] = {
	"new-array", "base-class", "length-prefix", "old-string", "hashbrown", "learned", "dtv", "dl-find-object", "tsearch", "mangled", "stack-block",
};

const char *interior_rule_name(enum interior_rule r)
{
	return r < N_INTERIOR_RULES ? rule_names[r] : "unknown";
}

struct subject {
	const struct graph_priv *priv;
	const struct blocks *b;
	uint64_t payload, usable, offset, p, from;
	unsigned w, slack;
	bool mapped;
};

static bool word_of(const struct subject *s, uint64_t address, uint64_t *ret)
{
	return image_word(s->priv->img, address, ret);
}

/* new T[n] with a destructor: the count stands in front of the first element (Itanium C++ ABI 2.7, array cookies). */
static bool new_array(const struct subject *s)
{
	uint64_t n;
	if (s->offset != s->w || !word_of(s, s->payload, &n))
		return false;
	if (!n)
		return s->usable <= 4 * s->w - s->w; /* new T[0]: a smallest block */
	/* Some whole element size, with at most a granule of slack and one of a remainder too small to split off; a mapping
	 * of its own ends at a page. */
	uint64_t room = s->usable - s->w, slack = s->mapped ? room : 2 * s->slack;
	return n <= room && room % n < slack;
}

/* A second base class: both the block's first word and the word pointed at are vtables. */
static bool base_class(const struct subject *s)
{
	uint64_t first, here;
	if (s->offset % s->w || s->offset + s->w > s->usable)
		return false;
	if (!word_of(s, s->payload, &first) || !word_of(s, s->p, &here) || first % s->w || here % s->w || !first || !here)
		return false;
	/* The symbol tables are built when first asked, and markers ask side by side. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&lock);
	bool yes = modules_looks_like_vtable(s->priv->ms, first) && modules_looks_like_vtable(s->priv->ms, here);
	pthread_mutex_unlock(&lock);
	return yes;
}

/* SQLite keeps the size in 8 bytes in front (src/mem1.c: sqlite3MemMalloc). */
static bool length_prefix(const struct subject *s)
{
	uint64_t n;
	if (s->offset != 8 || !word_of(s, s->payload, &n))
		return false;
	return n && n + 8 <= s->usable && s->usable - (n + 8) < s->slack;
}

/* libstdc++'s reference-counted std::string (bits/cow_string.h: _Rep { length, capacity, refcount }). */
static bool old_string(const struct subject *s)
{
	uint64_t length, capacity;
	if (s->offset != 3 * s->w || !word_of(s, s->payload, &length) || !word_of(s, s->payload + s->w, &capacity))
		return false;
	return length <= capacity && capacity < s->usable && 3 * s->w + capacity + 1 <= s->usable;
}

/* Rust's HashMap (hashbrown src/raw/mod.rs) holds only the address of its control bytes, which lie behind the buckets. */
static bool control_bytes_fit(const struct subject *s, uint64_t buckets, unsigned group)
{
	uint8_t first[16], repeat[16];
	if (s->offset + buckets + group > s->usable || !image_read(s->priv->img, s->p, first, group) ||
	    !image_read(s->priv->img, s->p + buckets, repeat, group))
		return false;
	/* Tables smaller than a group repeat what they have. */
	uint64_t same = buckets < group ? buckets : group;
	if (memcmp(first, repeat, same))
		return false;
	uint64_t in_use = 0, empty = 0;
	for (uint64_t at = 0; at < buckets; at += 256) {
		uint8_t piece[256];
		uint64_t n = buckets - at < sizeof piece ? buckets - at : sizeof piece;
		if (!image_read(s->priv->img, s->p + at, piece, n))
			return false;
		for (uint64_t i = 0; i < n; i++) {
			if (piece[i] > 0x80 && piece[i] != 0xff)
				return false;
			in_use += piece[i] < 0x80;
			empty += piece[i] == 0xff;
		}
	}
	/* bucket_mask_to_capacity(): at most seven of eight are in use, and a search ends at one that is empty. Zeroed memory
	 * would do otherwise, where a word beside happens to be a mask. */
	return empty && in_use <= (buckets <= 8 ? buckets - 1 : buckets / 8 * 7);
}

static bool hashbrown(const struct subject *s)
{
	unsigned group = image_arch(s->priv->img)->elf_machine == 183 ? 8 : 16; /* EM_AARCH64 */
	if (!s->from || s->offset % group)
		return false;
	for (int side = -3; side <= 3; side++) {
		uint64_t q;
		if (!side || !word_of(s, s->from + (uint64_t)(int64_t)(side * (int)s->w), &q))
			continue;
		uint64_t buckets = q + 1;
		if (!q || !buckets || buckets & q || buckets > s->offset) /* all ones: no mask, 0 buckets */
			continue;
		/* Buckets of some whole size, rounded up to a group's alignment. */
		if (s->offset / buckets * buckets + 16 > s->offset && control_bytes_fit(s, buckets, group))
			return true;
	}
	return false;
}

/* tsearch(3) keeps a node's colour in bit 0 of its left child (misc/tsearch.c, 2.25): nodes of three words. */
static bool tsearch_node(const struct subject *s)
{
	return s->offset == 1 && s->usable == 3 * s->w;
}

/* ld.so aligns its map of segments by hand (elf/dl-find_object.c, 2.35): a pointer rounded up to 128. */
static bool dl_find_object(const struct subject *s)
{
	const struct module *m = s->offset <= 112 && s->p % 64 == 0 && s->from ? modules_at(s->priv->ms, s->from) : NULL;
	return m && m->role == MODULE_LDSO;
}

static bool learned(const struct subject *s, uint64_t chunk_bytes)
{
	for (size_t i = 0; i < s->priv->learned.n; i++)
		if (s->priv->learned.at[i].chunk_bytes == chunk_bytes && s->priv->learned.at[i].offset == s->offset)
			return true;
	return false;
}

int graph_interior_rule(struct graph *g, const struct target_block *t, uint64_t p, uint64_t from)
{
	const struct graph_priv *priv = g->priv;
	const struct blocks *b = g->blocks;
	uint64_t bytes = block_chunk_bytes_of(b, t);
	struct subject s = { .priv = priv, .b = b, .payload = block_payload_of(b, t), .offset = t->offset, .p = p, .from = from,
			     .w = priv->word, .slack = 1u << b->granule_shift, .mapped = !t->r->groups };
	s.usable = alloc_usable(b->alloc, &b->alloc->segments.at[t->r->segment], s.payload - b->header, bytes);
	uint32_t off = priv->o.rules_off;
#define RULE(r, test)                                                                                                  \
	if (!(off >> (r)&1) && (test))                                                                                 \
	return r
	RULE(RULE_NEW_ARRAY, new_array(&s));
	RULE(RULE_LENGTH_PREFIX, length_prefix(&s));
	RULE(RULE_OLD_STRING, old_string(&s));
	RULE(RULE_LEARNED, learned(&s, bytes));
	RULE(RULE_BASE_CLASS, base_class(&s));
	RULE(RULE_HASHBROWN, hashbrown(&s));
	RULE(RULE_TSEARCH, tsearch_node(&s));
	RULE(RULE_DL_FIND, dl_find_object(&s));
#undef RULE
	return -1;
}

/* Learned offsets: count, over every word that points into the middle of a block, which (size, offset) pairs reach how many
 * different blocks. Two passes: candidates first, then the exact count. */
struct tally { uint64_t chunk_bytes, offset, hits, distinct, population; uint64_t *seen; };
struct tallies {
	struct map64 slots;	/* chunk bytes * 2^20 + offset -> index */
	VEC(struct tally) list;
	bool failed;
};
struct learn {
	struct graph *g;
	struct map64 wanted;	/* chunk bytes -> population of size classes that hold possible blocks */
	struct tallies all;
	struct group_pieces pieces;
	pthread_mutex_t lock;	/* of all, while candidates are gathered */
};
struct learn_part { /* the candidates of a piece */
	const struct learn *l;
	struct tallies own;
};

enum { LEARN_LEAST = 64, LEARN_MAX_OFFSET = 4096 };

/* The pair that this word is a case of, as a key; 0: none that is asked for. */
static uint64_t pair_of(const struct learn *l, uint64_t value, struct target_block *t, uint64_t *ret_population)
{
	const struct blocks *b = l->g->blocks;
	if (graph_resolve(b, value, t) != HIT_INTERIOR || t->offset >= LEARN_MAX_OFFSET || !t->r->groups)
		return 0;
	uint64_t bytes = block_chunk_bytes_of(b, t);
	return bytes >> 40 || !map64_find(&l->wanted, bytes, ret_population) ? 0 : bytes << 20 | t->offset;
}

static void count_hits(struct tallies *to, uint64_t pair, uint64_t population, uint64_t hits)
{
	uint64_t slot;
	if (!map64_find(&to->slots, pair, &slot)) {
		struct tally *new = vec_push(&to->list);
		slot = to->list.n - 1;
		if (!new || !map64_put(&to->slots, pair, slot)) {
			to->failed = true;
			return;
		}
		*new = (struct tally){ .chunk_bytes = pair >> 20, .offset = pair & ((1u << 20) - 1), .population = population };
	}
	to->list.at[slot].hits += hits;
}

static void on_learn_word(void *ctx, uint64_t from, uint64_t value)
{
	struct learn_part *p = ctx;
	struct target_block t;
	uint64_t population, pair = pair_of(p->l, value, &t, &population);
	(void)from;
	if (pair)
		count_hits(&p->own, pair, population, 1);
}

static void on_exact_word(void *ctx, uint64_t from, uint64_t value)
{
	struct learn *l = ctx;
	struct target_block t;
	uint64_t population, slot, pair = pair_of(l, value, &t, &population);
	(void)from;
	if (!pair || !map64_find(&l->all.slots, pair, &slot) || !l->all.list.at[slot].seen)
		return;
	struct tally *y = &l->all.list.at[slot];
	block_id id = block_id_of(&t);
	uint64_t bit = 1ul << id % 64;
	if (block_state_is_used(blocks_state(l->g->blocks, id)) && !(__atomic_fetch_or(&y->seen[id / 64], bit, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_add(&y->distinct, 1, __ATOMIC_RELAXED);
}

static void each_word_of_piece(const struct learn *l, size_t i, graph_word_fn *f, void *ctx)
{
	const struct group_piece *piece = &l->pieces.list.at[i];
	const struct region *r = piece->region;
	block_id first = r->groups ? r->groups[piece->from].rank : r->first_id;
	block_id end = piece->to < r->n_groups ? r->groups[piece->to].rank : r->first_id + r->n_ids;
	struct block_cursor c;
	blocks_begin(l->g->blocks, &c);
	blocks_seek(&c, first);
	while (first < end && blocks_next(&c) && c.id < end && !interrupted)
		if (block_state_is_used(c.state))
			graph_each_candidate(l->g, c.payload, c.usable, f, ctx);
}

static void each_word_of_roots(const struct learn *l, graph_word_fn *f, void *ctx)
{
	const struct graph_priv *priv = l->g->priv;
	for (size_t i = 0; i < priv->regions.n; i++)
		graph_each_candidate(l->g, priv->regions.at[i].start, priv->regions.at[i].end - priv->regions.at[i].start, f, ctx);
}

static void take_over(struct learn *l, struct tallies *own)
{
	l->all.failed |= own->failed;
	for (size_t i = 0; i < own->list.n; i++) {
		const struct tally *y = &own->list.at[i];
		count_hits(&l->all, y->chunk_bytes << 20 | y->offset, y->population, y->hits);
	}
	vec_free(&own->list);
	map64_free(&own->slots);
}

static void candidates_of_piece(void *ctx, size_t i)
{
	struct learn *l = ctx;
	struct learn_part p = { .l = l };
	each_word_of_piece(l, i, on_learn_word, &p);
	pthread_mutex_lock(&l->lock);
	take_over(l, &p.own);
	pthread_mutex_unlock(&l->lock);
}

static void exact_of_piece(void *ctx, size_t i)
{
	each_word_of_piece(ctx, i, on_exact_word, ctx);
}

static bool want_classes(struct learn *l)
{
	struct graph *g = l->g;
	struct map64 all = { 0 }, possible = { 0 };
	struct block_cursor c;
	bool ok = true;
	for (blocks_begin(g->blocks, &c); blocks_next(&c) && ok && !interrupted;) {
		uint64_t n = 0;
		if (c.state != BLOCK_USED)
			continue;
		map64_find(&all, c.chunk_bytes, &n);
		ok = map64_put(&all, c.chunk_bytes, n + 1);
		if (g->class_of[c.id] == CLASS_POSSIBLE)
			ok = ok && map64_put(&possible, c.chunk_bytes, 1);
	}
	for (size_t i = 0; i < possible.cap && ok; i++) {
		uint64_t n;
		if (possible.used[i] && map64_find(&all, possible.keys[i], &n) && n >= LEARN_LEAST)
			ok = map64_put(&l->wanted, possible.keys[i], n);
	}
	map64_free(&all);
	map64_free(&possible);
	return ok;
}

static bool keep_best(struct learn *l)
{
	struct graph_priv *priv = l->g->priv;
	for (size_t i = 0; i < l->all.list.n; i++) {
		struct tally *y = &l->all.list.at[i];
		if (y->distinct < LEARN_LEAST || y->distinct * 10 < y->population * 9)
			continue;
		struct learned *new = vec_push(&priv->learned);
		if (!new)
			return false;
		*new = (struct learned){ y->chunk_bytes, y->offset };
	}
	return true;
}

/* Those that are worth an exact count get room for one. */
static bool choose_candidates(struct learn *l, bool *ret_any)
{
	*ret_any = false;
	for (size_t i = 0; i < l->all.list.n; i++) {
		struct tally *y = &l->all.list.at[i];
		if (y->hits < LEARN_LEAST || y->hits * 10 < y->population * 9)
			continue;
		y->seen = calloc(l->g->blocks->n / 64 + 1, sizeof *y->seen);
		if (!y->seen)
			return false;
		*ret_any = true;
	}
	return true;
}

static bool learn(struct learn *l)
{
	struct learn_part roots = { .l = l };
	bool any;
	if (!graph_cut_groups(l->g, &l->pieces))
		return false;
	each_word_of_roots(l, on_learn_word, &roots);
	take_over(l, &roots.own);
	graph_each_piece(l->g, l->pieces.list.n, candidates_of_piece, l);
	if (l->all.failed || !choose_candidates(l, &any))
		return false;
	if (any) {
		each_word_of_roots(l, on_exact_word, l);
		graph_each_piece(l->g, l->pieces.list.n, exact_of_piece, l);
	}
	return keep_best(l);
}

struct err *graph_learn_offsets(struct graph *g, bool *ret_new)
{
	struct learn l = { .g = g, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct graph_priv *priv = g->priv;
	bool ok = want_classes(&l);
	*ret_new = false;
	if (ok && l.wanted.n && !(priv->o.rules_off >> RULE_LEARNED & 1)) {
		ok = learn(&l);
		*ret_new = priv->learned.n;
	}
	for (size_t i = 0; i < l.all.list.n; i++)
		free(l.all.list.at[i].seen);
	vec_free(&l.all.list);
	vec_free(&l.pieces.list);
	map64_free(&l.wanted);
	map64_free(&l.all.slots);
	return ok ? NULL : err_nomem();
}
