/* Hands each call to the target's row, and keeps the picture's books. */
#include <errno.h>

#include "row.h"

struct err *target_survey(struct target *t)
{
	return t->row->survey(t);
}

struct err *target_take(struct target *t, const struct quiet_plan *quiet)
{
	return t->row->take(t, quiet);
}

bool target_peek(struct target *t, uint64_t address, void *to, size_t n)
{
	return t->row->peek(t, address, to, n);
}

int target_open_mapped(struct target *t, const struct mapping *m)
{
	return t->row->open_mapped(t, m);
}

int target_open_path(struct target *t, const char *path)
{
	return t->row->open_path(t, path);
}

int target_open_proc(struct target *t, const char *name)
{
	if (!t->row->open_proc) {
		errno = ENOENT;
		return -1;
	}
	return t->row->open_proc(t, name);
}

struct err *target_again(struct target *t, struct target **ret)
{
	return t->row->again ? t->row->again(t, ret) : err_new(ERR_UNSUPPORTED, "a core does not change");
}

void target_close(struct target *t)
{
	if (t)
		t->row->close(t);
}

const struct mapping *picture_mapping(const struct picture *p, uint64_t address)
{
	size_t low = 0, high = p->maps.n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (p->maps.at[mid].end <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->maps.n && p->maps.at[low].start <= address ? &p->maps.at[low] : NULL;
}

void picture_clear(struct picture *p)
{
	vec_free(&p->maps);
	vec_free(&p->threads);
	vec_free(&p->extents);
	vec_free(&p->pages);
	vec_free(&p->kernel_words);
	vec_free(&p->skipped);
	vec_free(&p->auxv);
	findings_free(&p->findings);
}

bool picture_skip(struct picture *p, const char *reason, uint64_t bytes, bool may_hold_roots)
{
	if (!bytes)
		return true;
	for (size_t i = 0; i < p->skipped.n; i++) {
		struct skipped *s = &p->skipped.at[i];
		if (strcmp(s->reason, reason) == 0) {
			s->bytes += bytes;
			s->may_hold_roots |= may_hold_roots;
			return true;
		}
	}
	struct skipped *s = vec_push(&p->skipped);
	if (!s)
		return false;
	*s = (struct skipped){ reason, bytes, may_hold_roots };
	return true;
}
