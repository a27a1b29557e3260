/* Which bytes of a range are in memory. */
#include "flotsam/heap.h"

static uint64_t with_flag(struct residency *r, uint64_t start, uint64_t end, uint8_t flag)
{
	const struct picture *p = r->p;
	uint64_t sum = 0;
	while (r->run_ > 0 && p->pages.at[r->run_ - 1].end > start)
		r->run_--;
	while (r->run_ < p->pages.n && p->pages.at[r->run_].end <= start)
		r->run_++;
	for (size_t i = r->run_; i < p->pages.n && p->pages.at[i].start < end; i++) {
		const struct page_run *g = &p->pages.at[i];
		if (!(g->flags & flag) || g->flags & PAGE_ZERO)
			continue;
		uint64_t from = g->start > start ? g->start : start, to = g->end < end ? g->end : end;
		sum += to - from;
	}
	return sum;
}

uint64_t residency_bytes(struct residency *r, uint64_t start, uint64_t end)
{
	return r->p->have_pages ? with_flag(r, start, end, PAGE_PRESENT) : end - start;
}

uint64_t residency_swapped(struct residency *r, uint64_t start, uint64_t end)
{
	return r->p->have_pages ? with_flag(r, start, end, PAGE_SWAPPED) : 0;
}

uint64_t residency_huge(struct residency *r, uint64_t start, uint64_t end)
{
	return r->p->have_pages ? with_flag(r, start, end, PAGE_HUGE) : 0;
}
