/* Blocks in mappings of their own. malloc keeps no list of them: each page of private anonymous memory is asked whether a
 * header stands at one of the offsets that malloc can produce (malloc/malloc.c, munmap_chunk: the payload's offset in its
 * page is zero or a power of two). memalign leaves the first header behind, so of several that claim one base the highest
 * counts. */
#include "glibc.h"

struct candidate {
	uint64_t base, chunk, end;
};
struct range {
	uint64_t start, end;
};
struct scan {
	struct glibc *g;
	VEC(struct candidate) found;
	VEC(struct candidate) orphans; /* by address */
	VEC(struct candidate) taken; /* the blocks, by address */
	VEC(struct range) searched;
	VEC(struct range) holes; /* of what was searched: in no block */
	uint64_t run_start, run_end; /* merged neighbours */
	uint64_t page;
	size_t first_finding;
	bool nomem;
};

enum header { NO_HEADER, ORPHAN, HEADER };

/* A header whose mapping ends with a page but does not begin with one is an orphan: its prev_size may be damaged. */
static enum header header_at(struct scan *s, uint64_t chunk, struct candidate *ret)
{
	struct glibc *g = s->g;
	uint64_t prev, field;
	if (!image_word(g->img, chunk + g->w, &field) || (field & 7) != IS_MMAPPED || !image_word(g->img, chunk, &prev))
		return NO_HEADER;
	uint64_t size = chunk_size(field), tail = g->l->mmap_trailer ? g->header : 0, end = chunk + size + tail;
	if (g->l->mmap_trailer)
		prev &= ~(uint64_t)1; /* 2.43: MMAP_HP */
	/* On i386 the base is a header off the alignment, and so is the size (sysmalloc_mmap: front_misalign). */
	if (size < g->min_chunk || size % g->header || size > s->run_end - s->run_start || end % s->page || end > s->run_end || end <= chunk)
		return NO_HEADER;
	*ret = (struct candidate){ chunk - prev, chunk, end };
	return prev > chunk || ret->base % s->page || ret->base < s->run_start ? ORPHAN : HEADER;
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
			enum header is = header_at(s, payload - g->header, &c);
			struct candidate *slot = is == HEADER ? vec_push(&s->found) : is == ORPHAN ? vec_push(&s->orphans) : NULL;
			if (is != NO_HEADER && !slot)
				return !(s->nomem = true);
			if (slot)
				*slot = c;
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

/* What stands in the way: the size, or the distance to the mapping's start in front of it. `end` 0: not known. */
static void bad_header(struct scan *s, const struct candidate *c, uint64_t end)
{
	struct glibc *g = s->g;
	uint64_t field = 0, prev = 0, tail = g->l->mmap_trailer ? g->header : 0;
	struct finding f = { .kind = "bad-mmapped", .address = c->chunk + g->header, .has_found = true };
	for (size_t i = 0; i < s->taken.n && s->taken.at[i].end <= c->base; i++)
		f.neighbour = s->taken.at[i].end == c->base ? s->taken.at[i].chunk + g->header : 0;
	image_word(g->img, c->chunk, &prev);
	image_word(g->img, c->chunk + g->w, &field);
	f.has_expected = end;
	f.expected = (end - c->chunk - tail) | IS_MMAPPED;
	f.found = field;
	if (end && f.found == f.expected) {
		f.expected = c->chunk - c->base;
		f.found = prev;
	}
	findings_add_words(&g->alloc->findings, &f, "the header of a mapped block is damaged");
}

static bool take(struct scan *s, const struct candidate *c)
{
	struct candidate *slot = vec_push(&s->taken);
	if (slot)
		*slot = *c;
	return slot;
}

/* memalign leaves the first header where it was. An orphan behind that, which ends with it, is the one that counts. */
static void prefer_orphan(struct scan *s, struct candidate *c)
{
	size_t lo = 0, hi = s->orphans.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (s->orphans.at[mid].chunk <= c->chunk)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->orphans.n && s->orphans.at[lo].chunk < c->end; lo++)
		if (s->orphans.at[lo].end == c->end) {
			c->chunk = s->orphans.at[lo].chunk;
			bad_header(s, c, c->end);
			return;
		}
}

/* Of several headers that claim one base the highest counts. `cut`: a block ends where the next one's header stands. */
static bool choose(struct scan *s, bool cut)
{
	struct glibc *g = s->g;
	bool many = s->found.n > g->alloc->facts.n_mmaps;
	uint64_t end = 0;
	s->taken.n = 0;
	while (g->alloc->findings.list.n > s->first_finding)
		findings_pop(&g->alloc->findings);
	for (size_t i = 0; i < s->found.n; i++) {
		struct candidate c = s->found.at[i];
		if (i + 1 < s->found.n && s->found.at[i + 1].base == c.base)
			continue;
		if (c.base < end || (many && in_stack(g, c.chunk)))
			continue;
		if (cut && i + 1 < s->found.n && s->found.at[i + 1].base < c.end) {
			c.end = s->found.at[i + 1].base;
			bad_header(s, &c, c.end);
		}
		if (c.chunk - c.base <= g->granule)
			prefer_orphan(s, &c);
		if (!take(s, &c))
			return false;
		end = c.end;
	}
	return true;
}

static bool find_holes(struct scan *s)
{
	size_t k = 0;
	s->holes.n = 0;
	for (size_t i = 0; i < s->searched.n; i++) {
		uint64_t at = s->searched.at[i].start, end = s->searched.at[i].end;
		while (at < end) {
			while (k < s->taken.n && s->taken.at[k].end <= at)
				k++;
			uint64_t stop = k < s->taken.n && s->taken.at[k].base < end ? s->taken.at[k].base : end;
			struct range *hole = stop > at ? vec_push(&s->holes) : NULL;
			if (stop > at && !hole)
				return false;
			if (hole)
				*hole = (struct range){ at, stop };
			at = stop < end ? s->taken.at[k].end : end;
		}
	}
	return true;
}

static uint64_t bytes_taken(const struct scan *s)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < s->taken.n; i++)
		sum += s->taken.at[i].end - s->taken.at[i].base;
	return sum;
}

/* Words that lead to where a payload can stand in a hole: to blocks whose header is damaged. */
struct search {
	struct scan *s;
	struct map64 chunks;
	bool nomem;
};

static bool can_be_payload(const struct scan *s, uint64_t address)
{
	uint64_t off = address % s->page;
	return !(address % s->g->granule) && off >= s->g->header && !(off & (off - 1));
}

static bool search_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct search *q = ctx;
	struct scan *s = q->s;
	struct glibc *g = s->g;
	uint64_t word, low = s->holes.at[0].start, high = s->holes.at[s->holes.n - 1].end;
	for (size_t off = align_up(address, g->w) - address; off + g->w <= n; off += g->w) {
		if (!span_word((struct span){ data, n }, off, g->w, g->arch->big, &word) || word < low || word >= high || !can_be_payload(s, word))
			continue;
		q->nomem |= !map64_put(&q->chunks, word - g->header, 1);
	}
	return !interrupted && !q->nomem;
}

/* Does a block stand here whose header is damaged in part? Its size or its distance from the start fit, or somebody points at it. */
static bool lost_at(const struct search *q, const struct range *hole, uint64_t chunk, uint64_t bytes, struct candidate *ret)
{
	struct scan *s = q->s;
	const struct glibc *g = s->g;
	uint64_t prev, field, dummy, off = chunk - hole->start, end = bytes ? hole->start + bytes : hole->end;
	if (!image_word(g->img, chunk, &prev) || !image_word(g->img, chunk + g->w, &field) || in_stack(g, chunk))
		return false;
	bool size_fits = (field & 7) == IS_MMAPPED && chunk + chunk_size(field) + (g->l->mmap_trailer ? g->header : 0) == end;
	bool distance_fits = off && (g->l->mmap_trailer ? prev & ~(uint64_t)1 : prev) == off;
	bool seen = map64_find(&q->chunks, chunk, &dummy);
	if (!size_fits && !distance_fits && !seen)
		return false;
	*ret = (struct candidate){ hole->start, chunk, end };
	if (!size_fits && !distance_fits) { /* the hole may begin with something else */
		ret->base = align_down(chunk, s->page);
		ret->end = bytes ? ret->base + bytes : hole->end;
	}
	return ret->end <= hole->end && ret->end > chunk + g->header;
}

static bool lost_in(const struct search *q, const struct range *hole, uint64_t bytes, struct candidate *ret)
{
	struct scan *s = q->s;
	uint64_t first = align_up(hole->start + s->g->header, s->g->granule) - s->g->header, dummy;
	for (uint64_t page = hole->start; page < hole->end && !interrupted; page += s->page) {
		if (!image_word(s->g->img, page, &dummy)) { /* a hole may be of any size, and without bytes */
			uint64_t next = image_next_dumped(s->g->img, page);
			if (next >= hole->end)
				break;
			page = align_down(next, s->page) > page ? align_down(next, s->page) : page;
		}
		for (uint64_t off = s->g->granule; off <= s->page / 2; off *= 2)
			if (lost_at(q, hole, page + off - s->g->header, bytes, ret))
				return true;
	}
	/* Nobody points there, but it has just the size that is missing. */
	*ret = (struct candidate){ hole->start, first, hole->end };
	return bytes && hole->end - hole->start == bytes && !in_stack(s->g, first) && image_word(s->g->img, first, &dummy);
}

static bool take_lost(struct scan *s, uint64_t missing_bytes, uint64_t *missing)
{
	struct glibc *g = s->g;
	const struct picture *p = image_picture(g->img);
	struct search q = { .s = s };
	struct candidate c;
	size_t known = s->taken.n;
	for (size_t i = 0; i < p->maps.n && s->holes.n; i++)
		if (p->maps.at[i].prot & PROT_W)
			image_each_window(g->img, p->maps.at[i].start, p->maps.at[i].end, search_window, &q);
	for (size_t i = 0; i < s->holes.n && *missing && !q.nomem; i++) {
		uint64_t bytes = *missing == 1 ? missing_bytes : 0;
		if (bytes > s->holes.at[i].end - s->holes.at[i].start || !lost_in(&q, &s->holes.at[i], bytes, &c))
			continue;
		bad_header(s, &c, bytes ? c.end : 0);
		q.nomem |= !take(s, &c);
		--*missing;
	}
	map64_free(&q.chunks);
	if (s->taken.n > known)
		qsort(s->taken.at, s->taken.n, sizeof *s->taken.at, compare);
	return !q.nomem;
}

/* All headers are there, but one says less than the block has: behind it is a hole of just the missing size. */
static void lengthen(struct scan *s, uint64_t missing_bytes)
{
	struct candidate *one = NULL;
	for (size_t i = 0; i < s->holes.n; i++)
		for (size_t k = 0; k < s->taken.n && s->holes.at[i].end - s->holes.at[i].start == missing_bytes; k++)
			if (s->taken.at[k].end == s->holes.at[i].start) {
				if (one)
					return; /* which of them cannot be told */
				one = &s->taken.at[k];
			}
	if (!one)
		return;
	one->end += missing_bytes;
	bad_header(s, one, one->end);
}

static bool account(struct scan *s)
{
	struct glibc *g = s->g;
	uint64_t counted = g->alloc->facts.n_mmaps, bytes = g->alloc->facts.mmapped_mem;
	if (!choose(s, false))
		return false;
	if (!g->place.params || g->transit_expected)
		return true;
	if (!counted && bytes_taken(s) != bytes) { /* the count is right, and the sum has drifted */
		s->taken.n = 0;
		while (g->alloc->findings.list.n > s->first_finding)
			findings_pop(&g->alloc->findings);
		return true;
	}
	if (s->taken.n < counted && !choose(s, true))
		return false;
	uint64_t missing = counted > s->taken.n ? counted - s->taken.n : 0, sum = bytes_taken(s);
	/* Of all bytes that malloc has mapped the blocks are found: it is their count that is wrong (a forged size unmaps two at once). */
	if (bytes && align_down(bytes, s->page) == align_down(sum, s->page))
		missing = 0;
	/* From 2.43 on the sum drifts by two words with each mremap (malloc/malloc.c: mremap_chunk): a page after hundreds. */
	uint64_t missing_bytes = bytes > sum ? bytes - sum : 0;
	missing_bytes = g->l->mmap_trailer ? align_down(missing_bytes, s->page) : missing_bytes % s->page == 0 ? missing_bytes : 0;
	if ((missing || missing_bytes) && !find_holes(s))
		return false;
	if (missing && !take_lost(s, missing_bytes, &missing))
		return false;
	if (!missing && s->taken.n == counted && missing_bytes && bytes_taken(s) < bytes)
		lengthen(s, missing_bytes);
	if (s->taken.n != counted)
		findings_add_words(&g->alloc->findings,
				   &(struct finding){ .kind = "mmap-count", .address = g->place.params + g->l->params.n_mmaps, .expected = s->taken.n,
						      .has_expected = true, .found = counted, .has_found = true },
				   "%llu mmapped blocks were found, malloc counts %llu", (unsigned long long)s->taken.n, (unsigned long long)counted);
	return true;
}

static struct err *accept(struct scan *s)
{
	if (!account(s))
		return err_nomem();
	for (size_t i = 0; i < s->taken.n; i++)
		if (!glibc_add_segment(s->g, ARENA_MMAP, s->taken.at[i].base, s->taken.at[i].chunk, s->taken.at[i].end))
			return err_nomem();
	return NULL;
}

static bool may_hold_blocks(const struct mapping *m, bool any_prot)
{
	if (m->shared || m->device || (!any_prot && (m->prot & (PROT_R | PROT_W)) != (PROT_R | PROT_W)))
		return false;
	return (!m->inode && (!m->path[0] || !strncmp(m->path, "[anon", 5))) || strstr(m->path, "anon_hugepage");
}

/* From segment to segment in a run of neighbours. */
static void scan_run(struct scan *s)
{
	struct glibc *g = s->g;
	for (uint64_t at = s->run_start; at < s->run_end;) {
		const struct segment *taken = glibc_segment_at(g->alloc, at);
		if (taken) {
			at = align_up(taken->end, s->page);
			continue;
		}
		uint64_t end = s->run_end;
		for (size_t k = 0; k < g->alloc->segments.n; k++)
			if (g->alloc->segments.at[k].header_from > at && g->alloc->segments.at[k].header_from < end)
				end = g->alloc->segments.at[k].header_from;
		struct range *r = vec_push(&s->searched);
		if (!r)
			s->nomem = true;
		else
			*r = (struct range){ at, end };
		image_each_window(g->img, at, end, scan_window, s);
		at = end;
	}
}

static void scan_maps(struct scan *s, bool any_prot)
{
	const struct picture *p = image_picture(s->g->img);
	s->found.n = s->orphans.n = s->searched.n = 0;
	for (size_t i = 0; i < p->maps.n && !s->nomem;) {
		if (!may_hold_blocks(&p->maps.at[i], any_prot)) {
			i++;
			continue;
		}
		/* The kernel merges and splits mappings as it likes: neighbours are one run. */
		size_t first = i;
		for (i++; i < p->maps.n && may_hold_blocks(&p->maps.at[i], any_prot) && p->maps.at[i].start == p->maps.at[i - 1].end; i++)
			;
		s->run_start = p->maps.at[first].start;
		s->run_end = p->maps.at[i - 1].end;
		scan_run(s);
	}
	if (s->found.n)
		qsort(s->found.at, s->found.n, sizeof *s->found.at, compare);
}

/* A program may take rights from pages of its blocks (mprotect), which cuts a block's mapping in pieces. Looked for only
 * when blocks are missing: the guards of stacks and the unused parts of heaps join what does not belong together. */
static bool scan(struct scan *s)
{
	uint64_t counted = s->g->alloc->facts.n_mmaps;
	scan_maps(s, false);
	if (s->nomem || !choose(s, false))
		return false;
	if (!s->g->place.params || s->taken.n >= counted)
		return true;
	size_t strict = s->taken.n;
	scan_maps(s, true);
	if (s->nomem || !choose(s, false))
		return false;
	if (s->taken.n <= strict || s->taken.n > counted)
		scan_maps(s, false);
	return !s->nomem;
}

struct err *glibc_mmapped(struct glibc *g)
{
	struct scan s = { .g = g, .page = image_picture(g->img)->page, .first_finding = g->alloc->findings.list.n };
	/* One of the two may have been written to. From 2.43 on the sum drifts. */
	if (g->place.params && !g->alloc->facts.n_mmaps && !g->alloc->facts.mmapped_mem)
		return NULL;
	struct err *e = scan(&s) ? accept(&s) : err_nomem();
	vec_free(&s.found);
	vec_free(&s.orphans);
	vec_free(&s.taken);
	vec_free(&s.searched);
	vec_free(&s.holes);
	return e;
}
