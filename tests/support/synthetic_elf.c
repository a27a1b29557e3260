#include "synthetic_elf.h"

#include <elf.h>

void bytes_fill(struct bytes *b, size_t to, uint8_t with)
{
	if (to > b->cap) {
		b->cap = to * 2;
		b->at = realloc(b->at, b->cap);
		if (!b->at)
			abort();
	}
	if (to > b->n) {
		memset(b->at + b->n, with, to - b->n);
		b->n = to;
	}
}

void bytes_add(struct bytes *b, const void *p, size_t n)
{
	size_t at = b->n;
	bytes_fill(b, at + n, 0);
	if (n)
		memcpy(b->at + at, p, n);
}

void bytes_put(struct bytes *b, size_t off, uint64_t v, unsigned width)
{
	bytes_fill(b, off + width, 0);
	for (unsigned i = 0; i < width; i++)
		b->at[off + i] = (uint8_t)(v >> 8 * i);
}

uint64_t bytes_get(const struct bytes *b, size_t off, unsigned width)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)b->at[off + i] << 8 * i;
	return v;
}

unsigned core_word(const struct core_plan *p)
{
	return p->machine == EM_386 ? 4 : 8;
}

static void put_header(struct bytes *b, unsigned machine, unsigned type, uint64_t phoff, uint64_t shoff, unsigned phnum,
		       unsigned shnum, uint64_t entry)
{
	bool is64 = machine != EM_386;
	unsigned w = is64 ? 8 : 4;
	bytes_fill(b, is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), 0);
	memcpy(b->at, ELFMAG, SELFMAG);
	b->at[EI_CLASS] = is64 ? ELFCLASS64 : ELFCLASS32;
	b->at[EI_DATA] = ELFDATA2LSB;
	b->at[EI_VERSION] = EV_CURRENT;
	bytes_put(b, 16, type, 2);
	bytes_put(b, 18, machine, 2);
	bytes_put(b, 20, EV_CURRENT, 4);
	bytes_put(b, 24, entry, w);
	bytes_put(b, 24 + w, phoff, w);
	bytes_put(b, 24 + 2 * w, shoff, w);
	size_t at = 24 + 3 * w + 4;
	bytes_put(b, at, is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), 2);
	bytes_put(b, at + 2, is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr), 2);
	bytes_put(b, at + 4, phnum, 2);
	bytes_put(b, at + 6, is64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr), 2);
	bytes_put(b, at + 8, shnum, 2);
	bytes_put(b, at + 10, shnum ? shnum - 1 : 0, 2); /* names of sections stand in the last */
}

static void put_phdr(struct bytes *b, size_t at, bool is64, uint32_t type, uint32_t flags, uint64_t offset, uint64_t address,
		     uint64_t file_bytes, uint64_t memory_bytes)
{
	unsigned w = is64 ? 8 : 4;
	size_t fields = is64 ? at + 8 : at + 4;
	bytes_put(b, at, type, 4);
	bytes_put(b, is64 ? at + 4 : at + 24, flags, 4);
	bytes_put(b, fields, offset, w);
	bytes_put(b, fields + w, address, w);
	bytes_put(b, fields + 2 * w, address, w);
	bytes_put(b, fields + 3 * w, file_bytes, w);
	bytes_put(b, fields + 4 * w, memory_bytes, w);
	bytes_put(b, is64 ? at + 48 : at + 28, 0x1000, w);
}

static size_t put_note(struct bytes *b, const char *name, uint32_t type, const struct bytes *desc)
{
	size_t at = b->n;
	bytes_put(b, at, strlen(name) + 1, 4);
	bytes_put(b, at + 4, desc->n, 4);
	bytes_put(b, at + 8, type, 4);
	bytes_add(b, name, strlen(name) + 1);
	bytes_fill(b, align_up(b->n, 4), 0);
	bytes_add(b, desc->at, desc->n);
	bytes_fill(b, align_up(b->n, 4), 0);
	return at;
}

/* struct elf_prstatus (include/linux/elfcore.h): pr_pid and pr_reg, and where user_regs_struct (arch/x86/include/asm/user_64.h,
 * user_32.h) or user_pt_regs (arch/arm64/include/uapi/asm/ptrace.h) keep what we set. */
static const struct prstatus { unsigned machine, bytes, pid, regs, sp, pc, tp, rbx; } prstatus[] = {
	{ EM_X86_64, 336, 32, 112, 19, 16, 21, 5 },
	{ EM_386, 144, 24, 72, 15, 12, 0, 0 },
	{ EM_AARCH64, 392, 32, 112, 31, 32, 0, 19 },
};

static void put_thread(struct core_plan *p, struct bytes *b, struct core_thread *t)
{
	const struct prstatus *s = prstatus;
	unsigned w = core_word(p);
	struct bytes d = { 0 };
	while (s->machine != p->machine)
		s++;
	bytes_fill(&d, s->bytes, 0);
	bytes_put(&d, s->pid, (uint32_t)t->tid, 4);
	bytes_put(&d, s->regs + s->sp * w, t->sp, w);
	bytes_put(&d, s->regs + s->pc * w, t->pc, w);
	if (s->tp)
		bytes_put(&d, s->regs + s->tp * w, t->tp, w);
	size_t at = put_note(b, "CORE", NT_PRSTATUS, &d);
	t->rbx_at = at + 20 + s->regs + s->rbx * w; /* behind the note's header and name */
	if (!p->prstatus_at)
		p->prstatus_at = at;
	d.n = 0;
	if (p->machine == EM_386) { /* struct user_desc: entry, base, limit, flags */
		bytes_fill(&d, 48, 0);
		bytes_put(&d, 0, 12, 4);
		bytes_put(&d, 4, t->tp, 4);
		put_note(b, "LINUX", NT_386_TLS, &d);
	} else if (p->machine == EM_AARCH64) {
		bytes_put(&d, 0, t->tp, 8);
		put_note(b, "LINUX", NT_ARM_TLS, &d);
	}
	free(d.at);
}

static void put_auxv(struct core_plan *p, struct bytes *b)
{
	unsigned w = core_word(p);
	const uint64_t pairs[][2] = { { AT_PAGESZ, p->page ? p->page : 4096 }, { AT_RANDOM, p->random }, { AT_ENTRY, p->entry }, { AT_NULL, 0 } };
	struct bytes d = { 0 };
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		bytes_put(&d, d.n, pairs[i][0], w);
		bytes_put(&d, d.n, pairs[i][1], w);
	}
	p->auxv_note_at = put_note(b, "CORE", NT_AUXV, &d);
	free(d.at);
}

static void put_names(struct core_plan *p, struct bytes *b)
{
	unsigned w = core_word(p);
	struct bytes d = { 0 };
	bytes_put(&d, 0, p->n_names, w);
	bytes_put(&d, w, p->name_unit, w);
	for (size_t i = 0; i < p->n_names; i++) {
		bytes_put(&d, d.n, p->names[i].start, w);
		bytes_put(&d, d.n, p->names[i].end, w);
		bytes_put(&d, d.n, p->names[i].offset, w);
	}
	for (size_t i = 0; i < p->n_names; i++)
		bytes_add(&d, p->names[i].path, strlen(p->names[i].path) + 1);
	p->file_note_at = put_note(b, "CORE", NT_FILE, &d);
	free(d.at);
}

static void put_psinfo(const struct core_plan *p, struct bytes *b)
{
	/* struct elf_prpsinfo: pid at 24 or 12, fname[16] at 40 or 28 */
	bool is64 = p->machine != EM_386;
	struct bytes d = { 0 };
	bytes_fill(&d, is64 ? 136 : 124, 0);
	bytes_put(&d, is64 ? 24 : 12, (uint32_t)p->pid, 4);
	memcpy(d.at + (is64 ? 40 : 28), "synthetic", 9);
	put_note(b, "CORE", NT_PRPSINFO, &d);
	free(d.at);
}

void core_write(struct core_plan *p, struct bytes *out)
{
	bool is64 = p->machine != EM_386;
	size_t ehdr = is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), phdr = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	p->prstatus_at = 0;
	if (!p->name_unit)
		p->name_unit = 4096;
	p->phdr_at = ehdr;
	p->notes_at = ehdr + phdr * (p->n_segments + 1);
	*out = (struct bytes){ 0 };
	put_header(out, p->machine, ET_CORE, ehdr, 0, (unsigned)p->n_segments + 1, 0, 0);
	bytes_fill(out, p->notes_at, 0);
	for (size_t i = 0; i < p->n_threads; i++) {
		put_thread(p, out, &p->threads[i]);
		if (!i && p->pid)
			put_psinfo(p, out);
	}
	if (!p->no_auxv)
		put_auxv(p, out);
	if (p->n_names)
		put_names(p, out);
	p->notes_bytes = out->n - p->notes_at;
	put_phdr(out, p->phdr_at, is64, PT_NOTE, 0, p->notes_at, 0, p->notes_bytes, 0);
	bytes_fill(out, align_up(out->n, 4096), 0);
	for (size_t i = 0; i < p->n_segments; i++) {
		struct core_segment *s = &p->segments[i];
		s->offset = out->n;
		bytes_add(out, s->data, s->file_bytes);
		put_phdr(out, p->phdr_at + (i + 1) * phdr, is64, PT_LOAD, s->flags, s->offset, s->address, s->file_bytes, s->memory_bytes);
	}
}

static void put_symbols(const struct library_plan *p, struct bytes *table, struct bytes *names)
{
	bool is64 = p->machine != EM_386;
	size_t entry = is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	bytes_fill(table, entry, 0);
	bytes_fill(names, 1, 0);
	for (size_t i = 0; i < p->n_symbols; i++) {
		const struct library_symbol *s = &p->symbols[i];
		size_t at = table->n;
		bytes_put(table, at, names->n, 4);
		bytes_put(table, at + (is64 ? 4 : 12), STB_GLOBAL << 4 | STT_OBJECT, 1);
		bytes_put(table, at + (is64 ? 6 : 14), 1, 2);
		bytes_put(table, at + (is64 ? 8 : 4), s->address, is64 ? 8 : 4);
		bytes_put(table, at + (is64 ? 16 : 8), s->size, is64 ? 8 : 4);
		bytes_fill(table, at + entry, 0);
		bytes_add(names, s->name, strlen(s->name) + 1);
	}
}

struct section { uint32_t name, type; uint64_t flags, address, offset, bytes; uint32_t link, info; uint64_t entry; };

static void put_section(struct bytes *b, bool is64, const struct section *s)
{
	unsigned w = is64 ? 8 : 4;
	bytes_put(b, b->n, s->name, 4);
	bytes_put(b, b->n, s->type, 4);
	bytes_put(b, b->n, s->flags, w);
	bytes_put(b, b->n, s->address, w);
	bytes_put(b, b->n, s->offset, w);
	bytes_put(b, b->n, s->bytes, w);
	bytes_put(b, b->n, s->link, 4);
	bytes_put(b, b->n, s->info, 4);
	bytes_put(b, b->n, 8, w);
	bytes_put(b, b->n, s->entry, w);
}

static void put_sections(const struct library_plan *p, struct bytes *out)
{
	static const char names[] = "\0.data\0.symtab\0.strtab\0.shstrtab";
	bool is64 = p->machine != EM_386;
	struct bytes table = { 0 }, text = { 0 };
	put_symbols(p, &table, &text);
	bytes_fill(out, align_up(out->n, 16), 0);
	size_t table_at = out->n, text_at = table_at + table.n, names_at = text_at + text.n;
	bytes_add(out, table.at, table.n);
	bytes_add(out, text.at, text.n);
	bytes_add(out, names, sizeof names);
	bytes_fill(out, align_up(out->n, 16), 0);
	size_t at = out->n;
	put_section(out, is64, &(struct section){ 0 });
	put_section(out, is64, &(struct section){ 1, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, LIBRARY_DATA, LIBRARY_DATA, p->data_bytes, 0, 0, 0 });
	put_section(out, is64, &(struct section){ 7, SHT_SYMTAB, 0, 0, table_at, table.n, 3, 1, is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym) });
	put_section(out, is64, &(struct section){ 15, SHT_STRTAB, 0, 0, text_at, text.n, 0, 0, 0 });
	put_section(out, is64, &(struct section){ 23, SHT_STRTAB, 0, 0, names_at, sizeof names, 0, 0, 0 });
	bytes_put(out, is64 ? 40 : 32, at, is64 ? 8 : 4);
	bytes_put(out, is64 ? 60 : 48, 5, 2);
	bytes_put(out, is64 ? 62 : 50, 4, 2);
	free(table.at);
	free(text.at);
}

enum { NOTE_AT = 0x200, BANNER_AT = 0x300, RELA_AT = 0x600, DYNAMIC_AT = 0x800 };

static void put_relocations(const struct library_plan *p, struct bytes *out)
{
	unsigned w = p->machine == EM_386 ? 4 : 8;
	uint64_t relative = p->machine == EM_AARCH64 ? R_AARCH64_RELATIVE : R_X86_64_RELATIVE; /* i386's has the same number */
	for (size_t i = 0; i < p->n_relocated; i++) {
		size_t at = RELA_AT + i * 3 * w;
		bytes_put(out, at, p->relocated[i], w);
		bytes_put(out, at + w, relative, w);
		bytes_put(out, at + 2 * w, p->addends[i], w);
	}
	const uint64_t dynamic[][2] = { { DT_RELA, RELA_AT }, { DT_RELASZ, p->n_relocated * 3 * w }, { DT_NULL, 0 } };
	for (size_t i = 0; i < 6; i++)
		bytes_put(out, DYNAMIC_AT + i * w, dynamic[i / 2][i % 2], w);
}

void library_write(const struct library_plan *p, struct bytes *out)
{
	bool is64 = p->machine != EM_386;
	size_t ehdr = is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), phdr = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	struct bytes note = { 0 }, id = { 0 };
	unsigned n = p->n_relocated ? 4 : 3;
	*out = (struct bytes){ 0 };
	put_header(out, p->machine, ET_DYN, ehdr, 0, n, 0, 0);
	bytes_fill(&id, 20, p->build_id);
	put_note(&note, "GNU", NT_GNU_BUILD_ID, &id);
	put_phdr(out, ehdr, is64, PT_LOAD, PF_R, 0, 0, LIBRARY_HEAD, LIBRARY_HEAD);
	put_phdr(out, ehdr + phdr, is64, PT_LOAD, PF_R | PF_W, LIBRARY_DATA, LIBRARY_DATA, p->data_bytes, p->data_bytes);
	put_phdr(out, ehdr + 2 * phdr, is64, PT_NOTE, PF_R, NOTE_AT, NOTE_AT, note.n, note.n);
	if (p->n_relocated) {
		put_phdr(out, ehdr + 3 * phdr, is64, PT_DYNAMIC, PF_R, DYNAMIC_AT, DYNAMIC_AT, is64 ? 48 : 24, is64 ? 48 : 24);
		put_relocations(p, out);
	}
	bytes_fill(out, LIBRARY_DATA, 0);
	memcpy(out->at + NOTE_AT, note.at, note.n);
	if (p->banner)
		memcpy(out->at + BANNER_AT, p->banner, strlen(p->banner));
	bytes_add(out, p->data, p->data_bytes);
	if (p->n_symbols)
		put_sections(p, out);
	free(note.at);
	free(id.at);
}

bool write_file(const char *path, const struct bytes *b)
{
	FILE *f = fopen(path, "we");
	bool ok = f && fwrite(b->at, 1, b->n, f) == b->n;
	return f && !fclose(f) && ok;
}
