/* trend: is a series of figures growing, and how fast? Pure functions of numbers. */
#ifndef FLOTSAM_TREND_H
#define FLOTSAM_TREND_H

#include "flotsam/base.h"

struct sample { double at, value; }; /* seconds, any figure; `at` ascends */

/* The median of the slopes of all pairs (Theil 1950, Sen 1968): one outlier in four does not move it. Value a second; 0 with less
 * than two samples or without memory. */
double trend_slope(const struct sample *s, size_t n);

#endif
