/* What each mapping is: the file behind it, the heaps and blocks of malloc in it, the stacks. The kernel joins neighbours,
 * so one mapping may hold many things. */
#include "flotsam/memory.h"

static const char *const kind_names[MEMORY_KINDS] = { "file", "bss", "heap", "blocks", "stack", "shared", "kernel", "anonymous" };

const char *map_kind_name(enum map_kind k)
{
	return kind_names[k];
}

const char *memory_page(const struct picture *p, uint64_t address)
{
	size_t lo = 0, hi = p->pages.n;
	if (!p->have_pages)
		return "not known to be resident or not";
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (p->pages.at[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct page_run *r = lo < p->pages.n && p->pages.at[lo].start <= address ? &p->pages.at[lo] : NULL;
	if (!r || !(r->flags & (PAGE_PRESENT | PAGE_SWAPPED)))
		return "not in memory: never touched, or given back";
	if (r->flags & PAGE_SWAPPED)
		return "swapped out";
	if (r->flags & PAGE_ZERO)
		return "the zero page: read, never written";
	return r->flags & PAGE_HUGE ? "resident, in a huge page" : "resident";
}

/* What lies in one mapping. */
struct content {
	unsigned heaps, blocks, stacks;
	uint64_t malloced, malloced_swapped;
	uint64_t covered; /* by malloc's segments, resident or not */
	int arena;	/* of the first heap */
	bool one_arena;
	const struct thread *thread;
};

static size_t first_segment(const struct alloc *a, uint64_t address)
{
	size_t lo = 0, hi = a->segments.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (a->segments.at[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Whole pages: none of them is anybody else's. */
static void add_segment(const struct segment *s, const struct mapping *m, struct residency *r, struct content *c)
{
	uint64_t page = r->p->page, from = align_down(s->header_from, page), to = align_up(s->end, page);
	from = from > m->start ? from : m->start;
	to = to < m->end ? to : m->end;
	c->covered += to - from;
	c->malloced += residency_bytes(r, from, to);
	c->malloced_swapped += residency_swapped(r, from, to);
}

static void find_heaps(const struct alloc *a, const struct mapping *m, struct residency *r, struct content *c)
{
	for (size_t i = first_segment(a, m->start); i < a->segments.n && a->segments.at[i].header_from < m->end; i++) {
		const struct segment *s = &a->segments.at[i];
		add_segment(s, m, r, c);
		if (s->arena == ARENA_MMAP) {
			c->blocks++;
			continue;
		}
		c->one_arena = !c->heaps || (c->one_arena && c->arena == s->arena);
		c->arena = c->heaps ? c->arena : s->arena;
		c->heaps++;
	}
}

static void find_stacks(const struct session *s, const struct mapping *m, struct content *c)
{
	const struct runtime *rt = s->runtime;
	size_t lo = 0, hi = rt->extents.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (rt->extents.at[mid].end <= m->start)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < rt->extents.n && rt->extents.at[lo].start < m->end; lo++) {
		const struct runtime_extent *e = &rt->extents.at[lo];
		if (e->kind != EXTENT_STACK && e->kind != EXTENT_STACK_DEAD)
			continue;
		if (!c->stacks++ && e->thread >= 0)
			c->thread = &s->target->picture.threads.at[e->thread];
	}
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static void add_part(struct strbuf *to, const char *text)
{
	if (to->n)
		strbuf_puts(to, ", ");
	strbuf_puts(to, text);
}

static void add_stacks(struct strbuf *to, const struct content *c)
{
	char text[64];
	if (c->stacks > 1)
		snprintf(text, sizeof text, "stacks of %u threads", c->stacks);
	else if (c->thread && c->thread->comm[0])
		snprintf(text, sizeof text, "stack of thread %d \"%.*s\"", (int)c->thread->tid, (int)sizeof c->thread->comm, c->thread->comm);
	else if (c->thread)
		snprintf(text, sizeof text, "stack of thread %d", (int)c->thread->tid);
	else
		snprintf(text, sizeof text, "stack of a finished thread");
	add_part(to, text);
}

static void add_heaps(struct strbuf *to, const struct session *s, const struct content *c, uint64_t size)
{
	char text[64];
	if (c->heaps && c->one_arena && s->alloc->arenas.at[c->arena].main)
		add_part(to, "heap of the main arena");
	else if (c->heaps && c->one_arena) {
		snprintf(text, sizeof text, "heap of arena %d", c->arena);
		add_part(to, text);
	} else if (c->heaps) {
		snprintf(text, sizeof text, "%u heaps", c->heaps);
		add_part(to, text);
	}
	if (c->blocks) {
		snprintf(text, sizeof text, "%u mapped %s", c->blocks, c->blocks == 1 ? "block" : "blocks");
		add_part(to, text);
	}
	/* A heap that shrank keeps its mapping: that is no other's. */
	if (!c->heaps && c->covered < size)
		add_part(to, "other memory");
}

static enum map_kind file_kind(struct strbuf *to, const struct mapping *m)
{
	strbuf_puts(to, base_of(m->path));
	if (m->deleted)
		strbuf_puts(to, " (deleted)");
	add_part(to, m->prot & PROT_X ? "code" : m->prot & PROT_W ? "data" : "read only");
	return m->shared ? MEMORY_SHARED : MEMORY_FILE;
}

/* What a language's runtime has in it: each label once, of the first few. */
static bool add_regions(struct strbuf *to, const struct session *s, const struct mapping *m)
{
	const struct runtime *rt = s->runtime;
	size_t i = runtime_region_from(rt, m->start);
	const char *last = NULL;
	uint64_t covered = 0;
	for (; i < rt->regions.n && rt->regions.at[i].start < m->end; i++) {
		const struct runtime_region *x = &rt->regions.at[i];
		covered += (x->end < m->end ? x->end : m->end) - (x->start > m->start ? x->start : m->start);
		if (!last || strcmp(last, x->label))
			add_part(to, x->label);
		last = x->label;
	}
	if (last && covered < m->end - m->start)
		add_part(to, "other memory");
	return last;
}

static enum map_kind describe(struct session *s, struct memory_map *x, struct residency *r, struct strbuf *to)
{
	const struct mapping *m = x->mapping;
	struct content c = { 0 };
	bool huge = strstr(m->path, "anon_hugepage"), named = !strncmp(m->path, "[anon", 5);
	if (s->blocks && m->prot & PROT_W)
		find_heaps(s->alloc, m, r, &c);
	x->malloced = c.malloced;
	x->malloced_swapped = c.malloced_swapped;
	if (c.heaps || c.blocks)
		add_heaps(to, s, &c, m->end - m->start);
	find_stacks(s, m, &c);
	if (c.stacks)
		add_stacks(to, &c);
	if (c.heaps || c.blocks)
		return c.heaps ? MEMORY_HEAP : MEMORY_BLOCKS;
	if (c.stacks)
		return MEMORY_STACK;
	if (m->inode && !huge)
		return file_kind(to, m);
	if (m->path[0] == '[' && !named && strcmp(m->path, "[heap]")) {
		strbuf_puts(to, m->path);
		return !strncmp(m->path, "[stack", 6) ? MEMORY_STACK : MEMORY_KERNEL;
	}
	struct module *module = modules_at(s->modules, m->start);
	if (module && module->role != MODULE_VDSO) {
		strbuf_printf(to, "%s, .bss", module->name);
		return MEMORY_BSS;
	}
	if (!m->shared && add_regions(to, s, m))
		return MEMORY_ANONYMOUS;
	strbuf_puts(to, m->path[0] ? m->path : m->shared ? "shared anonymous memory" : m->prot ? "anonymous" : "reserved, no access");
	return m->shared ? MEMORY_SHARED : MEMORY_ANONYMOUS;
}

/* Address space without access belongs to what it touches: arenas reserve a heap whole, stacks have a guard below. */
static char *reserved(const struct memory_maps *l, size_t i)
{
	const struct mapping *m = l->list.at[i].mapping;
	const struct memory_map *below = i ? &l->list.at[i - 1] : NULL, *above = i + 1 < l->list.n ? &l->list.at[i + 1] : NULL;
	if (m->prot || m->inode || m->path[0])
		return NULL;
	if (below && below->kind == MEMORY_HEAP && below->mapping->end == m->start)
		return strdup("reserved for the heap below");
	if (above && above->kind == MEMORY_STACK && above->mapping->start == m->end)
		return strdup("guard of the stack above");
	return NULL;
}

static void name_reserved(struct memory_maps *l)
{
	for (size_t i = 0; i < l->list.n; i++) {
		char *what = reserved(l, i);
		if (!what)
			continue;
		free(l->list.at[i].what);
		l->list.at[i].what = what;
	}
}

static struct err *list_maps(struct session *s, struct memory_maps *l)
{
	const struct picture *p = &s->target->picture;
	struct residency r = { .p = p }, inner = r;
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct mapping *m = &p->maps.at[i];
		struct strbuf to = { 0 };
		struct memory_map *x = vec_push(&l->list);
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (!x)
			return err_nomem();
		x->mapping = m;
		x->kind = describe(s, x, &inner, &to);
		x->what = to.text ? to.text : strdup("");
		x->resident = residency_bytes(&r, m->start, m->end);
		x->swapped = residency_swapped(&r, m->start, m->end);
		x->huge = residency_huge(&r, m->start, m->end);
		if (!x->what)
			return err_nomem();
	}
	name_reserved(l);
	return NULL;
}

struct err *memory_maps(struct session *s, struct memory_maps **ret)
{
	struct memory_maps *l = calloc(1, sizeof *l);
	if (!l)
		return err_nomem();
	l->residency_known = s->target->picture.have_pages;
	struct err *e = list_maps(s, l);
	if (e) {
		memory_maps_free(l);
		return e;
	}
	*ret = l;
	return NULL;
}

void memory_maps_free(struct memory_maps *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->list.n; i++)
		free(m->list.at[i].what);
	vec_free(&m->list);
	free(m);
}
