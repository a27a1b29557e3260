/* trend: synthetic series of each kind, with the score; and the statistics against values that others have computed. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "flotsam/trend.h"

static uint64_t state;
static double dice(void) /* 0 to 1 */
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (double)(state * 0x2545f4914f6cdd1dull >> 11) / 0x1p53;
}
static double bell(void)
{
	double sum = 0;
	for (int i = 0; i < 12; i++)
		sum += dice();
	return sum - 6;
}

enum { MOST = 2000 };
static struct sample made[MOST];
static double MIB = 1048576;

/* Noise that remembers: what a service does in ten seconds depends on what it did before. */
struct memory { double value, part; };
static double wander(struct memory *m, double height)
{
	m->value = m->part * m->value + sqrt(1 - m->part * m->part) * bell() * height;
	return m->value;
}

typedef double make_fn(size_t i, size_t n, double a, double b, double noise);
static double steady(size_t i, size_t n, double a, double b, double noise) { (void)i, (void)n, (void)a, (void)b; return noise; }
static double leak(size_t i, size_t n, double a, double b, double noise) { (void)b; return noise * 0.3 + (0.1 + a) * 30 * MIB * (double)i / (double)n; }
static double slow_leak(size_t i, size_t n, double a, double b, double noise) { (void)b; return noise * 0.2 + (1 + a) * 2.5 * MIB * (double)i / (double)n; }
static double saw(size_t i, size_t n, double a, double b, double noise)
{
	double period = (double)n / (4 + floor(a * 30));
	return noise * 0.2 + (10 + b * 40) * MIB * fmod((double)i, period) / period;
}
static double saw_and_leak(size_t i, size_t n, double a, double b, double noise) { return saw(i, n, a, 0.5 * b, noise) + (60 + 40 * b) * MIB * (double)i / (double)n; }
static double warm_up(size_t i, size_t n, double a, double b, double noise)
{
	double end = (0.05 + 0.1 * a) * (double)n;
	return noise * 0.3 + (20 + b * 60) * MIB * (1 - exp(-(double)i / end));
}
static double step(size_t i, size_t n, double a, double b, double noise) { return noise * 0.3 + ((double)i > (0.1 + 0.3 * a) * (double)n ? (20 + b * 60) * MIB : 0); }
static double falls(size_t i, size_t n, double a, double b, double noise) { (void)b; return noise * 0.3 + (2 - a) * 20 * MIB * (1 - (double)i / (double)n); }

static size_t make(make_fn *f, unsigned seed, unsigned runs)
{
	state = 88172645463325252ull + seed * 7919ull;
	size_t n = 60 + (size_t)(dice() * 900);
	double a = dice(), b = dice(), base = (50 + dice() * 500) * MIB;
	struct memory m = { 0, dice() * 0.6 };
	for (size_t i = 0; i < n; i++) {
		size_t length = n / runs + 1;
		made[i] = (struct sample){ (double)i * 10, base + f(i % length, n, a, b, wander(&m, 1 * MIB)), (unsigned)(i / length) };
	}
	return n;
}

static const struct row {
	const char *name;
	make_fn *f;
	unsigned runs;
	enum trend_kind right, right_too;
} rows[] = {
	{ "steady, with noise", steady, 1, TREND_STEADY, TREND_STEADY }, { "leak", leak, 1, TREND_GROWS, TREND_GROWS },
	{ "slow leak", slow_leak, 1, TREND_GROWS, TREND_GROWS },	 { "sawtooth", saw, 1, TREND_SAWTOOTH, TREND_STEADY },
	{ "sawtooth on a leak", saw_and_leak, 1, TREND_GROWS, TREND_GROWS }, { "warm-up", warm_up, 1, TREND_PLATEAU, TREND_STEADY },
	{ "one step", step, 1, TREND_PLATEAU, TREND_STEADY },		 { "leak with restarts", leak, 4, TREND_GROWS, TREND_GROWS },
	{ "steady with restarts", steady, 4, TREND_STEADY, TREND_STEADY }, { "shrinks", falls, 1, TREND_SHRINKS, TREND_SHRINKS },
};
enum { SEEDS = 100 };

/* Of what is no growth at most one in twenty is called so, and of what is growth at most one in twenty is missed. */
START_TEST(score)
{
	const struct row *r = &rows[_i];
	unsigned counts[TREND_KINDS] = { 0 };
	for (unsigned seed = 0; seed < SEEDS; seed++)
		counts[trend_judge(made, make(r->f, seed, r->runs)).kind]++;
	unsigned right = counts[r->right] + (r->right_too == r->right ? 0 : counts[r->right_too]);
	printf("trend: %-22s %5.1f %% right", r->name, 100.0 * right / SEEDS);
	for (int k = 0; k < TREND_KINDS; k++)
		if (counts[k])
			printf("  %s %u", trend_kind_name((enum trend_kind)k), counts[k]);
	printf("\n");
	ck_assert_uint_ge(right, SEEDS * 95 / 100);
}
END_TEST

/* What programs did: a file names the right answers in its first line, then "SECONDS BYTES". */
START_TEST(recorded)
{
	static const char *const names[] = { "saw", "cache", "steady", "log", "api", "api-cut" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[64], line[256], right[32] = "";
		size_t n = 0;
		snprintf(path, sizeof path, "tests/series/%s.txt", names[i]);
		FILE *f = fopen(path, "r");
		ck_assert_msg(f, "tests run at the top of the tree");
		while (fgets(line, sizeof line, f)) {
			if (!*right)
				sscanf(line, "%31s", right);
			else if (n < MOST && sscanf(line, "%lf %lf", &made[n].at, &made[n].value) == 2)
				made[n++].run = 0;
		}
		fclose(f);
		ck_assert_uint_gt(n, 60);
		ck_assert_msg(strstr(right, trend_kind_name(trend_judge(made, n).kind)), "%s: %s, not %s", names[i], trend_kind_name(trend_judge(made, n).kind), right);
	}
}
END_TEST

/* The true slope lies within the bounds, nearly always. */
START_TEST(bounds)
{
	unsigned inside = 0;
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		state = 1 + seed * 7919ull;
		size_t n = 200;
		double slope = (1 + dice()) * 1000;
		for (size_t i = 0; i < n; i++)
			made[i] = (struct sample){ (double)i * 10, 1e8 + slope * (double)i * 10 + bell() * 1e5, 0 };
		struct trend t = trend_judge(made, n);
		inside += t.low <= slope && slope <= t.high;
		ck_assert_int_eq(t.kind, TREND_GROWS);
		ck_assert(fabs(t.slope / slope - 1) < 0.2);
	}
	ck_assert_uint_ge(inside, SEEDS * 90 / 100);
}
END_TEST

/* Theil-Sen and Mann-Kendall as worked out by hand: all pairs of six values. */
START_TEST(by_hand)
{
	static const double values[] = { 1, 3, 2, 5, 4, 6 };
	struct sample s[6];
	for (size_t i = 0; i < 6; i++)
		s[i] = (struct sample){ (double)i, values[i], 0 };
	/* S = 11 (13 rising pairs, 2 falling), variance 6 * 5 * 17 / 18 = 28.33: z = 10 / 5.3229. */
	ck_assert(fabs(trend_kendall(s, 6) - 1.8787) < 1e-3);
	/* Slopes sorted: -1 -1 .5 .5 .667 .75 1 1 1 1 1.33 1.5 2 2 3: the eighth. */
	ck_assert(fabs(trend_slope(s, 6) - 1) < 1e-9);
	ck_assert(fabs(trend_tail(1.959964) - 0.025) < 1e-6);
	ck_assert(fabs(trend_tail(0) - 0.5) < 1e-12);
	ck_assert(trend_seconds_until(100, 2, 300) == 100 && trend_seconds_until(100, -1, 300) < 0 && trend_seconds_until(400, 1, 300) == 0);
	/* Least squares: 31 / 35, and Student's 2.776445 for four degrees of freedom times the standard error. */
	double slope, low, high;
	ck_assert(trend_regression(s, 6, &slope, &low, &high));
	ck_assert(fabs(slope - 0.885714) < 1e-5);
	ck_assert(fabs(low - 0.241259) < 1e-3 && fabs(high - 1.530170) < 1e-3);
	/* A restart between the two halves: only pairs within them count. */
	for (size_t i = 3; i < 6; i++)
		s[i].run = 1;
	ck_assert(fabs(trend_kendall(s, 6) - 1 / sqrt(2 * 3 * 2 * 11 / 18.0)) < 1e-9);
}
END_TEST

/* Short, equal, endless and odd series. */
START_TEST(edges)
{
	static struct sample s[3000];
	ck_assert_int_eq(trend_judge(s, 0).kind, TREND_SHORT);
	for (size_t i = 0; i < 3000; i++)
		s[i] = (struct sample){ (double)i, 5, 0 };
	ck_assert_int_eq(trend_judge(s, TREND_LEAST - 1).kind, TREND_SHORT);
	ck_assert_int_eq(trend_judge(s, 3000).kind, TREND_STEADY);
	for (size_t i = 0; i < 3000; i++)
		s[i] = (struct sample){ 7, (double)i, 0 }; /* no time passes */
	trend_judge(s, 3000);
	for (size_t i = 0; i < 3000; i++)
		s[i] = (struct sample){ (double)i, (double)i * 1e6, (unsigned)i }; /* restarts all the time */
	ck_assert_int_eq(trend_judge(s, 3000).kind, TREND_STEADY);
	ck_assert(trend_slope(s, 1) == 0);
}
END_TEST

START_TEST(a_series_of_any_length)
{
	static struct series s;
	for (unsigned i = 0; i < 60480; i++) /* a week of ten seconds */
		series_add(&s, (struct sample){ i * 10.0, 1e8 + i * 1000.0, 0 });
	ck_assert_uint_le(s.n, SERIES_MOST);
	ck_assert_uint_ge(s.n, SERIES_MOST / 2);
	ck_assert(s.at[0].at == 0 && s.at[s.n - 1].at > 0.99 * 604800);
	struct trend t = trend_judge(s.at, s.n);
	ck_assert_int_eq(t.kind, TREND_GROWS);
	ck_assert(fabs(t.slope - 100) < 1e-6);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trend");
	TCase *t = tcase_create("trend");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, score, 0, sizeof rows / sizeof *rows);
	tcase_add_test(t, recorded);
	tcase_add_test(t, bounds);
	tcase_add_test(t, by_hand);
	tcase_add_test(t, edges);
	tcase_add_test(t, a_series_of_any_length);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
