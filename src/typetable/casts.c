/* Casts, by the pointer that is cast. */
#include "flotsam/typetable.h"

#include <stdlib.h>

static int compare_keys(const struct cast *x, const struct cast *y)
{
	if (x->outer != y->outer)
		return x->outer < y->outer ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->deep - y->deep;
}

static int compare_casts(const void *a, const void *b)
{
	const struct cast *x = a, *y = b;
	int key = compare_keys(x, y);
	if (key)
		return key;
	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	if (x->places != y->places)
		return x->places > y->places ? -1 : 1;
	return x->target < y->target ? -1 : x->target > y->target;
}

void type_casts_sort(struct casts *c)
{
	if (c->list.n)
		qsort(c->list.at, c->list.n, sizeof *c->list.at, compare_casts);
}

const struct cast *type_casts_find(const struct casts *c, uint32_t outer, uint32_t offset, uint64_t address, bool deep, size_t *ret_n)
{
	struct cast key = { .outer = outer, .offset = offset, .address = address, .deep = deep };
	size_t lo = 0, hi = c->list.n, n = 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (compare_keys(&c->list.at[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < c->list.n && !compare_keys(&c->list.at[lo + n], &key))
		n++;
	*ret_n = n;
	return n ? &c->list.at[lo] : NULL;
}
