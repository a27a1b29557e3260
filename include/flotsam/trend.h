/* trend: is a series of figures growing, and how fast? Pure functions of numbers. */
#ifndef FLOTSAM_TREND_H
#define FLOTSAM_TREND_H

#include "flotsam/base.h"

struct sample {
	double at, value; /* seconds, any figure; `at` ascends */
	unsigned run;	  /* changes when the process was started anew: what came before is another level */
};

/* The median of the slopes of all pairs (Theil 1950, Sen 1968): one outlier in four does not move it. Value a second; 0 with less
 * than two samples or without memory. */
double trend_slope(const struct sample *s, size_t n);

enum trend_kind {
	TREND_SHORT,	/* too few samples to say */
	TREND_STEADY,
	TREND_GROWS,	/* and does not stop */
	TREND_SHRINKS,
	TREND_PLATEAU,	/* grew at first, and has stopped: a cache that is full, a program that has warmed up */
	TREND_SAWTOOTH,	/* rises, and comes back to where it was */
	TREND_KINDS
};
const char *trend_kind_name(enum trend_kind k); /* "grows", ... */

struct trend {
	enum trend_kind kind;
	double slope, low, high; /* value a second, and the bounds of 95 in 100; of what lies behind the warm-up when it grows */
	double p;		 /* how likely chance alone makes such a rise (one-sided) */
	double level;		 /* median of the last tenth */
};
/* Any number of samples; those of more than LIMIT are thinned evenly. */
enum { TREND_LEAST = 8, TREND_LIMIT = 256 };
struct trend trend_judge(const struct sample *s, size_t n);

/* Mann-Kendall's test over runs (Mann 1945, Kendall 1975; sums over runs as Hirsch, Slack and Smith 1982 do over seasons):
 * z, positive when later values are greater. 0 without memory. */
double trend_kendall(const struct sample *s, size_t n);
/* Upper tail of the normal distribution. */
double trend_tail(double z);
/* The slope of least squares and its bounds of 95 in 100, by Student's distribution. False: less than three samples. */
bool trend_regression(const struct sample *s, size_t n, double *ret_slope, double *ret_low, double *ret_high);
/* Seconds from the level to a limit at this slope; negative: never. */
double trend_seconds_until(double level, double slope, double limit);

/* A series of any length in bounded memory: when it is full, every second sample goes. */
enum { SERIES_MOST = 1024 };
struct series {
	struct sample at[SERIES_MOST];
	size_t n;
	unsigned every, skipped; /* one of so many is kept; since the last that was */
};
void series_add(struct series *s, struct sample x);

#endif
