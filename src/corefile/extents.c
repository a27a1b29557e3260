/* The kernel's cores always hold the vDSO, whose bytes stand in no file and without which no stack that ends in it is unwound
 * (always_dump_vma), and the first page of ELF files, where their build-ids are (vma_dump_size, both of fs/coredump.c, Linux
 * 6.1). A look does not copy those, since they do not change. */
#include "extents.h"

static bool add(struct core_extents *x, struct extent e)
{
	struct extent *slot = vec_push(&x->list);
	if (slot)
		*slot = e;
	return slot;
}

static int by_address(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

static void sort(struct core_extents *x)
{
	if (x->list.n)
		qsort(x->list.at, x->list.n, sizeof *x->list.at, by_address);
}

/* In place of those of its pages that were touched. */
static struct err *add_picture_and_vdso(const struct session *s, struct core_extents *x)
{
	const struct picture *p = &s->target->picture;
	const struct module *m = modules_by_role(s->modules, MODULE_VDSO);
	const struct span vdso = modules_vdso(s->modules);
	uint64_t start = vdso.n ? m->start : 0, end = start + vdso.n;
	bool ok = !vdso.n || add(x, (struct extent){ start, vdso.n, vdso.p, false });
	for (size_t i = 0; ok && i < p->extents.n; i++) {
		struct extent e = p->extents.at[i];
		if (e.address >= start && e.address < end) { /* an extent may go on behind it */
			uint64_t cut = e.bytes < end - e.address ? e.bytes : end - e.address;
			e = (struct extent){ e.address + cut, e.bytes - cut, e.data + cut, e.from_file };
		} else if (e.address < start && e.address + e.bytes > start) {
			uint64_t behind = e.address + e.bytes > end ? e.address + e.bytes - end : 0;
			ok = !behind || e.from_file || add(x, (struct extent){ end, behind, e.data + (end - e.address), false });
			e.bytes = start - e.address;
		}
		ok = ok && (e.from_file || !e.bytes || add(x, e));
	}
	return ok ? NULL : err_nomem();
}

static struct err *add_header(struct target *t, struct core_extents *x, uint64_t address)
{
	uint64_t n = t->picture.page;
	AUTO_FREE uint8_t *page = malloc(n);
	if (!page)
		return err_nomem();
	if (!target_peek(t, address, page, n) || memcmp(page, "\177ELF", 4))
		return NULL;
	uint8_t **slot = vec_push(&x->own);
	if (!slot)
		return err_nomem();
	*slot = TAKE(page);
	return add(x, (struct extent){ address, n, *slot, false }) ? NULL : err_nomem();
}

struct err *core_extents_make(const struct session *s, struct core_extents *ret)
{
	const struct picture *p = &s->target->picture;
	size_t k = 0;
	TRY(add_picture_and_vdso(s, ret));
	sort(ret);
	size_t n = ret->list.n;
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct mapping *m = &p->maps.at[i];
		if (m->path[0] != '/' || m->offset || m->end - m->start < p->page || !(m->prot & PROT_R) || m->device || m->shared)
			continue;
		while (k < n && ret->list.at[k].address + ret->list.at[k].bytes <= m->start)
			k++;
		if (k == n || ret->list.at[k].address >= m->start + p->page)
			TRY(add_header(s->target, ret, m->start));
	}
	sort(ret);
	return NULL;
}

void core_extents_free(struct core_extents *x)
{
	for (size_t i = 0; i < x->own.n; i++)
		free(x->own.at[i]);
	vec_free(&x->own);
	vec_free(&x->list);
}
