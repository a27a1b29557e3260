/* The layouts of glibc's malloc, one row a generation and word size. Offsets were read from the DWARF of Debian's libc6-dbg
 * (2.31, 2.36, 2.41, 2.43) and, where `tested` is false, from malloc/malloc.c and malloc/arena.c of the release named: such a
 * row is UNTESTED, no library of it was at hand. scripts/check-glibc.sh runs the tested ones, flotsam(1) names the others. */
#include "glibc.h"

/* malloc_state: mutex, flags, have_fastchunks, fastbinsY, top, last_remainder, bins, binmap, next, next_free,
 * attached_threads, system_mem, max_system_mem. 2.43 has no fastbins. */
#define ARENA64 { .fastbins = 16, .n_fastbins = 10, .top = 96, .bins = 112, .next = 2160, .system_mem = 2184, .size = 2200 }
#define ARENA64_243 { .top = 8, .bins = 24, .next = 2072, .system_mem = 2096, .size = 2112 }
#define ARENA32 { .fastbins = 12, .n_fastbins = 11, .top = 56, .bins = 64, .next = 1096, .system_mem = 1108, .size = 1116 }
#define ARENA32_243 { .top = 8, .bins = 16, .next = 1048, .system_mem = 1060, .size = 1068 }

#define PARAMS64_OLD                                                                                                   \
	{ .n_mmaps_max = 44, .n_mmaps = 40, .mmapped_mem = 56, .sbrk_base = 72, .tcache_bins = 80, .tcache_count = 96 }
#define PARAMS64_235                                                                                                   \
	{ .n_mmaps_max = 64, .hp_pagesize = 48, .n_mmaps = 60, .mmapped_mem = 80, .sbrk_base = 96, .tcache_bins = 104, .tcache_count = 120 }
#define PARAMS64_243                                                                                                   \
	{ .n_mmaps_max = 72, .hp_pagesize = 56, .n_mmaps = 68, .mmapped_mem = 88, .sbrk_base = 104, .tcache_bins = 112, .tcache_count = 128 }
/* i386 <= 2.34 follows from the order of the members: five words, four ints, then the words. */
#define PARAMS32_OLD                                                                                                   \
	{ .n_mmaps_max = 24, .n_mmaps = 20, .mmapped_mem = 36, .sbrk_base = 44, .tcache_bins = 48, .tcache_count = 56 }
#define PARAMS32_235                                                                                                   \
	{ .n_mmaps_max = 36, .hp_pagesize = 24, .n_mmaps = 32, .mmapped_mem = 48, .sbrk_base = 56, .tcache_bins = 60, .tcache_count = 68 }
#define PARAMS32_243                                                                                                   \
	{ .n_mmaps_max = 40, .hp_pagesize = 28, .n_mmaps = 36, .mmapped_mem = 52, .sbrk_base = 60, .tcache_bins = 64, .tcache_count = 72 }

#define TCACHE64_227 { .bins = 64, .count_bytes = 1, .entries = 64, .size = 576 }
#define TCACHE64_229 { .bins = 64, .count_bytes = 1, .entries = 64, .size = 576, .has_key = true }
#define TCACHE64_230 { .bins = 64, .count_bytes = 2, .entries = 128, .size = 640, .has_key = true }
#define TCACHE64_242 { .bins = 76, .count_bytes = 2, .entries = 152, .size = 760, .has_key = true, .counts_free_slots = true }
#define TCACHE32_227 { .bins = 64, .count_bytes = 1, .entries = 64, .size = 320 }
#define TCACHE32_229 { .bins = 64, .count_bytes = 1, .entries = 64, .size = 320, .has_key = true }
#define TCACHE32_230 { .bins = 64, .count_bytes = 2, .entries = 128, .size = 384, .has_key = true }
#define TCACHE32_242 { .bins = 76, .count_bytes = 2, .entries = 152, .size = 456, .has_key = true, .counts_free_slots = true }

enum { UNTESTED = false, TESTED = true };

static const struct glibc_layout table[] = {
	{ "2.27 to 2.28", 27, 8, UNTESTED, ARENA64, PARAMS64_OLD, TCACHE64_227, 32, 16 },
	{ "2.29", 29, 8, UNTESTED, ARENA64, PARAMS64_OLD, TCACHE64_229, 32, 16 },
	{ "2.30 to 2.31", 30, 8, TESTED, ARENA64, PARAMS64_OLD, TCACHE64_230, 32, 16 },
	{ "2.32 to 2.34", 32, 8, UNTESTED, ARENA64, PARAMS64_OLD, TCACHE64_230, 32, 16, .safe_linking = true },
	{ "2.35 to 2.41", 35, 8, TESTED, ARENA64, PARAMS64_235, TCACHE64_230, 48, 16, .safe_linking = true, .heap_max_hugepage = true },
	{ "2.42", 42, 8, UNTESTED, ARENA64, PARAMS64_235, TCACHE64_242, 48, 16, .safe_linking = true },
	{ "2.43", 43, 8, TESTED, ARENA64_243, PARAMS64_243, TCACHE64_242, 48, 16, .safe_linking = true, .mmap_trailer = true },
	{ "2.27 to 2.28", 27, 4, UNTESTED, ARENA32, PARAMS32_OLD, TCACHE32_227, 24, 8 },
	{ "2.29", 29, 4, UNTESTED, ARENA32, PARAMS32_OLD, TCACHE32_229, 24, 8 },
	{ "2.30 to 2.31", 30, 4, TESTED, ARENA32, PARAMS32_OLD, TCACHE32_230, 24, 8 },
	{ "2.32 to 2.34", 32, 4, UNTESTED, ARENA32, PARAMS32_OLD, TCACHE32_230, 24, 8, .safe_linking = true },
	{ "2.35 to 2.41", 35, 4, TESTED, ARENA32, PARAMS32_235, TCACHE32_230, 24, 8, .safe_linking = true, .heap_max_hugepage = true },
	{ "2.42", 42, 4, UNTESTED, ARENA32, PARAMS32_235, TCACHE32_242, 24, 8, .safe_linking = true },
	{ "2.43", 43, 4, TESTED, ARENA32_243, PARAMS32_243, TCACHE32_242, 24, 8, .safe_linking = true, .mmap_trailer = true },
};
enum { N_ROWS = sizeof table / sizeof table[0] };

size_t glibc_layout_count(void)
{
	return N_ROWS;
}

const struct glibc_layout *glibc_layout_get(size_t i)
{
	return &table[i];
}

const struct glibc_layout *glibc_layout_find(unsigned word, unsigned minor)
{
	const struct glibc_layout *best = NULL;
	for (size_t i = 0; i < N_ROWS; i++)
		if (table[i].word == word && table[i].since <= minor)
			best = &table[i];
	return best;
}

const struct glibc_layout *glibc_layout_guess(unsigned word, unsigned next_offset, unsigned n_mmaps_max)
{
	const struct glibc_layout *best = NULL;
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct glibc_layout *l = &table[i];
		if (l->word != word || l->arena.next != next_offset || (n_mmaps_max && l->params.n_mmaps_max != n_mmaps_max))
			continue;
		/* 2.42 differs from 2.41 in the tcache alone: the older, more common row is the better guess. */
		if (!best || l->since != 42)
			best = l;
	}
	return best;
}
