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

/* The module that a call of malloc reaches: as the program has it, else as the first other module has it that ever called. NULL
 * when no slot tells: a static program, or no files. */
static struct module *serving(struct modules *ms)
{
	uint64_t to;
	struct module *program = modules_by_role(ms, MODULE_PROGRAM), *libc = modules_by_role(ms, MODULE_LIBC);
	struct module *first[] = { program, libc };
	for (size_t i = 0; i < 2; i++)
		if (first[i] && modules_bound(ms, first[i], "malloc", &to) && modules_at(ms, to))
			return modules_at(ms, to);
	for (size_t i = 0; i < modules_count(ms); i++) {
		struct module *m = modules_get(ms, i);
		if (m->role == MODULE_OTHER && modules_bound(ms, m, "malloc", &to) && modules_at(ms, to))
			return modules_at(ms, to);
	}
	return NULL;
}

/* It serves the namespace that it was loaded into, or a static program's plugins. */
static bool is_second_libc(const struct module *m)
{
	return m->role == MODULE_OTHER && (!strcmp(m->name, "libc.so.6") || !strncmp(m->name, "libc-2.", 7));
}

/* No slot tells: who defines a global malloc besides libc and the loader, whose own is for itself. */
static struct module *interposed(struct modules *ms)
{
	struct module *libc = modules_by_role(ms, MODULE_LIBC);
	struct symbol s;
	for (size_t i = 0; i < modules_count(ms); i++) {
		struct module *m = modules_get(ms, i);
		if (m == libc || m->role == MODULE_LDSO || m->role == MODULE_VDSO || is_second_libc(m))
			continue;
		if (modules_symbol(ms, m, "malloc", &s) && s.is_function && s.is_global && s.address && s.size)
			return m;
	}
	return NULL;
}

static bool is_glibc_debug(const struct module *m)
{
	return !strncmp(m->name, "libc_malloc_debug", 17);
}

/* The module whose malloc is not glibc's and serves the program, or NULL. */
static struct module *foreign_server(struct modules *ms)
{
	char version[16];
	struct module *m = serving(ms), *libc = modules_by_role(ms, MODULE_LIBC);
	if (!m)
		m = interposed(ms);
	if (m && (is_second_libc(m) || is_glibc_debug(m)))
		m = NULL;
	/* musl is libc and loader in one; a static program may hold an allocator beside libc's rest. */
	struct module *ldso = modules_by_role(ms, MODULE_LDSO);
	if (!m && ldso && alloc_known_in(ms, ldso, version))
		m = ldso;
	if (!m)
		m = libc;
	return m && (m != libc || alloc_known_in(ms, m, version)) ? m : NULL;
}

/* Beside glibc's malloc: named, not walked, and their memory counts as roots like any other. */
static void name_others(struct alloc *a, struct modules *ms)
{
	char version[16];
	for (size_t i = 0; i < modules_count(ms); i++) {
		struct module *m = modules_get(ms, i);
		const char *name = alloc_known_in(ms, m, version);
		if (name)
			findings_add(&a->findings, "other-allocator", 0, "%s%s%s in %s is another allocator: what it holds is not walked, and counts as roots",
				     name, version[0] ? " " : "", version, m->name);
	}
}

static struct err *not_walked(struct alloc *a, struct modules *ms, struct module *m, const char *why)
{
	char version[16] = "";
	const char *name = m ? alloc_known_in(ms, m, version) : NULL;
	a->facts.name = name ? name : "unknown";
	a->facts.found_by = "none";
	snprintf(a->facts.version, sizeof a->facts.version, "%s", version);
	if (name)
		findings_add(&a->findings, "allocator", 0, "the heap is not walked: it is served by %s%s%s (%s)", name, version[0] ? " " : "", version,
			     m->name);
	else
		findings_add(&a->findings, "allocator", 0, "the heap is not walked: %s%s", m ? "malloc is defined in " : "",
			     m ? m->name : why ? why : "no known allocator");
	return NULL;
}

/* libc_malloc_debug serves from a state of its own once MALLOC_CHECK_ asks for it: then glibc's is all but empty. */
static struct module *debug_server(const struct alloc *a, struct image *img, struct modules *ms)
{
	struct module *m = serving(ms);
	uint64_t own = a->facts.mmapped_mem;
	for (size_t i = 0; i < a->arenas.n; i++)
		own += a->arenas.at[i].system_mem;
	return m && is_glibc_debug(m) && alloc_glibc_bytes(img, ms, m) > own ? m : NULL;
}

struct err *alloc_open(struct image *img, struct modules *ms, struct runtime *rt, const struct alloc_options *o, struct alloc **ret)
{
	struct alloc *a = calloc(1, sizeof *a);
	if (!a)
		return err_nomem();
	struct module *other = foreign_server(ms);
	AUTO_FREE char *why = NULL;
	for (size_t i = 0; i < N_ROWS && !other; i++) {
		a->row = table[i];
		a->options = *o;
		struct err *e = table[i]->open(img, ms, rt, a);
		if (!e) {
			*ret = a;
			other = debug_server(a, img, ms);
			if (!other) {
				name_others(a, ms);
				return NULL;
			}
			reset(a);
			return not_walked(a, ms, other, NULL);
		}
		if (e->kind == ERR_NOMEM || e->kind == ERR_INTERRUPTED) {
			alloc_close(a);
			return e;
		}
		free(why);
		why = strdup(e->text);
		err_free(e);
		reset(a);
		other = debug_server(a, img, ms);
	}
	*ret = a;
	return not_walked(a, ms, other, why);
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
