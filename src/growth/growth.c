/* Growth by round. A group whose blocks come and go by chance has no slope that is surely above 0; a cache that fills has one at
 * first: the trend must go on. */
#include "flotsam/growth.h"

struct rate growth_rate(const double *values, size_t n)
{
	struct rate r = { 0 };
	struct sample *s = calloc(n + 1, sizeof *s);
	for (size_t i = 0; s && i < n; i++)
		s[i] = (struct sample){ (double)i, values[i], 0 };
	if (s && trend_regression(s, n, &r.slope, &r.low, &r.high)) {
		r.kind = trend_judge(s, n).kind;
		r.grows = r.kind == TREND_GROWS && r.low > 0;
	}
	free(s);
	return r;
}

struct total { const char *holder; bool leaked; double *blocks, *bytes; };
struct maker { const struct diff *d; struct growth *g; VEC(struct total) totals; };

static struct total *total_of(struct maker *m, const struct diff_group *g)
{
	bool leaked = diff_is_leaked(g->class_of);
	for (size_t i = 0; i < m->totals.n; i++)
		if (m->totals.at[i].leaked == leaked && (leaked || !strcmp(m->totals.at[i].holder, g->holder)))
			return &m->totals.at[i];
	struct total *t = vec_push(&m->totals);
	if (!t)
		return NULL;
	*t = (struct total){ g->holder, leaked, calloc(m->d->n, sizeof *t->blocks), calloc(m->d->n, sizeof *t->bytes) };
	return t->blocks && t->bytes ? t : NULL;
}

static bool add_line(struct maker *m, bool of_group, struct growth_line x)
{
	if (!x.bytes.grows)
		return true;
	struct growth_line *slot = of_group ? vec_push(&m->g->groups) : vec_push(&m->g->holders);
	if (slot)
		*slot = x;
	return slot;
}

static bool add_group(struct maker *m, const struct diff_group *g, double *blocks, double *bytes)
{
	struct total *t = total_of(m, g);
	if (!t)
		return false;
	for (size_t i = 0; i < m->d->n; i++) {
		t->blocks[i] += blocks[i] = (double)g->looks[i].blocks;
		t->bytes[i] += bytes[i] = (double)g->looks[i].bytes;
	}
	return add_line(m, true, (struct growth_line){ .holder = g->holder, .group = g, .leaked = diff_is_leaked(g->class_of),
						       .blocks = growth_rate(blocks, m->d->n), .bytes = growth_rate(bytes, m->d->n) });
}

static int by_bytes(const void *a, const void *b)
{
	const struct growth_line *x = a, *y = b;
	if (x->bytes.slope < y->bytes.slope || x->bytes.slope > y->bytes.slope)
		return x->bytes.slope > y->bytes.slope ? -1 : 1;
	return strcmp(x->holder, y->holder);
}

static struct err *make(struct maker *m)
{
	const struct diff *d = m->d;
	AUTO_FREE double *blocks = calloc(d->n + 1, sizeof *blocks), *bytes = calloc(d->n + 1, sizeof *bytes);
	bool ok = blocks && bytes;
	for (size_t i = 0; ok && i < d->groups.n; i++)
		ok = add_group(m, &d->groups.at[i], blocks, bytes);
	for (size_t i = 0; ok && i < m->totals.n; i++) {
		const struct total *t = &m->totals.at[i];
		ok = add_line(m, false, (struct growth_line){ .holder = t->leaked ? "" : t->holder, .leaked = t->leaked,
							      .blocks = growth_rate(t->blocks, d->n), .bytes = growth_rate(t->bytes, d->n) });
		if (t->leaked)
			m->g->leaked = growth_rate(t->bytes, d->n);
	}
	for (size_t i = 0; ok && i < d->n; i++)
		bytes[i] = (double)d->used[i].bytes;
	if (!ok)
		return err_nomem();
	m->g->used = growth_rate(bytes, d->n);
	if (m->g->holders.n)
		qsort(m->g->holders.at, m->g->holders.n, sizeof *m->g->holders.at, by_bytes);
	if (m->g->groups.n)
		qsort(m->g->groups.at, m->g->groups.n, sizeof *m->g->groups.at, by_bytes);
	return NULL;
}

struct err *growth_make(const struct diff *d, struct growth **ret)
{
	struct growth *g = calloc(1, sizeof *g);
	if (!g)
		return err_nomem();
	struct maker m = { .d = d, .g = g };
	struct err *e = make(&m);
	for (size_t i = 0; i < m.totals.n; i++) {
		free(m.totals.at[i].blocks);
		free(m.totals.at[i].bytes);
	}
	vec_free(&m.totals);
	if (e) {
		growth_free(g);
		return e;
	}
	*ret = g;
	return NULL;
}

void growth_free(struct growth *g)
{
	if (!g)
		return;
	vec_free(&g->holders);
	vec_free(&g->groups);
	free(g);
}
