/* Interior pointers: the cases in which a pointer into the middle of a block is how its owner holds it. Requested sizes are
 * unknown from outside, so every comparison with one allows the slack of one granule. */
#include "graph.h"

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
struct learn {
	struct graph *g;
	struct map64 wanted;	/* chunk bytes -> population of size classes that hold possible blocks */
	struct map64 slots;	/* chunk bytes * 2^20 + offset -> tally */
	VEC(struct tally) tallies;
	bool exact, failed;
};

enum { LEARN_LEAST = 64, LEARN_MAX_OFFSET = 4096 };

static void on_learn_word(void *ctx, uint64_t from, uint64_t value)
{
	struct learn *l = ctx;
	struct target_block t;
	(void)from;
	const struct blocks *b = l->g->blocks;
	if (graph_resolve(b, value, &t) != HIT_INTERIOR || t.offset >= LEARN_MAX_OFFSET || !t.r->groups)
		return;
	uint64_t bytes = block_chunk_bytes_of(b, &t), population, slot;
	if (bytes >> 40 || !map64_find(&l->wanted, bytes, &population))
		return;
	uint64_t key = bytes << 20 | t.offset;
	if (!map64_find(&l->slots, key, &slot)) {
		if (l->exact)
			return;
		struct tally *new = vec_push(&l->tallies);
		if (!new || !map64_put(&l->slots, key, l->tallies.n - 1)) {
			l->failed = true;
			return;
		}
		*new = (struct tally){ .chunk_bytes = bytes, .offset = t.offset, .population = population };
		slot = l->tallies.n - 1;
	}
	struct tally *y = &l->tallies.at[slot];
	if (!l->exact) {
		y->hits++;
		return;
	}
	if (!y->seen)
		return;
	block_id id = block_id_of(&t);
	if (!block_state_is_used(blocks_state(b, id)) || bit_test(y->seen, id))
		return;
	bit_set(y->seen, id);
	y->distinct++;
}

static void each_word(struct learn *l)
{
	struct graph *g = l->g;
	struct block_cursor c;
	const struct graph_priv *priv = g->priv;
	for (size_t i = 0; i < priv->regions.n; i++)
		graph_each_candidate(g, priv->regions.at[i].start, priv->regions.at[i].end - priv->regions.at[i].start, on_learn_word, l);
	for (blocks_begin(g->blocks, &c); blocks_next(&c) && !interrupted;)
		if (block_state_is_used(c.state))
			graph_each_candidate(g, c.payload, c.usable, on_learn_word, l);
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
	for (size_t i = 0; i < l->tallies.n; i++) {
		struct tally *y = &l->tallies.at[i];
		if (y->distinct < LEARN_LEAST || y->distinct * 10 < y->population * 9)
			continue;
		struct learned *new = vec_push(&priv->learned);
		if (!new)
			return false;
		*new = (struct learned){ y->chunk_bytes, y->offset };
	}
	return true;
}

struct err *graph_learn_offsets(struct graph *g, bool *ret_new)
{
	struct learn l = { .g = g };
	struct graph_priv *priv = g->priv;
	bool ok = want_classes(&l);
	*ret_new = false;
	if (ok && l.wanted.n && !(priv->o.rules_off >> RULE_LEARNED & 1)) {
		each_word(&l);
		bool any = false;
		for (size_t i = 0; i < l.tallies.n && !l.failed; i++) {
			struct tally *y = &l.tallies.at[i];
			if (y->hits < LEARN_LEAST || y->hits * 10 < y->population * 9)
				continue;
			y->seen = calloc(g->blocks->n / 64 + 1, sizeof *y->seen);
			l.failed |= !y->seen;
			any = true;
		}
		l.exact = true;
		if (any && !l.failed)
			each_word(&l);
		ok = !l.failed && keep_best(&l);
		*ret_new = priv->learned.n;
	}
	for (size_t i = 0; i < l.tallies.n; i++)
		free(l.tallies.at[i].seen);
	vec_free(&l.tallies);
	map64_free(&l.wanted);
	map64_free(&l.slots);
	return ok ? NULL : err_nomem();
}
