/* Mallocs beside the one that is walked: of a libc that dlmopen() loaded into a namespace of its own or that a static program
 * opened, and of libc_malloc_debug.so. Each has an arena that was used when it counts memory. */
#include "glibc.h"

static bool image_reader(void *ctx, uint64_t address, void *to, size_t n)
{
	return image_read(ctx, address, to, n);
}

void glibc_name_others(struct glibc *g)
{
	for (size_t i = 0; i < modules_count(g->ms); i++) {
		struct module *m = modules_get(g->ms, i);
		struct glibc_search q = { g->ms, m, g->arch, image_picture(g->img), { image_reader, g->img, g->w, g->arch->big }, ALLOC_FROM_ANY };
		struct glibc_place p;
		struct symbol s;
		uint64_t bytes = 0;
		if (m == g->place.module || !modules_symbol(g->ms, m, "malloc", &s) || !s.is_function || !s.size)
			continue;
		struct err *e = glibc_find(&q, &p);
		bool found = !e && glibc_place_holds(&q, &p) && glibc_word(&q.reader, p.main_arena + p.layout->arena.system_mem, &bytes) && bytes;
		err_free(e);
		if (!found)
			continue;
		findings_add(&g->alloc->findings, "second-malloc", p.main_arena,
			     "%s has a malloc of its own, with %llu bytes in its main arena: its blocks are not listed, and what they point at is held",
			     m->name, (unsigned long long)bytes);
	}
}
