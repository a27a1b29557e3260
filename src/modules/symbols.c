/* Names of addresses, from .symtab (the file's own or a separate debug file's) and .dynsym. */
#include "guard.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

/* Symbol tables of a hostile file may claim any size; libelf checks that the data is there. */
enum { MAX_SYMBOLS = 16 << 20 };

static bool same_build_id(Elf *elf, const struct module *m)
{
	const void *id;
	ssize_t n = dwelf_elf_gnu_build_id(elf, &id);
	return n > 0 && m->build_id_n == n && !memcmp(id, m->build_id, (size_t)n);
}

static int open_debug_path(struct modules *ms, const char *path)
{
	int fd = target_open_path(ms->target, path);
	struct stat st;
	if (fd < 0) /* the target's root may have none where the host has */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* CRC-32 as .gnu_debuglink has it (gdb manual, Separate Debug Files). */
static uint32_t crc_of(const char *p, size_t n)
{
	uint32_t crc = ~0u;
	for (size_t i = 0; i < n; i++) {
		crc ^= (uint8_t)p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* Of a file without a build-id the link's checksum must do. */
static bool is_debug_of(Elf *elf, const struct module *m, const GElf_Word *crc)
{
	size_t n = 0;
	if (m->build_id_n >= 2)
		return same_build_id(elf, m);
	const char *bytes = crc ? elf_rawfile(elf, &n) : NULL;
	return bytes && crc_of(bytes, n) == *crc;
}

static bool take_debug(struct module *m, int fd, const GElf_Word *crc)
{
	struct priv *p = priv_of(m);
	Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF && is_debug_of(elf, m, crc)) {
		p->debug_fd = fd;
		p->debug_elf = elf;
		return true;
	}
	elf_end(elf);
	if (fd >= 0)
		close(fd);
	return false;
}

static bool try_debug(struct modules *ms, struct module *m, const GElf_Word *crc, const char *format, ...) __attribute__((format(printf, 4, 5)));
static bool try_debug(struct modules *ms, struct module *m, const GElf_Word *crc, const char *format, ...)
{
	char path[LIMIT_PATH];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(path, sizeof path, format, ap);
	va_end(ap);
	return n > 0 && (size_t)n < sizeof path && take_debug(m, open_debug_path(ms, path), crc);
}

/* Beside the file, in .debug there, and below the debug roots. */
static bool by_link(struct modules *ms, struct module *m, const char *const *roots, size_t n)
{
	GElf_Word crc;
	const char *link = priv_of(m)->elf ? dwelf_elf_gnu_debuglink(priv_of(m)->elf, &crc) : NULL;
	int dir = (int)(m->name - m->path);
	if (!link || !*link || strchr(link, '/'))
		return false;
	/* A file may name itself. */
	if (strcmp(link, m->name) && try_debug(ms, m, &crc, "%.*s%s", dir, m->path, link))
		return true;
	if (try_debug(ms, m, &crc, "%.*s.debug/%s", dir, m->path, link))
		return true;
	for (size_t i = 0; i < n; i++)
		if (roots[i] && try_debug(ms, m, &crc, "%s%.*s%s", roots[i], dir, m->path, link))
			return true;
	return false;
}

void modules_open_debug(struct modules *ms, struct module *m)
{
	const char *const roots[] = { ms->o.debug_dir, "/usr/lib/debug" };
	struct priv *p = priv_of(m);
	char id[2 * sizeof m->build_id + 1] = "";
	if (p->debug_elf || p->debug_tried)
		return;
	p->debug_tried = true;
	for (unsigned i = 0; i < m->build_id_n; i++)
		snprintf(id + 2 * i, 3, "%02x", m->build_id[i]);
	for (size_t i = 0; i < sizeof roots / sizeof roots[0] && m->build_id_n >= 2; i++)
		if (roots[i] && try_debug(ms, m, NULL, "%s/.build-id/%.2s/%s.debug", roots[i], id, id + 2))
			return;
	if (by_link(ms, m, roots, sizeof roots / sizeof roots[0]))
		return;
	if (ms->o.fetch && m->build_id_n >= 2 && m->role != MODULE_VDSO)
		take_debug(m, ms->o.fetch(ms->o.fetch_ctx, id), NULL);
}

static void add_symbol(struct module *m, const GElf_Sym *sym, const char *name)
{
	struct priv *p = priv_of(m);
	uint8_t type = GELF_ST_TYPE(sym->st_info);
	if (!name || !*name || sym->st_shndx == SHN_UNDEF || name[0] == '$')
		return;
	if (type != STT_OBJECT && type != STT_FUNC && type != STT_TLS && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return;
	struct raw_symbol s = { .address = sym->st_value, .size = sym->st_size, .name = name, .type = type, .bind = GELF_ST_BIND(sym->st_info) };
	if (type != STT_TLS)
		s.address += m->bias;
	struct raw_symbol *slot = type == STT_TLS ? vec_push(&p->tls) : vec_push(&p->symbols);
	if (slot)
		*slot = s;
}

static bool read_table(struct module *m, Elf *elf, GElf_Word want)
{
	Elf_Scn *scn = NULL;
	bool any = false;
	while (elf && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		Elf_Data *data;
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != want || !sh.sh_entsize || !(data = elf_getdata(scn, NULL)))
			continue;
		size_t n = data->d_size / sh.sh_entsize;
		/* Sections may lie over each other: all tables together are bounded. */
		for (size_t i = 1; i < n && i < MAX_SYMBOLS && priv_of(m)->symbols.n + priv_of(m)->tls.n < MAX_SYMBOLS; i++) {
			GElf_Sym sym;
			if (gelf_getsym(data, (int)i, &sym))
				add_symbol(m, &sym, elf_strptr(elf, sh.sh_link, sym.st_name));
		}
		any = true;
	}
	return any;
}

/* By address; of several at one, objects and functions with a size before labels, globals before locals. */
static int compare_symbols(const void *a, const void *b)
{
	const struct raw_symbol *x = a, *y = b;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (!x->size != !y->size)
		return x->size ? -1 : 1;
	if ((x->bind == STB_GLOBAL) != (y->bind == STB_GLOBAL))
		return x->bind == STB_GLOBAL ? -1 : 1;
	return strcmp(x->name, y->name);
}

static uint32_t hash_name(const char *name)
{
	uint32_t h = 2166136261u;
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h;
}

static const struct raw_symbol *symbol_number(const struct priv *p, uint32_t i)
{
	return i < p->symbols.n ? &p->symbols.at[i] : &p->tls.at[i - p->symbols.n];
}

static void index_names(struct priv *p)
{
	size_t n = p->symbols.n + p->tls.n;
	for (p->by_name_size = 16; p->by_name_size < 2 * n; p->by_name_size *= 2)
		;
	p->by_name = calloc(p->by_name_size, sizeof *p->by_name);
	for (uint32_t i = 0; p->by_name && i < n; i++) {
		size_t at = hash_name(symbol_number(p, i)->name) & (p->by_name_size - 1);
		while (p->by_name[at])
			at = (at + 1) & (p->by_name_size - 1);
		p->by_name[at] = i + 1;
	}
}

struct job { struct modules *ms; struct module *m; };

static void read_tables(void *ctx)
{
	struct modules *ms = ((struct job *)ctx)->ms;
	struct module *m = ((struct job *)ctx)->m;
	struct priv *p = priv_of(m);
	if (m->have_file)
		p->elf = elf_begin(p->fd, ELF_C_READ_MMAP, NULL);
	else if (p->memory)
		p->elf = elf_memory(p->memory, p->memory_bytes);
	if (p->elf && elf_kind(p->elf) != ELF_K_ELF) {
		elf_end(p->elf);
		p->elf = NULL;
	}
	m->have_symtab = read_table(m, p->elf, SHT_SYMTAB);
	if (!m->have_symtab) {
		modules_open_debug(ms, m);
		m->have_symtab = read_table(m, p->debug_elf, SHT_SYMTAB);
	}
	if (!m->have_symtab)
		read_table(m, p->elf, SHT_DYNSYM);
}

void modules_read_symbols(struct modules *ms, struct module *m)
{
	struct priv *p = priv_of(m);
	struct job j = { ms, m };
	if (p->symbols_read)
		return;
	p->symbols_read = true;
	if (!modules_guarded(ms, m, read_tables, &j))
		p->elf = p->debug_elf = NULL; /* what was read till then counts */
	if (p->symbols.n)
		qsort(p->symbols.at, p->symbols.n, sizeof *p->symbols.at, compare_symbols);
	if (p->tls.n)
		qsort(p->tls.at, p->tls.n, sizeof *p->tls.at, compare_symbols);
	index_names(p);
}

static struct symbol public_symbol(struct module *m, const struct raw_symbol *s)
{
	return (struct symbol){ .name = s->name, .address = s->address, .size = s->size,
				.is_function = s->type == STT_FUNC || s->type == STT_GNU_IFUNC, .is_object = s->type == STT_OBJECT,
				.is_tls = s->type == STT_TLS, .is_global = s->bind != STB_LOCAL, .module = m };
}

bool modules_symbol(struct modules *ms, struct module *m, const char *name, struct symbol *ret)
{
	struct priv *p = priv_of(m);
	modules_read_symbols(ms, m);
	if (!p->by_name)
		return false;
	const struct raw_symbol *best = NULL;
	for (size_t at = hash_name(name) & (p->by_name_size - 1); p->by_name[at]; at = (at + 1) & (p->by_name_size - 1)) {
		const struct raw_symbol *s = symbol_number(p, p->by_name[at] - 1);
		/* The table is filled in the order of addresses; a sized global beats all else. */
		if (!strcmp(s->name, name) && (!best || (!best->size && s->size) || (best->bind == STB_LOCAL && s->bind != STB_LOCAL)))
			best = s;
	}
	if (!best) {
		/* glibc's versions: the default one is "name@@VERSION" in .symtab. */
		size_t n = strlen(name);
		for (size_t i = 0; i < p->symbols.n && m->have_symtab; i++)
			if (!strncmp(p->symbols.at[i].name, name, n) && p->symbols.at[i].name[n] == '@') {
				best = &p->symbols.at[i];
				break;
			}
	}
	if (best)
		*ret = public_symbol(m, best);
	return best;
}

/* The last symbol at or below `address` that covers it. Sizes nest rarely: a few steps back are enough. */
static const struct raw_symbol *covering(const struct raw_symbol *at, size_t n, uint64_t address)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (at[mid].address <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct raw_symbol *best = NULL;
	for (size_t k = 0; lo && k < 32; k++, lo--) {
		const struct raw_symbol *s = &at[lo - 1];
		if (best && s->address != best->address)
			break;
		if (address - s->address < s->size && (s->type != STT_NOTYPE || !best))
			best = s;
	}
	return best;
}

bool modules_symbol_at(struct modules *ms, uint64_t address, struct symbol *ret)
{
	struct module *m = modules_at(ms, address);
	if (!m)
		return false;
	modules_read_symbols(ms, m);
	const struct raw_symbol *s = covering(priv_of(m)->symbols.at, priv_of(m)->symbols.n, address);
	if (s)
		*ret = public_symbol(m, s);
	return s;
}

bool modules_tls_symbol_at(struct modules *ms, struct module *m, uint64_t offset, struct symbol *ret)
{
	modules_read_symbols(ms, m);
	const struct raw_symbol *s = covering(priv_of(m)->tls.at, priv_of(m)->tls.n, offset);
	if (s)
		*ret = public_symbol(m, s);
	return s;
}

/* GOT slots with R_*_TPOFF against no symbol, in the file's relocations (SHT_RELA, SHT_REL). */
bool modules_tls_offset(struct modules *ms, struct module *m, uint64_t *ret)
{
	struct priv *p = priv_of(m);
	const struct arch *a = modules_arch(ms);
	modules_read_symbols(ms, m);
	Elf_Scn *scn = NULL;
	while (p->elf && !p->tls_offset_tried && (scn = elf_nextscn(p->elf, scn))) {
		GElf_Shdr sh;
		Elf_Data *data;
		if (!gelf_getshdr(scn, &sh) || (sh.sh_type != SHT_RELA && sh.sh_type != SHT_REL) || !sh.sh_entsize ||
		    !(data = elf_getdata(scn, NULL)))
			continue;
		for (size_t i = 0; i < data->d_size / sh.sh_entsize; i++) {
			GElf_Rela r = { 0 };
			GElf_Rel rel;
			uint64_t value, file = 0;
			if (sh.sh_type == SHT_RELA ? !gelf_getrela(data, (int)i, &r) : !gelf_getrel(data, (int)i, &rel))
				break;
			if (sh.sh_type == SHT_REL) {
				r.r_offset = rel.r_offset;
				r.r_info = rel.r_info;
			}
			if (GELF_R_TYPE(r.r_info) != a->tpoff_reloc || GELF_R_SYM(r.r_info) || !modules_word(ms, r.r_offset + m->bias, &value))
				continue;
			/* REL: the addend stands in the file's slot. */
			for (size_t s = 0; sh.sh_type == SHT_REL && s < m->n_segments; s++)
				if (r.r_offset + m->bias >= m->segments[s].start && r.r_offset + m->bias < m->segments[s].file_end)
					span_word(m->file, m->segments[s].file_offset + r.r_offset + m->bias - m->segments[s].start, a->word, a->big, &file);
			p->tls_offset = value - (sh.sh_type == SHT_RELA ? (uint64_t)r.r_addend : file);
			if (a->word == 4)
				p->tls_offset = (uint64_t)(int64_t)(int32_t)p->tls_offset;
			p->tls_offset_known = p->tls_offset_tried = true;
			break;
		}
	}
	/* Before the look the slots may not be readable: ask again then. */
	p->tls_offset_tried |= ms->img != NULL;
	*ret = p->tls_offset;
	return p->tls_offset_known;
}

char *__cxa_demangle(const char *name, char *buffer, size_t *length, int *status);

/* "g_map[abi:cxx11]": the tag is of the ABI, not of the name that people wrote. */
static char *without_tags(char *name)
{
	for (char *tag; (tag = strstr(name, "[abi:"));) {
		char *end = strchr(tag, ']');
		if (!end)
			break;
		memmove(tag, end + 1, strlen(end + 1) + 1);
	}
	return name;
}

char *modules_demangle(const char *name)
{
	/* A variable that was copied from a library stands in .symtab with its version: stdout@GLIBC_2.2.5. */
	const char *at = strchr(name, '@');
	AUTO_FREE char *bare = at && at > name ? strndup(name, (size_t)(at - name)) : NULL;
	if (bare)
		name = bare;
	if (name[0] == '_' && (name[1] == 'Z' || name[1] == 'R')) {
		int status;
		char *text = __cxa_demangle(name, NULL, NULL, &status);
		if (text)
			return without_tags(text);
	}
	return strdup(name);
}

static bool is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/* Is `name` what people call this symbol? Functions without their parameters too. */
static bool is_called(const struct raw_symbol *s, const char *name)
{
	size_t n = strlen(name);
	if (!is_mangled(s->name))
		return false;
	AUTO_FREE char *text = modules_demangle(s->name);
	return text && !strncmp(text, name, n) && (!text[n] || text[n] == '(');
}

static bool find_demangled(struct module *m, const char *name, struct symbol *ret)
{
	const struct priv *p = priv_of(m);
	for (size_t i = 0; i < p->symbols.n; i++)
		if (is_called(&p->symbols.at[i], name)) {
			*ret = public_symbol(m, &p->symbols.at[i]);
			return true;
		}
	return false;
}

bool modules_find_symbol(struct modules *ms, const char *name, struct symbol *ret)
{
	/* The program's own come first, then those of its libraries, libc's last. */
	for (int pass = 0; pass < 6; pass++)
		for (size_t i = 0; i < ms->list.n; i++) {
			struct module *m = ms->list.at[i];
			int order = m->role == MODULE_PROGRAM ? 0 : m->role == MODULE_OTHER ? 1 : 2;
			if (order == pass % 3 && (pass < 3 ? modules_symbol(ms, m, name, ret) && !ret->is_tls : find_demangled(m, name, ret)))
				return true;
		}
	return false;
}

const char *modules_symbol_by_prefix(struct modules *ms, const char *prefix, size_t *cursor)
{
	static char readable[256];
	size_t n = strlen(prefix), skip = *cursor;
	for (size_t i = 0; i < ms->list.n; i++) {
		struct module *m = ms->list.at[i];
		modules_read_symbols(ms, m);
		struct priv *p = priv_of(m);
		if (skip >= p->symbols.n) {
			skip -= p->symbols.n;
			continue;
		}
		for (size_t k = skip; k < p->symbols.n; k++) {
			const char *name = p->symbols.at[k].name;
			++*cursor;
			if (is_mangled(name)) {
				AUTO_FREE char *text = modules_demangle(name);
				/* A blank would end the word: what has parameters is told up to them. */
				snprintf(readable, sizeof readable, "%.*s", (int)strcspn(text ? text : name, "( "), text ? text : name);
				name = readable;
			}
			if (!strncmp(name, prefix, n))
				return name;
		}
		skip = 0;
	}
	return NULL;
}
