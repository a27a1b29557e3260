/* Which row of the table a libc without a banner has, a static program for one. The arena and mp_ leave several: what those
 * differ in are the tcache and whether links are mangled, and the lists themselves show both. */
#include "glibc.h"

enum { WORTH_OF_TCACHE = 1000 };

/* 1: the link at `position` leads to nothing or into a segment, as a true one does; -1: elsewhere. */
static int link_worth(const struct glibc *g, uint64_t position, uint64_t payload_off)
{
	uint64_t raw, next;
	if (!image_word(g->img, position, &raw))
		return -1;
	next = glibc_reveal(g, position, raw);
	return !next || ((next + payload_off) % g->granule == 0 && glibc_segment_at(g->alloc, next)) ? 1 : -1;
}

static int tcaches_worth(const struct glibc *g)
{
	int worth = 0;
	for (size_t i = 0; i < g->alloc->tcaches.n; i++) {
		worth += WORTH_OF_TCACHE;
		for (unsigned k = 0; k < g->l->tcache.bins; k++) {
			uint64_t used, entry;
			if (glibc_tcache_bin(g, g->alloc->tcaches.at[i].address, k, &used, &entry) && entry)
				worth += link_worth(g, entry, 0);
		}
	}
	return worth;
}

static int fastbins_worth(const struct glibc *g)
{
	int worth = 0;
	for (size_t i = 0; i < g->alloc->arenas.n; i++)
		for (unsigned k = 0; k < g->l->arena.n_fastbins; k++) {
			uint64_t chunk;
			if (image_word(g->img, g->alloc->arenas.at[i].address + g->l->arena.fastbins + k * g->w, &chunk) && chunk)
				worth += link_worth(g, chunk + g->header, g->header);
		}
	return worth;
}

static int worth(struct glibc *g, const struct glibc_layout *l)
{
	g->l = l;
	g->alloc->tcaches.n = 0;
	glibc_tcaches(g);
	int sum = tcaches_worth(g) + fastbins_worth(g);
	g->alloc->tcaches.n = 0;
	return sum;
}

void glibc_guess_lists(struct glibc *g)
{
	if (g->place.minor)
		return;
	const struct glibc_layout *best = g->l;
	int most = worth(g, best);
	for (size_t i = glibc_layout_count(); i-- > 0;) {
		const struct glibc_layout *l = glibc_layout_get(i);
		if (l->word != best->word || l->arena.next != best->arena.next || l->params.n_mmaps_max != best->params.n_mmaps_max)
			continue;
		int w = worth(g, l);
		if (w > most) {
			most = w;
			best = l;
		}
	}
	g->l = best;
}
