/* What the files of trend share. */
#ifndef TREND_INTERNAL_H
#define TREND_INTERNAL_H

#include "flotsam/trend.h"

double trend_median(double *v, size_t n); /* sorts v */
double trend_variance(const struct sample *s, size_t n); /* of Kendall's S, summed over runs */
/* Pairs of one run alone. False: there are none, or no memory. */
bool trend_slopes(const struct sample *s, size_t n, double *ret_slope, double *ret_low, double *ret_high);
#endif
