/* H. Theil, A rank-invariant method of linear and polynomial regression analysis (1950); P. K. Sen, Estimates of the regression
 * coefficient based on Kendall's tau, JASA 63 (1968), whose bounds of the slope these are. */
#include <math.h>

#include "trend.h"

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

double trend_median(double *v, size_t n)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof *v, ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double trend_variance(const struct sample *s, size_t n)
{
	double sum = 0;
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from; to < n && s[to].run == s[from].run; to++)
			;
		double k = (double)(to - from);
		sum += k * (k - 1) * (2 * k + 5) / 18;
	}
	return sum;
}

bool trend_slopes(const struct sample *s, size_t n, double *ret_slope, double *ret_low, double *ret_high)
{
	size_t k = 0;
	*ret_slope = *ret_low = *ret_high = 0;
	if (n < 2 || n > 1 << 14)
		return false;
	double *slopes = malloc(n * (n - 1) / 2 * sizeof *slopes);
	for (size_t i = 0; slopes && i < n; i++)
		for (size_t j = i + 1; j < n && s[j].run == s[i].run; j++)
			if (s[j].at > s[i].at)
				slopes[k++] = (s[j].value - s[i].value) / (s[j].at - s[i].at);
	if (k) {
		double half = 1.96 * sqrt(trend_variance(s, n)) / 2, low = (double)k / 2 - half, high = (double)k / 2 + half;
		*ret_slope = trend_median(slopes, k);
		*ret_low = slopes[low > 0 ? (size_t)low : 0];
		*ret_high = slopes[high < (double)(k - 1) ? (size_t)high : k - 1];
	}
	free(slopes);
	return k;
}

double trend_slope(const struct sample *s, size_t n)
{
	double slope, low, high;
	trend_slopes(s, n, &slope, &low, &high);
	return slope;
}

double trend_kendall(const struct sample *s, size_t n)
{
	double sum = 0, variance = trend_variance(s, n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n && s[j].run == s[i].run; j++)
			sum += (s[j].value > s[i].value) - (s[j].value < s[i].value);
	if (variance <= 0 || (sum < 1 && sum > -1))
		return 0;
	return (sum > 0 ? sum - 1 : sum + 1) / sqrt(variance);
}

double trend_tail(double z)
{
	return erfc(z / sqrt(2)) / 2;
}

double trend_seconds_until(double level, double slope, double limit)
{
	if (level >= limit)
		return 0;
	return slope > 0 ? (limit - level) / slope : -1;
}
