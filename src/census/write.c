/* From a session to a census. Blocks that are alike in all that is told of them share a kind; the kinds are numbered by how many
 * blocks they have, so that most blocks take one byte. */
#include "census.h"

#include <elf.h>
#include <time.h>

struct kinds {
	struct census *c;
	uint32_t *slots;	/* open addressing: index + 1 */
	size_t n_slots;		/* a power of two */
	uint32_t *of;		/* by block id */
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static uint64_t hash_of(const struct census_kind *x)
{
	uint64_t h = mix(x->chunk_bytes, x->label);
	return mix(mix(h, x->set), (uint64_t)x->state << 16 | (uint64_t)x->class_of << 8 | x->stack_only);
}

static bool same_kind(const struct census_kind *x, const struct census_kind *y)
{
	return x->chunk_bytes == y->chunk_bytes && x->label == y->label && x->set == y->set && x->state == y->state && x->class_of == y->class_of &&
	       x->stack_only == y->stack_only;
}

static bool grow_slots(struct kinds *k)
{
	size_t n = k->n_slots ? k->n_slots * 2 : 4096;
	uint32_t *slots = calloc(n, sizeof *slots);
	if (!slots)
		return false;
	for (size_t i = 0; i < k->c->kinds.n; i++) {
		size_t at = hash_of(&k->c->kinds.at[i]) & (n - 1);
		while (slots[at])
			at = (at + 1) & (n - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(k->slots);
	k->slots = slots;
	k->n_slots = n;
	return true;
}

/* UINT32_MAX: no memory. */
static uint32_t kind_for(struct kinds *k, const struct census_kind *x)
{
	if (k->c->kinds.n * 2 >= k->n_slots && !grow_slots(k))
		return UINT32_MAX;
	size_t at = hash_of(x) & (k->n_slots - 1);
	for (; k->slots[at]; at = (at + 1) & (k->n_slots - 1))
		if (same_kind(&k->c->kinds.at[k->slots[at] - 1], x)) {
			k->c->kinds.at[k->slots[at] - 1].blocks++;
			return k->slots[at] - 1;
		}
	struct census_kind *slot = vec_push(&k->c->kinds);
	if (!slot)
		return UINT32_MAX;
	*slot = *x;
	slot->blocks = 1;
	k->slots[at] = (uint32_t)k->c->kinds.n;
	return k->slots[at] - 1;
}

static struct err *find_kinds(struct session *s, struct kinds *k)
{
	const struct graph *g = s->graph;
	struct block_cursor b;
	for (blocks_begin(s->blocks, &b); blocks_next(&b);) {
		bool used = block_state_is_used(b.state);
		struct census_kind x = { .chunk_bytes = b.chunk_bytes, .label = UINT32_MAX, .state = (uint8_t)b.state };
		if (used)
			x.label = types_label_at(s->types, b.id, b.payload, b.usable);
		if (g) {
			x.class_of = g->class_of[b.id];
			x.set = graph_set(g, b.id);
			x.stack_only = g->stack_only_bits[b.id / 64] >> b.id % 64 & 1;
		}
		k->of[b.id] = kind_for(k, &x);
		if (k->of[b.id] == UINT32_MAX)
			return err_nomem();
		if (!(b.id & 0xffff) && interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		k->c->counts.at[blocks_cursor_region(&b)->segment]++;
	}
	k->c->n_blocks = s->blocks->n;
	return NULL;
}

static int by_frequency(const void *a, const void *b, void *kinds)
{
	const struct census_kind *all = kinds, *x = &all[*(const uint32_t *)a], *y = &all[*(const uint32_t *)b];
	if (x->blocks != y->blocks)
		return x->blocks > y->blocks ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* Most frequent first; *ret_new by old index. */
static struct err *sort_kinds(struct kinds *k, uint32_t **ret_new)
{
	size_t n = k->c->kinds.n;
	AUTO_FREE uint32_t *order = malloc((n + 1) * sizeof *order), *renamed = malloc((n + 1) * sizeof *renamed);
	AUTO_FREE struct census_kind *sorted = malloc((n + 1) * sizeof *sorted);
	if (!order || !renamed || !sorted)
		return err_nomem();
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, n, sizeof *order, by_frequency, k->c->kinds.at);
	for (size_t i = 0; i < n; i++) {
		renamed[order[i]] = (uint32_t)i;
		sorted[i] = k->c->kinds.at[order[i]];
	}
	if (n)
		memcpy(k->c->kinds.at, sorted, n * sizeof *sorted);
	*ret_new = TAKE(renamed);
	return NULL;
}

void census_put_index(struct codec *k, uint32_t i)
{
	uint8_t b[5] = { (uint8_t)i };
	size_t n = 1;
	if (i >= THIRD) {
		b[0] = UINT8_MAX;
		for (n = 1; n < 5; n++)
			b[n] = (uint8_t)(i >> 8 * (n - 1));
	} else if (i >= SECOND) {
		b[0] = (uint8_t)(ONE_BYTE + TWO_BYTES + ((i - SECOND) >> 16));
		b[1] = (uint8_t)(i - SECOND);
		b[2] = (uint8_t)((i - SECOND) >> 8);
		n = 3;
	} else if (i >= ONE_BYTE) {
		b[0] = (uint8_t)(ONE_BYTE + ((i - ONE_BYTE) >> 8));
		b[1] = (uint8_t)(i - ONE_BYTE);
		n = 2;
	}
	codec_bytes(k, b, n);
}

static struct err *code_blocks(struct session *s, struct census *c, struct codec *to)
{
	if (!s->blocks)
		return NULL;
	struct kinds k = { .c = c, .of = malloc(((size_t)s->blocks->n + 1) * sizeof *k.of) };
	uint32_t *renamed = NULL;
	struct err *e = k.of ? find_kinds(s, &k) : err_nomem();
	if (!e)
		e = sort_kinds(&k, &renamed);
	for (uint32_t id = 0; !e && id < s->blocks->n; id++)
		census_put_index(to, renamed[k.of[id]]);
	free(renamed);
	free(k.slots);
	free(k.of);
	return e;
}

/* For each indirect block, in order, the way to the leaked block that it counts for. */
static void code_leaders(struct session *s, struct codec *to)
{
	const struct graph *g = s->graph;
	for (uint32_t id = 0; g && id < s->blocks->n; id++) {
		uint64_t leader = id;
		if (g->class_of[id] != CLASS_INDIRECT)
			continue;
		map64_find(&g->leader_of, id, &leader);
		int64_t way = (int64_t)leader - (int64_t)id;
		codec_i64(to, &way);
	}
}

/* The 16 random bytes that the kernel gives each program (AT_RANDOM, getauxval(3)) tell one run from another. Canaries are made of
 * them: what is kept is a 32-bit hash. */
static uint64_t instance_of(const struct session *s)
{
	const struct picture *p = &s->target->picture;
	const struct arch *a = s->target->arch;
	struct span v = { p->auxv.at, p->auxv.n };
	uint64_t tag, at, h = 0x6c6f6f6b;
	uint8_t random[16];
	for (size_t off = 0; span_word(v, off, a->word, a->big, &tag) && span_word(v, off + a->word, a->word, a->big, &at); off += 2 * a->word) {
		if (tag != AT_RANDOM || !image_read(s->image, at, random, sizeof random))
			continue;
		for (size_t i = 0; i < sizeof random; i++)
			h = mix(h, random[i]);
		return (h >> 32) | 1;
	}
	return 0;
}

static struct err *gather_modules(const struct session *s, struct session_parts *p)
{
	for (size_t i = 0; i < modules_count(s->modules); i++) {
		modules_read_names(s->modules, modules_get(s->modules, i));
		const struct module *m = modules_get(s->modules, i);
		struct module_part *part = vec_push(&p->modules);
		if (!part)
			return err_nomem();
		part->m = *m;
		part->segments.at = m->segments;
		part->segments.n = m->n_segments;
	}
	return NULL;
}

/* Borrows all it can. */
static struct err *gather(struct session *s, struct census *c)
{
	struct session_parts *p = c->parts;
	uint64_t taken = s->target->picture.taken;
	c->look = (struct census_look){ FLOTSAM_VERSION, s->target->live ? "live" : "core", taken ? taken : clock_nanoseconds(CLOCK_REALTIME),
					s->target->live ? clock_nanoseconds(CLOCK_BOOTTIME) : 0, instance_of(s) };
	if (census_of(s->target))
		c->look = census_of(s->target)->look;
	p->target = *s->target;
	p->alloc = *s->alloc;
	p->runtime = *s->runtime;
	p->account = (struct kernel_account){ s->status, s->cgroup, s->uptime };
	if (s->graph)
		p->graph = *s->graph;
	c->classified = s->graph;
	if (!vec_reserve(&c->counts, p->alloc.segments.n + 1))
		return err_nomem();
	memset(c->counts.at, 0, (p->alloc.segments.n + 1) * sizeof *c->counts.at);
	c->counts.n = p->alloc.segments.n;
	return gather_modules(s, p);
}

static void borrow_names(const struct session *s, struct census *c)
{
	if (s->types) {
		c->labels.at = s->types->labels;
		c->labels.n = s->types->n;
	}
	if (s->graph) {
		memcpy(&c->holders, &s->graph->holders, sizeof c->holders);
		memcpy(&c->sets, &s->graph->sets, sizeof c->sets);
	}
}

static void code_section(struct codec *k, enum section which, struct census *c)
{
	struct session_parts *p = c->parts;
	switch (which) {
	case SECTION_LOOK:
		return census_code_look(k, c);
	case SECTION_TARGET:
		return target_code(k, &p->target, &p->account);
	case SECTION_MAPS:
		return picture_code_maps(k, &p->target.picture);
	case SECTION_PAGES:
		return picture_code_pages(k, &p->target.picture);
	case SECTION_MODULES:
		return census_code_modules(k, p);
	case SECTION_RUNTIME:
		return census_code_runtime(k, p);
	case SECTION_ALLOC:
		return census_code_alloc(k, p, c);
	case SECTION_GRAPH:
		return census_code_graph(k, p, c);
	case SECTION_LABELS:
		return census_code_labels(k, c);
	case SECTION_HOLDERS:
		return census_code_holders(k, c);
	case SECTION_KINDS:
		return census_code_kinds(k, c);
	case SECTION_SYMBOLS:
		return census_code_symbols(k, p);
	case SECTION_BLOCKS:
	case SECTION_LEADERS:
	case SECTION_REFERENCES:
	case N_SECTIONS:
		break;
	}
}

static void put_le(uint8_t *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * i);
}

static struct err *assemble(struct codec *sections, struct codec_bytes *ret)
{
	uint64_t at = HEAD_BYTES + N_SECTIONS * ENTRY_BYTES;
	uint8_t head[HEAD_BYTES] = { 0 }, table[N_SECTIONS * ENTRY_BYTES], zero[8] = { 0 };
	struct codec all = { .writing = true };
	for (unsigned i = 0; i < N_SECTIONS; i++) {
		const struct codec_bytes *x = &sections[i].out;
		put_le(table + i * ENTRY_BYTES, i + 1, 4);
		put_le(table + i * ENTRY_BYTES + 4, census_crc(x->at, x->n), 4);
		put_le(table + i * ENTRY_BYTES + 8, at, 8);
		put_le(table + i * ENTRY_BYTES + 16, x->n, 8);
		at = align_up(at + x->n, 8);
	}
	memcpy(head, census_magic, 8);
	put_le(head + 8, CENSUS_VERSION, 4);
	put_le(head + 12, N_SECTIONS, 4);
	put_le(head + 16, at, 8);
	put_le(head + 24, census_crc(table, sizeof table), 4);
	put_le(head + HEAD_CRC, census_crc(head, HEAD_CRC), 4);
	codec_bytes(&all, head, sizeof head);
	codec_bytes(&all, table, sizeof table);
	for (unsigned i = 0; i < N_SECTIONS; i++) {
		codec_bytes(&all, sections[i].out.at, sections[i].out.n);
		codec_bytes(&all, zero, (8 - all.out.n % 8) % 8);
		free(sections[i].out.at);
		sections[i].out.at = NULL;
	}
	*ret = all.out;
	return all.failed ? err_nomem() : NULL;
}

/* The symbols at addresses that ascend, each once. */
static struct err *gather_symbols(struct session *s, const struct graph_packed *packed, struct session_parts *p)
{
	struct symbol x;
	const struct census *of = census_of(s->target);
	for (size_t i = 0; of && i < of->parts->symbols.n; i++) {
		struct symbol_part *slot = vec_push(&p->symbols);
		if (!slot)
			return err_nomem();
		*slot = of->parts->symbols.at[i];
	}
	for (size_t i = 0; i < packed->named.n; i++) {
		struct symbol_part *last = p->symbols.n ? &p->symbols.at[p->symbols.n - 1] : NULL;
		uint64_t at = packed->named.at[i];
		if ((last && at - last->address < last->size) || !modules_symbol_at(s->modules, at, &x) || (last && x.address < last->address))
			continue;
		struct symbol_part *slot = vec_push(&p->symbols);
		if (!slot)
			return err_nomem();
		*slot = (struct symbol_part){ x.address, x.size, x.name, x.is_function, x.is_object, x.is_global };
	}
	return NULL;
}

static struct err *code_references(struct session *s, struct census *c, struct codec_bytes *to)
{
	struct graph_packed packed;
	TRY(graph_pack(s->graph, &packed));
	to->at = packed.at;
	to->n = packed.n;
	struct err *e = gather_symbols(s, &packed, c->parts);
	vec_free(&packed.named);
	return e;
}

static struct err *encode(struct session *s, struct census *c, bool references, struct codec *sections)
{
	if (references && s->graph)
		TRY(code_references(s, c, &sections[SECTION_REFERENCES].out));
	TRY(gather(s, c));
	TRY(code_blocks(s, c, &sections[SECTION_BLOCKS]));
	borrow_names(s, c); /* labels are made when they are asked for */
	code_leaders(s, &sections[SECTION_LEADERS]);
	bool failed = false;
	for (unsigned i = 0; i < N_SECTIONS; i++) {
		code_section(&sections[i], (enum section)i, c);
		failed |= sections[i].failed;
	}
	return failed ? err_nomem() : NULL;
}

struct err *census_make(struct session *s, bool references, struct codec_bytes *ret)
{
	TRY(session_types(s));
	TRY(session_holders(s));
	struct session_parts *parts = calloc(1, sizeof *parts);
	struct census c = { .parts = parts };
	struct codec sections[N_SECTIONS] = { 0 };
	*ret = (struct codec_bytes){ 0 };
	for (unsigned i = 0; i < N_SECTIONS; i++)
		sections[i].writing = true;
	struct err *e = parts ? encode(s, &c, references, sections) : err_nomem();
	if (!e)
		e = assemble(sections, ret);
	for (unsigned i = 0; i < N_SECTIONS; i++)
		free(sections[i].out.at);
	if (parts) {
		vec_free(&parts->modules);
		vec_free(&parts->symbols);
	}
	vec_free(&c.kinds);
	vec_free(&c.counts);
	free(parts);
	if (e) {
		free(ret->at);
		*ret = (struct codec_bytes){ 0 };
	}
	return e;
}
