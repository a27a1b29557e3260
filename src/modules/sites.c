/* Which code asks for memory, and of what size, where the code itself says so.
 *
 * All code is searched, byte by byte, for what can be a call of an allocation function or of its stub in a PLT, or a use of its
 * slot; only the functions where that finds something are decoded and followed. */
#include "code.h"

#include <stdlib.h>

enum { MAX_FUNCTION = 1 << 20, WINDOW = 1 << 16, NEAR = 2048, MAX_HITS = 16 << 20 };

/* The argument that is the size, and the one that it is multiplied by; -1: none. C++: Itanium ABI; j: unsigned int, m: unsigned
 * long. Nothrow and aligned forms only have more behind that. */
static const struct allocator {
	const char *name, *shown;
	bool prefix;
	int8_t size, count;
} allocators[] = {
	{ "malloc", "malloc", false, 0, -1 },
	{ "calloc", "calloc", false, 1, 0 },
	{ "realloc", "realloc", false, 1, -1 },
	{ "reallocarray", "reallocarray", false, 2, 1 },
	{ "aligned_alloc", "aligned_alloc", false, 1, -1 },
	{ "memalign", "memalign", false, 1, -1 },
	{ "posix_memalign", "posix_memalign", false, 2, -1 },
	{ "valloc", "valloc", false, 0, -1 },
	{ "__libc_malloc", "malloc", false, 0, -1 },
	{ "__libc_calloc", "calloc", false, 1, 0 },
	{ "__libc_realloc", "realloc", false, 1, -1 },
	{ "_Znwm", "operator new", true, 0, -1 },
	{ "_Znam", "operator new[]", true, 0, -1 },
	{ "_Znwj", "operator new", true, 0, -1 },
	{ "_Znaj", "operator new[]", true, 0, -1 },
	{ "g_malloc", "g_malloc", false, 0, -1 },
	{ "g_malloc0", "g_malloc0", false, 0, -1 },
	{ "xmalloc", "xmalloc", false, 0, -1 },
	{ "__rust_alloc", "__rust_alloc", false, 0, -1 },
	{ "__rust_alloc_zeroed", "__rust_alloc_zeroed", false, 0, -1 },
	{ "__rust_realloc", "__rust_realloc", false, 3, -1 },
};
enum { N_ALLOCATORS = sizeof allocators / sizeof allocators[0] };

struct entry { /* where an allocation function, or a stub that leads to it, begins */
	uint64_t address;
	const struct allocator *allocator;
};

enum { FILTER = 1 << 14 };

struct search {
	struct modules *ms;
	const struct arch *arch;
	csh decoder;
	VEC(struct entry) functions;	/* of all modules */
	VEC(struct entry) entries;	/* functions, and this module's stubs; sorted */
	VEC(struct entry) slots;	/* of this module; sorted */
	uint8_t *filter;		/* by the low bits of entries' addresses */
	VEC(uint64_t) hits;
	struct code_ops ops;
	struct module *module;
	VEC(struct allocation_site) sites;
	struct allocation_sites *result;
	bool no_memory;
};

static const struct allocator *allocator_named(const char *name)
{
	size_t n = strcspn(name, "@");
	if (!strchr("mcrapv_gx", *name))
		return NULL;
	for (size_t i = 0; i < N_ALLOCATORS; i++) {
		size_t k = strlen(allocators[i].name);
		if ((allocators[i].prefix ? n >= k : n == k) && !strncmp(allocators[i].name, name, k))
			return &allocators[i];
	}
	return NULL;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

static int compare_hits(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static const struct allocator *find_entry(const struct entry *at, size_t n, uint64_t address)
{
	struct entry key = { .address = address }, *e = n ? bsearch(&key, at, n, sizeof key, compare_entries) : NULL;
	return e ? e->allocator : NULL;
}

static void add_hit(struct search *s, uint64_t address)
{
	uint64_t *slot = s->hits.n < MAX_HITS ? vec_push(&s->hits) : NULL;
	if (slot)
		*slot = address;
	else
		s->no_memory = true;
}

static void add_entry(struct search *s, uint64_t address, const struct allocator *a)
{
	struct entry *e = vec_push(&s->entries);
	if (e)
		*e = (struct entry){ address, a };
	else
		s->no_memory = true;
}

static void find_functions(struct search *s)
{
	for (size_t i = 0; i < modules_count(s->ms); i++) {
		struct module *m = modules_get(s->ms, i);
		modules_read_symbols(s->ms, m);
		struct priv *p = priv_of(m);
		for (size_t k = 0; k < p->symbols.n; k++) {
			const struct raw_symbol *y = &p->symbols.at[k];
			const struct allocator *a = y->type == STT_FUNC && y->size ? allocator_named(y->name) : NULL;
			struct entry *e = a ? vec_push(&s->functions) : NULL;
			if (e)
				*e = (struct entry){ y->address, a };
		}
	}
}

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t relative(uint64_t from, uint32_t by, const struct arch *a)
{
	uint64_t to = from + (uint64_t)(int64_t)(int32_t)by;
	return a->word == 4 ? (uint32_t)to : to;
}

/* Elsewhere it is the last call of a function (-fno-plt). */
static bool is_stub(const struct search *s, uint64_t address)
{
	const struct code *c = priv_of(s->module)->code;
	for (size_t i = 0; i < c->plt.n; i++)
		if (address >= c->plt.at[i].start && address < c->plt.at[i].end)
			return true;
	return !c->by_sections;
}

/* A stub is "jmp *slot", behind a prefix (bnd) or endbr: each place where it may be said to begin. */
static void x86_stub(struct search *s, const uint8_t *p, size_t i, uint64_t base, const struct allocator *a)
{
	static const uint8_t endbr[] = { 0xf3, 0x0f, 0x1e };
	for (unsigned k = 0; k < 2; k++) {
		add_entry(s, base + i, a);
		if (i >= 4 && !memcmp(p + i - 4, endbr, sizeof endbr))
			add_entry(s, base + i - 4, a);
		if (!i || p[i - 1] != 0xf2)
			return;
		i--;
	}
}

/* jmp, call and mov through a word: of x86-64 relative to the next instruction, of i386 absolute or from the GOT on, whose address any
 * register may have. */
static void x86_slots(struct search *s, struct span b, uint64_t base)
{
	const struct code *c = priv_of(s->module)->code;
	bool is64 = s->arch->word == 8;
	for (size_t i = 0; s->slots.n && i + 6 <= b.n; i++) {
		uint8_t op = b.p[i], form = b.p[i + 1];
		bool jump = op == 0xff && form == 0x25, call = op == 0xff && form == 0x15, move = op == 0x8b && (form & 0xc7) == 0x05;
		bool got_jump = !is64 && op == 0xff && (form & 0xf8) == 0xa0;
		bool got = got_jump || (!is64 && ((op == 0xff && (form & 0xf8) == 0x90) || (op == 0x8b && (form & 0xc0) == 0x80)));
		if (!jump && !call && !move && !got)
			continue;
		uint32_t disp = u32_at(b.p + i + 2);
		uint64_t slot = is64 ? relative(base + i + 6, disp, s->arch) : got ? relative(c->got, disp, s->arch) : disp;
		const struct allocator *a = find_entry(s->slots.at, s->slots.n, slot);
		if (!a)
			continue;
		jump |= got_jump;
		if (jump)
			x86_stub(s, b.p, i, base, a);
		if (!jump || !is_stub(s, base + i))
			add_hit(s, base + i);
	}
}

static bool may_be_entry(const struct search *s, uint64_t address)
{
	uint64_t k = address % (8 * FILTER);
	return s->filter[k / 8] >> k % 8 & 1;
}

static void x86_calls(struct search *s, struct span b, uint64_t base)
{
	for (size_t i = 0; i + 5 <= b.n; i++) {
		if ((b.p[i] & 0xfe) != 0xe8)
			continue;
		uint64_t to = relative(base + i + 5, u32_at(b.p + i + 1), s->arch);
		if (may_be_entry(s, to) && find_entry(s->entries.at, s->entries.n, to))
			add_hit(s, base + i);
	}
}

/* adrp REG, PAGE; ldr REG2, [REG, #offset], at most a few instructions behind. */
static void arm_slots(struct search *s, struct span b, uint64_t base)
{
	for (size_t i = 0; s->slots.n && i + 8 <= b.n; i += 4) {
		uint32_t w = u32_at(b.p + i);
		if ((w & 0x9f000000) != 0x90000000)
			continue;
		int64_t pages = (int64_t)((uint64_t)((w >> 5 & 0x7ffff) << 2 | (w >> 29 & 3)) << 43) >> 43;
		uint64_t page = align_down(base + i, 4096) + (uint64_t)pages * 4096;
		for (size_t k = i + 4; k < i + 32 && k + 4 <= b.n; k += 4) {
			uint32_t load = u32_at(b.p + k);
			if ((load & 0xffc00000) != 0xf9400000 || (load >> 5 & 31) != (w & 31))
				continue;
			const struct allocator *a = find_entry(s->slots.at, s->slots.n, page + (load >> 10 & 0xfff) * 8);
			if (!a)
				continue;
			bool stub = (w & 31) == 16 && k == i + 4 && is_stub(s, base + i);
			if (stub)
				add_entry(s, base + i, a);
			if (stub && i >= 4 && (u32_at(b.p + i - 4) & 0xffffff3f) == 0xd503241f) /* behind a bti */
				add_entry(s, base + i - 4, a);
			if (!stub)
				add_hit(s, base + k);
		}
	}
}

static void arm_calls(struct search *s, struct span b, uint64_t base)
{
	for (size_t i = 0; i + 4 <= b.n; i += 4) {
		uint32_t w = u32_at(b.p + i);
		if ((w & 0x7c000000) != 0x14000000)
			continue;
		uint64_t to = base + i + (uint64_t)((int64_t)((uint64_t)w << 38) >> 36);
		if (may_be_entry(s, to) && find_entry(s->entries.at, s->entries.n, to))
			add_hit(s, base + i);
	}
}

/* What is called; NULL: no allocation function. */
static const struct allocator *callee(const struct search *s, const struct code_op *op, const struct code_state *st)
{
	struct code_value v = { 0 };
	if (op->target)
		return find_entry(s->entries.at, s->entries.n, op->target);
	if (op->through)
		v = code_address(st, s->arch, &op->at);
	else if (op->jumps_to >= 0)
		v = st->reg[op->jumps_to];
	if (v.n != 1 || v.kind == VALUE_STACK)
		return NULL;
	if (op->through || v.kind == VALUE_WORD)
		return find_entry(s->slots.at, s->slots.n, v.v[0]);
	return find_entry(s->entries.at, s->entries.n, v.v[0]);
}

static void add_site(struct search *s, const struct code_op *op, const struct allocator *a, uint64_t unit, uint64_t count, bool several)
{
	struct allocation_site *site;
	uint64_t bytes;
	if (__builtin_mul_overflow(unit, count, &bytes) || bytes >> (s->arch->word * 8 - 1))
		return;
	site = vec_push(&s->sites);
	if (!site) {
		s->no_memory = true;
		return;
	}
	*site = (struct allocation_site){ .pc = op->address, .callee = a->shown, .bytes = bytes, .several = several, .module = s->module };
	if (a->count >= 0) {
		site->unit = unit;
		site->count = count;
	}
}

static void on_op(void *ctx, const struct code_op *op, const struct code_state *st)
{
	struct search *s = ctx;
	if (op->flow != FLOW_CALL && op->flow != FLOW_JUMP)
		return;
	const struct allocator *a = callee(s, op, st);
	if (!a || (op->flow == FLOW_JUMP && is_stub(s, op->address)))
		return;
	bool jump = op->flow == FLOW_JUMP;
	struct code_value size = code_argument(st, s->arch, (unsigned)a->size, jump), count = { .kind = VALUE_CONST, .n = 1, .v = { 1 } };
	if (a->count >= 0)
		count = code_argument(st, s->arch, (unsigned)a->count, jump);
	s->result->calls++;
	if (size.kind != VALUE_CONST || count.kind != VALUE_CONST)
		return;
	s->result->constant++;
	for (unsigned i = 0; i < size.n; i++)
		for (unsigned k = 0; k < count.n; k++)
			add_site(s, op, a, size.v[i], count.v[k], size.n * count.n > 1);
}

/* Decodes what stands around a hit; returns where that ends. */
static struct err *follow(struct search *s, uint64_t hit, uint64_t *ret_end)
{
	struct function f;
	if (!modules_function_at(s->ms, hit, &f) || f.end <= hit) {
		/* Instructions find their feet again within a few bytes. */
		f.start = hit - s->module->start > NEAR ? hit - NEAR : s->module->start;
		f.end = hit + 16;
	} else if (f.end - f.start > MAX_FUNCTION) {
		f.start = hit - f.start > WINDOW ? hit - WINDOW : f.start;
		f.end = f.end - hit > WINDOW ? hit + WINDOW : f.end;
	}
	*ret_end = f.end;
	s->result->decoded_bytes += f.end - f.start;
	size_t first = s->sites.n;
	TRY(code_ops(s->ms, s->decoder, f.start, f.end, &s->ops));
	TRY(code_follow(&s->ops, s->arch, on_op, s));
	for (size_t i = first; i < s->sites.n; i++)
		s->sites.at[i].function = f.start;
	return s->no_memory ? err_nomem() : NULL;
}

typedef void scan_fn(struct search *s, struct span b, uint64_t base);

static void each_text(struct search *s, const struct code *c, scan_fn *f, bool count)
{
	for (size_t i = 0; i < c->text.n; i++) {
		const struct code_range *r = &c->text.at[i];
		if (count)
			s->result->code_bytes += r->end - r->start;
		for (uint64_t at = r->start; at < r->end && !interrupted;) {
			struct span b = code_bytes(s->ms, at, r->end);
			if (!b.n) { /* a file may claim more text than there are pages in the world */
				at = s->ms->img ? image_next_dumped(s->ms->img, at) : r->end;
				continue;
			}
			if (count)
				s->result->searched_bytes += b.n;
			f(s, b, at);
			at += b.n;
		}
	}
}

static struct err *search_module(struct search *s)
{
	struct code *c = code_of(s->ms, s->module);
	bool arm = s->arch->elf_machine == EM_AARCH64;
	if (!c)
		return err_nomem();
	s->hits.n = s->entries.n = s->slots.n = 0;
	for (size_t i = 0; i < c->slots.n; i++) {
		const struct allocator *a = allocator_named(c->slots.at[i].name);
		struct entry *e = a ? vec_push(&s->slots) : NULL;
		if (e)
			*e = (struct entry){ c->slots.at[i].address, a };
	}
	for (size_t i = 0; i < s->functions.n; i++)
		add_entry(s, s->functions.at[i].address, s->functions.at[i].allocator);
	each_text(s, c, arm ? arm_slots : x86_slots, true);
	if (s->entries.n)
		qsort(s->entries.at, s->entries.n, sizeof *s->entries.at, compare_entries);
	memset(s->filter, 0, FILTER);
	for (size_t i = 0; i < s->entries.n; i++)
		s->filter[s->entries.at[i].address % (8 * FILTER) / 8] |= (uint8_t)(1u << s->entries.at[i].address % 8);
	each_text(s, c, arm ? arm_calls : x86_calls, false);
	if (s->hits.n)
		qsort(s->hits.at, s->hits.n, sizeof *s->hits.at, compare_hits);
	uint64_t end = 0;
	for (size_t i = 0; i < s->hits.n && !s->no_memory; i++)
		if (s->hits.at[i] >= end)
			TRY(follow(s, s->hits.at[i], &end));
	return s->no_memory ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static int compare_sites(const void *a, const void *b)
{
	const struct allocation_site *x = a, *y = b;
	if (x->pc != y->pc)
		return x->pc < y->pc ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static struct err *search(struct search *s)
{
	TRY(code_decoder(s->ms, &s->decoder));
	s->filter = malloc(FILTER);
	struct err *e = s->filter ? NULL : err_nomem();
	find_functions(s);
	for (size_t i = 0; i < modules_count(s->ms) && !e; i++) {
		s->module = modules_get(s->ms, i);
		if (s->module->role == MODULE_VDSO) /* the kernel's code calls nobody */
			continue;
		s->result->modules++;
		e = search_module(s);
	}
	cs_close(&s->decoder);
	if (s->sites.n)
		qsort(s->sites.at, s->sites.n, sizeof *s->sites.at, compare_sites);
	return e;
}

struct err *modules_allocation_sites(struct modules *ms, const struct allocation_sites **ret)
{
	struct search s = { .ms = ms, .arch = modules_arch(ms) };
	if (!ms->sites) {
		s.result = calloc(1, sizeof *s.result);
		struct err *e = s.result ? search(&s) : err_nomem();
		free(s.filter);
		vec_free(&s.functions);
		vec_free(&s.entries);
		vec_free(&s.slots);
		vec_free(&s.hits);
		vec_free(&s.ops.list);
		if (e) {
			vec_free(&s.sites);
			free(s.result);
			return e;
		}
		s.result->at = s.sites.at;
		s.result->n = s.sites.n;
		ms->sites = s.result;
	}
	*ret = ms->sites;
	return NULL;
}

void code_forget_sites(struct modules *ms)
{
	if (ms->sites)
		free(ms->sites->at);
	free(ms->sites);
	ms->sites = NULL;
}
