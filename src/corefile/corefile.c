/* The layout that the kernel gives a core (fs/binfmt_elf.c, elf_core_dump; struct elf_prstatus and elf_prpsinfo of
 * include/uapi/linux/elfcore.h), from the picture of a look. */
#include "flotsam/corefile.h"
#include "flotsam/codec.h"
#include "extents.h"
#include "stream.h"

#include <elf.h>

struct piece { /* of a mapping */
	uint64_t start, end, offset; /* offset: in the file */
	uint8_t prot;
	bool in_file;
};
struct writer {
	const struct session *s;
	const struct picture *p;
	unsigned word;
	struct stream to;
	struct core_extents extents;
	struct strbuf notes;
	VEC(struct piece) pieces;
};

static void put(struct strbuf *b, uint64_t v, unsigned bytes)
{
	char t[8];
	for (unsigned i = 0; i < bytes; i++)
		t[i] = (char)(v >> 8 * i);
	strbuf_add(b, t, bytes);
}

static void pad(struct strbuf *b, size_t to)
{
	while (b->n < to && !b->failed)
		strbuf_add(b, "", 1);
}

static void note(struct strbuf *to, const char *name, uint32_t type, const struct strbuf *text)
{
	size_t n = strlen(name) + 1;
	put(to, n, 4);
	put(to, text->n, 4);
	put(to, type, 4);
	strbuf_add(to, name, n);
	pad(to, align_up(to->n, 4));
	if (text->n)
		strbuf_add(to, text->text, text->n);
	pad(to, align_up(to->n, 4));
	to->failed |= text->failed;
}

static void thread_notes(struct writer *w, const struct thread *t)
{
	enum { XSAVE_LEGACY = 512 }; /* the part of the extended state that is FXSAVE's */
	const struct arch *a = w->s->target->arch;
	struct strbuf b = { 0 };
	pad(&b, a->prstatus_pid);
	put(&b, (uint64_t)t->tid, 4);
	pad(&b, a->prstatus_reg);
	if (t->gregs.n)
		strbuf_add(&b, (const char *)t->gregs.p, t->gregs.n);
	pad(&b, a->prstatus_reg + (size_t)a->n_gregs * w->word);
	put(&b, t->fpregs.n > 0, 4); /* pr_fpvalid */
	pad(&b, align_up(b.n, w->word));
	note(&w->notes, "CORE", NT_PRSTATUS, &b);
	strbuf_free(&b);
	bool x86 = a->elf_machine == EM_X86_64 || a->elf_machine == EM_386;
	size_t legacy = x86 && t->fpregs.n > XSAVE_LEGACY ? XSAVE_LEGACY : t->fpregs.n;
	if (legacy && a->elf_machine != EM_386) {
		strbuf_add(&b, (const char *)t->fpregs.p, legacy);
		note(&w->notes, "CORE", NT_FPREGSET, &b);
		strbuf_free(&b);
	}
	if (x86 && t->fpregs.n > XSAVE_LEGACY) {
		strbuf_add(&b, (const char *)t->fpregs.p, t->fpregs.n);
		note(&w->notes, "LINUX", NT_X86_XSTATE, &b);
		strbuf_free(&b);
	}
	if (a->elf_machine == EM_AARCH64) {
		put(&b, t->tp, 8);
		note(&w->notes, "LINUX", NT_ARM_TLS, &b);
		strbuf_free(&b);
	}
}

static void process_note(struct writer *w)
{
	enum { NAME = 16, ARGUMENTS = 80 };
	const struct target *t = w->s->target;
	struct strbuf b = { 0 };
	char name[NAME] = "", arguments[ARGUMENTS] = "";
	snprintf(name, sizeof name, "%.15s", t->comm);
	snprintf(arguments, sizeof arguments, "%.79s", t->exe[0] ? t->exe : t->comm);
	pad(&b, w->word); /* state, its letter, zombie, nice */
	put(&b, 0, w->word);			/* flags */
	put(&b, 0, w->word == 8 ? 8 : 4);	/* uid, gid: of 16 bits on i386 */
	put(&b, (uint64_t)t->pid, 4);
	put(&b, (uint64_t)w->s->status.ppid, 4);
	put(&b, 0, 8);				/* group, session */
	strbuf_add(&b, name, sizeof name);
	strbuf_add(&b, arguments, sizeof arguments);
	note(&w->notes, "CORE", NT_PRPSINFO, &b);
	strbuf_free(&b);
}

static bool of_file(const struct mapping *m)
{
	return m->inode && m->path[0] == '/';
}

/* NT_FILE: count, page size; start, end and offset in pages of each; then the names. */
static void file_note(struct writer *w)
{
	struct strbuf b = { 0 };
	uint64_t n = 0;
	for (size_t i = 0; i < w->p->maps.n; i++)
		n += of_file(&w->p->maps.at[i]);
	put(&b, n, w->word);
	put(&b, w->p->page, w->word);
	for (size_t i = 0; i < w->p->maps.n; i++) {
		const struct mapping *m = &w->p->maps.at[i];
		if (!of_file(m))
			continue;
		put(&b, m->start, w->word);
		put(&b, m->end, w->word);
		put(&b, m->offset / w->p->page, w->word);
	}
	for (size_t i = 0; i < w->p->maps.n; i++)
		if (of_file(&w->p->maps.at[i]))
			strbuf_add(&b, w->p->maps.at[i].path, strlen(w->p->maps.at[i].path) + 1);
	note(&w->notes, "CORE", NT_FILE, &b);
	strbuf_free(&b);
}

static void own_note(struct writer *w, uint32_t type, struct codec *k)
{
	struct strbuf b = { .text = (char *)k->out.at, .n = k->out.n, .failed = k->failed };
	note(&w->notes, TARGET_NOTE_NAME, type, &b);
	free(k->out.at);
}

static struct codec versioned(void)
{
	struct codec k = { .writing = true };
	uint64_t version = TARGET_NOTE_VERSION;
	codec_u64(&k, &version);
	return k;
}

/* False: there is no such file. */
static bool proc_note(struct writer *w, const char *name)
{
	size_t n;
	AUTO_FD int fd = target_open_proc(w->s->target, name);
	AUTO_FREE char *text = fd >= 0 ? system_read_fd(fd, &n) : NULL;
	struct codec k = versioned();
	const char *read = text;
	codec_string(&k, &name);
	codec_string(&k, &read);
	if (text)
		own_note(w, TARGET_NOTE_PROC, &k);
	else
		free(k.out.at);
	return text;
}

/* What the kernel's notes have no place for. */
static void own_notes(struct writer *w)
{
	struct target *t = w->s->target;
	struct kernel_account account = { w->s->status, w->s->cgroup, w->s->uptime };
	struct codec books = versioned(), maps = versioned(), pages = versioned(), words = versioned();
	target_code(&books, t, &account);
	own_note(w, TARGET_NOTE_TARGET, &books);
	picture_code_maps(&maps, &t->picture);
	own_note(w, TARGET_NOTE_MAPS, &maps);
	picture_code_pages(&pages, &t->picture);
	own_note(w, TARGET_NOTE_PAGES, &pages);
	picture_code_kernel_words(&words, &t->picture);
	own_note(w, TARGET_NOTE_KERNEL_WORDS, &words);
	/* The list of locked mappings is in smaps alone, and so are the sums before Linux 4.14. */
	if (!proc_note(w, "smaps_rollup") || (account.status.vm_lck && account.status.vm_lck != UNKNOWN))
		proc_note(w, "smaps");
}

static bool make_notes(struct writer *w)
{
	struct strbuf auxv = { 0 };
	for (size_t i = 0; i < w->p->threads.n; i++) {
		thread_notes(w, &w->p->threads.at[i]);
		if (i)
			continue;
		process_note(w);
		if (w->p->auxv.n)
			strbuf_add(&auxv, (const char *)w->p->auxv.at, w->p->auxv.n);
		note(&w->notes, "CORE", NT_AUXV, &auxv);
		file_note(w);
	}
	strbuf_free(&auxv);
	own_notes(w);
	return !w->notes.failed;
}

static bool add_piece(struct writer *w, const struct mapping *m, uint64_t start, uint64_t end, bool in_file)
{
	struct piece *last = w->pieces.n ? &w->pieces.at[w->pieces.n - 1] : NULL;
	if (start >= end)
		return true;
	if (last && last->end == start && last->in_file == in_file && start != m->start) {
		last->end = end;
		return true;
	}
	struct piece *slot = vec_push(&w->pieces);
	if (slot)
		*slot = (struct piece){ start, end, 0, m->prot, in_file };
	return slot;
}

/* What lies between extents: in private anonymous memory, pages that were never touched read as zeros; of all others nothing is
 * known here. Where residency is not known the zeros are not, either. */
static bool add_gap(struct writer *w, const struct mapping *m, uint64_t start, uint64_t end, size_t *run)
{
	const struct picture *p = w->p;
	enum { LARGE_SHIFT = 32 }; /* more than 4 GiB of nothing is a reservation, and a file has its limits */
	bool blank = p->have_pages && !m->shared && !m->inode && m->prot & PROT_W && !m->device && (m->end - m->start) >> LARGE_SHIFT == 0;
	while (*run < p->pages.n && p->pages.at[*run].end <= start)
		++*run;
	for (size_t i = *run; blank && start < end; i++) {
		const struct page_run *r = i < p->pages.n && p->pages.at[i].start < end ? &p->pages.at[i] : NULL;
		uint64_t from = r && r->start > start ? r->start : r ? start : end, to = r ? r->end < end ? r->end : end : end;
		bool known = r && (r->flags & PAGE_ZERO || !(r->flags & (PAGE_PRESENT | PAGE_SWAPPED)));
		if (!add_piece(w, m, start, from, true) || (r && !add_piece(w, m, from, to, known)))
			return false;
		start = to;
	}
	return add_piece(w, m, start, end, false);
}

static bool make_pieces(struct writer *w)
{
	const struct picture *p = w->p;
	size_t k = 0, run = 0;
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct mapping *m = &p->maps.at[i];
		uint64_t at = m->start;
		while (k < w->extents.list.n && w->extents.list.at[k].address + w->extents.list.at[k].bytes <= m->start)
			k++;
		for (size_t e = k; e < w->extents.list.n && w->extents.list.at[e].address < m->end; e++) {
			const struct extent *x = &w->extents.list.at[e];
			uint64_t from = x->address > at ? x->address : at, to = x->address + x->bytes < m->end ? x->address + x->bytes : m->end;
			if (x->from_file || from >= to)
				continue;
			if (!add_gap(w, m, at, from, &run) || !add_piece(w, m, from, to, true))
				return false;
			at = to;
		}
		if (!add_gap(w, m, at, m->end, &run))
			return false;
	}
	return true;
}

static void header(struct writer *w, struct strbuf *b, uint64_t phdrs, uint64_t shoff)
{
	const struct arch *a = w->s->target->arch;
	bool wide = w->word == 8;
	const char ident[EI_NIDENT] = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, (char)a->elf_class, ELFDATA2LSB, EV_CURRENT };
	strbuf_add(b, ident, sizeof ident);
	put(b, ET_CORE, 2);
	put(b, a->elf_machine, 2);
	put(b, EV_CURRENT, 4);
	put(b, 0, w->word);
	put(b, wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), w->word);
	put(b, shoff, w->word);
	put(b, 0, 4);
	put(b, wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), 2);
	put(b, wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr), 2);
	put(b, shoff ? PN_XNUM : phdrs, 2);
	put(b, wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr), 2);
	put(b, shoff ? 1 : 0, 2);
	put(b, 0, 2);
}

static void program_header(struct writer *w, struct strbuf *b, uint32_t type, uint32_t flags, uint64_t offset, uint64_t address, uint64_t in_file,
			   uint64_t in_memory, uint64_t alignment)
{
	put(b, type, 4);
	if (w->word == 8)
		put(b, flags, 4);
	put(b, offset, w->word);
	put(b, address, w->word);
	put(b, 0, w->word);
	put(b, in_file, w->word);
	put(b, in_memory, w->word);
	if (w->word == 4)
		put(b, flags, 4);
	put(b, alignment, w->word);
}

/* More program headers than e_phnum can count: the number stands in the first section header (PN_XNUM, elf(5)). */
static void section_header(struct writer *w, struct strbuf *b, uint64_t phdrs)
{
	put(b, 0, 4);
	put(b, SHT_NULL, 4);
	for (int i = 0; i < 3; i++)
		put(b, 0, w->word); /* flags, address, offset */
	put(b, 1, w->word);	    /* sh_size: number of sections */
	put(b, 0, 4);
	put(b, phdrs, 4);	    /* sh_info */
	put(b, 0, w->word);
	put(b, 0, w->word);
}

static struct err *write_heads(struct writer *w, uint64_t *ret_data)
{
	bool wide = w->word == 8;
	uint64_t phdrs = w->pieces.n + 1, head = wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), each = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t shoff = phdrs >= PN_XNUM ? head + phdrs * each : 0, notes = align_up(head + phdrs * each + sizeof(Elf64_Shdr), 8);
	uint64_t at = align_up(notes + w->notes.n, w->p->page);
	struct strbuf b = { 0 };
	header(w, &b, phdrs, shoff);
	program_header(w, &b, PT_NOTE, 0, notes, 0, w->notes.n, 0, 4);
	for (size_t i = 0; i < w->pieces.n; i++) {
		struct piece *x = &w->pieces.at[i];
		x->offset = at;
		/* p_flags and PROT_* have read and execute in opposite order. */
		uint32_t flags = (x->prot & PROT_R ? PF_R : 0u) | (x->prot & PROT_W ? PF_W : 0u) | (x->prot & PROT_X ? PF_X : 0u);
		uint64_t bytes = x->in_file ? x->end - x->start : 0;
		program_header(w, &b, PT_LOAD, flags, at, x->start, bytes, x->end - x->start, w->p->page);
		at += align_up(bytes, w->p->page);
	}
	if (shoff)
		section_header(w, &b, phdrs);
	pad(&b, notes);
	strbuf_add(&b, w->notes.text, w->notes.n);
	struct err *e = b.failed ? err_nomem() : NULL;
	if (!e && !wide && at > UINT32_MAX)
		e = err_new(ERR_LIMIT, "the core would be of %.1f GiB, which an ELF file of 32 bits cannot hold", (double)at / (1 << 30));
	if (!e)
		e = corefile_stream_put(&w->to, b.text, b.n, 0);
	strbuf_free(&b);
	*ret_data = at;
	return e;
}

/* Pages of zeros stay holes. */
static bool all_zero(const uint8_t *p, size_t n)
{
	return n && !p[0] && !memcmp(p, p + 1, n - 1);
}

static struct err *write_extent(struct writer *w, const struct piece *x, const struct extent *e)
{
	uint64_t from = e->address > x->start ? e->address : x->start, to = e->address + e->bytes < x->end ? e->address + e->bytes : x->end;
	while (from < to) {
		uint64_t end = from;
		for (; end < to && !all_zero(e->data + (end - e->address), to - end < w->p->page ? to - end : w->p->page);)
			end = to - end < w->p->page ? to : end + w->p->page;
		if (end > from)
			TRY(corefile_stream_put(&w->to, e->data + (from - e->address), end - from, x->offset + (from - x->start)));
		from = end > from ? end : to - end < w->p->page ? to : end + w->p->page;
	}
	return NULL;
}

static struct err *write_memory(struct writer *w)
{
	size_t k = 0;
	for (size_t i = 0; i < w->pieces.n; i++) {
		const struct piece *x = &w->pieces.at[i];
		if (!x->in_file)
			continue;
		while (k < w->extents.list.n && w->extents.list.at[k].address + w->extents.list.at[k].bytes <= x->start)
			k++;
		for (size_t e = k; e < w->extents.list.n && w->extents.list.at[e].address < x->end; e++)
			if (!w->extents.list.at[e].from_file)
				TRY(write_extent(w, x, &w->extents.list.at[e]));
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	return NULL;
}

struct err *corefile_write(const struct session *s, int fd, bool compressed)
{
	struct writer w = { .s = s, .p = &s->target->picture, .word = s->target->arch->word };
	uint64_t end = 0;
	struct err *e = core_extents_make(s, &w.extents);
	if (!e)
		e = make_notes(&w) && make_pieces(&w) ? corefile_stream_open(&w.to, fd, compressed) : err_nomem();
	if (!e)
		e = write_heads(&w, &end);
	if (!e)
		e = write_memory(&w);
	if (!e)
		e = corefile_stream_end(&w.to, end);
	corefile_stream_close(&w.to);
	strbuf_free(&w.notes);
	vec_free(&w.pieces);
	core_extents_free(&w.extents);
	return e;
}
