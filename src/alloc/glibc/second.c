/* Mallocs beside the one that is walked: of a libc that dlmopen() loaded into a namespace of its own or that a static program
 * opened, and of libc_malloc_debug.so. Each has an arena that was used when it counts memory. */
#include "../row.h"
#include "glibc.h"

static bool image_reader(void *ctx, uint64_t address, void *to, size_t n)
{
	return image_read(ctx, address, to, n);
}

static bool used_state(struct image *img, struct modules *ms, struct module *m, struct glibc_place *p, uint64_t *ret_bytes)
{
	const struct arch *arch = image_arch(img);
	struct glibc_search q = { ms, m, arch, image_picture(img), { image_reader, img, arch->word, arch->big }, ALLOC_FROM_ANY };
	struct err *e = glibc_find(&q, p);
	bool found = !e && glibc_place_holds(&q, p) && glibc_word(&q.reader, p->main_arena + p->layout->arena.system_mem, ret_bytes);
	err_free(e);
	return found && *ret_bytes;
}

uint64_t alloc_glibc_bytes(struct image *img, struct modules *ms, struct module *m)
{
	struct glibc_place p;
	uint64_t bytes = 0;
	return used_state(img, ms, m, &p, &bytes) ? bytes : 0;
}

void glibc_name_others(struct glibc *g)
{
	for (size_t i = 0; i < modules_count(g->ms); i++) {
		struct module *m = modules_get(g->ms, i);
		struct glibc_place p;
		struct symbol s;
		uint64_t bytes = 0;
		if (m == g->place.module || !modules_symbol(g->ms, m, "malloc", &s) || !s.is_function || !s.size ||
		    !used_state(g->img, g->ms, m, &p, &bytes))
			continue;
		findings_add(&g->alloc->findings, "second-malloc", p.main_arena,
			     "%s has a malloc of its own, with %llu bytes in its main arena: its blocks are not listed, and what they point at is held",
			     m->name, (unsigned long long)bytes);
	}
}
