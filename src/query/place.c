/* What is at an address, in a few words. */
#include "flotsam/query.h"

#include <inttypes.h>

static void add_offset(struct strbuf *to, uint64_t offset)
{
	if (offset)
		strbuf_printf(to, "+0x%" PRIx64, offset);
}

static bool add_stack(struct strbuf *to, struct session *s, uint64_t address)
{
	const struct runtime_extent *e = runtime_extent_at(s->runtime, address);
	if (!e || e->thread < 0 || (e->kind != EXTENT_STACK && e->kind != EXTENT_TLS))
		return false;
	const struct thread *t = &s->target->picture.threads.at[e->thread];
	strbuf_printf(to, "%s of thread %d", e->kind == EXTENT_STACK ? "stack" : "thread data", (int)t->tid);
	if (e->kind == EXTENT_STACK && address < e->live_from)
		strbuf_puts(to, ", below its stack pointer");
	return true;
}

static void add_module(struct strbuf *to, struct session *s, struct module *m, uint64_t address)
{
	struct symbol sym;
	if (modules_symbol_at(s->modules, address, &sym)) {
		AUTO_FREE char *name = modules_demangle(sym.name);
		strbuf_puts(to, name ? name : sym.name);
		add_offset(to, address - sym.address);
	} else {
		strbuf_puts(to, m->name);
		add_offset(to, address - m->start);
	}
}

/* An object in a pool of CPython's. */
static bool add_pooled(struct strbuf *to, struct session *s, const struct runtime_region *r, uint64_t address)
{
	uint64_t block = 0;
	const char *type = s->types ? types_pooled(s->types, address, &block) : NULL;
	if (!type)
		return false;
	strbuf_printf(to, "%s 0x%" PRIx64, type, block);
	add_offset(to, address - block);
	strbuf_printf(to, ", %s", r->label);
	return true;
}

char *query_place(struct session *s, uint64_t address)
{
	struct strbuf to = { 0 };
	struct module *m = modules_at(s->modules, address);
	const struct mapping *map = picture_mapping(&s->target->picture, address);
	size_t next = s->runtime ? runtime_region_from(s->runtime, address) : 0;
	const struct runtime_region *region = s->runtime && next < s->runtime->regions.n ? &s->runtime->regions.at[next] : NULL;
	block_id id = s->blocks ? blocks_at(s->blocks, address) : BLOCK_NONE;
	if (id != BLOCK_NONE) {
		uint64_t payload = blocks_payload(s->blocks, id);
		strbuf_printf(&to, "block 0x%" PRIx64, payload);
		if (address >= payload)
			add_offset(&to, address - payload);
		else
			strbuf_printf(&to, "-0x%" PRIx64, payload - address);
	} else if (!add_stack(&to, s, address)) {
		if (m) {
			add_module(&to, s, m, address);
		} else if (region && address >= region->start) {
			if (!add_pooled(&to, s, region, address)) {
				strbuf_printf(&to, "%s", region->label);
				add_offset(&to, address - region->start);
			}
		} else if (map) {
			strbuf_puts(&to, map->path[0] ? map->path : "anonymous mapping");
			add_offset(&to, address - map->start);
		} else {
			strbuf_puts(&to, "not mapped");
		}
	}
	return to.text ? to.text : strdup("?");
}
