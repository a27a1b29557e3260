/* The index of blocks against a plain sorted array: random heaps of one to many regions, chunks that end at the borders of
 * groups or span several, mmapped blocks side by side, segments without a chunk. The allocator is one of our own that says
 * what the array holds. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "heap_builder.h"

#include "src/alloc/row.h"

#include "flotsam/blocks.h"

enum { HEAPS = 60, LOOKS = 4000 };

struct plain { /* the reference */
	uint64_t chunk, bytes;
	enum block_state state;
	size_t segment;
};
struct plain_heap {
	struct alloc alloc;
	struct picture picture;
	struct image *image;
	struct blocks *blocks;
	VEC(struct plain) all; /* ascending */
	VEC(uint64_t) listed;  /* chunks that "lists" call free */
	unsigned word;
	uint64_t random;
};

static struct err *walk(struct alloc *a, struct image *img, const struct chunk_sink *sink)
{
	struct plain_heap *h = a->priv;
	(void)img;
	for (size_t i = 0; i < h->all.n; i++) {
		const struct plain *p = &h->all.at[i];
		ck_assert(sink->chunk(sink->ctx, &a->segments.at[p->segment], p->chunk, p->bytes, p->state));
	}
	for (size_t i = 0; i < h->listed.n; i++) {
		struct plain *p = &h->all.at[h->listed.at[i]];
		uint64_t bytes;
		enum block_state state;
		ck_assert(sink->get(sink->ctx, p->chunk, &bytes, &state));
		ck_assert_uint_eq(bytes, p->bytes);
		ck_assert_int_eq(state, p->state);
		ck_assert(!sink->get(sink->ctx, p->chunk + 16, &bytes, &state) || p->bytes == 16);
		sink->prefetch(sink->ctx, p->chunk);
		ck_assert(sink->listed(sink->ctx, p->chunk, p->bytes, BLOCK_TCACHE));
		ck_assert(!sink->listed(sink->ctx, p->chunk, p->bytes, BLOCK_TCACHE));
		p->state = BLOCK_TCACHE;
	}
	/* What is free by its neighbour alone, in order, each once. */
	uint64_t cursor = 0, chunk, bytes;
	for (size_t i = 0; i < h->all.n; i++) {
		if (h->all.at[i].state != BLOCK_FREE)
			continue;
		ck_assert(sink->next_unlisted(sink->ctx, &cursor, &chunk, &bytes));
		ck_assert_uint_eq(chunk, h->all.at[i].chunk);
		ck_assert_uint_eq(bytes, h->all.at[i].bytes);
	}
	ck_assert(!sink->next_unlisted(sink->ctx, &cursor, &chunk, &bytes));
	return NULL;
}

static const struct alloc_row row = { .name = "plain", .walk = walk };

/* libcheck's own assertions write to a pipe each time, these only when they fail. */
#define SAME(is, wanted)                                                                                                       \
	do {                                                                                                                   \
		if ((uint64_t)(is) != (uint64_t)(wanted))                                                                      \
			ck_abort_msg("heap %d: %s is %llu, not %llu", _i, #is, (unsigned long long)(is), (unsigned long long)(wanted)); \
	} while (0)

static uint64_t below(struct plain_heap *h, uint64_t n)
{
	return test_random(&h->random) % n;
}

static uint64_t some_size(struct plain_heap *h)
{
	switch (below(h, 8)) {
	case 0:
		return 16 * (uint64_t)GROUP_GRANULES * (1 + below(h, 4)); /* ends where it began: groups without a start */
	case 1:
		return 16 * (uint64_t)(GROUP_GRANULES - 1 + below(h, 3));
	case 2:
		return 16 * (uint64_t)(63 + below(h, 3));
	case 3:
		return 16 + 16 * below(h, 20000);
	default:
		return 4 * h->word + 16 * below(h, 8);
	}
}

/* Cuts a segment's chunks; the last may end with its page, half a granule further on i386. */
static uint64_t cut_segment(struct plain_heap *h, uint64_t start, size_t segment)
{
	uint64_t at = start, n = below(h, 4) ? 1 + below(h, below(h, 8) ? 60 : 3 * HINT_IDS) : below(h, 3);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t bytes = some_size(h);
		*vec_push(&h->all) = (struct plain){ at, bytes, below(h, 3) ? BLOCK_USED : BLOCK_FREE, segment };
		at += bytes;
	}
	if (n && h->word == 4) {
		h->all.at[h->all.n - 1].bytes += 8;
		at += 8;
	}
	return at == start ? at + 4096 : at;
}

static void make(struct plain_heap *h, uint64_t seed)
{
	*h = (struct plain_heap){ .random = seed, .word = seed % 2 ? 8 : 4 };
	size_t n = 1 + below(h, seed % 5 ? 6 : 60);
	uint64_t at = 0x555555550000, slack = h->word == 4 ? 8 : 0;
	for (size_t i = 0; i < n; i++) {
		bool mapped = !below(h, 3);
		uint64_t from = at + slack, end;
		if (mapped) {
			end = from + 4096 * (1 + below(h, 300)) - slack;
			*vec_push(&h->all) = (struct plain){ from, end - from, BLOCK_MMAPPED, i };
		} else {
			end = cut_segment(h, from, i);
		}
		*vec_push(&h->alloc.segments) = (struct segment){ from, end, mapped ? ARENA_MMAP : (int)below(h, 3), from };
		at = align_up(end, 4096) + (below(h, 3) ? 0 : below(h, 2) ? 4096 * below(h, 100) : below(h, 1ull << 44) / 4096 * 4096);
	}
	for (size_t i = 0; i < h->all.n; i++)
		if (h->all.at[i].state != BLOCK_MMAPPED && !below(h, 5))
			*vec_push(&h->listed) = i;
	h->picture.arch = arch_find(h->word == 8 ? 62 : 3, h->word == 8 ? 2 : 1);
	h->picture.page = 4096;
	h->image = image_create(&h->picture);
	h->alloc.row = &row;
	h->alloc.priv = h;
	h->alloc.facts = (struct alloc_facts){ .name = "plain", .walked = true, .granule = 16, .header = 2 * h->word, .min_chunk = 4 * h->word };
	struct err *e = blocks_build(&h->alloc, h->image, &h->blocks);
	ck_assert_msg(!e, "%s", e ? e->text : "");
}

static void end(struct plain_heap *h)
{
	blocks_free(h->blocks);
	image_destroy(h->image);
	picture_clear(&h->picture);
	vec_free(&h->alloc.segments);
	vec_free(&h->all);
	vec_free(&h->listed);
}

static uint64_t usable(const struct plain_heap *h, const struct plain *p)
{
	return p->state == BLOCK_MMAPPED ? p->bytes - 2 * h->word : p->bytes - h->word;
}

/* A byte is a block's when the program may write it there, or when it is the block's own size; the first word of a segment
 * is nobody else's. The last words of a chunk's neighbour overhang: never beyond the segment. */
static block_id plain_at(const struct plain_heap *h, uint64_t address)
{
	for (size_t i = 0; i < h->all.n; i++) {
		const struct plain *p = &h->all.at[i];
		const struct segment *s = &h->alloc.segments.at[p->segment];
		uint64_t from = p->chunk == s->start ? p->chunk : p->chunk + h->word;
		uint64_t to = p->chunk + p->bytes + (p->chunk + p->bytes < s->end ? h->word : 0);
		if (address >= from && address < to)
			return (block_id)i;
	}
	return BLOCK_NONE;
}

START_TEST(looking_up_equals_a_linear_search)
{
	struct plain_heap h;
	make(&h, (uint64_t)_i + 1);
	SAME(h.blocks->n, h.all.n);
	for (int k = 0; k < LOOKS && h.all.n; k++) {
		const struct plain *p = &h.all.at[below(&h, h.all.n)];
		const uint64_t near[] = { p->chunk - 1, p->chunk, p->chunk + h.word - 1, p->chunk + h.word, p->chunk + 2 * h.word,
					  p->chunk + p->bytes - 1, p->chunk + p->bytes + h.word - 1, p->chunk + p->bytes + h.word,
					  p->chunk + below(&h, p->bytes), p->chunk + p->bytes + below(&h, 1 << 20), test_random(&h.random) };
		uint64_t address = near[below(&h, sizeof near / sizeof *near)];
		block_id want = plain_at(&h, address), got = blocks_at(h.blocks, address);
		if (want != got)
			ck_abort_msg("seed %d: %#llx is in block %u, not %u", _i + 1, (unsigned long long)address, want, got);
	}
	end(&h);
}
END_TEST

START_TEST(each_id_has_its_block)
{
	struct plain_heap h;
	make(&h, (uint64_t)_i + 1);
	for (size_t i = 0; i < h.all.n; i++) {
		const struct plain *p = &h.all.at[i];
		block_id id = (block_id)i;
		SAME(blocks_payload(h.blocks, id), p->chunk + 2 * h.word);
		SAME(blocks_chunk_bytes(h.blocks, id), p->bytes);
		SAME(blocks_usable(h.blocks, id), usable(&h, p));
		SAME(blocks_arena(h.blocks, id), h.alloc.segments.at[p->segment].arena);
		SAME(blocks_state(h.blocks, id), p->state);
	}
	end(&h);
}
END_TEST

START_TEST(the_cursor_meets_all_in_order)
{
	struct plain_heap h;
	struct block_cursor c;
	size_t i = 0;
	make(&h, (uint64_t)_i + 1);
	blocks_begin(h.blocks, &c);
	while (blocks_next(&c)) {
		SAME(i < h.all.n, true);
		const struct plain *p = &h.all.at[i];
		SAME(c.id, i);
		SAME(c.chunk, p->chunk);
		SAME(c.payload, p->chunk + 2 * h.word);
		SAME(c.chunk_bytes, p->bytes);
		SAME(c.usable, usable(&h, p));
		SAME(c.arena, h.alloc.segments.at[p->segment].arena);
		SAME(c.state, p->state);
		i++;
	}
	SAME(i, h.all.n);
	ck_assert(!blocks_next(&c));
	end(&h);
}
END_TEST

/* Granule by granule: the first start behind, the last before, the number of starts in front. */
static void check_region(const struct plain_heap *h, const struct region *r, int _i)
{
	uint64_t n = region_granules(h->blocks, r), before = UINT64_MAX;
	block_id rank = r->first_id;
	const struct plain *p = &h->all.at[r->first_id], *last = p + r->n_ids;
	for (uint64_t g = 0; g < n; g++) {
		bool is_start = p < last && p->chunk == r->start + g * 16;
		SAME(region_is_start(r, g), is_start);
		if (is_start) {
			SAME(region_rank(r, g), rank);
			rank++;
			before = g;
			p++;
		}
		SAME(region_start_before(r, g), before);
		SAME(region_start_after(r, g, n), p < last ? (p->chunk - r->start) / 16 : n);
	}
	SAME(rank, r->first_id + r->n_ids);
}

START_TEST(starts_and_ranks_at_every_granule)
{
	struct plain_heap h;
	make(&h, (uint64_t)_i + 1);
	for (size_t i = 0; i < h.blocks->n_regions; i++) {
		const struct region *r = &h.blocks->regions[i];
		SAME((uintptr_t)blocks_region(h.blocks, r->start), (uintptr_t)r);
		SAME((uintptr_t)blocks_region(h.blocks, r->end - 1), (uintptr_t)r);
		if (!i || h.blocks->regions[i - 1].end < r->start)
			SAME((uintptr_t)blocks_region(h.blocks, r->start - 1), 0);
		if (r->groups)
			check_region(&h, r, _i);
	}
	end(&h);
}
END_TEST

START_TEST(a_heap_without_blocks_holds_nothing)
{
	struct plain_heap h = { .word = 8 };
	struct block_cursor c;
	h.picture.arch = arch_find(62, 2);
	h.image = image_create(&h.picture);
	h.alloc = (struct alloc){ .row = &row, .priv = &h, .facts = { .granule = 16, .header = 16 } };
	ck_assert_ptr_null(blocks_build(&h.alloc, h.image, &h.blocks));
	ck_assert_uint_eq(h.blocks->n, 0);
	ck_assert_uint_eq(blocks_at(h.blocks, 0), BLOCK_NONE);
	ck_assert_uint_eq(blocks_at(h.blocks, 0x555555550010), BLOCK_NONE);
	blocks_begin(h.blocks, &c);
	ck_assert(!blocks_next(&c));
	end(&h);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("blocks");
	TCase *t = tcase_create("index");
	tcase_add_loop_test(t, looking_up_equals_a_linear_search, 0, HEAPS);
	tcase_add_loop_test(t, each_id_has_its_block, 0, HEAPS);
	tcase_add_loop_test(t, the_cursor_meets_all_in_order, 0, HEAPS);
	tcase_add_loop_test(t, starts_and_ranks_at_every_granule, 0, HEAPS);
	tcase_add_test(t, a_heap_without_blocks_holds_nothing);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
