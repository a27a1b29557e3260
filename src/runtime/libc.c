/* Blocks that libc, ld.so and libstdc++ own, as far as their structures tell: stdio buffers by _IO_list_all, link maps by
 * _r_debug, libstdc++'s emergency pool. All are reachable anyway; this names them. */
#include "runtime.h"

enum { MOST = 65536, MOST_NAMESPACES = 16 /* DL_NNS */ };

static uint64_t word_at(const struct finder *f, uint64_t address)
{
	uint64_t v = 0;
	image_word(f->img, address, &v);
	return v;
}

static bool own(struct finder *f, uint64_t address, const char *label)
{
	if (!address)
		return true;
	struct runtime_block *b = vec_push(&f->r->blocks);
	if (b)
		*b = (struct runtime_block){ address, label };
	return b;
}

/* struct _IO_FILE (libio/bits/types/struct_FILE.h): an int, then words: _IO_buf_base is the 7th pointer, _chain the 12th. */
static bool stdio(struct finder *f)
{
	struct module *libc = modules_by_role(f->ms, MODULE_LIBC);
	struct symbol s;
	unsigned w = f->arch->word;
	if (!libc || !modules_symbol(f->ms, libc, "_IO_list_all", &s))
		return true;
	uint64_t file = word_at(f, s.address);
	for (int n = 0; file && n < MOST; n++) {
		if (!own(f, word_at(f, file + 7 * w), "stdio buffer"))
			return false;
		uint64_t next = word_at(f, file + 13 * w);
		if (next == file)
			break;
		file = next;
	}
	return true;
}

static bool link_maps_of(struct finder *f, uint64_t map)
{
	unsigned w = f->arch->word;
	for (int n = 0; map && n < MOST; n++) {
		if (!own(f, map, "link map") || !own(f, word_at(f, map + w), "link map name"))
			return false;
		map = word_at(f, map + 3 * w);
	}
	return true;
}

/* struct r_debug { int version; struct link_map *map; } (elf/link.h); link_map: l_addr, l_name, l_ld, l_next, l_prev. The
 * first map is the program's, and ld.so's own is static: those that lie in the heap were made by dlopen. */
static bool link_maps(struct finder *f)
{
	struct module *ldso = modules_by_role(f->ms, MODULE_LDSO);
	struct symbol s;
	unsigned w = f->arch->word;
	if (!ldso || !modules_symbol(f->ms, ldso, "_r_debug", &s))
		return true;
	/* From 2.35 on, with namespaces of dlmopen: version 2, and behind five words the next namespace's (r_debug_extended). */
	uint64_t debug = s.address;
	for (int k = 0; debug && k < MOST_NAMESPACES; k++) {
		uint32_t version = 0;
		if (!link_maps_of(f, word_at(f, debug + w)))
			return false;
		image_u32(f->img, debug, &version);
		debug = version >= 2 ? word_at(f, debug + 5 * w) : 0;
	}
	return true;
}

bool runtime_libc_blocks(struct finder *f)
{
	return stdio(f) && link_maps(f);
}
