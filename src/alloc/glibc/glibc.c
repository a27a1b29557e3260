/* The allocator row of glibc: finds the libc, reads its parameters, lets the files beside this one walk. */
#include "../row.h"
#include "glibc.h"

static bool peek_reader(void *ctx, uint64_t address, void *to, size_t n)
{
	return target_peek(ctx, address, to, n);
}

static bool image_reader(void *ctx, uint64_t address, void *to, size_t n)
{
	return image_read(ctx, address, to, n);
}

static struct err *locate(struct target *t, struct modules *ms, const struct alloc_options *o, struct quiet_plan *quiet)
{
	struct module *libc = modules_by_role(ms, MODULE_LIBC);
	struct glibc_place p;
	if (!libc)
		return err_new(ERR_NOT_FOUND, "no libc is mapped");
	struct glibc_reader r = { peek_reader, t, t->arch->word, t->arch->big };
	struct glibc_search q = { ms, libc, t->arch, &t->picture, r, o->from };
	TRY(glibc_find(&q, &p));
	AUTO_FREE uint64_t *arenas = calloc(LIMIT_ARENAS, sizeof *arenas);
	if (!arenas || !glibc_code(ms, libc, quiet))
		return err_nomem();
	size_t n;
	glibc_ring(&r, &p, arenas, LIMIT_ARENAS, &n); /* what was seen of an open ring is worth a look as well */
	for (size_t i = 0; i < n; i++) {
		uint64_t *slot = vec_push(&quiet->mutexes);
		if (!slot)
			return err_nomem();
		*slot = arenas[i];
	}
	return NULL;
}

static void read_params(struct glibc *g)
{
	const struct params_layout *p = &g->l->params;
	struct alloc_facts *f = &g->alloc->facts;
	uint64_t at = g->place.params, hugepage = 0, bins;
	uint32_t n_mmaps = 0, n_mmaps_max = 0, fixed = 0;
	/* malloc/arena.c: HEAP_MAX_SIZE = 2 * DEFAULT_MMAP_THRESHOLD_MAX */
	g->heap_max = g->w == 8 ? 64u << 20 : 1u << 20;
	g->tcache_count = 7;
	if (!at)
		return;
	image_word(g->img, at, &f->trim_threshold);
	image_word(g->img, at + g->w, &f->top_pad);
	image_word(g->img, at + 2 * g->w, &f->mmap_threshold);
	image_u32(g->img, at + p->n_mmaps, &n_mmaps);
	f->n_mmaps = n_mmaps;
	image_u32(g->img, at + p->n_mmaps_max, &n_mmaps_max);
	f->n_mmaps_max = n_mmaps_max;
	/* malloc_par: n_mmaps_max, max_n_mmaps, no_dyn_threshold; arena_test, arena_max stand behind mmap_threshold. */
	image_u32(g->img, at + p->n_mmaps_max + 8, &fixed);
	f->fixed_threshold = fixed;
	image_word(g->img, at + 4 * g->w, &f->arena_max);
	image_word(g->img, at + p->mmapped_mem, &f->mmapped_mem);
	image_word(g->img, at + p->sbrk_base, &g->sbrk_base);
	image_word(g->img, at + p->tcache_count, &g->tcache_count);
	f->tcache_count = g->tcache_count;
	/* Overwritten to make malloc() take links from behind the cache's record. */
	if (image_word(g->img, at + p->tcache_bins, &bins) && bins > g->l->tcache.bins)
		findings_add_words(&g->alloc->findings,
				   &(struct finding){ .kind = "bad-params", .address = at + p->tcache_bins, .expected = g->l->tcache.bins,
						      .has_expected = true, .found = bins, .has_found = true },
				   "a thread's cache is said to have more lists than there is room for");
	if (p->hp_pagesize) { /* thp_pagesize, hp_pagesize */
		image_word(g->img, at + p->hp_pagesize - g->w, &f->huge_page);
		image_word(g->img, at + p->hp_pagesize, &hugepage);
	}
	if (hugepage >= 1u << 16 && hugepage <= 1u << 30 && !(hugepage & (hugepage - 1)) && g->l->heap_max_hugepage)
		g->heap_max = 4 * hugepage;
	struct runtime_extent *e = vec_push(&g->alloc->state_extents);
	if (e)
		*e = (struct runtime_extent){ .start = at, .end = at + p->tcache_count + 2 * g->w, .kind = EXTENT_ALLOCATOR, .thread = -1 };
}

enum { ANONYMOUS_MUCH = 1 << 20 };

/* Bytes held of private anonymous memory that is no main stack. */
static uint64_t anonymous_bytes(struct image *img)
{
	const struct picture *p = image_picture(img);
	uint64_t sum = 0;
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct mapping *m = picture_mapping(p, p->extents.at[i].address);
		if (m && !m->inode && !m->path[0] && m->prot & PROT_W)
			sum += p->extents.at[i].bytes;
	}
	return sum;
}

static struct err *open_glibc(struct image *img, struct modules *ms, struct runtime *rt, struct alloc *a)
{
	struct module *libc = modules_by_role(ms, MODULE_LIBC);
	if (!libc)
		return err_new(ERR_NOT_FOUND, "no libc is mapped");
	struct glibc *g = calloc(1, sizeof *g);
	if (!g)
		return err_nomem();
	a->priv = g;
	*g = (struct glibc){ .alloc = a, .img = img, .ms = ms, .rt = rt, .arch = image_arch(img) };
	struct glibc_search q = { ms, libc, g->arch, image_picture(img), { image_reader, img, g->arch->word, g->arch->big }, a->options.from };
	TRY(glibc_find(&q, &g->place));
	g->l = g->place.layout;
	g->w = g->arch->word;
	g->header = 2 * g->w;
	g->granule = 16; /* MALLOC_ALIGNMENT, i386 since 2.26 too (sysdeps/i386/malloc-alignment.h) */
	g->min_chunk = 4 * g->w;
	if (!glibc_who_is_inside(g, libc))
		return err_nomem();
	a->facts = (struct alloc_facts){ .name = "glibc", .found_by = g->place.found_by, .granule = g->granule, .header = g->header,
					 .mmap_tail = g->l->mmap_trailer ? g->w : 0, .min_chunk = g->min_chunk,
					 /* malloc.c: PROTECT_PTR, since 2.32 */
					 .link_shift = g->l->safe_linking ? 12 : 0 };
	read_params(g);
	TRY(glibc_arenas(g));
	glibc_sort_segments(a);
	TRY(glibc_mmapped(g));
	glibc_sort_segments(a);
	/* No heap: the program has not allocated yet, or not here. */
	if (!a->segments.n && anonymous_bytes(img) > ANONYMOUS_MUCH)
		return err_new(ERR_NOT_FOUND, "glibc's malloc has no heap, yet there is much anonymous memory: it is allocated otherwise");
	glibc_guess_lists(g);
	glibc_tcaches(g);
	if (g->place.minor)
		snprintf(a->facts.version, sizeof a->facts.version, "2.%u", g->place.minor);
	else
		snprintf(a->facts.version, sizeof a->facts.version, "%s", g->l->versions);
	a->facts.walked = true;
	glibc_last_words(g);
	glibc_name_others(g);
	g->broken = calloc(a->arenas.n ? a->arenas.n : 1, sizeof *g->broken);
	return g->broken ? NULL : err_nomem();
}

static void walk_lists(struct glibc *g, const struct chunk_sink *sink)
{
	glibc_tcaches_by_content(g, sink);
	glibc_walk_tcaches(g, sink);
	glibc_walk_fastbins(g, sink);
	glibc_walk_bins(g, sink);
}

static int compare_addresses(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static struct err *walk_glibc(struct alloc *a, struct image *img, const struct chunk_sink *sink)
{
	struct glibc *g = a->priv;
	size_t findings = a->findings.list.n;
	(void)img;
	TRY(glibc_walk_segments(g, sink));
	walk_lists(g, sink);
	/* Lists name chunks that the walk passed over: a size that lies leads behind them. Once more, with that known. */
	if (g->anchors.n && !interrupted) {
		g->walked_twice = true;
		qsort(g->anchors.at, g->anchors.n, sizeof *g->anchors.at, compare_addresses);
		while (a->findings.list.n > findings)
			findings_pop(&a->findings);
		g->suspects.n = a->lists.n = 0;
		memset(g->broken, 0, a->arenas.n * sizeof *g->broken);
		sink->restart(sink->ctx);
		TRY(glibc_walk_segments(g, sink));
		walk_lists(g, sink);
	}
	/* After half of the lists it would ask after all the rest. */
	if (interrupted)
		return err_new(ERR_INTERRUPTED, "interrupted");
	glibc_in_hand(g, sink);
	glibc_check(g, sink);
	glibc_drop_doubtful(g);
	a->facts.quiet = !g->transit_expected;
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static bool header_of(const struct alloc *a, const struct image *img, uint64_t chunk, struct chunk_header *ret)
{
	const struct glibc *g = a->priv;
	uint64_t field;
	if (!image_word(img, chunk, &ret->prev_size) || !image_word(img, chunk + g->w, &field))
		return false;
	ret->field = field;
	ret->size = chunk_size(field);
	ret->prev_in_use = field & PREV_INUSE;
	ret->mmapped = field & IS_MMAPPED;
	ret->thread_arena = field & NON_MAIN;
	return true;
}

static void close_glibc(struct alloc *a)
{
	struct glibc *g = a->priv;
	if (g) {
		vec_free(&g->suspects);
		vec_free(&g->anchors);
		vec_free(&g->plan.code);
		free(g->broken);
	}
	free(g);
	a->priv = NULL;
}

const struct alloc_row alloc_glibc = {
	.name = "glibc",
	.locate = locate,
	.open = open_glibc,
	.walk = walk_glibc,
	.header = header_of,
	.close = close_glibc,
};
