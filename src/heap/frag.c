/* Why heaps stay large: the highest live block of each, pages that little lives on, how free memory is cut up. One pass over
 * the blocks. */
#include "flotsam/heap.h"

/* Live chunks without a label of their own. */
enum { LABEL_CACHED = UINT32_MAX - 1, LABEL_UNKNOWN = UINT32_MAX - 2 };

struct piece { /* what a live chunk has on the page at hand */
	block_id id;
	uint64_t payload, usable;
	uint32_t bytes;
	bool begins;	/* the chunk starts here: it counts as a block once */
	enum block_state state;
};
struct share { /* of a label on the page at hand */
	uint32_t label;
	uint64_t bytes;
};

struct pass {
	struct session *s;
	struct frag *f;
	struct residency r;
	struct map64 by_label;	/* label -> index into f->sparse */
	uint64_t page;		/* address of the page at hand */
	uint64_t page_free;
	struct piece *pieces;	/* on it; room for as many as fit */
	struct share *shares;
	size_t n_pieces;
	/* The heap at hand. */
	const struct segment *segment;
	struct heap_pin pin;
	bool any_live;
	uint64_t free_here;	/* bytes free so far in this heap */
	uint64_t run_start, run_end;
	bool run_top;
	bool nomem;
};

static bool is_free(enum block_state state)
{
	return block_state_is_free(state) && state != BLOCK_TCACHE;
}

static uint32_t label_of(const struct pass *p, const struct piece *x)
{
	if (block_state_is_used(x->state))
		return types_label_at(p->s->types, x->id, x->payload, x->usable);
	return x->state == BLOCK_TCACHE ? LABEL_CACHED : LABEL_UNKNOWN;
}

static struct sparse_label *sparse_for(struct pass *p, uint32_t label)
{
	uint64_t index;
	if (map64_find(&p->by_label, label, &index))
		return &p->f->sparse.at[index];
	struct sparse_label *slot = vec_push(&p->f->sparse);
	const char *name = label == LABEL_CACHED ? "freed blocks in threads' caches" : label == LABEL_UNKNOWN ? "memory that could not be walked" :
			   p->s->types->labels[label].name;
	if (slot)
		slot->label = strdup(name);
	if (!slot || !slot->label || !map64_put(&p->by_label, label, p->f->sparse.n - 1)) {
		p->nomem = true;
		return NULL;
	}
	slot->min_size = UINT64_MAX;
	return slot;
}

/* Whose page is it? The shares are few: most pages hold one or two kinds. */
static uint32_t dominant(struct pass *p, uint32_t *labels)
{
	size_t n = 0, best = 0;
	for (size_t i = 0; i < p->n_pieces; i++) {
		size_t k = 0;
		while (k < n && p->shares[k].label != labels[i])
			k++;
		if (k == n)
			p->shares[n++] = (struct share){ labels[i], 0 };
		p->shares[k].bytes += p->pieces[i].bytes;
	}
	for (size_t k = 1; k < n; k++)
		if (p->shares[k].bytes > p->shares[best].bytes)
			best = k;
	return p->shares[best].label;
}

static void count_sparse(struct pass *p)
{
	uint32_t *labels = (uint32_t *)(p->shares + p->n_pieces);
	for (size_t i = 0; i < p->n_pieces; i++) {
		labels[i] = label_of(p, &p->pieces[i]);
		p->f->sparse_bytes += p->pieces[i].bytes;
	}
	p->f->sparse_pages++;
	uint32_t owner = dominant(p, labels);
	struct sparse_label *l = sparse_for(p, owner);
	if (!l)
		return;
	l->pages++;
	for (size_t i = 0; i < p->n_pieces; i++) {
		const struct piece *x = &p->pieces[i];
		if (labels[i] != owner)
			continue;
		l->live_bytes += x->bytes;
		l->blocks += x->begins;
		l->sample = l->sample ? l->sample : x->payload;
		l->min_size = x->usable < l->min_size ? x->usable : l->min_size;
		l->max_size = x->usable > l->max_size ? x->usable : l->max_size;
	}
}

static void close_page(struct pass *p)
{
	if (p->n_pieces && 2 * p->page_free >= p->f->page && residency_bytes(&p->r, p->page, p->page + p->f->page))
		count_sparse(p);
	p->n_pieces = 0;
	p->page_free = 0;
}

static void on_page(struct pass *p, const struct block_cursor *c, uint64_t from, uint64_t to)
{
	uint64_t page = align_down(from, p->f->page);
	if (page != p->page) {
		close_page(p);
		p->page = page;
	}
	if (is_free(c->state))
		p->page_free += to - from;
	else if (c->state != BLOCK_FENCE)
		p->pieces[p->n_pieces++] = (struct piece){ c->id, c->payload, c->usable, (uint32_t)(to - from), from == c->chunk, c->state };
}

/* Pages that a chunk has to itself are never sparse: only its first and its last count. */
static void on_pages(struct pass *p, const struct block_cursor *c)
{
	uint64_t end = c->chunk + c->chunk_bytes, first_end = align_down(c->chunk, p->f->page) + p->f->page, last = align_down(end, p->f->page);
	on_page(p, c, c->chunk, end < first_end ? end : first_end);
	if (last >= first_end && last < end)
		on_page(p, c, last, end);
}

static void close_run(struct pass *p)
{
	uint64_t bytes = p->run_end - p->run_start;
	if (!bytes)
		return;
	struct tally *t = &p->f->runs[63 - __builtin_clzl(bytes)];
	t->chunks++;
	t->bytes += bytes;
	p->f->free_bytes += bytes;
	p->f->top_bytes += p->run_top ? bytes : 0;
	p->f->largest_run = bytes > p->f->largest_run ? bytes : p->f->largest_run;
	p->run_start = p->run_end = 0;
	p->run_top = false;
}

static char *pin_label(const struct pass *p, const struct heap_pin *x)
{
	if (block_state_is_used(x->state))
		return strdup(types_name(p->s->types, x->id));
	return strdup(x->state == BLOCK_TCACHE ? "freed, in a thread's cache" : block_state_name(x->state));
}

static struct err *close_heap(struct pass *p)
{
	struct heap_pin *x = &p->pin;
	close_page(p);
	close_run(p);
	if (!p->segment || !p->any_live || x->below_bytes < p->f->page)
		return NULL;
	x->above_bytes = p->free_here - x->below_bytes;
	uint64_t chunk = x->block - p->s->alloc->facts.header;
	x->freed_resident = residency_bytes(&p->r, chunk + x->bytes - x->freed_bytes, chunk + x->bytes);
	x->label = pin_label(p, x);
	x->holders = p->s->holders_done ? graph_set(p->s->graph, x->id) : 0;
	struct heap_pin *slot = vec_push(&p->f->pins);
	if (!slot || !x->label) {
		free(x->label);
		p->f->pins.n -= slot != NULL;
		return err_nomem();
	}
	*slot = *x;
	return NULL;
}

static void open_heap(struct pass *p, const struct segment *s)
{
	p->segment = s;
	p->any_live = false;
	p->free_here = 0;
	p->pin = (struct heap_pin){ .arena = s->arena, .start = s->header_from, .end = s->end };
	p->f->heap_bytes += s->end - s->header_from;
	p->f->resident += residency_bytes(&p->r, s->header_from, s->end);
	p->page = UINT64_MAX;
}

static void on_chunk(struct pass *p, const struct block_cursor *c)
{
	uint64_t end = c->chunk + c->chunk_bytes;
	on_pages(p, c);
	if (is_free(c->state)) {
		if (p->run_end != c->chunk)
			p->run_start = c->chunk;
		p->run_end = end;
		p->run_top = c->state == BLOCK_TOP;
		p->free_here += c->chunk_bytes;
		return;
	}
	if (c->state == BLOCK_FENCE) {
		close_run(p);
		return;
	}
	if (block_state_is_used(c->state)) {
		p->f->used_blocks++;
		p->f->used_bytes += c->usable;
	}
	p->any_live = true;
	p->pin.id = c->id;
	p->pin.block = c->payload;
	p->pin.bytes = c->chunk_bytes;
	p->pin.state = c->state;
	p->pin.below_bytes = p->free_here;
	p->pin.freed_bytes = c->chunk_bytes + (p->run_end == c->chunk ? p->run_end - p->run_start : 0);
	close_run(p);
}

static int by_freed(const void *a, const void *b)
{
	const struct heap_pin *x = a, *y = b;
	if (x->freed_bytes != y->freed_bytes)
		return x->freed_bytes > y->freed_bytes ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static int by_pages(const void *a, const void *b)
{
	const struct sparse_label *x = a, *y = b;
	if (x->pages != y->pages)
		return x->pages > y->pages ? -1 : 1;
	return strcmp(x->label, y->label);
}

static struct err *look(struct pass *p)
{
	struct block_cursor c;
	const struct alloc *a = p->s->alloc;
	/* A page holds at most so many chunks, and a part of one more. The labels stand behind the shares. */
	size_t most = p->f->page / a->facts.granule + 2;
	p->pieces = calloc(most, sizeof *p->pieces);
	p->shares = calloc(most, sizeof *p->shares + sizeof(uint32_t));
	if (!p->pieces || !p->shares)
		return err_nomem();
	for (blocks_begin(p->s->blocks, &c); blocks_next(&c) && !p->nomem;) {
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (c.arena == ARENA_MMAP)
			continue;
		const struct segment *s = &a->segments.at[blocks_cursor_region(&c)->segment];
		if (s != p->segment) {
			TRY(close_heap(p));
			open_heap(p, s);
		}
		on_chunk(p, &c);
	}
	TRY(close_heap(p));
	if (p->f->pins.n)
		qsort(p->f->pins.at, p->f->pins.n, sizeof *p->f->pins.at, by_freed);
	if (p->f->sparse.n)
		qsort(p->f->sparse.at, p->f->sparse.n, sizeof *p->f->sparse.at, by_pages);
	return p->nomem ? err_nomem() : NULL;
}

struct err *heap_frag(struct session *s, struct frag **ret)
{
	struct frag *f = calloc(1, sizeof *f);
	if (!f)
		return err_nomem();
	f->residency_known = s->target->picture.have_pages;
	f->page = s->target->picture.page;
	struct pass p = { .s = s, .f = f, .r = { .p = &s->target->picture } };
	struct err *e = look(&p);
	free(p.pieces);
	free(p.shares);
	map64_free(&p.by_label);
	if (e) {
		heap_frag_free(f);
		return e;
	}
	*ret = f;
	return NULL;
}

void heap_frag_free(struct frag *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->pins.n; i++)
		free(f->pins.at[i].label);
	for (size_t i = 0; i < f->sparse.n; i++)
		free(f->sparse.at[i].label);
	vec_free(&f->pins);
	vec_free(&f->sparse);
	free(f);
}

double frag_unusable(const struct frag *f, uint64_t bytes)
{
	uint64_t shorter = 0;
	for (int i = 0; i < RUN_CLASSES && (uint64_t)1 << i < bytes; i++)
		shorter += f->runs[i].bytes;
	return f->free_bytes ? (double)shorter / (double)f->free_bytes : 0;
}
