/* The allocators that flotsam walks, the ones that it knows by name, and the calls of the contract. */
#include "row.h"

static const struct alloc_row *const table[] = { &alloc_glibc };
enum { N_ROWS = sizeof table / sizeof table[0] };

static const char *const state_names[BLOCK_STATES] = {
	[BLOCK_USED] = "used",		[BLOCK_MMAPPED] = "mmapped",   [BLOCK_TCACHE] = "tcache", [BLOCK_FASTBIN] = "fastbin",
	[BLOCK_UNSORTED] = "unsorted",	[BLOCK_SMALLBIN] = "smallbin", [BLOCK_LARGEBIN] = "largebin", [BLOCK_FREE] = "free",
	[BLOCK_TOP] = "top",		[BLOCK_FENCE] = "fence",       [BLOCK_IN_TRANSIT] = "in_transit", [BLOCK_LOST] = "lost",
	[BLOCK_FOREIGN] = "foreign",
};

const char *block_state_name(enum block_state s)
{
	return s < BLOCK_STATES ? state_names[s] : "unknown";
}

/* Functions that only this allocator defines (each project's public header). */
static const struct {
	const char *symbol, *name;
} known[] = {
	{ "je_malloc", "jemalloc" },	 { "mallctl", "jemalloc" },	   { "tc_malloc", "tcmalloc" },
	{ "MallocExtension_ReleaseFreeMemory", "tcmalloc" },		   { "mi_malloc", "mimalloc" },
	{ "__asan_init", "AddressSanitizer" }, { "__lsan_init", "LeakSanitizer" }, { "rpmalloc", "rpmalloc" },
	{ "scalable_malloc", "TBB malloc" },
};

const char *alloc_recognise(struct modules *ms)
{
	for (size_t m = 0; m < modules_count(ms); m++) {
		struct module *mod = modules_get(ms, m);
		struct symbol s;
		if (!strncmp(mod->name, "ld-musl", 7) || !strncmp(mod->name, "libc.musl", 9))
			return "musl";
		for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
			if (modules_symbol(ms, mod, known[i].symbol, &s) && s.is_function && s.address)
				return known[i].name;
	}
	return NULL;
}

struct err *alloc_locate(struct target *t, struct modules *ms, const struct alloc_options *o, struct quiet_plan *quiet)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		struct err *e = table[i]->locate ? table[i]->locate(t, ms, o, quiet) : NULL;
		if (!e)
			return NULL;
		if (e->kind == ERR_NOMEM || e->kind == ERR_INTERRUPTED)
			return e;
		err_free(e); /* not this allocator: the look goes on without its plan */
	}
	return NULL;
}

static void reset(struct alloc *a)
{
	if (a->row && a->row->close)
		a->row->close(a);
	vec_free(&a->arenas);
	vec_free(&a->segments);
	vec_free(&a->state_extents);
	vec_free(&a->tcaches);
	vec_free(&a->lists);
	findings_free(&a->findings);
	*a = (struct alloc){ 0 };
}

/* malloc in the global scope is not glibc's: an allocator in the program or preloaded. */
static const char *interposed(struct modules *ms)
{
	struct module *libc = modules_by_role(ms, MODULE_LIBC), *ldso = modules_by_role(ms, MODULE_LDSO);
	struct symbol s;
	for (size_t i = 0; i < modules_count(ms); i++) {
		struct module *m = modules_get(ms, i);
		/* Debian's own libs that define a global malloc besides libc: ld.so (its minimal one) alone. A second libc serves the
		 * namespace that it was loaded into, or a static program's plugins. */
		bool second = !strcmp(m->name, "libc.so.6") || !strncmp(m->name, "libc-2.", 7);
		if (m == libc || m == ldso || second || m->role == MODULE_VDSO)
			continue;
		if (modules_symbol(ms, m, "malloc", &s) && s.is_function && s.is_global && s.address && s.size)
			return m->name;
	}
	return NULL;
}

struct err *alloc_open(struct image *img, struct modules *ms, struct runtime *rt, const struct alloc_options *o, struct alloc **ret)
{
	struct alloc *a = calloc(1, sizeof *a);
	if (!a)
		return err_nomem();
	const char *other = alloc_recognise(ms), *in = interposed(ms);
	AUTO_FREE char *why = NULL;
	for (size_t i = 0; i < N_ROWS && !other && !in; i++) {
		a->row = table[i];
		a->options = *o;
		struct err *e = table[i]->open(img, ms, rt, a);
		if (!e) {
			*ret = a;
			return NULL;
		}
		if (e->kind == ERR_NOMEM || e->kind == ERR_INTERRUPTED) {
			alloc_close(a);
			return e;
		}
		free(why);
		why = strdup(e->text);
		err_free(e);
		reset(a);
	}
	a->facts.name = other ? other : "unknown";
	a->facts.found_by = "none";
	findings_add(&a->findings, "allocator", 0, "the heap is not walked: %s%s", other ? "it is served by " : in ? "malloc is defined in " : "",
		     other ? other : in ? in : why ? why : "no known allocator");
	*ret = a;
	return NULL;
}

struct err *alloc_walk(struct alloc *a, struct image *img, const struct chunk_sink *sink)
{
	return a->row->walk(a, img, sink);
}

bool alloc_chunk_header(const struct alloc *a, const struct image *img, uint64_t chunk, struct chunk_header *ret)
{
	return a->row && a->row->header && a->row->header(a, img, chunk, ret);
}

void alloc_close(struct alloc *a)
{
	if (!a)
		return;
	reset(a);
	free(a);
}

uint64_t alloc_usable(const struct alloc *a, const struct segment *s, uint64_t chunk, uint64_t size)
{
	(void)chunk;
	unsigned w = a->facts.header / 2;
	if (s->arena != ARENA_MMAP)
		return size - w; /* it borrows the first word of the next chunk */
	/* For mmapped blocks size is the mapping's rest: the chunk's size field plus 2.43's trailer. Usable is
	 * field - 2 words up to 2.42, field - 1 word from 2.43 on. */
	return a->facts.mmap_tail ? size - 3 * w : size - 2 * w;
}
