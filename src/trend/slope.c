/* H. Theil, A rank-invariant method of linear and polynomial regression analysis (1950); P. K. Sen, Estimates of the regression
 * coefficient based on Kendall's tau, JASA 63 (1968). */
#include "flotsam/trend.h"

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

double trend_slope(const struct sample *s, size_t n)
{
	size_t k = 0;
	if (n < 2 || n > 1 << 14)
		return 0;
	double *slopes = malloc(n * (n - 1) / 2 * sizeof *slopes);
	for (size_t i = 0; slopes && i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (s[j].at > s[i].at)
				slopes[k++] = (s[j].value - s[i].value) / (s[j].at - s[i].at);
	if (k)
		qsort(slopes, k, sizeof *slopes, ascending);
	double median = !k ? 0 : k % 2 ? slopes[k / 2] : (slopes[k / 2 - 1] + slopes[k / 2]) / 2;
	free(slopes);
	return median;
}
