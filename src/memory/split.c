/* The table of causes from two other sides: equal mappings together, and the blocks that libc and its kin own by label. */
#include "rss.h"

static const char *const kind_texts[MEMORY_KINDS] = { NULL, NULL, "malloc's heaps", "malloc's mapped blocks", "thread stacks", NULL, NULL, NULL };

static struct rss_group *group_called(struct rss_group *at, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(at[i].name, name))
			return &at[i];
	return NULL;
}

static int by_bytes(const void *a, const void *b)
{
	const struct rss_group *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return strcmp(x->name, y->name);
}

static const char *anonymous_name(const struct rss *r, char *to, size_t n)
{
	if (!r->s->runtime->language)
		return "anonymous, outside malloc";
	snprintf(to, n, "anonymous (%s has memory of its own)", r->s->runtime->language);
	return to;
}

/* Mappings of one name count together, and so do heaps, mapped blocks, stacks; .bss joins its file. */
static const char *group_name(const struct rss *r, const struct memory_map *m, char *to, size_t n)
{
	const struct module *module = m->kind == MEMORY_BSS ? modules_at(r->s->modules, m->mapping->start) : NULL;
	if (kind_texts[m->kind])
		return kind_texts[m->kind];
	if (module)
		return module->path;
	if (m->mapping->path[0])
		return m->mapping->path;
	if (m->kind == MEMORY_SHARED)
		return "shared anonymous memory";
	return anonymous_name(r, to, n);
}

static int by_name(const void *a, const void *b)
{
	const struct rss_group *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static struct err *add_group(struct rss_split *s, const char *name, uint64_t bytes, uint64_t swapped)
{
	if (!bytes && !swapped)
		return NULL;
	struct rss_group *g = vec_push(&s->mappings);
	char *copy = g ? strdup(name) : NULL;
	if (!copy) {
		s->mappings.n -= g != NULL;
		return err_nomem();
	}
	*g = (struct rss_group){ copy, 1, bytes, swapped };
	return NULL;
}

/* The parts of a mapping that a language's runtime has: an entry each, and what they have together. */
static struct err *add_regions(struct rss *r, const struct memory_map *m, struct residency *pages, uint64_t *ret, uint64_t *ret_swapped)
{
	const struct runtime *rt = r->s->runtime;
	const struct mapping *map = m->mapping;
	*ret = *ret_swapped = 0;
	if (map->inode || map->shared || m->kind == MEMORY_STACK)
		return NULL;
	for (size_t i = runtime_region_from(rt, map->start); i < rt->regions.n && rt->regions.at[i].start < map->end; i++) {
		const struct runtime_region *x = &rt->regions.at[i];
		uint64_t from = x->start > map->start ? x->start : map->start, to = x->end < map->end ? x->end : map->end;
		uint64_t bytes = residency_bytes(pages, from, to), swapped = residency_swapped(pages, from, to);
		TRY(add_group(r->split, x->label, bytes, swapped));
		*ret += bytes;
		*ret_swapped += swapped;
	}
	return NULL;
}

static uint64_t rest(uint64_t all, uint64_t a, uint64_t b)
{
	return all > a && all - a > b ? all - a - b : 0;
}

/* One entry a mapping, sorted by name, then joined: there may be millions of them. */
static struct err *group_mappings(struct rss *r)
{
	struct rss_split *s = r->split;
	struct memory_maps *maps;
	struct residency pages = { .p = r->pages.p };
	struct err *e = NULL;
	char text[128];
	TRY(memory_maps(r->s, &maps));
	for (size_t i = 0; i < maps->list.n && !e; i++) {
		const struct memory_map *m = &maps->list.at[i];
		bool joined = m->kind == MEMORY_HEAP || m->kind == MEMORY_BLOCKS;
		uint64_t own, own_swapped;
		e = add_regions(r, m, &pages, &own, &own_swapped);
		if (e)
			break;
		const char *name = group_name(r, m, text, sizeof text);
		uint64_t left = rest(m->resident, m->malloced, own), left_swapped = rest(m->swapped, m->malloced_swapped, own_swapped);
		e = add_group(s, name, joined ? m->malloced : left, joined ? m->malloced_swapped : left_swapped);
		if (!e && joined) /* what stands beside it and the kernel joined with it */
			e = add_group(s, anonymous_name(r, text, sizeof text), left, left_swapped);
	}
	memory_maps_free(maps);
	if (e || !s->mappings.n)
		return e;
	qsort(s->mappings.at, s->mappings.n, sizeof *s->mappings.at, by_name);
	size_t keep = 0;
	for (size_t i = 1; i < s->mappings.n; i++) {
		struct rss_group *into = &s->mappings.at[keep], *g = &s->mappings.at[i];
		if (strcmp(into->name, g->name)) {
			s->mappings.at[++keep] = *g;
			continue;
		}
		into->members++;
		into->bytes += g->bytes;
		into->swapped += g->swapped;
		free(g->name);
	}
	s->mappings.n = keep + 1;
	qsort(s->mappings.at, s->mappings.n, sizeof *s->mappings.at, by_bytes);
	return NULL;
}

static struct err *group_runtime(struct rss *r)
{
	struct rss_split *s = r->split;
	struct block_cursor c;
	if (!r->g || !r->s->types)
		return NULL;
	for (blocks_begin(r->s->blocks, &c); blocks_next(&c) && !interrupted;) {
		if (r->g->class_of[c.id] != CLASS_RUNTIME)
			continue;
		const char *label = types_name(r->s->types, c.id);
		struct rss_group *g = group_called(s->runtime.at, s->runtime.n, label);
		if (!g) {
			char *name = strdup(label);
			g = name ? vec_push(&s->runtime) : NULL;
			if (!g) {
				free(name);
				return err_nomem();
			}
			g->name = name;
		}
		g->members++;
		g->bytes += residency_bytes(&r->pages, c.payload, c.chunk + c.chunk_bytes);
		g->swapped += residency_swapped(&r->pages, c.payload, c.chunk + c.chunk_bytes);
	}
	if (s->runtime.n)
		qsort(s->runtime.at, s->runtime.n, sizeof *s->runtime.at, by_bytes);
	return NULL;
}

struct err *rss_groups(struct rss *r)
{
	TRY(group_mappings(r));
	return group_runtime(r);
}

static void free_groups(struct rss_group *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(at[i].name);
}

void rss_split_free(struct rss_split *s)
{
	free_groups(s->mappings.at, s->mappings.n);
	free_groups(s->runtime.at, s->runtime.n);
	vec_free(&s->arenas);
	vec_free(&s->mappings);
	vec_free(&s->runtime);
}
