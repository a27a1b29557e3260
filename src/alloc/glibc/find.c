/* Where a libc keeps main_arena and mp_.
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

/* Words in place: REL and RELR relocations keep their addend there, and static executables need none. */
static bool arena_in_place(const struct file_image *f, struct glibc_place *ret)
{
	for (size_t i = 0; i < f->m->n_segments; i++) {
		const struct module_segment *s = &f->m->segments[i];
		if (!(s->prot & PROT_W))
			continue;
		for (uint64_t at = align_up(s->start, f->word); at + f->word <= s->file_end; at += f->word) {
			uint64_t link = at - f->m->bias, value;
			if (!file_word(f, link, &value) || value >= link || link - value > 4096)
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
		for (uint64_t at = align_up(s->start, w); at + 20 * w <= s->file_end; at += w) {
			size_t off = s->file_offset + (at - s->start);
			if (!params_at(f, off))
				continue;
			for (unsigned k = 5 * w; k < 5 * w + 40; k += 4) {
				uint32_t n = 0;
				if (span_u32(f->m->file, off + k, f->big, &n) && n == 0x10000) {
					ret->params = at;
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

/* DWARF overrides the row where it is there: a distribution may have changed a struct. */
static const struct glibc_layout *check_dwarf(struct modules *ms, struct module *m, const struct glibc_layout *l)
{
	uint64_t next;
	if (!modules_member(ms, m, "malloc_state", "next", &next) || next == l->arena.next)
		return l;
	const struct glibc_layout *other = glibc_layout_guess(l->word, (unsigned)next, 0);
	return other ? other : l;
}

static bool find_by_symbols(struct modules *ms, struct glibc_place *p)
{
	struct symbol arena, params;
	if (!modules_symbol(ms, p->module, "main_arena", &arena) || !modules_symbol(ms, p->module, "mp_", &params))
		return false;
	p->main_arena = arena.address;
	p->params = params.address;
	p->found_by = "symbols";
	return true;
}

struct err *glibc_find(struct modules *ms, struct module *libc, const struct arch *a, struct glibc_place *ret)
{
	struct glibc_place p = { .module = libc }, by_image = { 0 };
	struct file_image f = { .m = libc, .word = a->word, .big = a->big };
	unsigned n_mmaps_max = 0;
	p.minor = banner_minor(libc);
	bool seen = libc->have_file && (arena_by_relocations(&f, a, &by_image) || arena_in_place(&f, &by_image));
	if (seen)
		params_in_place(&f, &by_image, &n_mmaps_max);
	if (!find_by_symbols(ms, &p)) {
		if (!libc->have_file)
			return err_new(ERR_NOT_FOUND, "%s: its file cannot be read (%s)", libc->name,
				       libc->no_file_why ? libc->no_file_why : "no reason known");
		if (!seen)
			return err_new(ERR_NOT_FOUND, "%s holds no glibc malloc", libc->name);
		p.main_arena = by_image.main_arena;
		p.params = by_image.params;
		p.found_by = "file signature";
	}
	if (p.minor)
		p.layout = glibc_layout_find(a->word, p.minor);
	else if (seen)
		p.layout = glibc_layout_guess(a->word, by_image.layout->arena.next, n_mmaps_max);
	if (!p.layout)
		return err_new(ERR_UNSUPPORTED, "%s: no known layout for its malloc (glibc 2.27 to 2.43 are known)", libc->name);
	p.layout = check_dwarf(ms, libc, p.layout);
	*ret = p;
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
