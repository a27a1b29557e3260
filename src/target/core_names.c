/* Names for the mappings of a core that has no NT_FILE: qemu-user writes none (linux-user/elfload.c), nor did Linux before 3.7.
 * The program is where AT_PHDR says, the libraries are in the list that ld.so keeps for debuggers (<link.h>: struct r_debug,
 * struct link_map), and the files themselves tell which parts of them are mapped. */
#include "core.h"

#include <elf.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct load *load_at(const struct core *c, uint64_t address)
{
	size_t lo = 0, hi = c->loads.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (c->loads.at[mid].address <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct load *l = lo ? &c->loads.at[lo - 1] : NULL;
	return l && address - l->address < l->memory_bytes ? l : NULL;
}

static struct span bytes_at(const struct core *c, uint64_t address)
{
	const struct load *l = load_at(c, address);
	uint64_t in = l ? address - l->address : 0, at = l ? l->offset + in : 0;
	if (!l || in >= l->file_bytes || at < in || at >= c->file.n)
		return (struct span){ 0 };
	return (struct span){ c->file.p + at, c->file.n - at < l->file_bytes - in ? c->file.n - at : l->file_bytes - in };
}

static uint64_t word_at(const struct core *c, uint64_t address)
{
	uint64_t v = 0;
	span_word(bytes_at(c, address), 0, c->arch->word, c->arch->big, &v);
	return v;
}

/* A path in memory, or NULL. */
static const char *path_at(const struct core *c, uint64_t address)
{
	struct span s = bytes_at(c, address);
	ptrdiff_t n = span_strlen(s, 0);
	return n > 1 && n < PATH_MAX && s.p[0] == '/' ? (const char *)s.p : NULL;
}

/* How far from its addresses in the file a program lies whose headers are at `headers`. */
static uint64_t bias_by_headers(const struct core *c, struct span file, const struct headers *h, uint64_t headers)
{
	struct phdr p;
	for (uint32_t i = 0; i < h->n && core_phdr(c->arch, file, h, i, &p); i++)
		if (p.type == PT_LOAD && h->off >= p.offset && h->off - p.offset < p.file_bytes)
			return headers - (p.address + (h->off - p.offset));
	return 0;
}

static char *copy_path(struct span s)
{
	ptrdiff_t n = span_strlen(s, 0);
	return n > 1 && n < PATH_MAX && s.p[0] == '/' ? strdup((const char *)s.p) : NULL;
}

static bool name_segments(struct core *c, struct span file, const char *path, uint64_t headers, uint64_t bias)
{
	uint64_t page = c->target.picture.page, most = c->arch->word == 4 ? UINT32_MAX : UINT64_MAX;
	struct headers h;
	struct phdr p;
	uint16_t machine = 0;
	if (file.n < EI_NIDENT || memcmp(file.p, c->file.p, EI_VERSION) || !span_u16(file, 18, c->arch->big, &machine) ||
	    machine != c->arch->elf_machine || !core_headers(c->arch, file, &h))
		return true;
	if (headers)
		bias = c->program_bias = bias_by_headers(c, file, &h, headers);
	for (uint32_t i = 0; i < h.n && core_phdr(c->arch, file, &h, i, &p); i++) {
		if (p.type == PT_INTERP && headers && !c->interpreter)
			c->interpreter = copy_path(span_sub(file, p.offset, p.file_bytes));
		uint64_t start = align_down((p.address + bias) & most, page), end = (p.address + bias + p.file_bytes) & most;
		if (p.type != PT_LOAD || !p.file_bytes || end <= start || end > most - page || !load_at(c, start))
			continue;
		struct named *n = c->names.n < LIMIT_MAPPINGS ? vec_push(&c->names) : NULL;
		if (!n)
			return false;
		*n = (struct named){ start, align_up(end, page), align_down(p.offset, page), path };
	}
	return true;
}

/* The file at `real`, below the sysroot or not, is what lies at `path`. A missing one costs its name. */
static bool name_file(struct core *c, const char *root, const char *real, const char *path, uint64_t headers, uint64_t bias)
{
	struct stat st;
	AUTO_FD int fd = core_open_regular(root, real);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return true;
	void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return true;
	bool ok = name_segments(c, (struct span){ at, (size_t)st.st_size }, path, headers, bias);
	munmap(at, (size_t)st.st_size);
	return ok;
}

static bool name_program(struct core *c)
{
	const char *given = c->target.options.core_exe, *path = path_at(c, core_auxv(c, AT_EXECFN));
	uint64_t headers = core_auxv(c, AT_PHDR);
	if (!headers || (!given && !path))
		return true;
	if (given && !path)
		path = c->program = realpath(given, NULL);
	return !path || name_file(c, given ? NULL : c->target.options.sysroot, given ? given : path, path, headers, 0);
}

/* Every entry is {addr, name, ld, next, prev}; the program's own name is empty. */
static bool name_list(struct core *c, uint64_t map)
{
	unsigned w = c->arch->word;
	for (size_t n = 0; map && n < LIMIT_MODULES; n++, map = word_at(c, map + 3 * w)) {
		const char *path = path_at(c, word_at(c, map + w));
		if (path && !name_file(c, c->target.options.sysroot, path, path, 0, word_at(c, map)))
			return false;
	}
	return true;
}

/* The list's head when {int version; link_map *map; brk; int state; ldbase} ends at `at`: its first entry has none before it. */
static uint64_t list_before(const struct core *c, struct span s, uint64_t at)
{
	unsigned w = c->arch->word;
	uint64_t map = 0;
	uint32_t version = 0, state = 0;
	bool ok = span_u32(s, at - 4 * w, c->arch->big, &version) && (version == 1 || version == 2) && span_word(s, at - 3 * w, w, c->arch->big, &map) &&
		  span_u32(s, at - w, c->arch->big, &state) && state <= 2 && map && map % w == 0 && word_at(c, map + 2 * w) && !word_at(c, map + 4 * w);
	return ok ? map : 0;
}

/* A list for each namespace of dlmopen(), and each names the loader's base. */
static bool name_lists(struct core *c, const struct load *l, uint64_t base, unsigned *left)
{
	unsigned w = c->arch->word;
	struct span s = bytes_at(c, l->address);
	for (uint64_t at = 4 * w, v; at + w <= s.n && *left; at += w) {
		uint64_t map = span_word(s, at, w, c->arch->big, &v) && v == base ? list_before(c, s, at) : 0;
		*left -= map != 0;
		if (map && !name_list(c, map))
			return false;
	}
	return true;
}

bool core_find_names(struct core *c)
{
	uint64_t base = core_auxv(c, AT_BASE);
	unsigned left = 16; /* DL_NNS */
	c->name_unit = 1;
	/* ld.so's own name is the program's string, which lies in a part that a core may lack. */
	if (!name_program(c) || (base && c->interpreter && !name_file(c, c->target.options.sysroot, c->interpreter, c->interpreter, 0, base)))
		return false;
	/* A loader that was run by name is the program, as the kernel sees it. */
	base = base ? base : c->program_bias;
	for (size_t i = 0; i < c->loads.n && base; i++)
		if (c->loads.at[i].prot & PROT_W && !name_lists(c, &c->loads.at[i], base, &left))
			return false;
	return true;
}
