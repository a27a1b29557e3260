/* Which function a name is bound to, as ld.so wrote it into the modules' slots. */
#include "modules.h"

/* The slot that a relocation against `name` fills, its value read; false when it still points into its own module, where the
 * stub of a function that was never called stands. */
static bool slot_value(struct modules *ms, const struct module *m, uint64_t offset, uint64_t *ret)
{
	return modules_word(ms, offset + m->bias, ret) && *ret && (*ret < m->start || *ret >= m->end);
}

/* What ld.so writes and calls go through. A word of the program's own data may be initialised with the same address (another
 * type), and is then the program's to change: _decimal of CPython has such a hook. Numbers: elf.h. */
static bool is_slot(Elf *elf, uint64_t type)
{
	GElf_Ehdr eh;
	if (!gelf_getehdr(elf, &eh))
		return false;
	switch (eh.e_machine) {
	case EM_X86_64:
		return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT;
	case EM_386:
		return type == R_386_JMP_SLOT || type == R_386_GLOB_DAT;
	case EM_AARCH64:
		return type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT;
	default:
		return false;
	}
}

static const char *symbol_name(Elf *elf, Elf_Data *symbols, uint32_t strings, size_t index)
{
	GElf_Sym sym;
	return gelf_getsym(symbols, (int)index, &sym) ? elf_strptr(elf, strings, sym.st_name) : NULL;
}

static bool bound_in(struct modules *ms, struct module *m, Elf_Scn *scn, const GElf_Shdr *sh, const char *name, uint64_t *ret)
{
	Elf *elf = priv_of(m)->elf;
	Elf_Data *data = elf_getdata(scn, NULL), *symbols;
	Elf_Scn *table = elf_getscn(elf, sh->sh_link);
	GElf_Shdr th;
	if (!data || !table || !gelf_getshdr(table, &th) || !(symbols = elf_getdata(table, NULL)))
		return false;
	for (size_t i = 0; i < data->d_size / sh->sh_entsize; i++) {
		GElf_Rela a;
		GElf_Rel r;
		uint64_t offset, info;
		if (sh->sh_type == SHT_RELA ? !gelf_getrela(data, (int)i, &a) : !gelf_getrel(data, (int)i, &r))
			return false;
		offset = sh->sh_type == SHT_RELA ? a.r_offset : r.r_offset;
		info = sh->sh_type == SHT_RELA ? a.r_info : r.r_info;
		const char *its = GELF_R_SYM(info) ? symbol_name(elf, symbols, th.sh_link, GELF_R_SYM(info)) : NULL;
		if (its && !strcmp(its, name) && is_slot(elf, GELF_R_TYPE(info)) && slot_value(ms, m, offset, ret))
			return true;
	}
	return false;
}

bool modules_bound(struct modules *ms, struct module *m, const char *name, uint64_t *ret)
{
	modules_read_symbols(ms, m);
	Elf *elf = priv_of(m)->elf;
	Elf_Scn *scn = NULL;
	while (elf && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		if (gelf_getshdr(scn, &sh) && (sh.sh_type == SHT_RELA || sh.sh_type == SHT_REL) && sh.sh_entsize && sh.sh_flags & SHF_ALLOC &&
		    bound_in(ms, m, scn, &sh, name, ret))
			return true;
	}
	return false;
}
