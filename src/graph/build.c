/* From roots to classes, in the order of LEAKS.md: strong chains from memory, then from stacks and registers (what they add
 * is stack_only), then weak chains; offsets that nearly all blocks of a size are reached at are learned and the marking is
 * done again with them; mangled pointers are tried last; what no chain reaches is split into definite and indirect. */
#include "pieces.h"
#include "packed.h"

static const char *const class_names[] = { NULL, "reachable", "possible", "definite", "indirect", "runtime" };
static const char *const kind_names[] = { "global", "tls", "libc", "mapping", "kernel", "frame", "register" };

const char *block_class_name(enum block_class c)
{
	return class_names[c];
}

const char *holder_kind_name(enum holder_kind k)
{
	return kind_names[k];
}

static int compare_ids(const void *a, const void *b)
{
	block_id x = *(const block_id *)a, y = *(const block_id *)b;
	return x < y ? -1 : x > y;
}

static bool add_runtime(struct graph *g, uint64_t address)
{
	struct graph_priv *priv = g->priv;
	block_id id = blocks_at(g->blocks, address);
	if (id == BLOCK_NONE || !block_state_is_used(blocks_state(g->blocks, id)))
		return true;
	block_id *slot = vec_push(&priv->runtime_ids);
	if (slot)
		*slot = id;
	return slot;
}

static bool find_runtime_blocks(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	const struct alloc *a = g->blocks->alloc;
	bool ok = true;
	for (size_t i = 0; i < a->tcaches.n && ok; i++)
		ok = add_runtime(g, a->tcaches.at[i].address);
	for (size_t i = 0; i < priv->rt->blocks.n && ok; i++)
		ok = add_runtime(g, priv->rt->blocks.at[i].address);
	if (priv->runtime_ids.n)
		qsort(priv->runtime_ids.at, priv->runtime_ids.n, sizeof *priv->runtime_ids.at, compare_ids);
	return ok;
}

bool graph_is_tcache(const struct graph *g, uint64_t payload)
{
	for (size_t i = 0; i < g->blocks->alloc->tcaches.n; i++)
		if (g->blocks->alloc->tcaches.at[i].address == payload)
			return true;
	return false;
}

struct passing { /* over the index, in pieces */
	struct graph *g;
	const struct group_pieces *pieces;
	enum block_class class;
	bool stack_only;
};

/* Free chunks and bookkeeping are marked before all else: then nothing is ever scanned through them, and the hot path need
 * not look at states. */
static void premark_piece(void *ctx, size_t i)
{
	const struct passing *p = ctx;
	const struct blocks *b = p->g->blocks;
	const struct group_piece *piece = &p->pieces->list.at[i];
	struct region *r = piece->region;
	if (!r->groups)
		r->marks[0] = 0;
	for (uint64_t k = piece->from; k < piece->to; k++) {
		block_id id = r->groups[k].rank;
		for (int w = 0; w < GROUP_WORDS; w++) {
			uint64_t marks = 0;
			for (uint64_t bits = r->groups[k].bits[w]; bits; bits &= bits - 1, id++)
				if (!block_state_is_used(blocks_state(b, id)))
					marks |= bits & -bits;
			r->marks[k * 8 + (uint64_t)w] = marks;
		}
	}
}

static void classify_block(const struct passing *p, block_id id)
{
	if (p->g->class_of[id] || !block_state_is_used(blocks_state(p->g->blocks, id)))
		return;
	p->g->class_of[id] = (uint8_t)p->class;
	if (p->stack_only)
		bit_set(p->g->stack_only_bits, id);
}

static void classify_piece(void *ctx, size_t i)
{
	const struct passing *p = ctx;
	const struct group_piece *piece = &p->pieces->list.at[i];
	const struct region *r = piece->region;
	if (!r->groups && r->n_ids && r->marks[0] & 1)
		classify_block(p, r->first_id);
	for (uint64_t k = piece->from; k < piece->to; k++) {
		block_id id = r->groups[k].rank;
		for (int w = 0; w < GROUP_WORDS; w++) {
			uint64_t marks = r->marks[k * 8 + (uint64_t)w], bits = r->groups[k].bits[w];
			if (!(marks & bits))
				id += bits_set(bits);
			else
				for (; bits; bits &= bits - 1, id++)
					if (marks & bits & -bits)
						classify_block(p, id);
		}
	}
}

/* Gives all blocks that are marked and have no class yet this class. */
static void classify_marked(struct graph *g, const struct group_pieces *pieces, enum block_class class, bool stack_only)
{
	struct passing p = { g, pieces, class, stack_only };
	graph_each_piece(g, pieces->list.n, classify_piece, &p);
}

struct seeds { VEC(uint64_t) at; };

/* Marks a block by its id and notes it for scanning. */
static bool seed(struct graph *g, struct seeds *s, block_id id, bool scan)
{
	struct target_block t;
	uint64_t payload = blocks_payload(g->blocks, id);
	if (graph_resolve(g->blocks, payload, &t) != HIT_START || !graph_mark(&t) || !scan)
		return true;
	uint64_t *slot = vec_push(&s->at);
	if (slot)
		*slot = payload;
	return slot;
}

static struct err *mark_strong(struct graph *g, const struct group_pieces *pieces)
{
	struct graph_priv *priv = g->priv;
	struct seeds s = { 0 };
	for (size_t i = 0; i < priv->runtime_ids.n; i++) {
		block_id id = priv->runtime_ids.at[i];
		/* A tcache's content is malloc's own: it would reach every cached chunk. */
		if (!seed(g, &s, id, !graph_is_tcache(g, blocks_payload(g->blocks, id)))) {
			vec_free(&s.at);
			return err_nomem();
		}
		g->class_of[id] = CLASS_RUNTIME;
	}
	bool stack_blocks = priv->stack_ids.n && !(priv->o.rules_off >> RULE_STACK_BLOCK & 1);
	if (stack_blocks && !(priv->stack_ids_met = calloc(g->blocks->n / 64 + 1, sizeof(uint64_t)))) {
		vec_free(&s.at);
		return err_nomem();
	}
	for (size_t i = 0; i < priv->stack_ids.n && stack_blocks; i++) {
		seed(g, &s, priv->stack_ids.at[i], false);
		g->rule_counts[RULE_STACK_BLOCK]++;
	}
	struct err *e = graph_run_marks(g, MARK_STRONG, priv->words.at, priv->n_memory, s.at.at, s.at.n);
	vec_free(&s.at);
	if (e)
		return e;
	classify_marked(g, pieces, CLASS_REACHABLE, false);
	for (size_t i = 0; i < priv->stack_ids.n && stack_blocks; i++)
		if (!bit_test(priv->stack_ids_met, priv->stack_ids.at[i]))
			bit_set(g->stack_only_bits, priv->stack_ids.at[i]);
	free(priv->stack_ids_met);
	priv->stack_ids_met = NULL;
	uint64_t before = g->marked;
	if (priv->words.n > priv->n_memory)
		TRY(graph_run_marks(g, MARK_STRONG, priv->words.at + priv->n_memory, priv->words.n - priv->n_memory, NULL, 0));
	if (g->marked > before)
		classify_marked(g, pieces, CLASS_REACHABLE, true);
	return NULL;
}

/* Everything below a weakly held block is possible, by whatever pointer. */
static struct err *mark_weak(struct graph *g, const struct group_pieces *pieces)
{
	struct graph_priv *priv = g->priv;
	struct seeds s = { 0 };
	bool ok = true;
	for (uint64_t w = 0; w <= g->blocks->n / 64 && ok; w++)
		for (uint64_t bits = priv->weak[w]; bits && ok; bits &= bits - 1)
			ok = seed(g, &s, (block_id)(w * 64 + (uint64_t)__builtin_ctzl(bits)), true);
	struct err *e = ok ? graph_run_marks(g, MARK_WEAK, NULL, 0, s.at.at, s.at.n) : err_nomem();
	if (!e && s.at.n)
		classify_marked(g, pieces, CLASS_POSSIBLE, false);
	vec_free(&s.at);
	return e;
}

static struct err *mark_all(struct graph *g, const struct group_pieces *pieces)
{
	struct graph_priv *priv = g->priv;
	struct passing p = { .g = g, .pieces = pieces };
	graph_each_piece(g, pieces->list.n, premark_piece, &p);
	memset(g->class_of, 0, g->blocks->n);
	memset(g->stack_only_bits, 0, (g->blocks->n / 64 + 1) * sizeof(uint64_t));
	memset(priv->weak, 0, (g->blocks->n / 64 + 1) * sizeof(uint64_t));
	memset(g->rule_counts, 0, sizeof g->rule_counts);
	g->marked = 0;
	TRY(mark_strong(g, pieces));
	return mark_weak(g, pieces);
}

static void sum_classes(struct graph *g)
{
	struct block_cursor c;
	for (blocks_begin(g->blocks, &c); blocks_next(&c) && !interrupted;) {
		if (!block_state_is_used(c.state))
			continue;
		struct class_sum *s = &g->sums[g->class_of[c.id]];
		s->blocks++;
		s->bytes += c.usable;
		if (bit_test(g->stack_only_bits, c.id)) {
			g->stack_only.blocks++;
			g->stack_only.bytes += c.usable;
		}
	}
}

static bool any_class(const struct graph *g, enum block_class class)
{
	return memchr(g->class_of, class, g->blocks->n);
}

static bool any_unreached(const struct graph *g)
{
	for (block_id id = 0; id < g->blocks->n && !interrupted; id++)
		if (!g->class_of[id] && block_state_is_used(blocks_state(g->blocks, id)))
			return true;
	return false;
}

static struct err *classify_all(struct graph *g, const struct group_pieces *pieces)
{
	TRY(graph_gather_roots(g));
	double start = monotonic_seconds();
	TRY(mark_all(g, pieces));
	g->mark_seconds = monotonic_seconds() - start;
	bool again = false;
	if (any_class(g, CLASS_POSSIBLE))
		TRY(graph_learn_offsets(g, &again));
	if (again)
		TRY(mark_all(g, pieces));
	if (any_unreached(g)) {
		TRY(graph_rescue_mangled(g, &again));
		if (again)
			classify_marked(g, pieces, CLASS_REACHABLE, false);
	}
	TRY(graph_split_unreached(g));
	sum_classes(g);
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static struct err *classify(struct graph *g)
{
	struct group_pieces pieces = { 0 };
	struct err *e = graph_cut_groups(g, &pieces) ? classify_all(g, &pieces) : err_nomem();
	vec_free(&pieces.list);
	return e;
}

struct err *graph_build(struct blocks *b, struct image *img, struct modules *ms, struct runtime *rt,
			const struct graph_options *o, struct graph **ret)
{
	struct graph *g = calloc(1, sizeof *g);
	struct graph_priv *priv = calloc(1, sizeof *priv);
	size_t words = b->n / 64 + 1;
	if (g && priv) {
		g->blocks = b;
		g->priv = priv;
		g->class_of = calloc(b->n + 1u, 1);
		g->stack_only_bits = calloc(words, sizeof(uint64_t));
		priv->weak = calloc(words, sizeof(uint64_t));
	}
	if (!g || !priv || !g->class_of || !g->stack_only_bits || !priv->weak) {
		if (!g)
			free(priv);
		graph_free(g);
		return err_nomem();
	}
	const struct arch *a = image_arch(img);
	priv->img = img;
	priv->ms = ms;
	priv->rt = rt;
	priv->o = *o;
	priv->word = a->word;
	/* Tags: the top byte on aarch64, the 16 top bits on x86-64. */
	priv->mask = UINT64_MAX;
	if (o->tagged && a->word == 8)
		priv->mask >>= a->address_bits > 48 ? 8 : 16;
	struct err *e = find_runtime_blocks(g) ? classify(g) : err_nomem();
	blocks_drop_marks(b);
	if (e) {
		graph_free(g);
		return e;
	}
	*ret = g;
	return NULL;
}

struct err *graph_need_references(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	if (!priv)
		return err_hint(err_new(ERR_UNSUPPORTED, "this census holds no references"), "flotsam snap PID -o FILE keeps them");
	return priv->packed ? packed_open(g) : NULL;
}

void graph_priv_clear(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	if (priv->namer)
		graph_namer_free(priv->namer, image_picture(priv->img)->threads.n);
	packed_free(priv->packed);
	free(priv->parents);
	vec_free(&priv->regions);
	vec_free(&priv->words);
	vec_free(&priv->learned);
	vec_free(&priv->runtime_ids);
	vec_free(&priv->stack_ids);
	vec_free(&priv->unreached);
	free(priv->weak);
	free(priv->stack_ids_met);
	*priv = (struct graph_priv){ .img = priv->img, .ms = priv->ms, .rt = priv->rt, .o = priv->o, .mask = priv->mask, .word = priv->word };
}

void graph_free(struct graph *g)
{
	if (!g)
		return;
	struct graph_priv *priv = g->priv;
	if (priv)
		graph_priv_clear(g);
	free(priv);
	for (size_t i = 0; i < g->holders.n; i++) {
		free(g->holders.at[i].name);
		free(g->holders.at[i].where);
	}
	vec_free(&g->holders);
	vec_free(&g->sets);
	free(g->set_narrow);
	free(g->set_wide);
	free(g->class_of);
	free(g->stack_only_bits);
	map64_free(&g->leader_of);
	free(g);
}
