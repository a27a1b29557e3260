/* Roots: the memory that is live by definition. Everything readable and writable that is not malloc's own, minus what is
 * known to be dead: stacks below SP, stacks of finished threads, malloc's state. What lies inside malloc's range but was
 * taken by somebody else, and stretches that a damaged header hides, count as live too. */
#include "graph.h"

struct hole { uint64_t start, end; };
struct gather {
	struct graph *g;
	struct graph_priv *priv;
	VEC(struct hole) holes;
	struct root_region region;
	bool failed;
};

static int compare_holes(const void *a, const void *b)
{
	const struct hole *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static bool add_hole(struct gather *ga, uint64_t start, uint64_t end)
{
	if (start >= end)
		return true;
	struct hole *h = vec_push(&ga->holes);
	if (h)
		*h = (struct hole){ start, end };
	return h;
}

static bool add_region(struct gather *ga, uint64_t start, uint64_t end, enum root_kind kind, int thread)
{
	if (start >= end)
		return true;
	struct root_region *r = vec_push(&ga->priv->regions);
	if (r)
		*r = (struct root_region){ start, end, kind, thread };
	return r;
}

/* What is no root: malloc's memory and state, stacks (added again from SP up), dead stacks. */
static bool collect_holes(struct gather *ga)
{
	const struct alloc *a = ga->g->blocks->alloc;
	const struct runtime *rt = ga->priv->rt;
	bool ok = true;
	for (size_t i = 0; i < a->segments.n && ok; i++)
		ok = add_hole(ga, a->segments.at[i].header_from, a->segments.at[i].end);
	for (size_t i = 0; i < a->state_extents.n && ok; i++)
		ok = add_hole(ga, a->state_extents.at[i].start, a->state_extents.at[i].end);
	for (size_t i = 0; i < rt->extents.n && ok; i++) {
		const struct runtime_extent *e = &rt->extents.at[i];
		if (e->kind == EXTENT_TLS)
			continue;
		ok = add_hole(ga, e->start, e->end);
		if (e->kind == EXTENT_STACK && ok)
			ok = add_region(ga, e->live_from > e->start ? e->live_from : e->start, e->end, ROOT_STACK, e->thread);
	}
	if (ga->holes.n)
		qsort(ga->holes.at, ga->holes.n, sizeof *ga->holes.at, compare_holes);
	return ok;
}

static bool is_disk_file(const struct mapping *m)
{
	return m->inode && m->path[0] == '/' && strncmp(m->path, "/dev/shm/", 9) && strncmp(m->path, "/memfd:", 7) &&
	       strncmp(m->path, "/SYSV", 5) && strncmp(m->path, "/dev/zero", 9) && !strstr(m->path, "anon_hugepage");
}

static bool meets_relro(struct gather *ga, const struct mapping *m)
{
	uint64_t page = image_picture(ga->priv->img)->page;
	struct module *mod = modules_at(ga->priv->ms, m->start);
	return mod && mod->relro_end && m->start < align_up(mod->relro_end, page) && m->end > align_down(mod->relro_start, page);
}

static bool is_root(struct gather *ga, const struct mapping *m)
{
	if (m->device || !strncmp(m->path, "[v", 2))
		return false;
	if (m->shared && is_disk_file(m))
		return false; /* taken with --scan-shared alone: then the picture has it and prot says writable */
	if (m->prot & PROT_W)
		return true;
	/* Read-only: RELRO, and memory that the program protected after writing it. */
	return is_disk_file(m) ? meets_relro(ga, m) : !(m->prot & PROT_X);
}

static bool add_mapping(struct gather *ga, const struct mapping *m, size_t *hole)
{
	uint64_t at = m->start;
	while (*hole < ga->holes.n && ga->holes.at[*hole].end <= at)
		++*hole;
	for (size_t h = *hole; at < m->end; h++) {
		uint64_t stop = h < ga->holes.n && ga->holes.at[h].start < m->end ? ga->holes.at[h].start : m->end;
		if (stop > at && !add_region(ga, at, stop, ROOT_MEMORY, -1))
			return false;
		if (stop == m->end || h >= ga->holes.n)
			break;
		if (ga->holes.at[h].end > at)
			at = ga->holes.at[h].end;
	}
	return true;
}

/* A stack that lies in a block (coroutines, pthread_attr_setstack): live from SP on; the block is held by the register. */
static bool add_stack_blocks(struct gather *ga)
{
	const struct runtime *rt = ga->priv->rt;
	const struct blocks *b = ga->g->blocks;
	for (size_t i = 0; i < rt->threads.n; i++) {
		const struct runtime_thread *t = &rt->threads.at[i];
		block_id id = t->live_from ? blocks_at(b, t->live_from) : BLOCK_NONE;
		if (id == BLOCK_NONE || !block_state_is_used(blocks_state(b, id)))
			continue;
		block_id *slot = vec_push(&ga->priv->stack_ids);
		if (!slot)
			return false;
		*slot = id;
		if (!add_region(ga, t->live_from, blocks_payload(b, id) + blocks_usable(b, id), ROOT_STACK, (int)i))
			return false;
	}
	return true;
}

static bool add_inside_heap(struct gather *ga)
{
	struct block_cursor c;
	if (!(ga->g->blocks->seen & (1u << BLOCK_FOREIGN | 1u << BLOCK_LOST | 1u << BLOCK_IN_TRANSIT)))
		return true;
	for (blocks_begin(ga->g->blocks, &c); blocks_next(&c) && !interrupted;)
		if ((c.state == BLOCK_FOREIGN || c.state == BLOCK_LOST || c.state == BLOCK_IN_TRANSIT) &&
		    !add_region(ga, c.chunk, c.chunk + c.chunk_bytes, ROOT_MEMORY, -1))
			return false;
	return true;
}

static void on_word(void *ctx, uint64_t from, uint64_t value)
{
	struct gather *ga = ctx;
	struct target_block t;
	if (graph_resolve(ga->g->blocks, value, &t) == HIT_NONE)
		return;
	struct root_word *w = vec_push(&ga->priv->words);
	if (!w)
		ga->failed = true;
	else
		*w = (struct root_word){ .value = value, .from = from, .thread = (uint32_t)ga->region.thread, .kind = (uint8_t)ga->region.kind };
}

static void scan_regions(struct gather *ga, enum root_kind kind)
{
	for (size_t i = 0; i < ga->priv->regions.n; i++) {
		ga->region = ga->priv->regions.at[i];
		if (ga->region.kind != kind)
			continue;
		uint64_t start = align_up(ga->region.start, ga->priv->word);
		if (start < ga->region.end)
			graph_each_candidate(ga->g, start, ga->region.end - start, on_word, ga);
		ga->g->scanned_root_bytes += ga->region.end - ga->region.start;
	}
}

static void scan_span(struct gather *ga, struct span s)
{
	const struct arch *a = image_arch(ga->priv->img);
	uint64_t v;
	for (size_t off = 0; span_word(s, off, a->word, a->big, &v); off += a->word)
		on_word(ga, 0, v & ga->priv->mask);
}

/* libc's string functions work in AVX-512's upper registers, which nothing clears afterwards: what a memmove() of pointers
 * left there would hold them for ever. In a system call that libc made they are dead (System V ABI: no vector register
 * outlives a call). */
static struct span vectors_of(struct gather *ga, const struct thread *t)
{
	const struct arch *a = image_arch(ga->priv->img);
	const struct module *m = modules_at(ga->priv->ms, arch_reg(a, t->gregs, a->reg_pc));
	bool in_call = t->gregs.n && (int64_t)arch_reg(a, t->gregs, a->reg_syscall) >= 0;
	if (a->low_vectors && t->fpregs.n > a->low_vectors && in_call && m && m->role == MODULE_LIBC)
		return span_sub(t->fpregs, 0, a->low_vectors);
	return t->fpregs;
}

static void scan_registers(struct gather *ga)
{
	const struct picture *p = image_picture(ga->priv->img);
	for (size_t i = 0; i < p->threads.n; i++) {
		ga->region = (struct root_region){ .kind = ROOT_REGISTER, .thread = (int)i };
		scan_span(ga, p->threads.at[i].gregs);
		if (!ga->priv->o.no_vector_roots)
			scan_span(ga, vectors_of(ga, &p->threads.at[i]));
	}
}

static void scan_kernel_words(struct gather *ga)
{
	const struct picture *p = image_picture(ga->priv->img);
	for (size_t i = 0; i < p->kernel_words.n; i++) {
		ga->region = (struct root_region){ .kind = ROOT_KERNEL, .thread = (int)i };
		on_word(ga, 0, p->kernel_words.at[i].value & ga->priv->mask);
	}
}

struct err *graph_gather_roots(struct graph *g)
{
	struct gather ga = { .g = g, .priv = g->priv };
	const struct picture *p = image_picture(ga.priv->img);
	bool ok = collect_holes(&ga);
	size_t hole = 0;
	for (size_t i = 0; i < p->maps.n && ok; i++)
		if (is_root(&ga, &p->maps.at[i]))
			ok = add_mapping(&ga, &p->maps.at[i], &hole);
	ok = ok && add_inside_heap(&ga) && add_stack_blocks(&ga);
	if (ok) {
		scan_regions(&ga, ROOT_MEMORY);
		scan_kernel_words(&ga);
		ga.priv->n_memory = ga.priv->words.n;
		scan_regions(&ga, ROOT_STACK);
		scan_registers(&ga);
		g->root_words = ga.priv->words.n;
	}
	vec_free(&ga.holes);
	return ok && !ga.failed ? NULL : err_nomem();
}
