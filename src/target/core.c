/* An ELF core: of the kernel (fs/binfmt_elf.c) or of gdb's gcore. Everything in it is checked: a core is a file from
 * anywhere. What a core lacks is counted; what could have held pointers makes the leak list one of "at most". */
#include "core.h"
#include "row.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef NT_FILE
#define NT_FILE 0x46494c45
#endif
#ifndef NT_ARM_TLS
#define NT_ARM_TLS 0x401
#endif
#ifndef NT_386_TLS
#define NT_386_TLS 0x200
#endif

static struct core *core_of(struct target *t)
{
	return (struct core *)t;
}

static bool word(const struct core *c, struct span s, size_t off, uint64_t *ret)
{
	return span_word(s, off, c->arch->word, c->arch->big, ret);
}

static struct err *check_header(struct core *c, const char *path)
{
	struct span f = c->file;
	uint16_t type = 0, machine = 0;
	if (!f.n)
		return err_new(ERR_BAD_DATA, "%s is empty: no core", path);
	if (f.n < EI_NIDENT || memcmp(f.p, ELFMAG, SELFMAG))
		return err_hint(err_new(ERR_BAD_DATA, "%s is no ELF core", path), "a core is made by gcore PID, or by the kernel (see core(5))");
	bool big = f.p[EI_DATA] == ELFDATA2MSB;
	if (!span_u16(f, 16, big, &type) || !span_u16(f, 18, big, &machine))
		return err_new(ERR_BAD_DATA, "%s ends inside its ELF header", path);
	if (type != ET_CORE)
		return err_hint(err_new(ERR_BAD_DATA, "%s is no core but %s", path,
					type == ET_EXEC || type == ET_DYN ? "a program or library" : type == ET_REL ? "an object file" : "another kind of ELF file"),
				"flotsam -c CORE PROGRAM names both");
	c->arch = arch_find(machine, f.p[EI_CLASS]);
	if (!c->arch || big != c->arch->big)
		return err_new(ERR_UNSUPPORTED, "%s is of an architecture that is not known (ELF machine %u, class %u)", path, machine, f.p[EI_CLASS]);
	return NULL;
}

bool core_headers(const struct arch *a, struct span file, struct headers *ret)
{
	bool is64 = a->word == 8;
	uint16_t n = 0, size = 0;
	if (!span_word(file, is64 ? 32 : 28, a->word, a->big, &ret->off) || !span_u16(file, is64 ? 54 : 42, a->big, &size) || !span_u16(file, is64 ? 56 : 44, a->big, &n))
		return false;
	ret->n = n;
	ret->size = size;
	/* More than 65534: the number stands in section header 0 (PN_XNUM, elf(5)). */
	uint64_t shoff;
	if (n == PN_XNUM && (!span_word(file, is64 ? 40 : 32, a->word, a->big, &shoff) || !span_u32(file, shoff + (is64 ? 44 : 28), a->big, &ret->n)))
		return false;
	return size >= (is64 ? 56 : 32) && ret->n <= LIMIT_MAPPINGS;
}

bool core_phdr(const struct arch *a, struct span file, const struct headers *h, uint32_t i, struct phdr *ret)
{
	bool is64 = a->word == 8;
	unsigned w = a->word;
	size_t at = h->off + (size_t)i * h->size;
	return span_u32(file, at, a->big, &ret->type) && span_u32(file, at + (is64 ? 4 : 24), a->big, &ret->flags) &&
	       span_word(file, at + (is64 ? 8 : 4), w, a->big, &ret->offset) && span_word(file, at + (is64 ? 16 : 8), w, a->big, &ret->address) &&
	       span_word(file, at + (is64 ? 32 : 16), w, a->big, &ret->file_bytes) && span_word(file, at + (is64 ? 40 : 20), w, a->big, &ret->memory_bytes);
}

/* Notes of a core are aligned to 4 bytes, whatever the class. */
static bool next_note(const struct core *c, struct span notes, size_t *at, uint32_t *type, struct span *name, struct span *desc)
{
	uint32_t namesz, descsz;
	if (!span_u32(notes, *at, c->arch->big, &namesz) || !span_u32(notes, *at + 4, c->arch->big, &descsz) || !span_u32(notes, *at + 8, c->arch->big, type))
		return false;
	size_t start = *at + 12 + align_up(namesz, 4);
	*name = span_sub(notes, *at + 12, namesz);
	*desc = span_sub(notes, start, descsz);
	*at = start + align_up(descsz, 4);
	return !descsz || desc->n;
}

static bool add_thread(struct core *c, struct span desc)
{
	const struct arch *a = c->arch;
	uint32_t tid = 0;
	struct thread *t = c->target.picture.threads.n < LIMIT_THREADS ? vec_push(&c->target.picture.threads) : NULL;
	if (!t)
		return false;
	span_u32(desc, a->prstatus_pid, a->big, &tid);
	t->tid = (pid_t)tid;
	uint32_t signal = 0; /* pr_cursig, behind three ints (linux/elfcore.h: elf_prstatus_common) */
	span_u32(desc, 12, a->big, &signal);
	t->signal = (int)(a->big ? signal >> 16 : signal & 0xffff);
	t->gregs = span_sub(desc, a->prstatus_reg, (size_t)a->n_gregs * a->word);
	t->stopped = t->gregs.n;
	if (a->reg_tp >= 0)
		t->tp = arch_reg(a, t->gregs, a->reg_tp);
	return true;
}

/* count, unit of offsets, then count of {start, end, offset}, then as many strings (fs/binfmt_elf.c, fill_files_note). */
static bool read_names(struct core *c, struct span d)
{
	unsigned w = c->arch->word;
	uint64_t n, unit;
	if (!word(c, d, 0, &n) || !word(c, d, w, &unit) || n > LIMIT_MAPPINGS || n > d.n / (3 * w) || !unit || unit & (unit - 1))
		return true; /* damaged: names are missing, bytes are not */
	c->name_unit = unit;
	size_t text = (2 + 3 * n) * w;
	for (uint64_t i = 0; i < n; i++) {
		struct named m;
		ptrdiff_t length = span_strlen(d, text);
		if (length < 0 || !word(c, d, (2 + 3 * i) * w, &m.start) || !word(c, d, (3 + 3 * i) * w, &m.end) || !word(c, d, (4 + 3 * i) * w, &m.offset))
			return true;
		m.path = (const char *)d.p + text;
		text += (size_t)length + 1;
		struct named *slot = vec_push(&c->names);
		if (!slot)
			return false;
		*slot = m;
	}
	return true;
}

/* i386: user_desc {entry, base, limit, flags}; the thread pointer is the base of gs's entry, the first one in use. */
static uint64_t i386_tp(const struct core *c, struct span desc)
{
	uint32_t base = 0;
	span_u32(desc, 4, c->arch->big, &base);
	return base;
}

static void read_psinfo(struct core *c, struct span d)
{
	/* struct elf_prpsinfo (include/linux/elfcore.h): pid and fname[16] */
	bool is64 = c->arch->word == 8;
	uint32_t pid = 0;
	struct span name = span_sub(d, is64 ? 40 : 28, 16);
	if (span_u32(d, is64 ? 24 : 12, c->arch->big, &pid) && (int32_t)pid > 0)
		c->target.pid = (pid_t)pid;
	if (name.n)
		snprintf(c->target.comm, sizeof c->target.comm, "%.15s", (const char *)name.p);
}

static bool read_notes(struct core *c, struct span notes)
{
	struct picture *p = &c->target.picture;
	size_t at = 0;
	uint32_t type;
	struct span name, d;
	while (next_note(c, notes, &at, &type, &name, &d)) {
		struct thread *last = p->threads.n ? &p->threads.at[p->threads.n - 1] : NULL;
		if (!core_own_note(c, name, type, d) || (type == NT_PRSTATUS && !add_thread(c, d)))
			return false;
		if (type == NT_PRPSINFO)
			read_psinfo(c, d);
		if (type == NT_FILE && !read_names(c, d))
			return false;
		if (type == NT_AUXV && !p->auxv.n && d.n) {
			if (!vec_reserve(&p->auxv, d.n))
				return false;
			memcpy(p->auxv.at, d.p, d.n);
			p->auxv.n = d.n;
		}
		if (!last)
			continue;
		if (type == NT_FPREGSET && !last->fpregs.n)
			last->fpregs = d;
		if (type == NT_X86_XSTATE)
			last->fpregs = d; /* all of it, the legacy part too */
		if (type == NT_ARM_TLS)
			word(c, d, 0, &last->tp);
		if (type == NT_386_TLS)
			last->tp = i386_tp(c, d);
	}
	return true;
}

static struct err *read_headers(struct core *c, const char *path)
{
	struct headers h;
	struct phdr p;
	if (!core_headers(c->arch, c->file, &h))
		return err_new(ERR_BAD_DATA, "%s ends inside its headers, or they are damaged", path);
	for (uint32_t i = 0; i < h.n; i++) {
		if (!core_phdr(c->arch, c->file, &h, i, &p))
			return err_new(ERR_BAD_DATA, "%s ends inside its program headers", path);
		if (p.file_bytes && p.offset + p.file_bytes > c->needs && p.offset + p.file_bytes > p.offset)
			c->needs = p.offset + p.file_bytes;
		if (p.type == PT_NOTE && !read_notes(c, span_sub(c->file, p.offset, p.file_bytes)))
			return err_nomem();
		if (p.type != PT_LOAD || !p.memory_bytes || p.address + p.memory_bytes < p.address)
			continue;
		struct load *l = vec_push(&c->loads);
		if (!l)
			return err_nomem();
		*l = (struct load){ p.address, p.file_bytes < p.memory_bytes ? p.file_bytes : p.memory_bytes, p.memory_bytes, p.offset,
				    (uint8_t)((p.flags & PF_R ? PROT_R : 0) | (p.flags & PF_W ? PROT_W : 0) | (p.flags & PF_X ? PROT_X : 0)) };
	}
	return c->loads.n ? NULL : err_new(ERR_BAD_DATA, "%s holds no memory", path);
}

static int compare_loads(const void *a, const void *b)
{
	const struct load *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

static int compare_names(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* The first name that ends behind address, or NULL. */
static const struct named *name_from(const struct core *c, uint64_t address)
{
	size_t lo = 0, hi = c->names.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (c->names.at[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->names.n ? &c->names.at[lo] : NULL;
}

static const struct named *name_at(const struct core *c, uint64_t address)
{
	const struct named *n = name_from(c, address);
	return n && n->start <= address ? n : NULL;
}

/* In order, and each address with one name. */
static void sort_names(struct core *c)
{
	size_t keep = 0;
	uint64_t reached = 0;
	if (!c->names.n)
		return;
	qsort(c->names.at, c->names.n, sizeof *c->names.at, compare_names);
	for (size_t i = 0; i < c->names.n; i++) {
		struct named n = c->names.at[i];
		if (n.start < reached || n.end <= n.start)
			continue;
		reached = n.end;
		c->names.at[keep++] = n;
	}
	c->names.n = keep;
}

/* Of overlapping segments the first stands; the rest of the second is taken as well. */
static void sort_loads(struct core *c)
{
	size_t keep = 0;
	uint64_t reached = 0;
	qsort(c->loads.at, c->loads.n, sizeof *c->loads.at, compare_loads);
	for (size_t i = 0; i < c->loads.n; i++) {
		struct load l = c->loads.at[i];
		if (l.address < reached) {
			uint64_t cut = reached - l.address < l.memory_bytes ? reached - l.address : l.memory_bytes;
			findings_add(&c->target.picture.findings, "overlap", l.address, "two segments of the core overlap");
			l.address += cut;
			l.memory_bytes -= cut;
			l.offset += cut;
			l.file_bytes -= cut < l.file_bytes ? cut : l.file_bytes;
		}
		if (!l.memory_bytes)
			continue;
		reached = l.address + l.memory_bytes;
		c->loads.at[keep++] = l;
	}
	c->loads.n = keep;
}

static bool add_mapping(struct core *c, uint64_t start, uint64_t end, uint8_t prot, const struct named *n)
{
	struct mapping *m = vec_push(&c->target.picture.maps);
	char *path = strdup(n ? n->path : "");
	if (!m || !path) {
		free(path);
		return false;
	}
	*m = (struct mapping){ .start = start, .end = end, .prot = prot, .path = path, .inode = n != NULL };
	if (n)
		m->offset = n->offset * c->name_unit + (start - n->start);
	m->shared = n && (!strncmp(path, "/dev/shm/", 9) || !strncmp(path, "/SYSV", 5) || !strncmp(path, "/memfd:", 7) || !strncmp(path, "/dev/zero", 9));
	m->device = n && !strncmp(path, "/dev/", 5) && !m->shared;
	/* " (deleted)" is part of the name in NT_FILE. */
	size_t k = strlen(path);
	if (k > 10 && !strcmp(path + k - 10, " (deleted)")) {
		path[k - 10] = '\0';
		m->deleted = true;
	}
	return true;
}

static bool add_extent(struct core *c, const struct load *l)
{
	uint64_t have = l->file_bytes;
	if (l->offset >= c->file.n)
		have = 0;
	else if (have > c->file.n - l->offset)
		have = c->file.n - l->offset;
	if (have < l->file_bytes) {
		c->target.picture.truncated = true;
		if (!picture_skip(&c->target.picture, "truncated", l->file_bytes - have, true))
			return false;
	}
	struct extent *e = have ? vec_push(&c->target.picture.extents) : NULL;
	if (e)
		*e = (struct extent){ l->address, have, c->file.p + l->offset, false };
	return e || !have;
}

/* Bytes that the core leaves out. The kernel leaves out what equals a file and what coredump_filter or MADV_DONTDUMP say;
 * the first is no loss. */
static bool note_missing(struct core *c, const struct load *l, const struct named *n)
{
	uint64_t missing = l->memory_bytes - l->file_bytes;
	if (!missing || !(l->prot & (PROT_R | PROT_W)))
		return true; /* guards */
	bool may_hold = l->prot & PROT_W;
	if (n && !may_hold)
		return true;
	return picture_skip(&c->target.picture, "not-dumped", missing, may_hold);
}

/* One PT_LOAD may span several files' mappings, and a mapping several PT_LOADs: each piece between borders is one. */
static bool add_load(struct core *c, const struct load *l)
{
	uint64_t at = l->address, end = l->address + l->memory_bytes;
	if (!add_extent(c, l) || !note_missing(c, l, name_at(c, l->address)))
		return false;
	while (at < end) {
		const struct named *n = name_from(c, at);
		bool named = n && n->start <= at;
		uint64_t border = !n ? end : named ? n->end : n->start, to = border < end ? border : end;
		if (!add_mapping(c, at, to, l->prot, named ? n : NULL))
			return false;
		at = to;
	}
	return true;
}

/* A named mapping of which the core has no segment, as far as none follows in it. */
static bool add_unheld(struct core *c, const struct named *n)
{
	size_t lo = 0, hi = c->loads.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (c->loads.at[mid].address + c->loads.at[mid].memory_bytes <= n->start)
			lo = mid + 1;
		else
			hi = mid;
	}
	uint64_t end = lo < c->loads.n && c->loads.at[lo].address < n->end ? c->loads.at[lo].address : n->end;
	return end <= n->start || add_mapping(c, n->start, end, PROT_R, n);
}

static int compare_mappings(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

uint64_t core_auxv(const struct core *c, uint64_t wanted)
{
	struct span s = { c->target.picture.auxv.at, c->target.picture.auxv.n };
	uint64_t tag, value;
	for (size_t at = 0; word(c, s, at, &tag) && word(c, s, at + c->arch->word, &value); at += 2 * c->arch->word)
		if (tag == wanted)
			return value;
	return 0;
}

/* Files named in a core are opened below the sysroot only when one is given; a FIFO or a device is not opened. */
int core_open_regular(const char *root, const char *path)
{
	AUTO_FREE char *full = NULL;
	struct stat st;
	if (asprintf(&full, "%s%s", root ? root : "", path) < 0) {
		full = NULL;
		errno = ENOMEM;
		return -1;
	}
	if (stat(full, &st))
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* A core does not tell which mapping was the main stack. The kernel puts the bytes of AT_RANDOM on it (fs/binfmt_elf.c,
 * create_elf_tables); without auxv it is the one that holds the first thread's SP, unless that runs on another stack. */
static bool name_main_stack(struct core *c)
{
	struct picture *p = &c->target.picture;
	uint64_t random = core_auxv(c, AT_RANDOM);
	const struct mapping *m = random ? picture_mapping(p, random) : NULL;
	for (size_t i = 0; i < p->threads.n && !m; i++) {
		const struct thread *t = &p->threads.at[i];
		if (t->tid != c->target.pid)
			continue;
		m = picture_mapping(p, arch_reg(c->arch, t->gregs, c->arch->reg_sp));
		if (m && t->tp >= m->start && t->tp < m->end)
			return true;
	}
	if (!m || m->path[0])
		return true;
	char *name = strdup("[stack]");
	if (!name)
		return false;
	free((char *)m->path);
	((struct mapping *)m)->path = name;
	return true;
}

static bool all_zero(const uint8_t *p, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

enum { FRAMES_BYTES = 1024, NEAR_BYTES = 1 << 16 };

/* A stack in use has words other than 0 above its pointer. gcore stops writing a mapping where it meets a page that cannot
 * be read (gdb/gcore.c: gcore_copy_callback), and a guard page of glibc 2.42 is one: the rest of the stack is left zero. That
 * of a thread that has not run yet is zero too, but for the descriptor at its end. */
static bool stack_is_lost(const struct picture *p, const struct thread *t, uint64_t sp)
{
	uint64_t bytes = FRAMES_BYTES;
	if (t->tp > sp && t->tp - sp < NEAR_BYTES)
		bytes += t->tp - sp;
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		uint64_t off = sp - e->address;
		if (sp >= e->address && off < e->bytes)
			return all_zero(e->data + off, e->bytes - off < bytes ? e->bytes - off : bytes);
	}
	return true;
}

static void count_lost_stacks(struct core *c)
{
	struct picture *p = &c->target.picture;
	size_t lost = 0;
	for (size_t i = 0; i < p->threads.n; i++) {
		const struct thread *t = &p->threads.at[i];
		lost += t->gregs.n && stack_is_lost(p, t, arch_reg(c->arch, t->gregs, c->arch->reg_sp));
	}
	if (!lost)
		return;
	p->at_most = true;
	findings_add(&p->findings, "lost-stack", 0, "the core lacks the stacks of %zu of %zu threads: what they hold looks lost%s", lost,
		     p->threads.n, p->truncated ? "" : " (gdb leaves out what lies behind a guard page)");
}

/* Without a thread's own pointer its cache of freed blocks is not found: they look used, and lost. */
static void count_threads_without_pointer(struct core *c)
{
	struct picture *p = &c->target.picture;
	size_t without = 0;
	for (size_t i = 0; i < p->threads.n; i++)
		without += !p->threads.at[i].tp;
	if (!without)
		return;
	p->at_most = true;
	findings_add(&p->findings, "no-thread-pointer", 0,
		     "the core does not tell the thread pointers of %zu of %zu threads: freed blocks that they keep may look lost", without, p->threads.n);
}

/* What a core without flotsam's notes lacks. */
static void count_lost(struct core *c)
{
	struct picture *p = &c->target.picture;
	uint64_t lost = 0, held = 0;
	for (size_t i = 0; i < p->skipped.n; i++)
		lost += p->skipped.at[i].may_hold_roots ? p->skipped.at[i].bytes : 0;
	for (size_t i = 0; i < p->extents.n; i++)
		held += p->extents.at[i].bytes;
	p->at_most = lost * 100 > held;
	p->read_bytes = held;
	count_threads_without_pointer(c);
}

static struct err *build_picture(struct core *c)
{
	struct picture *p = &c->target.picture;
	bool told;
	uint64_t page = core_auxv(c, AT_PAGESZ);
	if (page >= 4096 && page <= 1 << 16 && !(page & (page - 1)))
		p->page = page;
	sort_loads(c);
	if (!c->names.n && !core_find_names(c))
		return err_nomem();
	sort_names(c);
	for (size_t i = 0; i < c->loads.n; i++)
		if (!add_load(c, &c->loads.at[i]))
			return err_nomem();
	for (size_t i = 0; i < c->names.n; i++)
		if (!add_unheld(c, &c->names.at[i]))
			return err_nomem();
	qsort(p->maps.at, p->maps.n, sizeof *p->maps.at, compare_mappings);
	core_find_descriptors(p);
	if (!name_main_stack(c) || !core_take_own(c, &told))
		return err_nomem();
	if (!told)
		count_lost(c);
	p->at_most |= p->truncated;
	if (p->truncated)
		findings_add(&p->findings, "truncated", 0,
			     "core is truncated (needs %.1f MiB, has %.1f): raise ProcessSizeMax/ExternalSizeMax in coredump.conf",
			     (double)c->needs / (1 << 20), (double)c->file.n / (1 << 20));
	if (!told || p->truncated)
		count_lost_stacks(c);
	return NULL;
}

static void close_core(struct target *t)
{
	struct core *c = core_of(t);
	if (c->file.p)
		munmap((void *)c->file.p, c->file.n);
	if (c->fd >= 0)
		close(c->fd);
	vec_free(&c->loads);
	vec_free(&c->names);
	for (size_t i = 0; i < c->own.n; i++)
		free(c->own.at[i].copy);
	vec_free(&c->own);
	free(c->program);
	free(c->interpreter);
	for (size_t i = 0; i < t->picture.maps.n; i++)
		free((char *)t->picture.maps.at[i].path);
	picture_clear(&t->picture);
	free(c);
}

static struct err *map_file(struct core *c, const char *path)
{
	struct stat st;
	c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (c->fd < 0)
		return err_os(errno, "cannot open %s", path);
	if (fstat(c->fd, &st) || !S_ISREG(st.st_mode))
		return err_new(ERR_BAD_DATA, "%s is no regular file", path);
	TRY(core_expand(&c->fd));
	if (fstat(c->fd, &st))
		return err_os(errno, "cannot read %s", path);
	if (!st.st_size)
		return NULL;
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, c->fd, 0);
	if (p == MAP_FAILED)
		return err_os(errno, "cannot map %s", path);
	c->file = (struct span){ p, (size_t)st.st_size };
	return NULL;
}

static struct err *read_core(struct core *c, const char *path)
{
	struct picture *p = &c->target.picture;
	TRY(map_file(c, path));
	TRY(check_header(c, path));
	c->target.arch = p->arch = c->arch;
	p->page = 4096;
	p->stopped_seconds = -1;
	p->quiet = true;
	TRY(read_headers(c, path));
	if (!c->target.pid && p->threads.n)
		c->target.pid = p->threads.at[0].tid;
	return build_picture(c);
}

static struct err *open_core(const char *what, const struct target_options *o, struct target **ret)
{
	struct core *c = calloc(1, sizeof *c);
	if (!c)
		return err_nomem();
	c->fd = -1;
	c->target.row = &target_core_row;
	c->target.options = *o;
	struct err *e = read_core(c, what);
	if (e) {
		close_core(&c->target);
		return e;
	}
	*ret = &c->target;
	return NULL;
}

static struct err *survey(struct target *t)
{
	(void)t; /* the headers were read when it was opened */
	return NULL;
}

static struct err *take(struct target *t, const struct quiet_plan *quiet)
{
	(void)t, (void)quiet;
	return NULL;
}

static bool peek(struct target *t, uint64_t address, void *to, size_t n)
{
	const struct picture *p = &t->picture;
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		if (address >= e->address && address - e->address < e->bytes && n <= e->bytes - (address - e->address)) {
			memcpy(to, e->data + (address - e->address), n);
			return true;
		}
	}
	return false;
}

static bool is_program(const struct core *c, const struct mapping *m)
{
	uint64_t headers = core_auxv(c, AT_PHDR);
	return headers && headers >= m->start && headers < m->end;
}

static int open_mapped(struct target *t, const struct mapping *m)
{
	if (t->options.core_exe && is_program(core_of(t), m))
		return core_open_regular(NULL, t->options.core_exe);
	return core_open_regular(t->options.sysroot, m->path);
}

static int open_path(struct target *t, const char *path)
{
	return core_open_regular(t->options.sysroot, path);
}

const struct target_row target_core_row = {
	.name = "core",
	.open = open_core,
	.survey = survey,
	.take = take,
	.peek = peek,
	.open_mapped = open_mapped,
	.open_path = open_path,
	.open_proc = core_open_proc,
	.close = close_core,
};
