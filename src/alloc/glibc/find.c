/* Where a libc keeps main_arena and mp_: the ways that there are, and of these symbols and the file. live.c and
 * disassembly.c have the others.
 *
 * Both are initialised .data objects, so a libc without any symbol still tells: main_arena.next points at main_arena
 * itself, next_free is 0 and attached_threads 1, and all before them is zero (malloc/malloc.c: `static struct malloc_state
 * main_arena = { .mutex, .next = &main_arena, .attached_threads = 1 }`); mp_ starts with its default thresholds. The
 * distance between `next` and the base is the generation of the struct, the place of 65536 in mp_ that of malloc_par. */
#include "glibc.h"

#include <elf.h>

struct file_image { /* a module's file, addressed as linked */
	const struct module *m;
	unsigned word;
	bool big;
};

/* File offset of a link-time address inside a segment's file part; SIZE_MAX when outside. */
static size_t file_offset(const struct file_image *f, uint64_t link)
{
	for (size_t i = 0; i < f->m->n_segments; i++) {
		const struct module_segment *s = &f->m->segments[i];
		uint64_t at = link + f->m->bias;
		if (at >= s->start && at < s->file_end)
			return s->file_offset + (at - s->start);
	}
	return SIZE_MAX;
}

static bool file_word(const struct file_image *f, uint64_t link, uint64_t *ret)
{
	size_t off = file_offset(f, link);
	return off != SIZE_MAX && span_word(f->m->file, off, f->word, f->big, ret);
}

/* All bytes of [link - n, link) are zero in the file image. */
static bool zero_before(const struct file_image *f, uint64_t link, unsigned n)
{
	size_t off = file_offset(f, link - n);
	if (off == SIZE_MAX || off + n > f->m->file.n)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (f->m->file.p[off + i])
			return false;
	return true;
}

/* `link` holds a word whose run-time value is `value` (both link-time): is it main_arena.next? */
static const struct glibc_layout *arena_next_at(const struct file_image *f, uint64_t link, uint64_t value)
{
	uint64_t k = link - value, next_free, attached;
	const struct glibc_layout *l = k < 4096 ? glibc_layout_guess(f->word, (unsigned)k, 0) : NULL;
	if (!l || !file_word(f, link + f->word, &next_free) || next_free)
		return NULL;
	if (!file_word(f, link + 2 * f->word, &attached) || attached != 1)
		return NULL;
	return zero_before(f, link, (unsigned)k) ? l : NULL;
}

struct dynamic {
	uint64_t rela, rela_bytes;
};

static void read_dynamic(const struct file_image *f, uint64_t off, uint64_t bytes, struct dynamic *ret)
{
	unsigned w = f->word;
	for (uint64_t at = 0; at + 2 * w <= bytes; at += 2 * w) {
		uint64_t tag, value;
		if (!span_word(f->m->file, off + at, w, f->big, &tag) || !span_word(f->m->file, off + at + w, w, f->big, &value))
			return;
		if (tag == DT_NULL)
			return;
		if (tag == DT_RELA)
			ret->rela = value;
		else if (tag == DT_RELASZ)
			ret->rela_bytes = value;
	}
}

static struct dynamic find_dynamic(const struct file_image *f)
{
	struct dynamic d = { 0 };
	struct span file = f->m->file;
	bool is64 = f->word == 8;
	uint64_t phoff = 0;
	uint16_t phnum = 0;
	span_word(file, is64 ? 32 : 28, f->word, f->big, &phoff);
	span_u16(file, is64 ? 56 : 44, f->big, &phnum);
	for (unsigned i = 0; i < phnum; i++) {
		uint32_t type = 0;
		uint64_t off = 0, bytes = 0;
		size_t ph = phoff + (size_t)i * (is64 ? 56 : 32);
		span_u32(file, ph, f->big, &type);
		span_word(file, ph + (is64 ? 8 : 4), f->word, f->big, &off);
		span_word(file, ph + (is64 ? 32 : 16), f->word, f->big, &bytes);
		if (type == PT_DYNAMIC)
			read_dynamic(f, off, bytes, &d);
	}
	return d;
}

static bool arena_by_relocations(const struct file_image *f, const struct arch *a, struct glibc_place *ret)
{
	struct dynamic d = find_dynamic(f);
	size_t base = d.rela ? file_offset(f, d.rela) : SIZE_MAX;
	unsigned w = f->word, entry = 3 * w;
	for (uint64_t at = 0; base != SIZE_MAX && at + entry <= d.rela_bytes; at += entry) {
		uint64_t where, info, addend;
		struct span file = f->m->file;
		if (!span_word(file, base + at, w, f->big, &where) || !span_word(file, base + at + w, w, f->big, &info) ||
		    !span_word(file, base + at + 2 * w, w, f->big, &addend))
			break;
		if ((info & 0xffffffff) != a->relative_reloc)
			continue;
		const struct glibc_layout *l = arena_next_at(f, where, addend);
		if (l) {
			ret->main_arena = addend + f->m->bias;
			ret->layout = l;
			return true;
		}
	}
	return false;
}

/* Bytes of a segment that the file has: a header may say more. */
static uint64_t segment_bytes(const struct file_image *f, const struct module_segment *s)
{
	uint64_t there = s->file_offset < f->m->file.n ? f->m->file.n - s->file_offset : 0;
	return s->file_end - s->start < there ? s->file_end - s->start : there;
}

/* Words in place: REL and RELR relocations keep their addend there, and static executables need none. */
static bool arena_in_place(const struct file_image *f, struct glibc_place *ret)
{
	for (size_t i = 0; i < f->m->n_segments; i++) {
		const struct module_segment *s = &f->m->segments[i];
		if (!(s->prot & PROT_W))
			continue;
		for (uint64_t in = -s->start % f->word, n = segment_bytes(f, s); in + f->word <= n; in += f->word) {
			uint64_t link = s->start + in - f->m->bias, value;
			if (!span_word(f->m->file, s->file_offset + in, f->word, f->big, &value) || value >= link || link - value > 4096)
				continue;
			const struct glibc_layout *l = arena_next_at(f, link, value);
			if (l) {
				ret->main_arena = value + f->m->bias;
				ret->layout = l;
				return true;
			}
		}
	}
	return false;
}

/* mp_'s first words: trim_threshold, top_pad, mmap_threshold, arena_test, arena_max (malloc/malloc.c: `static struct
 * malloc_par mp_`). */
static bool params_at(const struct file_image *f, size_t off)
{
	uint64_t v[5] = { 0 };
	for (unsigned k = 0; k < 5; k++)
		if (!span_word(f->m->file, off + k * f->word, f->word, f->big, &v[k]))
			return false;
	return v[0] == 0x20000 && (v[1] == 0x20000 || !v[1]) && v[2] == 0x20000 && v[3] == (f->word == 8 ? 8 : 2) && !v[4];
}

static void params_in_place(const struct file_image *f, struct glibc_place *ret, unsigned *ret_n_mmaps_max)
{
	unsigned w = f->word;
	for (size_t i = 0; i < f->m->n_segments; i++) {
		const struct module_segment *s = &f->m->segments[i];
		if (!(s->prot & PROT_W))
			continue;
		for (uint64_t in = -s->start % w, n = segment_bytes(f, s); in + 20 * w <= n; in += w) {
			size_t off = s->file_offset + in;
			if (!params_at(f, off))
				continue;
			for (unsigned k = 5 * w; k < 5 * w + 40; k += 4) {
				uint32_t value = 0;
				if (span_u32(f->m->file, off + k, f->big, &value) && value == 0x10000) {
					ret->params = s->start + in;
					*ret_n_mmaps_max = k;
					return;
				}
			}
		}
	}
}

/* "GNU C Library (...) stable release version 2.36." in .rodata (csu/version.c). */
static unsigned banner_minor(const struct module *m)
{
	static const char head[] = "release version 2.";
	const uint8_t *at = m->file.n ? memmem(m->file.p, m->file.n, head, sizeof head - 1) : NULL;
	if (!at)
		return 0;
	unsigned minor = 0;
	for (const uint8_t *p = at + sizeof head - 1; p < m->file.p + m->file.n && *p >= '0' && *p <= '9' && minor < 1000; p++)
		minor = minor * 10 + (unsigned)(*p - '0');
	return minor;
}

/* A distribution may have changed a struct: where the row does not fit, DWARF is asked. Not always, because it takes a tenth of
 * a second and 13 MiB to open libc's. */
static bool fits_by_dwarf(const struct glibc_search *q, struct glibc_place *p)
{
	struct symbol code;
	uint64_t next;
	if (!modules_symbol(q->ms, p->module, "malloc", &code) ||
	    !modules_member(q->ms, p->module, code.address, "malloc_state", "next", &next) || next == p->layout->arena.next)
		return false;
	struct glibc_place other = *p;
	other.layout = glibc_layout_guess(p->layout->word, (unsigned)next, 0);
	if (!other.layout || !glibc_place_holds(q, &other))
		return false;
	*p = other;
	return true;
}

static bool find_in_file(const struct glibc_search *q, struct glibc_place *p)
{
	struct file_image f = { .m = q->libc, .word = q->arch->word, .big = q->arch->big };
	unsigned n_mmaps_max = 0;
	if (!q->libc->have_file || (!arena_by_relocations(&f, q->arch, p) && !arena_in_place(&f, p)))
		return false;
	params_in_place(&f, p, &n_mmaps_max);
	p->layout = p->minor ? glibc_layout_find(q->arch->word, p->minor) : glibc_layout_guess(q->arch->word, p->layout->arena.next, n_mmaps_max);
	return true;
}

static bool find_by_symbols(const struct glibc_search *q, struct glibc_place *p)
{
	struct symbol arena, params;
	if (!modules_symbol(q->ms, p->module, "main_arena", &arena) || !modules_symbol(q->ms, p->module, "mp_", &params))
		return false;
	p->main_arena = arena.address;
	p->params = params.address;
	p->layout = glibc_layout_at(q, p);
	/* A libc without a banner, and an arena that was not used yet or is damaged: the file knows the row. */
	struct glibc_place in_file = *p;
	if (!p->layout && find_in_file(q, &in_file) && in_file.main_arena == p->main_arena)
		p->layout = in_file.layout;
	return true;
}

static const struct way {
	enum alloc_source source;
	const char *name;
	bool (*find)(const struct glibc_search *q, struct glibc_place *p);
	bool sure; /* stands even where the arena is damaged, or was not used yet */
} ways[] = {
	{ ALLOC_FROM_SYMBOLS, "symbols", find_by_symbols, true },
	{ ALLOC_FROM_FILE, "file signature", find_in_file, true },
	{ ALLOC_FROM_LIVE, "live signature", glibc_find_live, false },
	{ ALLOC_FROM_CODE, "disassembly", glibc_find_by_code, false },
	{ ALLOC_FROM_HEAP, "heap info", glibc_find_by_heap, false },
};

static struct err *not_found(const struct glibc_search *q, const char *forced, bool seen)
{
	const struct module *m = q->libc;
	if (seen)
		return err_new(ERR_UNSUPPORTED, "%s: no known layout for its malloc (glibc 2.27 to 2.43 are known)", m->name);
	if (forced)
		return err_new(ERR_NOT_FOUND, "%s: malloc's state is not found by %s", m->name, forced);
	if (!m->have_file)
		return err_new(ERR_NOT_FOUND, "%s: its file cannot be read (%s), and its memory shows no arena", m->name,
			       m->no_file_why ? m->no_file_why : "no reason known");
	return err_new(ERR_NOT_FOUND, "%s holds no glibc malloc", m->name);
}

struct err *glibc_find(const struct glibc_search *q, struct glibc_place *ret)
{
	struct glibc_place best = { 0 };
	const char *forced = NULL;
	unsigned minor = banner_minor(q->libc);
	bool seen = false;
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		const struct way *w = &ways[i];
		struct glibc_place p = { .module = q->libc, .minor = minor, .found_by = w->name };
		if (q->from != ALLOC_FROM_ANY && q->from != w->source)
			continue;
		forced = q->from == ALLOC_FROM_ANY ? NULL : w->name;
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (!w->find(q, &p))
			continue;
		seen = true;
		if (!p.layout)
			continue;
		bool holds = glibc_place_holds(q, &p) || fits_by_dwarf(q, &p);
		if (holds || (w->sure && !best.layout))
			best = p;
		if (holds)
			break;
	}
	if (!best.layout)
		return not_found(q, forced, seen);
	*ret = best;
	return NULL;
}

bool glibc_word(const struct glibc_reader *r, uint64_t address, uint64_t *ret)
{
	uint8_t raw[8];
	return r->read(r->ctx, address, raw, r->word) && span_word((struct span){ raw, r->word }, 0, r->word, r->big, ret);
}

bool glibc_ring(const struct glibc_reader *r, const struct glibc_place *p, uint64_t *arenas, size_t max, size_t *ret_n)
{
	uint64_t at = p->main_arena;
	*ret_n = 0;
	do {
		if (*ret_n == max)
			return false;
		arenas[(*ret_n)++] = at;
		uint64_t next;
		if (!glibc_word(r, at + p->layout->arena.next, &next) || !next || next % r->word)
			return false;
		if (next != p->main_arena && !glibc_is_arena(r, p, next))
			return false;
		at = next;
	} while (at != p->main_arena);
	return true;
}
