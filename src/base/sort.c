/* A sort that can be interrupted: runs that qsort_r() sorts in a few milliseconds, then merged from below. */
#include "flotsam/base.h"

enum { RUN = 1 << 15 };

struct merging {
	size_t n, size, run;	/* elements; bytes of one; elements of a sorted run */
	sort_compare_fn *compare;
	void *ctx;
};

static void merge(const struct merging *m, const char *from, char *to, size_t at)
{
	size_t half = m->n - at < m->run ? m->n - at : m->run, rest = m->n - at - half < m->run ? m->n - at - half : m->run;
	const char *a = from + at * m->size, *b = a + half * m->size;
	char *p = to + at * m->size;
	for (size_t i = 0; half && rest; i++) {
		bool second = m->compare(a, b, m->ctx) > 0;
		memcpy(p, second ? b : a, m->size);
		p += m->size;
		a += second ? 0 : m->size;
		b += second ? m->size : 0;
		half -= !second;
		rest -= second;
		if (i % RUN == 0 && interrupted)
			return;
	}
	memcpy(p, half ? a : b, (half + rest) * m->size);
}

void sort_many(void *at, size_t n, size_t size, sort_compare_fn *compare, void *ctx)
{
	AUTO_FREE char *room = n > RUN ? malloc(n * size) : NULL;
	char *from = at, *to = room;
	struct merging m = { n, size, room ? RUN : n, compare, ctx };
	for (size_t i = 0; i < n && !interrupted; i += m.run)
		qsort_r(from + i * size, n - i < m.run ? n - i : m.run, size, compare, ctx);
	for (; m.run < n && !interrupted; m.run *= 2) {
		for (size_t i = 0; i < n && !interrupted; i += 2 * m.run)
			merge(&m, from, to, i);
		char *swap = from;
		from = to;
		to = swap;
	}
	for (size_t i = 0; from != (char *)at && i < n && !interrupted; i += RUN)
		memcpy((char *)at + i * size, from + i * size, (n - i < RUN ? n - i : RUN) * size);
}
