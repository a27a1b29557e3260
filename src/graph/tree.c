/* Dominators: a block's dominator is the node that every chain from a root to it passes; what a node dominates is what it
 * alone keeps alive, its retained size. Semi-NCA (L. Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems",
 * 2005, chapter 2), on preorder numbers, with flat arrays and no recursion. The graph is extracted once as compressed rows:
 * sources come in ascending order, so that one pass suffices. At its peak it needs the rows forward and backward and three
 * tables: about 36 bytes a block at 1.8 pointers each. */
#include "edges.h"

struct rows { /* edges of node i: to[first[i] .. first[i + 1]) */
	uint32_t *first;
	VEC(uint32_t) to;
};

struct build {
	struct graph *g;
	const struct graph_priv *priv;
	struct tree *t;
	struct rows out, in;	/* by node; by preorder number */
	uint32_t filled;	/* rows of `out` that are begun */
	uint32_t *number;	/* node -> preorder number, from 1; 0: not reached */
	uint32_t *vertex;	/* number -> node */
	uint32_t *parent;	/* number -> number, in the depth-first tree */
	uint32_t n;		/* numbers given */
	bool nomem;
};

static void add_edge(struct build *b, uint32_t from, uint32_t to)
{
	while (b->filled <= from)
		b->out.first[b->filled++] = (uint32_t)b->out.to.n;
	if (b->out.to.n == b->out.to.cap && (b->out.to.n >= UINT32_MAX - 1 || !vec_reserve(&b->out.to, b->out.to.cap + 4096)))
		b->nomem = true;
	else
		b->out.to.at[b->out.to.n++] = to;
}

static void on_edge(void *ctx, const struct edge *e)
{
	struct build *b = ctx;
	uint8_t class = b->g->class_of[e->id];
	if (class == CLASS_NONE || class == CLASS_POSSIBLE || b->nomem)
		return;
	/* What has leaked keeps nothing alive but what leaked with it. */
	if (!graph_is_leaked(b->g, e->id) && tree_is_block(b->t, e->source) && graph_is_leaked(b->g, tree_block(b->t, e->source)))
		return;
	add_edge(b, e->source, tree_node(b->t, e->id));
}

static int by_holder(const void *a, const void *b)
{
	const struct named_word *x = a, *y = b;
	return x->holder < y->holder ? -1 : x->holder > y->holder ? 1 : x->word < y->word ? -1 : x->word > y->word;
}

/* The rows of the root, of the holders and of "(leaked)". */
static void add_roots(struct build *b, struct edge_scan *s, const struct named_word *named)
{
	const struct graph_priv *priv = b->priv;
	for (size_t i = 0; i < priv->words.n; i++)
		if (!i || named[i].holder != named[i - 1].holder)
			add_edge(b, 0, 1 + named[i].holder);
	add_edge(b, 0, tree_leaked(b->t));
	for (size_t i = 0; i < priv->runtime_ids.n; i++)
		add_edge(b, 0, tree_node(b->t, priv->runtime_ids.at[i]));
	for (size_t i = 0; i < priv->words.n && !b->nomem; i++) {
		const struct root_word *w = &priv->words.at[named[i].word];
		s->source = 1 + named[i].holder;
		graph_edge_word(s, w);
	}
	graph_edge_drain(s);
	for (block_id id = 0; id < b->g->blocks->n && !interrupted; id++)
		if (b->g->class_of[id] == CLASS_DEFINITE)
			add_edge(b, tree_leaked(b->t), tree_node(b->t, id));
}

static bool has_edges(const struct build *b, const struct block_cursor *c)
{
	uint8_t class = b->g->class_of[c->id];
	if (class == CLASS_NONE || class == CLASS_POSSIBLE || !block_state_is_used(c->state))
		return false;
	if (class == CLASS_RUNTIME && graph_is_tcache(b->g, c->payload))
		return false;
	return !b->priv->stack_ids.n || !graph_is_stack_block(b->priv, c->id);
}

static struct err *extract(struct build *b)
{
	AUTO_FREE struct named_word *named = calloc(b->priv->words.n + 1, sizeof *named);
	if (!named)
		return err_nomem();
	TRY(graph_name_words(b->g, named));
	qsort(named, b->priv->words.n, sizeof *named, by_holder);
	b->t->n_holders = (uint32_t)b->g->holders.n;
	b->t->n = b->t->n_holders + 2 + b->g->blocks->n;
	b->out.first = malloc((b->t->n + 2ul) * sizeof *b->out.first);
	if (!b->out.first)
		return err_nomem();
	struct edge_scan s = { .g = b->g, .f = on_edge, .ctx = b, .table = b->out.first + tree_node(b->t, 0), .strong_only = true };
	struct block_cursor c;
	add_roots(b, &s, named);
	for (blocks_begin(b->g->blocks, &c); blocks_next(&c) && !b->nomem && !interrupted;)
		if (has_edges(b, &c))
			graph_edge_block(&s, c.id, c.payload, c.usable, tree_node(b->t, c.id));
	graph_edge_drain(&s);
	while (b->filled <= b->t->n)
		b->out.first[b->filled++] = (uint32_t)b->out.to.n;
	b->t->edges = b->out.to.n;
	return b->nomem ? err_nomem() : NULL;
}

struct open_node { uint32_t node, next; };

static struct err *number_nodes(struct build *b)
{
	VEC(struct open_node) stack = { 0 };
	b->number = calloc(b->t->n + 1ul, sizeof *b->number);
	b->vertex = malloc((b->t->n + 1ul) * sizeof *b->vertex);
	b->parent = malloc((b->t->n + 1ul) * sizeof *b->parent);
	struct open_node *top = vec_push(&stack);
	if (!b->number || !b->vertex || !b->parent || !top) {
		vec_free(&stack);
		return err_nomem();
	}
	*top = (struct open_node){ 0, b->out.first[0] };
	b->number[0] = ++b->n;
	b->vertex[1] = 0;
	b->parent[1] = 0;
	while (stack.n && !interrupted) {
		top = &stack.at[stack.n - 1];
		if (top->next == b->out.first[top->node + 1]) {
			stack.n--;
			continue;
		}
		uint32_t to = b->out.to.at[top->next++], from = b->number[top->node];
		if (top->next < b->out.first[top->node + 1])
			__builtin_prefetch(&b->number[b->out.to.at[top->next]]);
		if (b->number[to])
			continue;
		b->number[to] = ++b->n;
		b->vertex[b->n] = to;
		b->parent[b->n] = from;
		if (b->out.first[to] == b->out.first[to + 1])
			continue;
		if (stack.n == stack.cap && !vec_reserve(&stack, stack.cap + 4096)) {
			b->nomem = true;
			break;
		}
		stack.at[stack.n++] = (struct open_node){ to, b->out.first[to] };
	}
	vec_free(&stack);
	return b->nomem ? err_nomem() : NULL;
}

/* The rows backward, in preorder numbers; the forward ones go. */
static struct err *turn_round(struct build *b)
{
	b->in.first = calloc(b->n + 3ul, sizeof *b->in.first);
	b->in.to.at = malloc((b->out.to.n + 1) * sizeof *b->in.to.at);
	if (!b->in.first || !b->in.to.at)
		return err_nomem();
	for (uint32_t i = 1; i <= b->n && !interrupted; i++)
		for (uint32_t k = b->out.first[b->vertex[i]]; k < b->out.first[b->vertex[i] + 1]; k++)
			b->in.first[b->number[b->out.to.at[k]] + 2]++;
	for (uint32_t i = 3; i <= b->n + 2; i++)
		b->in.first[i] += b->in.first[i - 1];
	/* first[v + 1] is where the next edge of v goes; when all are in, it is where v's row ends. */
	for (uint32_t i = 1; i <= b->n && !interrupted; i++) {
		uint32_t node = b->vertex[i];
		for (uint32_t k = b->out.first[node]; k < b->out.first[node + 1]; k++)
			b->in.to.at[b->in.first[b->number[b->out.to.at[k]] + 1]++] = i;
	}
	free(b->out.first);
	b->out.first = NULL;
	vec_free(&b->out.to);
	free(b->number);
	b->number = NULL;
	return NULL;
}

struct forest { uint32_t *up, *label; VEC(uint32_t) path; };

/* The least semidominator on the way from v to the root of its tree in the forest; the way is made short. */
static bool least_on_path(struct forest *f, uint32_t v, uint32_t linked, uint32_t *ret)
{
	f->path.n = 0;
	while (f->up[v] >= linked) {
		if (f->path.n == f->path.cap && !vec_reserve(&f->path, f->path.cap + 64))
			return false;
		f->path.at[f->path.n++] = v;
		v = f->up[v];
	}
	uint32_t least = f->label[v], root = f->up[v];
	while (f->path.n) {
		v = f->path.at[--f->path.n];
		f->up[v] = root;
		if (f->label[v] < least)
			least = f->label[v];
		else
			f->label[v] = least;
	}
	*ret = least;
	return true;
}

static struct err *find_dominators(struct build *b, uint32_t **ret_idom)
{
	AUTO_FREE uint32_t *semi = malloc((b->n + 1ul) * sizeof *semi);
	AUTO_FREE uint32_t *label = malloc((b->n + 1ul) * sizeof *label);
	AUTO_FREE uint32_t *idom = malloc((b->n + 1ul) * sizeof *idom);
	if (!semi || !label || !idom)
		return err_nomem();
	struct forest f = { .up = b->parent, .label = label };
	memcpy(idom, b->parent, (b->n + 1ul) * sizeof *idom);
	for (uint32_t i = 1; i <= b->n; i++)
		label[i] = i;
	for (uint32_t i = b->n; i >= 2 && !interrupted && !b->nomem; i--) {
		semi[i] = idom[i];
		for (uint32_t k = b->in.first[i]; k < b->in.first[i + 1]; k++) {
			uint32_t least;
			if (!least_on_path(&f, b->in.to.at[k], i + 1, &least)) {
				b->nomem = true;
				break;
			}
			if (least < semi[i])
				semi[i] = least;
		}
		label[i] = semi[i];
	}
	vec_free(&f.path);
	for (uint32_t i = 2; i <= b->n && !interrupted && !b->nomem; i++)
		while (idom[i] > semi[i])
			idom[i] = idom[idom[i]];
	*ret_idom = TAKE(idom);
	return b->nomem ? err_nomem() : NULL;
}

static void free_rows(struct rows *r)
{
	free(r->first);
	r->first = NULL;
	vec_free(&r->to);
}

static struct err *sum_retained(struct build *b, const uint32_t *idom)
{
	struct tree *t = b->t;
	struct block_cursor c;
	t->idom = malloc(t->n * sizeof *t->idom);
	t->bytes = calloc(t->n, sizeof *t->bytes);
	t->blocks = calloc(t->n, sizeof *t->blocks);
	if (!t->idom || !t->bytes || !t->blocks)
		return err_nomem();
	for (uint32_t i = 0; i < t->n && !interrupted; i++)
		t->idom[i] = UINT32_MAX;
	for (blocks_begin(b->g->blocks, &c); blocks_next(&c) && !interrupted;) {
		t->bytes[tree_node(t, c.id)] = c.usable;
		t->blocks[tree_node(t, c.id)] = 1;
	}
	t->idom[0] = 0;
	for (uint32_t i = b->n; i >= 2 && !interrupted; i--) {
		uint32_t node = b->vertex[i], up = b->vertex[idom[i]];
		t->idom[node] = up;
		t->bytes[up] += t->bytes[node];
		t->blocks[up] += t->blocks[node];
	}
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static struct err *run(struct build *b)
{
	AUTO_FREE uint32_t *idom = NULL;
	TRY(extract(b));
	if (!interrupted)
		TRY(number_nodes(b));
	if (!interrupted)
		TRY(turn_round(b));
	if (!interrupted)
		TRY(find_dominators(b, &idom));
	free_rows(&b->in);
	free(b->parent);
	b->parent = NULL;
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : sum_retained(b, idom);
}

struct err *graph_tree(struct graph *g, struct tree **ret)
{
	TRY(graph_need_references(g));
	double start = monotonic_seconds();
	struct tree *t = calloc(1, sizeof *t);
	struct build b = { .g = g, .priv = g->priv, .t = t };
	if (!t)
		return err_nomem();
	t->graph = g;
	struct err *e = run(&b);
	free_rows(&b.out);
	free_rows(&b.in);
	free(b.number);
	free(b.vertex);
	free(b.parent);
	if (e) {
		tree_free(t);
		return e;
	}
	t->seconds = monotonic_seconds() - start;
	*ret = t;
	return NULL;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	free(t->idom);
	free(t->bytes);
	free(t->blocks);
	free(t);
}
