/* Blocks in mappings of their own. malloc keeps no list of them: each page of private anonymous memory is asked whether a
 * header stands at one of the offsets that malloc can produce (malloc/malloc.c, munmap_chunk: the payload's offset in its
 * page is zero or a power of two). memalign leaves the first header behind, so of several that claim one base the highest
 * counts. */
#include "glibc.h"

struct candidate {
	uint64_t base, chunk, end;
};
struct scan {
	struct glibc *g;
	VEC(struct candidate) found;
	uint64_t run_start, run_end; /* merged neighbours */
	uint64_t page;
	bool nomem;
};

static bool header_at(struct scan *s, uint64_t chunk, struct candidate *ret)
{
	struct glibc *g = s->g;
	uint64_t prev, field;
	if (!image_word(g->img, chunk + g->w, &field) || (field & 7) != IS_MMAPPED || !image_word(g->img, chunk, &prev))
		return false;
	uint64_t size = chunk_size(field), tail = g->l->mmap_trailer ? g->header : 0;
	if (g->l->mmap_trailer)
		prev &= ~(uint64_t)1; /* 2.43: MMAP_HP */
	/* On i386 the base is a header off the alignment, and so is the size (sysmalloc_mmap: front_misalign). */
	if (size < g->min_chunk || size % g->header || prev > chunk || prev > s->run_end || size > s->run_end - s->run_start)
		return false;
	uint64_t base = chunk - prev, end = chunk + size + tail;
	if (base % s->page || end % s->page || base < s->run_start || end > s->run_end || end <= chunk)
		return false;
	*ret = (struct candidate){ base, chunk, end };
	return true;
}

static bool scan_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct scan *s = ctx;
	struct glibc *g = s->g;
	(void)data;
	for (uint64_t page = align_up(address, s->page); page < address + n; page += s->page) {
		for (uint64_t off = 0; off < s->page; off = off ? off * 2 : g->granule) {
			/* The payload's offset is 2 words, or a power of two from there on. */
			uint64_t payload = page + (off ? off : s->page);
			struct candidate c;
			if (off && off < g->header)
				continue;
			if (header_at(s, payload - g->header, &c)) {
				struct candidate *slot = vec_push(&s->found);
				if (!slot)
					return !(s->nomem = true);
				*slot = c;
			}
		}
	}
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->base != y->base)
		return x->base < y->base ? -1 : 1;
	return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static bool in_stack(const struct glibc *g, uint64_t address)
{
	const struct runtime_extent *e = runtime_extent_at(g->rt, address);
	return e && (e->kind == EXTENT_STACK || e->kind == EXTENT_STACK_DEAD);
}

static struct err *accept(struct scan *s)
{
	struct glibc *g = s->g;
	if (s->found.n)
		qsort(s->found.at, s->found.n, sizeof *s->found.at, compare);
	uint64_t taken = 0, n = 0;
	bool many = s->found.n > g->alloc->facts.n_mmaps;
	for (size_t i = 0; i < s->found.n; i++) {
		const struct candidate *c = &s->found.at[i];
		if (i + 1 < s->found.n && s->found.at[i + 1].base == c->base)
			continue;
		if (c->base < taken || (many && in_stack(g, c->chunk)))
			continue;
		taken = c->end;
		n++;
		if (!glibc_add_segment(g, ARENA_MMAP, c->base, c->chunk, c->end))
			return err_nomem();
	}
	if (g->place.params && n != g->alloc->facts.n_mmaps)
		findings_add(&g->alloc->findings, "mmap-count", 0, "%llu mmapped blocks were found, malloc counts %llu",
			     (unsigned long long)n, (unsigned long long)g->alloc->facts.n_mmaps);
	return NULL;
}

static bool may_hold_blocks(const struct mapping *m)
{
	if ((m->prot & (PROT_R | PROT_W)) != (PROT_R | PROT_W) || m->shared || m->device)
		return false;
	return (!m->inode && (!m->path[0] || !strncmp(m->path, "[anon", 5))) || strstr(m->path, "anon_hugepage");
}

struct err *glibc_mmapped(struct glibc *g)
{
	const struct picture *p = image_picture(g->img);
	struct scan s = { .g = g, .page = p->page };
	if (g->place.params && !g->alloc->facts.n_mmaps)
		return NULL;
	for (size_t i = 0; i < p->maps.n;) {
		if (!may_hold_blocks(&p->maps.at[i])) {
			i++;
			continue;
		}
		/* The kernel merges and splits mappings as it likes: neighbours are one run. */
		size_t first = i;
		for (i++; i < p->maps.n && may_hold_blocks(&p->maps.at[i]) && p->maps.at[i].start == p->maps.at[i - 1].end; i++)
			;
		s.run_start = p->maps.at[first].start;
		s.run_end = p->maps.at[i - 1].end;
		for (uint64_t at = s.run_start; at < s.run_end;) {
			const struct segment *taken = glibc_segment_at(g->alloc, at);
			if (taken) {
				at = align_up(taken->end, s.page);
				continue;
			}
			uint64_t end = s.run_end;
			for (size_t k = 0; k < g->alloc->segments.n; k++)
				if (g->alloc->segments.at[k].header_from > at && g->alloc->segments.at[k].header_from < end)
					end = g->alloc->segments.at[k].header_from;
			image_each_window(g->img, at, end, scan_window, &s);
			at = end;
		}
	}
	struct err *e = s.nomem ? err_nomem() : accept(&s);
	vec_free(&s.found);
	return e;
}
