/* Mappings by origin, and those that no name leads to any more. */
#include "resources.h"

static const char *const names[ORIGINS] = { "program", "library", "file", "malloc", "stack", "anonymous", "reserved", "shared", "memfd", "device", "kernel" };

const char *origin_name(enum origin o)
{
	return names[o];
}

static bool starts(const struct mapping *m, const char *prefix)
{
	return !strncmp(m->path, prefix, strlen(prefix));
}

/* Does a stack of a thread lie in it, dead ones and signal stacks included? */
static bool holds_stack(const struct runtime *rt, const struct mapping *m)
{
	size_t low = 0, high = rt->extents.n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (rt->extents.at[middle].end > m->start)
			high = middle;
		else
			low = middle + 1;
	}
	for (; low < rt->extents.n && rt->extents.at[low].start < m->end; low++)
		if (rt->extents.at[low].kind <= EXTENT_TLS)
			return true;
	return false;
}

static bool holds_malloc(const struct alloc *a, const struct mapping *m)
{
	size_t low = 0, high = a->segments.n;
	while (low < high) { /* the first segment that ends behind the mapping's start */
		size_t middle = low + (high - low) / 2;
		if (a->segments.at[middle].end > m->start)
			high = middle;
		else
			low = middle + 1;
	}
	return low < a->segments.n && a->segments.at[low].header_from < m->end;
}

static enum origin origin_of(const struct session *s, const struct mapping *m)
{
	const struct module *module = modules_at(s->modules, m->start);
	if (starts(m, "[v") || starts(m, "[uprobes"))
		return ORIGIN_KERNEL;
	if (m->device)
		return ORIGIN_DEVICE;
	if (starts(m, "/memfd:"))
		return ORIGIN_MEMFD;
	if (m->shared && (!m->inode || starts(m, "/dev/shm/") || starts(m, "/SYSV") || starts(m, "/dev/zero")))
		return ORIGIN_SHARED;
	if (module && module->role != MODULE_VDSO)
		return module->role == MODULE_PROGRAM ? ORIGIN_PROGRAM : ORIGIN_LIBRARY;
	if (m->inode && !strstr(m->path, "anon_hugepage"))
		return ORIGIN_FILE;
	if (holds_malloc(s->alloc, m) || starts(m, "[heap]"))
		return ORIGIN_MALLOC;
	if (starts(m, "[stack") || holds_stack(s->runtime, m))
		return ORIGIN_STACK;
	return m->prot ? ORIGIN_ANONYMOUS : ORIGIN_RESERVED;
}

static void add(struct origin_sum *sum, const struct mapping *m, uint64_t resident)
{
	sum->count++;
	sum->bytes += m->end - m->start;
	sum->resident += resident;
}

/* A mapping of its own line first; those of one path are put together at the end. */
static bool add_odd(struct resources *r, const struct mapping *m, enum origin origin, uint64_t resident)
{
	struct odd_mapping *o = vec_push(&r->odd);
	if (!o)
		return false;
	/* Shared memory without a file has a name of the kernel's (mm/shmem.c, shmem_zero_setup). */
	bool named = !(m->deleted && !strcmp(m->path, "/dev/zero"));
	*o = (struct odd_mapping){ .path = strdup(named ? m->path : ""), .deleted = named && m->deleted, .origin = origin };
	add(&o->sum, m, resident);
	if (!o->path)
		r->odd.n--;
	return o->path;
}

static int by_path(const void *a, const void *b)
{
	const struct odd_mapping *x = a, *y = b;
	int path = strcmp(x->path, y->path);
	return path ? path : x->origin != y->origin ? (int)x->origin - (int)y->origin : (int)x->deleted - (int)y->deleted;
}

static void merge_odd(struct resources *r)
{
	size_t kept = 0;
	if (r->odd.n)
		qsort(r->odd.at, r->odd.n, sizeof *r->odd.at, by_path);
	for (size_t i = 0; i < r->odd.n; i++) {
		struct odd_mapping *last = kept ? &r->odd.at[kept - 1] : NULL, *o = &r->odd.at[i];
		if (!last || by_path(last, o)) {
			r->odd.at[kept++] = *o;
			continue;
		}
		last->sum.count++;
		last->sum.bytes += o->sum.bytes;
		last->sum.resident += o->sum.resident;
		free(o->path);
	}
	r->odd.n = kept;
}

static int largest_first(const void *a, const void *b)
{
	const struct odd_mapping *x = a, *y = b;
	return x->sum.bytes != y->sum.bytes ? (x->sum.bytes > y->sum.bytes ? -1 : 1) : strcmp(x->path, y->path);
}

struct err *resources_mappings(struct resources *r)
{
	const struct session *s = r->session;
	const struct picture *p = &s->target->picture;
	struct residency pages = { .p = p };
	struct system_memory machine;
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct mapping *m = &p->maps.at[i];
		enum origin origin = origin_of(s, m);
		uint64_t resident = residency_bytes(&pages, m->start, m->end);
		bool odd = origin == ORIGIN_SHARED || origin == ORIGIN_MEMFD || (m->deleted && m->inode);
		add(&r->origins[origin], m, resident);
		if (odd && !add_odd(r, m, origin, resident))
			return err_nomem();
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	r->mappings = p->maps.n;
	r->mapping_limit = UNKNOWN;
	if (s->target->live) {
		system_memory_read("", &machine);
		r->mapping_limit = machine.max_mappings;
	}
	merge_odd(r);
	if (r->odd.n)
		qsort(r->odd.at, r->odd.n, sizeof *r->odd.at, largest_first);
	return NULL;
}
