/* How much DWARF there is, before anybody reads it. */
#include "typereader.h"

enum { OLD_COMPRESSION = 4 }; /* .zdebug_info says its size where only its readers look: about so many times as large */

struct sum { Elf *elf; uint64_t bytes; };

static void add_section(struct sum *s, Elf_Scn *scn, const char *name, const GElf_Shdr *sh)
{
	GElf_Chdr inflated;
	uint64_t n = 0;
	bool old = !strcmp(name, ".zdebug_info") || !strcmp(name, ".zdebug_types");
	if (sh->sh_type == SHT_NOBITS || (!old && strcmp(name, ".debug_info") && strcmp(name, ".debug_types")))
		return;
	if (old && __builtin_mul_overflow(sh->sh_size, OLD_COMPRESSION, &n))
		n = UNKNOWN - 1;
	else if (!old)
		n = sh->sh_flags & SHF_COMPRESSED && gelf_getchdr(scn, &inflated) ? inflated.ch_size : sh->sh_size;
	/* A header may claim any size. */
	if (__builtin_add_overflow(s->bytes, n, &s->bytes) || s->bytes == UNKNOWN)
		s->bytes = UNKNOWN - 1;
}

static void add_file(void *ctx)
{
	struct sum *s = ctx;
	Elf_Scn *scn = NULL;
	size_t names;
	if (!s->elf || elf_getshdrstrndx(s->elf, &names))
		return;
	while ((scn = elf_nextscn(s->elf, scn))) {
		GElf_Shdr sh;
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(s->elf, names, sh.sh_name) : NULL;
		if (name)
			add_section(s, scn, name, &sh);
	}
}

uint64_t modules_dwarf_bytes(struct modules *ms)
{
	struct sum s = { 0 };
	bool fetch = false;
	for (size_t i = 0; i < ms->list.n && !interrupted; i++) {
		struct module *m = ms->list.at[i];
		struct priv *p = priv_of(m);
		uint64_t before = s.bytes;
		if (reader_is_libc(m) || m->role == MODULE_VDSO)
			continue;
		modules_read_symbols(ms, m);
		s.elf = p->elf;
		modules_guarded(ms, m, add_file, &s);
		if (s.bytes != before)
			continue;
		if (ms->o.fetch && !p->debug_tried && m->build_id_n) {
			fetch = true;
			continue;
		}
		modules_open_debug(ms, m);
		s.elf = p->debug_elf;
		modules_guarded(ms, m, add_file, &s);
	}
	return fetch ? UNKNOWN : s.bytes;
}
