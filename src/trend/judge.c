/* What a series does. Its floor decides: the least value of each of a few stretches. A floor that rises is growth, whatever saws
 * above it; a floor that stays is none, however high the teeth. Values a few samples apart depend on each other, which makes
 * the test on all of them too sure; those of the floor lie far enough apart. */
#include <math.h>

#include "trend.h"

static const char *const names[TREND_KINDS] = { "short", "steady", "grows", "shrinks", "plateau", "sawtooth" };

const char *trend_kind_name(enum trend_kind k)
{
	return names[k];
}

void series_add(struct series *s, struct sample x)
{
	if (!s->every)
		s->every = 1;
	if (s->n && s->at[s->n - 1].run == x.run && ++s->skipped < s->every)
		return;
	s->skipped = 0;
	if (s->n == SERIES_MOST) {
		for (size_t i = 0; i < SERIES_MOST / 2; i++)
			s->at[i] = s->at[2 * i];
		s->n = SERIES_MOST / 2;
		s->every *= 2;
	}
	s->at[s->n++] = x;
}

enum { STRETCHES = 16, SHORT_STRETCH = 4 };
static const double sure = 0.01, rather_sure = 0.05;

static size_t thin(const struct sample *s, size_t n, struct sample *to)
{
	size_t k = n < TREND_LIMIT ? n : TREND_LIMIT;
	for (size_t i = 0; i < k; i++)
		to[i] = s[i * n / k];
	return k;
}

/* The least value of each stretch of a run, at its own time. */
static size_t floors(const struct sample *s, size_t n, struct sample *to)
{
	size_t k = 0, width = n / STRETCHES > SHORT_STRETCH ? n / STRETCHES : n >= 5 * SHORT_STRETCH ? SHORT_STRETCH : 1;
	for (size_t i = 0; i < n;) {
		size_t least = i, end = i + width;
		unsigned run = s[i].run;
		for (; i < n && i < end && s[i].run == run; i++)
			if (s[i].value < s[least].value)
				least = i;
		to[k++] = s[least];
	}
	return k;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

struct spread { double low, high; }; /* a tenth lies below, a tenth above */
static struct spread spread_of(const struct sample *s, size_t n)
{
	double v[TREND_LIMIT];
	for (size_t i = 0; i < n; i++)
		v[i] = s[i].value;
	qsort(v, n, sizeof *v, ascending);
	return (struct spread){ v[n / 10], v[n - 1 - n / 10] };
}

/* What is left when the slope is taken away: half of all values lie within so much of the line. */
static double noise(const struct sample *s, size_t n, double slope)
{
	double v[TREND_LIMIT], first = s[0].at;
	for (size_t i = 0; i < n; i++) {
		if (i && s[i].run != s[i - 1].run)
			first = s[i].at;
		v[i] = s[i].value - slope * (s[i].at - first);
	}
	double middle = trend_median(v, n);
	for (size_t i = 0; i < n; i++)
		v[i] = fabs(v[i] - middle);
	return trend_median(v, n);
}

/* Falls, from one sample to the next, through more than half of the spread. */
static unsigned falls(const struct sample *s, size_t n, struct spread p)
{
	unsigned k = 0;
	for (size_t i = 1; i < n; i++)
		k += s[i].run == s[i - 1].run && s[i - 1].value - s[i].value > (p.high - p.low) / 2;
	return k;
}

/* The last half of each run: behind any warm-up. */
static size_t late(const struct sample *s, size_t n, struct sample *to)
{
	size_t k = 0;
	for (size_t from = 0, end; from < n; from = end) {
		for (end = from; end < n && s[end].run == s[from].run; end++)
			;
		for (size_t i = from + (end - from) / 2; i < end; i++)
			to[k++] = s[i];
	}
	return k;
}

/* With teeth of the height of the spread, a floor moves by chance: the rise must be more than a part of them. */
static bool rises(const struct sample *s, size_t n, const struct sample *f, size_t n_f, double slope)
{
	double rise = 0;
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from; to < n && s[to].run == s[from].run; to++)
			;
		double part = slope * (s[to - 1].at - s[from].at);
		rise = part > rise ? part : rise;
	}
	double level = fabs(s[n - 1].value);
	return trend_tail(trend_kendall(s, n)) < sure && trend_tail(trend_kendall(f, n_f)) < sure && slope > 0 && rise > level / 500 && rise > noise(s, n, slope);
}

static double level_of(const struct sample *s, size_t n)
{
	double v[TREND_LIMIT];
	size_t k = n / 10 ? n / 10 : 1;
	for (size_t i = 0; i < k; i++)
		v[i] = s[n - 1 - i].value;
	return trend_median(v, k);
}

/* The floor of the last half, and of its last half: nothing that slows down to a stop. */
static bool slows_down(const struct sample *s, size_t n, double slope)
{
	struct sample l[TREND_LIMIT], f[TREND_LIMIT];
	size_t n_late = late(s, n, l);
	return n_late >= TREND_LEAST && trend_slope(f, floors(l, n_late, f)) < slope / 4;
}

/* It has risen; does its last half go on? */
static bool goes_on(const struct sample *s, size_t n, double slope, struct trend *t)
{
	struct sample l[TREND_LIMIT], f[TREND_LIMIT];
	double late_slope, low, high;
	size_t n_late = late(s, n, l), n_f = floors(l, n_late, f);
	trend_slopes(f, n_f, &late_slope, &low, &high);
	bool grows = late_slope > slope / 4 && (trend_tail(trend_kendall(f, n_f)) < rather_sure || trend_tail(trend_kendall(l, n_late)) < sure);
	if (grows && trend_slopes(l, n_late, &late_slope, &low, &high)) {
		t->slope = late_slope;
		t->low = low;
		t->high = high;
	}
	return grows && !slows_down(l, n_late, late_slope);
}

struct trend trend_judge(const struct sample *all, size_t n_all)
{
	struct sample s[TREND_LIMIT], f[TREND_LIMIT], down[TREND_LIMIT];
	struct trend t = { .kind = TREND_SHORT, .p = 1 };
	if (n_all < TREND_LEAST)
		return t;
	size_t n = thin(all, n_all, s), n_f = floors(s, n, f);
	struct spread p = spread_of(s, n);
	trend_slopes(s, n, &t.slope, &t.low, &t.high);
	t.level = level_of(s, n);
	t.p = trend_tail(trend_kendall(f, n_f));
	double floor_slope = trend_slope(f, n_f);
	for (size_t i = 0; i < n; i++)
		down[i] = (struct sample){ s[i].at, -s[i].value, s[i].run };
	if (rises(s, n, f, n_f, floor_slope)) {
		t.kind = goes_on(s, n, floor_slope, &t) ? TREND_GROWS : TREND_PLATEAU;
		return t;
	}
	n_f = floors(down, n, f);
	if (rises(down, n, f, n_f, trend_slope(f, n_f)))
		t.kind = TREND_SHRINKS;
	else if (falls(s, n, p) >= 2 && p.high - p.low > fabs(p.high) / 20)
		t.kind = TREND_SAWTOOTH;
	else
		t.kind = TREND_STEADY;
	return t;
}
