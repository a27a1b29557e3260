/* Least squares: for rounds that are alike the most exact, where Theil and Sen's slope is for series that are not. */
#include <math.h>

#include "trend.h"

/* Quantile 0.975 of Student's t with `df` degrees of freedom: a table up to 12, then the first terms of Cornish and Fisher's
 * expansion (Abramowitz and Stegun 26.7.5), which are good to 0.001 there. */
static double student(size_t df)
{
	static const double table[] = { 0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179 };
	static const double z = 1.959964;
	if (df < sizeof table / sizeof table[0])
		return table[df];
	double d = (double)df;
	return z + (z * z * z + z) / (4 * d) + (5 * pow(z, 5) + 16 * z * z * z + 3 * z) / (96 * d * d);
}

bool trend_regression(const struct sample *s, size_t n, double *ret_slope, double *ret_low, double *ret_high)
{
	double x = 0, y = 0, xx = 0, xy = 0, left = 0;
	*ret_slope = *ret_low = *ret_high = 0;
	for (size_t i = 0; i < n; i++) {
		x += s[i].at / (double)n;
		y += s[i].value / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		xx += (s[i].at - x) * (s[i].at - x);
		xy += (s[i].at - x) * (s[i].value - y);
	}
	if (n < 3 || xx <= 0)
		return false;
	double slope = xy / xx;
	for (size_t i = 0; i < n; i++) {
		double r = s[i].value - y - slope * (s[i].at - x);
		left += r * r;
	}
	double wide = student(n - 2) * sqrt(left / (double)(n - 2) / xx);
	*ret_slope = slope;
	*ret_low = slope - wide;
	*ret_high = slope + wide;
	return true;
}
