/* Finds the ELF files among the mappings and makes sure that a file is the one mapped: the build-id in memory must be the
 * build-id in the file. Where memory shows none, device and inode must agree. */
#include "begin.h"
#include "code.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MAX_FILE = 2047 << 20, MAX_PHDRS = 256 };

bool modules_read(struct modules *ms, uint64_t address, void *to, size_t n)
{
	return ms->img ? image_read(ms->img, address, to, n) : target_peek(ms->target, address, to, n);
}

const struct arch *modules_arch(const struct modules *ms)
{
	return ms->target->arch;
}

bool modules_word(struct modules *ms, uint64_t address, uint64_t *ret)
{
	const struct arch *a = modules_arch(ms);
	uint8_t raw[8];
	return modules_read(ms, address, raw, a->word) && span_word((struct span){ raw, a->word }, 0, a->word, a->big, ret);
}

const char *modules_keep(struct modules *ms, char *text)
{
	size_t n = text ? strlen(text) : 0;
	char **slot = text && n < LIMIT_NAME_BYTES - ms->name_bytes ? vec_push(&ms->names) : NULL;
	if (!slot) {
		free(text);
		return "";
	}
	ms->name_bytes += n;
	return *slot = text;
}

/* Program headers, from whichever ELF header the bytes hold. */
struct phdr { uint32_t type, flags; uint64_t offset, vaddr, filesz, memsz, align; };

struct header { uint16_t type, machine; uint64_t entry; size_t n; struct phdr at[MAX_PHDRS]; };

static bool read_header(struct span s, struct header *h)
{
	uint16_t n = 0, size = 0;
	uint64_t off = 0;
	if (s.n < 52 || memcmp(s.p, ELFMAG, SELFMAG) || s.p[EI_DATA] != ELFDATA2LSB)
		return false;
	bool is64 = s.p[EI_CLASS] == ELFCLASS64;
	unsigned w = is64 ? 8 : 4;
	h->n = 0;
	if (!span_u16(s, 16, false, &h->type) || !span_u16(s, 18, false, &h->machine) || !span_word(s, 24, w, false, &h->entry) ||
	    !span_word(s, is64 ? 32 : 28, w, false, &off) || !span_u16(s, is64 ? 54 : 42, false, &size) || !span_u16(s, is64 ? 56 : 44, false, &n))
		return false;
	for (unsigned i = 0; i < n && h->n < MAX_PHDRS; i++) {
		struct phdr *p = &h->at[h->n];
		size_t at = off + (size_t)i * size;
		bool ok = span_u32(s, at, false, &p->type) && span_u32(s, at + (is64 ? 4 : 24), false, &p->flags) &&
			  span_word(s, at + (is64 ? 8 : 4), w, false, &p->offset) && span_word(s, at + (is64 ? 16 : 8), w, false, &p->vaddr) &&
			  span_word(s, at + (is64 ? 32 : 16), w, false, &p->filesz) && span_word(s, at + (is64 ? 40 : 20), w, false, &p->memsz) &&
			  span_word(s, at + (is64 ? 48 : 28), w, false, &p->align);
		h->n += ok;
	}
	return h->n;
}

/* NT_GNU_BUILD_ID among the notes. */
static uint8_t build_id(struct span notes, uint8_t to[64])
{
	for (size_t at = 0; at + 12 <= notes.n;) {
		uint32_t namesz = 0, descsz = 0, type = 0;
		span_u32(notes, at, false, &namesz);
		span_u32(notes, at + 4, false, &descsz);
		span_u32(notes, at + 8, false, &type);
		size_t desc = at + 12 + align_up(namesz, 4);
		struct span d = span_sub(notes, desc, descsz);
		if (type == NT_GNU_BUILD_ID && namesz == 4 && d.n && d.n <= 64 && !memcmp(notes.p + at + 12, "GNU", 4)) {
			memcpy(to, d.p, d.n);
			return (uint8_t)d.n;
		}
		at = desc + align_up(descsz, 4);
		if (!descsz && !namesz)
			break;
	}
	return 0;
}

static bool read_file(struct module *m, int fd)
{
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 52 || st.st_size > MAX_FILE)
		return false;
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return false;
	m->file = (struct span){ p, (size_t)st.st_size };
	return true;
}

static void drop_file(struct module *m, const char *why)
{
	struct priv *p = priv_of(m);
	if (m->file.p)
		munmap((void *)m->file.p, m->file.n);
	m->file = (struct span){ 0 };
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	m->have_file = false;
	m->no_file_why = why;
}

/* Build-id notes as they stand in memory. */
static uint8_t memory_build_id(struct modules *ms, const struct header *h, uint64_t bias, uint8_t to[64])
{
	for (size_t i = 0; i < h->n; i++) {
		uint8_t notes[4096];
		const struct phdr *p = &h->at[i];
		if (p->type != PT_NOTE || p->filesz > sizeof notes || !modules_read(ms, p->vaddr + bias, notes, p->filesz))
			continue;
		uint8_t n = build_id((struct span){ notes, p->filesz }, to);
		if (n)
			return n;
	}
	return 0;
}

static uint8_t file_build_id(const struct module *m, const struct header *h, uint8_t to[64])
{
	for (size_t i = 0; i < h->n; i++) {
		uint8_t n = h->at[i].type == PT_NOTE ? build_id(span_sub(m->file, h->at[i].offset, h->at[i].filesz), to) : 0;
		if (n)
			return n;
	}
	return 0;
}

/* Is the dynamic section in memory that of the file? ld.so adds the bias to addresses in it and fills in DT_DEBUG
 * (elf/get-dynamic-info.h, elf/rtld.c); sizes, counts and offsets of names stay what the linker wrote. */
static bool same_dynamic(struct modules *ms, const struct module *m, const struct header *file)
{
	enum { MOST_ENTRIES = 512 };
	unsigned w = modules_arch(ms)->word;
	const struct phdr *p = NULL;
	uint64_t tag, value, seen, loaded, all = w == 4 ? UINT32_MAX : UINT64_MAX;
	for (size_t i = 0; i < file->n && !p; i++)
		p = file->at[i].type == PT_DYNAMIC ? &file->at[i] : NULL;
	struct span s = p ? span_sub(m->file, p->offset, p->filesz) : (struct span){ 0 };
	for (size_t n = 0; s.n && n < MOST_ENTRIES; n++) {
		uint64_t at = m->bias + p->vaddr + 2 * n * w;
		if (!span_word(s, 2 * n * w, w, false, &tag) || !span_word(s, (2 * n + 1) * w, w, false, &value) || !modules_word(ms, at, &seen) ||
		    !modules_word(ms, at + w, &loaded) || seen != tag)
			return false;
		if (tag == DT_NULL)
			return n;
		if (loaded != value && loaded != ((value + m->bias) & all) && tag != DT_DEBUG)
			return false;
	}
	return false;
}

static const char *same_file(struct modules *ms, struct module *m, const struct mapping *map, const struct header *memory)
{
	uint8_t here[64];
	struct header file;
	struct stat st;
	if (!read_header(m->file, &file))
		return "the file is no ELF file";
	uint8_t n = file_build_id(m, &file, here);
	if (m->build_id_n)
		return n == m->build_id_n && !memcmp(here, m->build_id, n) ? NULL : "the file has another build-id";
	if (memory && (memory->n != file.n || memory->entry != file.entry))
		return "the file has another layout";
	if (n) {
		memcpy(m->build_id, here, n);
		m->build_id_n = n;
	}
	if (ms->target->live && !fstat(priv_of(m)->fd, &st) && st.st_ino == map->inode)
		return NULL;
	if (ms->target->live)
		return memory && !n ? NULL : "the file was replaced";
	return (memory && !n) || same_dynamic(ms, m, &file) ? NULL : "memory shows neither its build-id nor its dynamic section";
}

static bool is_loader_name(const char *name)
{
	return !strncmp(name, "ld-linux", 8) || !strncmp(name, "ld-2.", 5) || !strncmp(name, "ld.so", 5);
}

static enum module_role role_of(const struct module *m, uint64_t entry, uint64_t base, uint64_t vdso)
{
	if (vdso && m->start == vdso)
		return MODULE_VDSO;
	/* Without AT_BASE the kernel loaded no interpreter: the entry is a static program's, or that of a loader that was run
	 * by name (fs/binfmt_elf.c: create_elf_tables). */
	if (entry && entry >= m->start && entry < m->end)
		return !base && is_loader_name(m->name) ? MODULE_LDSO : MODULE_PROGRAM;
	if ((base && m->start == base) || is_loader_name(m->name))
		return MODULE_LDSO;
	if (!strcmp(m->name, "libc.so.6") || !strncmp(m->name, "libc-2.", 7))
		return MODULE_LIBC;
	if (!strncmp(m->name, "libpthread", 10))
		return MODULE_LIBPTHREAD;
	if (!strncmp(m->name, "libstdc++", 9))
		return MODULE_LIBSTDCXX;
	return MODULE_OTHER;
}

/* A loader that was run by name maps the program: the file that asks for an interpreter, as libc's own do as well. */
static void find_loaded_program(struct modules *ms)
{
	struct module *found = NULL;
	for (size_t i = 0; i < ms->list.n; i++) {
		struct module *m = ms->list.at[i];
		if (m->role == MODULE_PROGRAM)
			return;
		if (!found && m->role == MODULE_OTHER && priv_of(m)->asks_for_loader)
			found = m;
	}
	if (found)
		found->role = MODULE_PROGRAM;
}

/* Does the list of the program's own namespace hold a library with this bias? ld.so puts the list's address into the program's
 * DT_DEBUG (elf/rtld.c; <link.h>: struct r_debug, struct link_map). */
static bool in_first_namespace(struct modules *ms, const struct module *program, uint64_t bias)
{
	unsigned w = modules_arch(ms)->word;
	uint64_t tag = 0, value = 0, map = 0, addr;
	for (uint64_t at = 0; at < priv_of(program)->dynamic_bytes && tag != DT_DEBUG; at += 2 * w)
		if (!modules_word(ms, priv_of(program)->dynamic + at, &tag) || !modules_word(ms, priv_of(program)->dynamic + at + w, &value))
			return false;
	if (tag != DT_DEBUG || !value || !modules_word(ms, value + w, &map))
		return false;
	for (unsigned n = 0; map && n < LIMIT_MODULES; n++) {
		if (!modules_word(ms, map, &addr))
			return false;
		if (addr == bias)
			return true;
		if (!modules_word(ms, map + 3 * w, &map))
			return false;
	}
	return false;
}

/* One libc is the program's: a static program is its own, and of several the one that dlmopen() did not load. */
static void choose_libc(struct modules *ms, uint64_t interpreter)
{
	struct module *program = modules_by_role(ms, MODULE_PROGRAM), *first = NULL;
	size_t n = 0;
	for (size_t i = 0; i < ms->list.n; i++)
		n += ms->list.at[i]->role == MODULE_LIBC;
	bool is_static = program && !interpreter && !priv_of(program)->asks_for_loader;
	if (!program || (n < 2 && !is_static))
		return;
	for (size_t i = 0; i < ms->list.n && !is_static; i++)
		if (ms->list.at[i]->role == MODULE_LIBC && in_first_namespace(ms, program, ms->list.at[i]->bias))
			first = ms->list.at[i];
	for (size_t i = 0; i < ms->list.n && (first || is_static); i++)
		if (ms->list.at[i]->role == MODULE_LIBC && ms->list.at[i] != first)
			ms->list.at[i]->role = MODULE_OTHER;
}

static uint64_t auxv_value(const struct modules *ms, uint64_t tag)
{
	const struct arch *a = modules_arch(ms);
	struct span s = { ms->target->picture.auxv.at, ms->target->picture.auxv.n };
	uint64_t key, value;
	for (size_t at = 0; span_word(s, at, a->word, a->big, &key) && span_word(s, at + a->word, a->word, a->big, &value); at += 2 * a->word)
		if (key == tag)
			return value;
	return 0;
}

static bool take_segments(struct module *m, const struct header *h)
{
	free(m->segments);
	m->segments = calloc(h->n, sizeof *m->segments);
	m->n_segments = 0;
	m->end = 0;
	for (size_t i = 0; m->segments && i < h->n; i++) {
		const struct phdr *p = &h->at[i];
		uint64_t at = p->vaddr + m->bias;
		if (p->type == PT_LOAD) {
			uint8_t prot = (uint8_t)((p->flags & PF_R ? PROT_R : 0) | (p->flags & PF_W ? PROT_W : 0) | (p->flags & PF_X ? PROT_X : 0));
			m->segments[m->n_segments++] = (struct module_segment){ at, at + p->memsz, at + p->filesz, p->offset, prot };
			if (at + p->memsz > m->end)
				m->end = at + p->memsz;
		} else if (p->type == PT_GNU_RELRO) {
			m->relro_start = at;
			m->relro_end = at + p->memsz;
		} else if (p->type == PT_TLS) {
			m->tls_start = at;
			m->tls_file_bytes = p->filesz;
			m->tls_bytes = p->memsz;
			m->tls_align = p->align;
		} else if (p->type == PT_DYNAMIC) {
			priv_of(m)->dynamic = at;
			priv_of(m)->dynamic_bytes = p->memsz;
		} else if (p->type == PT_INTERP) {
			priv_of(m)->asks_for_loader = true;
		}
	}
	return m->segments;
}

static struct module *new_module(struct modules *ms, const struct mapping *map)
{
	struct module *m = calloc(1, sizeof *m);
	struct priv *p = calloc(1, sizeof *p);
	struct module **slot = m && p ? vec_push(&ms->list) : NULL;
	if (!slot) {
		free(m);
		free(p);
		return NULL;
	}
	*slot = m;
	m->priv = p;
	*p = (struct priv){ .fd = -1, .debug_fd = -1, .alt_fd = -1 };
	m->path = modules_keep(ms, strdup(map->path[0] ? map->path : "[vdso]"));
	const char *slash = strrchr(m->path, '/');
	m->name = slash ? slash + 1 : m->path;
	m->start = map->start;
	m->end = map->end;
	return m;
}

/* The kernel opens the very file that is mapped, wherever it went, but not for everybody (proc_map_files_get_link). */
static const char *mapped_one_is_closed(struct modules *ms, const char *why)
{
	char *text;
	if (asprintf(&text, "%s (it was replaced; with CAP_CHECKPOINT_RESTORE and CAP_DAC_READ_SEARCH the one that is mapped is opened)", why) < 0)
		return why;
	return modules_keep(ms, text);
}

/* The mapping with file offset 0 of an ELF file is where its header stands. */
static struct err *add_module(struct modules *ms, const struct mapping *map)
{
	uint8_t page[4096];
	struct header memory, file, *h = NULL;
	bool in_memory = modules_read(ms, map->start, page, sizeof page) && read_header((struct span){ page, sizeof page }, &memory);
	bool is_file = map->path[0] == '/';
	if (!in_memory && !is_file)
		return NULL;
	int fd = is_file ? target_open_mapped(ms->target, map) : -1, os = errno;
	if (!in_memory) {
		uint8_t magic[SELFMAG];
		if (fd < 0 || pread(fd, magic, sizeof magic, 0) != sizeof magic || memcmp(magic, ELFMAG, SELFMAG)) {
			if (fd >= 0)
				close(fd);
			return NULL;
		}
	}
	struct module *m = new_module(ms, map);
	if (!m) {
		if (fd >= 0)
			close(fd);
		return err_nomem();
	}
	priv_of(m)->fd = fd;
	if (in_memory)
		h = &memory;
	else if (read_file(m, fd) && read_header(m->file, &file))
		h = &file;
	for (size_t i = 0; h && i < h->n; i++)
		if (h->at[i].type == PT_LOAD) {
			m->bias = h->type == ET_EXEC ? 0 : map->start - align_down(h->at[i].vaddr, ms->target->picture.page ? ms->target->picture.page : 4096);
			break;
		}
	if (!h || !take_segments(m, h)) {
		drop_file(m, "its ELF header cannot be read");
		return NULL;
	}
	if (in_memory)
		m->build_id_n = memory_build_id(ms, &memory, m->bias, m->build_id);
	m->have_file = true;
	const char *why;
	if (fd < 0)
		why = !is_file ? "it has no file" : os == EINVAL ? "it is no regular file" : modules_keep(ms, strdup(strerror(os)));
	else
		why = !m->file.p && !read_file(m, fd) ? "the file cannot be read" : same_file(ms, m, map, in_memory ? &memory : NULL);
	if (why)
		drop_file(m, ms->target->live && map->deleted ? mapped_one_is_closed(ms, why) : why);
	return NULL;
}

static void lay_file(struct modules *ms, struct module *m)
{
	for (size_t i = 0; m->have_file && i < m->n_segments; i++) {
		struct module_segment *s = &m->segments[i];
		struct span bytes = span_sub(m->file, s->file_offset, s->file_end - s->start);
		if (bytes.n)
			image_add_file(ms->img, s->start, bytes.p, bytes.n);
	}
}

static int compare_modules(const void *a, const void *b)
{
	const struct module *x = *(struct module *const *)a, *y = *(struct module *const *)b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static bool known(const struct modules *ms, const struct mapping *map)
{
	for (size_t i = 0; i < ms->list.n; i++)
		if (ms->list.at[i]->start == map->start && !strcmp(ms->list.at[i]->path, map->path))
			return true;
	return false;
}

/* Of the vDSO that the kernel gave us: its first page has the headers. */
static size_t own_vdso_bytes(const ElfW(Ehdr) *e)
{
	const ElfW(Phdr) *ph = (const ElfW(Phdr) *)((const char *)e + e->e_phoff);
	uint64_t end = e->e_shoff + (uint64_t)e->e_shnum * e->e_shentsize;
	for (unsigned i = 0; i < e->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset + ph[i].p_filesz > end)
			end = ph[i].p_offset + ph[i].p_filesz;
	return align_up(end, (uint64_t)sysconf(_SC_PAGESIZE));
}

/* A page that the target has not touched is not asked for. Where the first one, with the build-id, is that of our own, so are the
 * others: a kernel has one for all processes of a kind. */
static bool read_vdso(struct modules *ms, uint64_t start, char *to, size_t n)
{
	const ElfW(Ehdr) *own = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (modules_read(ms, start, to, n))
		return true;
	if (!own || n < page || !modules_read(ms, start, to, page) || memcmp(own, to, page) || n != own_vdso_bytes(own))
		return false;
	memcpy(to, own, n);
	return true;
}

/* Of another word size than our own there is none to take the rest from. Its headers and unwind tables stand in the first page, before
 * the code (arch/x86/entry/vdso/vdso-layout.lds.S): stacks can be told, of names what does not need the section headers at its end. */
static bool read_touched(struct modules *ms, uint64_t start, char *to, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (n < page || !modules_read(ms, start, to, page))
		return false;
	for (size_t i = page; i < n; i += page)
		if (!modules_read(ms, start + i, to + i, n - i < page ? n - i : page))
			memset(to + i, 0, n - i < page ? n - i : page);
	return true;
}

/* The kernel maps the vDSO whole: its memory is its file. Taken at the survey, for a look does not copy it. */
static void keep_vdso(struct modules *ms, struct module *m)
{
	enum { MOST = 1 << 20 };
	struct priv *p = priv_of(m);
	const struct mapping *map = picture_mapping(ms->img ? image_picture(ms->img) : &ms->target->picture, m->start);
	size_t n = map && map->end - m->start <= MOST ? map->end - m->start : 0;
	char *bytes = p->memory || !n ? NULL : malloc(n);
	bool whole = bytes && read_vdso(ms, m->start, bytes, n);
	if (whole || (bytes && read_touched(ms, m->start, bytes, n))) {
		p->memory = bytes;
		p->memory_bytes = n;
		p->memory_whole = whole;
	} else {
		free(bytes);
	}
}

static struct err *scan(struct modules *ms)
{
	const struct picture *p = &ms->target->picture;
	uint64_t vdso = auxv_value(ms, AT_SYSINFO_EHDR);
	for (size_t i = 0; i < p->maps.n && ms->list.n < LIMIT_MODULES; i++) {
		const struct mapping *map = &p->maps.at[i];
		bool file = map->path[0] == '/' && !map->offset && map->inode && !map->device && !map->shared;
		if ((!file && map->start != vdso) || known(ms, map))
			continue;
		TRY(add_module(ms, map));
	}
	if (ms->list.n)
		qsort(ms->list.at, ms->list.n, sizeof *ms->list.at, compare_modules);
	uint64_t entry = auxv_value(ms, AT_ENTRY), base = auxv_value(ms, AT_BASE);
	for (size_t i = 0; i < ms->list.n; i++) {
		struct module *m = ms->list.at[i];
		m->role = role_of(m, entry, base, vdso);
		if (m->role == MODULE_VDSO)
			keep_vdso(ms, m);
	}
	find_loaded_program(ms);
	choose_libc(ms, base);
	for (size_t i = 0; ms->img && i < ms->list.n; i++)
		lay_file(ms, ms->list.at[i]);
	return NULL;
}

struct err *modules_open(struct target *t, struct image *img, const struct modules_options *o, struct modules **ret)
{
	struct modules *ms = calloc(1, sizeof *ms);
	if (!ms)
		return err_nomem();
	elf_version(EV_CURRENT);
	ms->target = t;
	ms->img = img;
	ms->o = *o;
	struct err *e = scan(ms);
	if (e) {
		modules_close(ms);
		return e;
	}
	*ret = ms;
	return NULL;
}

static void free_module(struct module *m)
{
	struct priv *p = priv_of(m);
	begin_end(p);
	drop_file(m, NULL);
	elf_end(p->elf);
	elf_end(p->debug_elf);
	free(p->memory);
	if (p->debug_fd >= 0)
		close(p->debug_fd);
	if (p->alt_fd >= 0)
		close(p->alt_fd);
	vec_free(&p->symbols);
	vec_free(&p->tls);
	vec_free(&p->lines);
	vec_free(&p->thread_lines);
	code_free(p->code);
	vec_free(&p->units);
	vec_free(&p->named);
	free(p->by_name);
	free(p);
	free(m->segments);
	free(m);
}

struct err *modules_refresh(struct modules *ms, struct image *img)
{
	const struct picture *p = image_picture(img);
	size_t keep = 0;
	ms->img = img;
	modules_detach(ms);
	map64_free(&ms->functions); /* by pointers into modules that may go */
	map64_free(&ms->scopes);
	map64_free(&ms->scoped_units);
	code_forget_sites(ms);
	modules_free_casts(ms);
	modules_free_types(ms);
	for (size_t i = 0; i < ms->list.n; i++) {
		struct module *m = ms->list.at[i];
		const struct mapping *map = picture_mapping(p, m->start);
		if (map && map->start == m->start && (!strcmp(map->path, m->path) || m->path[0] == '['))
			ms->list.at[keep++] = m;
		else
			free_module(m);
	}
	ms->list.n = keep;
	return scan(ms);
}

void modules_close(struct modules *ms)
{
	if (!ms)
		return;
	modules_detach(ms);
	for (size_t i = 0; i < ms->list.n; i++)
		free_module(ms->list.at[i]);
	vec_free(&ms->list);
	for (size_t i = 0; i < ms->names.n; i++)
		free(ms->names.at[i]);
	vec_free(&ms->names);
	vec_free(&ms->losses);
	code_forget_sites(ms);
	modules_free_casts(ms);
	modules_free_types(ms);
	map64_free(&ms->vtables);
	map64_free(&ms->looks);
	map64_free(&ms->functions);
	map64_free(&ms->scopes);
	map64_free(&ms->scoped_units);
	free(ms);
}

size_t modules_count(const struct modules *m)
{
	return m->list.n;
}

struct module *modules_get(const struct modules *m, size_t index)
{
	return m->list.at[index];
}

struct module *modules_at(const struct modules *m, uint64_t address)
{
	size_t lo = 0, hi = m->list.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (m->list.at[mid]->start <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && address < m->list.at[lo - 1]->end ? m->list.at[lo - 1] : NULL;
}

struct span modules_vdso(const struct modules *ms)
{
	const struct module *m = modules_by_role(ms, MODULE_VDSO);
	const struct priv *p = m ? priv_of(m) : NULL;
	return p && p->memory_whole ? (struct span){ (const uint8_t *)p->memory, p->memory_bytes } : (struct span){ NULL, 0 };
}

struct module *modules_by_role(const struct modules *m, enum module_role role)
{
	for (size_t i = 0; i < m->list.n; i++)
		if (m->list.at[i]->role == role)
			return m->list.at[i];
	/* A static program is its own libc. */
	return role == MODULE_LIBC ? modules_by_role(m, MODULE_PROGRAM) : NULL;
}
