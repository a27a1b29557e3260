/* A census of heaps made by hand: it comes back as it went, in whatever state the heap is; a damaged one is refused with its
 * part, byte by byte, and one whose checksums were made right again never does harm. */
#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flotsam/diff.h"
#include "flotsam/query.h"
#include "heap_builder.h"
#include "resign.h"
#include "scratch.h"

static struct made_heap *heap;
static struct session *session;
static struct codec_bytes bytes;

static void make(const struct heap_options *o)
{
	static const struct session_options options = { .target = { .force = true }, .graph = { .threads = 1 } };
	heap = heap_make(o, scratch_directory());
	struct err *e = session_open("core", heap->path, &options, &session);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	e = census_make(session, true, &bytes);
	ck_assert_msg(!e, "%s", e ? e->text : "");
}

static void end(void)
{
	session_close(session);
	heap_destroy(heap);
	free(bytes.at);
}

static struct err *read_copy(struct census **ret)
{
	uint8_t *copy = malloc(bytes.n + 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes.at, bytes.n);
	return census_read(copy, bytes.n, ret);
}

/* Each block with all that is said of it, against the session that it came from. */
static void compare_blocks(const struct census *c)
{
	struct block_cursor b;
	struct census_cursor t;
	const struct graph *g = session->graph;
	blocks_begin(session->blocks, &b);
	census_begin(c, &t);
	while (blocks_next(&b)) {
		ck_assert(census_next(&t));
		const struct census_kind *k = &c->kinds.at[t.kind];
		ck_assert_uint_eq(t.id, b.id);
		ck_assert_uint_eq(t.chunk, b.chunk);
		ck_assert_uint_eq(k->chunk_bytes, b.chunk_bytes);
		ck_assert_int_eq(k->state, b.state);
		ck_assert_int_eq(k->class_of, g->class_of[b.id]);
		ck_assert_uint_eq(k->set, graph_set(g, b.id));
		if (!block_state_is_used(b.state))
			continue;
		ck_assert_uint_eq(census_usable(c, k), b.usable);
		ck_assert_str_eq(c->labels.at[k->label].name, types_name(session->types, b.id));
	}
	ck_assert(!census_next(&t));
}

static const struct heap_options kinds_of_heaps[] = {
	{ .word = 8, .minor = 36, .seed = 1 }, { .word = 8, .minor = 42, .seed = 2 }, { .word = 4, .minor = 31, .seed = 3 },
	{ .word = 8, .minor = 31, .seed = 4, .main_chunks = 5000, .blank = true },
};

START_TEST(what_went_comes_back)
{
	struct census *c;
	make(&kinds_of_heaps[_i]);
	struct err *e = read_copy(&c);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert_uint_eq(c->n_blocks, session->blocks->n);
	ck_assert_uint_ge(c->n_blocks, heap->blocks.n);
	compare_blocks(c);
	census_free(c);
	end();
}
END_TEST

/* The index made of it answers as the first one. */
START_TEST(as_a_session)
{
	static const struct session_options options = { 0 };
	struct census *c;
	struct session *s;
	struct report *a, *b;
	make(&kinds_of_heaps[_i]);
	struct err *e = read_copy(&c);
	ck_assert(!e);
	e = census_session(c, &options, &s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	for (size_t i = 0; i < heap->blocks.n; i++) {
		uint64_t at = heap->blocks.at[i].chunk + session->blocks->header;
		block_id id = blocks_at(s->blocks, at);
		ck_assert_uint_eq(id, blocks_at(session->blocks, at));
		if (id != BLOCK_NONE) /* the payload of a fence is the next segment's, or nobody's */
			ck_assert_int_eq(blocks_state(s->blocks, id), blocks_state(session->blocks, id));
	}
	e = query_report(session, &a);
	ck_assert(!e);
	e = query_report(s, &b);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert_uint_eq(a->used.bytes, b->used.bytes);
	ck_assert_uint_eq(a->free.bytes, b->free.bytes);
	ck_assert_uint_eq(a->leaks.n, b->leaks.n);
	for (size_t i = 0; i < a->leaks.n; i++) {
		ck_assert_str_eq(a->leaks.at[i].label, b->leaks.at[i].label);
		ck_assert_uint_eq(a->leaks.at[i].retained_bytes, b->leaks.at[i].retained_bytes);
	}
	ck_assert_int_eq(memcmp(a->rss.bytes, b->rss.bytes, sizeof a->rss.bytes), 0);
	struct path p;
	for (block_id id = 0; id < s->blocks->n; id++) { /* references_test.c compares them with the memory's */
		e = graph_path(s->graph, id, &p);
		ck_assert(!e || e->kind == ERR_NOT_FOUND);
		if (!e)
			path_free(&p);
		err_free(e);
	}
	report_free(a);
	report_free(b);
	session_close(s);
	end();
}
END_TEST

/* Any byte that is another is noticed, and the part is named. */
START_TEST(each_byte_counts)
{
	make(&kinds_of_heaps[0]);
	for (size_t i = 0; i < bytes.n; i++) {
		struct census *c = NULL;
		bytes.at[i] ^= 0x20;
		struct err *e = read_copy(&c);
		bytes.at[i] ^= 0x20;
		/* What fills up to a multiple of eight is nobody's. */
		if (!e) {
			ck_assert_msg(!bytes.at[i], "byte %zu of %zu", i, bytes.n);
			census_free(c);
			continue;
		}
		ck_assert_msg(e->kind == ERR_BAD_DATA || (e->kind == ERR_UNSUPPORTED && i < HEAD_BYTES), "byte %zu: %s", i, e->text);
		err_free(e);
	}
	for (size_t n = 0; n < bytes.n; n += 7) {
		struct census *c;
		uint8_t *copy = malloc(n + 1);
		memcpy(copy, bytes.at, n);
		struct err *e = census_read(copy, n, &c);
		ck_assert_msg(e && e->kind == ERR_BAD_DATA, "cut to %zu", n);
		err_free(e);
	}
	end();
}
END_TEST

/* The checksums are right, one byte is not: refused, or a census that can be asked all the same. */
START_TEST(signed_again)
{
	static const struct session_options options = { 0 };
	size_t refused = 0;
	make(&kinds_of_heaps[0]);
	for (size_t i = HEAD_BYTES; i < bytes.n; i++) {
		static const uint8_t flips[] = { 0xff, 0x01, 0x80 };
		uint8_t *copy = malloc(bytes.n);
		struct census *c;
		struct session *s;
		struct report *r;
		memcpy(copy, bytes.at, bytes.n);
		copy[i] ^= flips[i % 3];
		resign(copy, bytes.n);
		struct err *e = census_read(copy, bytes.n, &c);
		if (!e)
			e = census_session(c, &options, &s);
		if (!e) {
			e = query_report(s, &r);
			if (!e)
				report_free(r);
			struct err *f = s->graph ? graph_find_parents(s->graph) : NULL;
			err_free(f);
			session_close(s);
		}
		refused += e != NULL;
		err_free(e);
	}
	ck_assert_uint_gt(refused, bytes.n / 4);
	end();
}
END_TEST

/* Members that came later are missing at the ends of their sections: files of then are read now. */
START_TEST(written_earlier)
{
	static const char *const names[] = { "fixtures/corpus/census/growth", "fixtures/corpus/census/lists" };
	for (size_t i = 0; i < 2; i++) {
		struct census *c;
		int fd = census_open(names[i]);
		ck_assert_msg(fd >= 0, "tests run at the top of the tree");
		struct err *e = census_load(fd, names[i], &c);
		ck_assert_msg(!e, "%s: %s", names[i], e ? e->text : "");
		ck_assert_uint_gt(c->n_blocks, 5);
		census_free(c);
		close(fd);
	}
}
END_TEST

/* Each rule of the reader, broken alone. */
static struct err *broken(void (*f)(struct census *c))
{
	struct census *c;
	struct err *e = read_copy(&c);
	ck_assert(!e);
	f(c);
	e = census_judge(c);
	census_free(c);
	return e;
}

static void no_such_label(struct census *c) { c->kinds.at[0].label = (uint32_t)c->labels.n; }
static void no_such_state(struct census *c) { c->kinds.at[0].state = BLOCK_STATES; }
static void no_such_class(struct census *c) { c->kinds.at[0].class_of = CLASS_RUNTIME + 1; }
static void no_such_set(struct census *c) { c->kinds.at[0].set = (uint32_t)c->sets.n + 1; }
static void too_small(struct census *c) { c->kinds.at[0].chunk_bytes = 8; }
static void no_block_of_it(struct census *c) { c->kinds.at[0].blocks = 0; }
static void one_block_more(struct census *c) { c->kinds.at[0].blocks++; c->n_blocks++; }
static void one_block_less(struct census *c) { c->n_blocks--; }
static void longer_blocks(struct census *c) { c->kinds.at[0].chunk_bytes += c->granule; }
static void cut_blocks(struct census *c) { c->blocks.n--; }
static void more_in_a_segment(struct census *c) { c->counts.at[0]++; }
static void no_such_arena(struct census *c) { c->parts->alloc.segments.at[0].arena = (int)c->parts->alloc.arenas.n; }
static void not_in_order(struct census *c) { c->parts->alloc.segments.at[1] = c->parts->alloc.segments.at[0]; }
static void unknown_holder_rank(struct census *c) { if (c->holders.n) c->holders.at[0].rank = 0; else c->kinds.at[0].state = 99; }
static void no_labels(struct census *c) { c->classified = false; }
static void odd_page(struct census *c) { c->parts->target.picture.page = 4095; }
static void odd_granule(struct census *c) { c->parts->alloc.facts.granule = 24; }
static void other_word(struct census *c) { c->parts->alloc.facts.header = 12; }
static void unknown_flags(struct census *c) { struct page_run *r = vec_push(&c->parts->target.picture.pages); r->flags = 64; }
static void unknown_rights(struct census *c) { c->parts->target.picture.maps.at[0].prot = 8; }
static void module_without_path(struct census *c) { c->parts->modules.at[0].m.path = NULL; }
static void unknown_role(struct census *c) { c->parts->modules.at[0].m.role = MODULE_VDSO + 1; }
static void stack_of_nobody(struct census *c) { if (c->parts->runtime.extents.n) c->parts->runtime.extents.at[0].thread = 1000; else c->counts.at[0]++; }
static void a_thread_less(struct census *c) { c->parts->target.picture.threads.n++; }
static void list_of_no_arena(struct census *c) { c->parts->alloc.lists.at[0].arena = 1000; }
static void a_huge_heap(struct census *c) { c->parts->alloc.segments.at[c->n_segments - 1].end = 1ull << 51; }

START_TEST(each_rule)
{
	static void (*const rules[])(struct census *) = {
		no_such_label, no_such_state, no_such_class, no_such_set, too_small, no_block_of_it, one_block_more, one_block_less, longer_blocks,
		cut_blocks, more_in_a_segment, no_such_arena, not_in_order, unknown_holder_rank, no_labels, odd_page, odd_granule, other_word,
		unknown_flags, unknown_rights, module_without_path, unknown_role, stack_of_nobody, a_thread_less, list_of_no_arena, a_huge_heap,
	};
	make(&kinds_of_heaps[0]);
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		struct err *e = broken(rules[i]);
		ck_assert_msg(e, "rule %zu was broken and nobody said so", i);
		err_free(e);
	}
	end();
}
END_TEST

/* Indexes of every length are read as they were written. */
START_TEST(kinds_by_the_million)
{
	static const uint32_t at[] = { 0, 1, ONE_BYTE - 1, ONE_BYTE, ONE_BYTE + 255, ONE_BYTE + 256, SECOND - 1, SECOND, SECOND + 65535, SECOND + 65536, THIRD - 1, THIRD, THIRD + 9 };
	enum { N = sizeof at / sizeof *at };
	struct codec k = { .writing = true };
	uint32_t counts[] = { N };
	struct segment segment = { .start = 4096, .end = 4096 + 16 * N };
	struct census c = { .segments = &segment, .n_segments = 1 };
	struct census_cursor t;
	c.kinds.at = calloc(THIRD + 10, sizeof *c.kinds.at);
	c.kinds.n = THIRD + 10;
	c.counts.at = counts;
	c.counts.n = 1;
	for (unsigned i = 0; i < N; i++) {
		census_put_index(&k, at[i]);
		c.kinds.at[at[i]].chunk_bytes = 16;
	}
	c.blocks = (struct span){ k.out.at, k.out.n };
	census_begin(&c, &t);
	for (unsigned i = 0; i < N; i++) {
		ck_assert(census_next(&t));
		ck_assert_uint_eq(t.kind, at[i]);
		ck_assert_uint_eq(t.chunk, 4096 + 16 * i);
	}
	ck_assert(!census_next(&t));
	free(c.kinds.at);
	free(k.out.at);
}
END_TEST

START_TEST(the_checksum)
{
	uint8_t zeros[32] = { 0 }, ones[32], up[32];
	memset(ones, 0xff, sizeof ones);
	for (uint8_t i = 0; i < 32; i++)
		up[i] = i;
	/* RFC 3720, appendix B.4. */
	ck_assert_uint_eq(census_crc(zeros, 32), 0x8a9136aa);
	ck_assert_uint_eq(census_crc(ones, 32), 0x62a8ab43);
	ck_assert_uint_eq(census_crc(up, 32), 0x46dd794e);
	ck_assert_uint_eq(census_crc((const uint8_t *)"123456789", 9), 0xe3069283);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("census");
	TCase *c = tcase_create("census");
	int n = sizeof kinds_of_heaps / sizeof *kinds_of_heaps;
	tcase_set_timeout(c, 240);
	tcase_add_loop_test(c, what_went_comes_back, 0, n);
	tcase_add_loop_test(c, as_a_session, 0, n);
	tcase_add_test(c, each_byte_counts);
	tcase_add_test(c, signed_again);
	tcase_add_test(c, each_rule);
	tcase_add_test(c, written_earlier);
	tcase_add_test(c, kinds_by_the_million);
	tcase_add_test(c, the_checksum);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
