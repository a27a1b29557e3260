/* main_arena and mp_ by the code that uses them: mallopt, malloc_trim and malloc_stats are exported by every glibc, and each
 * takes the address of main_arena; mallopt writes to mp_, malloc_stats reads it. */
#include "glibc.h"
#include "flotsam/modules_code.h"

enum { N_FUNCTIONS = 3, MALLOPT = 0, MOST_USES = 4096 };
static const char *const functions[N_FUNCTIONS] = { "mallopt", "malloc_trim", "malloc_stats" };

struct use {
	uint64_t address;
	enum code_use use;
};
struct uses {
	const struct module *libc;
	VEC(struct use) list;
};

static void on_use(void *ctx, enum code_use use, uint64_t address)
{
	struct uses *u = ctx;
	if (!glibc_is_data(u->libc, address) || u->list.n >= MOST_USES)
		return;
	struct use *slot = vec_push(&u->list);
	if (slot)
		*slot = (struct use){ address, use };
}

static bool has(const struct uses *u, uint64_t address, enum code_use use)
{
	for (size_t i = 0; i < u->list.n; i++)
		if (u->list.at[i].address == address && u->list.at[i].use == use)
			return true;
	return false;
}

static bool read_functions(const struct glibc_search *q, struct uses *of)
{
	for (int i = 0; i < N_FUNCTIONS; i++) {
		struct symbol s;
		of[i].libc = q->libc;
		if (!modules_symbol(q->ms, q->libc, functions[i], &s) || !s.size)
			return false;
		struct err *e = modules_code_uses(q->ms, s.address, s.address + s.size, on_use, &of[i]);
		bool failed = e;
		err_free(e);
		if (failed)
			return false;
	}
	return true;
}

static bool arena_of(const struct glibc_search *q, const struct uses *of, struct glibc_place *p)
{
	for (size_t i = 0; i < of[MALLOPT].list.n; i++) {
		const struct use *u = &of[MALLOPT].list.at[i];
		bool all = u->use == CODE_MAKES;
		for (int k = 1; k < N_FUNCTIONS; k++)
			all = all && has(&of[k], u->address, CODE_MAKES);
		p->main_arena = u->address;
		if (!all || !(p->layout = glibc_layout_at(q, p)))
			continue;
		if (glibc_place_holds(q, p))
			return true;
	}
	return false;
}

/* In the part of the data that the file has: perturb_byte and others that mallopt sets lie behind it. */
static bool is_initialised(const struct module *m, uint64_t address)
{
	for (size_t i = 0; i < m->n_segments; i++)
		if (address >= m->segments[i].start && address < m->segments[i].file_end)
			return true;
	return false;
}

static void params_of(const struct glibc_search *q, const struct uses *of, struct glibc_place *p)
{
	uint64_t lowest = 0;
	for (int k = 0; k < N_FUNCTIONS; k++)
		for (size_t i = 0; i < of[k].list.n && !p->params; i++) {
			const struct use *u = &of[k].list.at[i];
			if (u->address == p->main_arena || !is_initialised(q->libc, u->address))
				continue;
			if (k == MALLOPT && u->use == CODE_WRITES && (!lowest || u->address < lowest))
				lowest = u->address;
			if (glibc_params_hold(q, p->layout, p->main_arena, u->address))
				p->params = u->address;
		}
	/* Without the look of it: trim_threshold is the first member, and of those that mallopt sets the lowest. */
	if (!p->params)
		p->params = lowest;
}

bool glibc_find_by_code(const struct glibc_search *q, struct glibc_place *p)
{
	struct uses of[N_FUNCTIONS] = { 0 };
	bool found = read_functions(q, of) && arena_of(q, of, p);
	if (found) {
		params_of(q, of, p);
		p->layout = glibc_layout_at(q, p);
		found = p->layout;
	}
	for (int i = 0; i < N_FUNCTIONS; i++)
		vec_free(&of[i].list);
	return found;
}
