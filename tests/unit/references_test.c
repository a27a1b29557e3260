/* References in compact form: what a session of the census answers is what the session over the memory answered, pointer by
 * pointer, on heaps with pointers of all kinds put into them at random. The prefix codes below them, by themselves. Damaged ones
 * are refused or do no harm. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "flotsam/census.h"
#include "heap_builder.h"
#include "resign.h"
#include "scratch.h"
#include "src/graph/coding.h"

static struct made_heap *heap;
static struct session *session;
static struct codec_bytes bytes;
static uint64_t state;

static unsigned below(unsigned n)
{
	return (unsigned)(test_random(&state) >> 33) % n;
}

static const struct made_block *any_block(void)
{
	const struct made_block *b;
	do
		b = &heap->blocks.at[below((unsigned)heap->blocks.n)];
	while (b->state == BLOCK_FENCE || b->usable < 16);
	return b;
}

/* Mostly to starts, and mostly near; some into the middle, some one past the end, some to free chunks. */
static uint64_t some_pointer(const struct made_block *from, bool near)
{
	size_t at = (size_t)(from - heap->blocks.at) + below(8);
	const struct made_block *b = near && at < heap->blocks.n ? &heap->blocks.at[at] : any_block();
	uint64_t payload = b->chunk + 2 * heap->o.word;
	switch (below(8)) {
	case 0:
		return payload + below((unsigned)b->usable);
	case 1:
		return payload + b->usable;
	case 2:
		return payload + 16;
	default:
		return payload;
	}
}

/* Blocks of malloc's own are left alone; in each other one every third word, in one of 40 each word, in many of them two alike. */
static void put_pointers(void)
{
	unsigned w = heap->o.word;
	for (size_t i = 0; i < heap->blocks.n; i++) {
		const struct made_block *b = &heap->blocks.at[i];
		unsigned often = below(40) ? below(4) : 1;
		if (b->state != BLOCK_USED || b->chunk + 2 * w == heap->tcaches[0] || b->chunk + 2 * w == heap->tcaches[1])
			continue;
		for (uint64_t off = 0; often && off + w <= b->usable && off < 2048; off += w)
			if (often == 3 ? off < 2 * w : !below(often == 1 ? 1 : 3))
				heap_poke(heap, b->chunk + 2 * w + off, some_pointer(b, often == 3), w);
	}
	for (unsigned i = 0; i < GLOBALS; i++)
		heap_poke(heap, heap->globals + i * GLOBAL_BYTES, some_pointer(any_block(), false), w);
	heap_poke_register(heap, 0, any_block()->chunk + 2 * w);
}

static void make(const struct heap_options *o, const struct session_options *options)
{
	heap = heap_make(o, scratch_directory());
	state = o->seed * 77 + 1;
	put_pointers();
	struct err *e = session_open("core", heap->path, options, &session);
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

static struct err *open_bytes(const uint8_t *at, size_t n, struct session **ret)
{
	static const struct session_options options = { .graph = { .threads = 1 } };
	struct census *c;
	uint8_t *copy = malloc(n + 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, at, n);
	TRY(census_read(copy, n, &c));
	return census_session(c, &options, ret);
}

static struct session *reopen(void)
{
	struct session *s;
	struct err *e = open_bytes(bytes.at, bytes.n, &s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	return s;
}

/* The holder's name, or what kind of error there was. */
static char *holder_of(struct graph *g, const struct reference *r)
{
	uint32_t holder;
	char *text;
	struct err *e = graph_reference_holder(g, r, &holder);
	if (asprintf(&text, "%d %s", e ? (int)e->kind : 0, e ? "" : g->holders.at[holder].name) < 0)
		abort();
	err_free(e);
	return text;
}

static size_t compare_references(struct session *a, struct session *b, block_id id)
{
	struct references x, y;
	uint64_t payload = blocks_payload(a->blocks, id), end = payload + blocks_usable(a->blocks, id);
	if (blocks_at(a->blocks, payload) != id) /* a fence: what would be its payload is nobody's */
		return 0;
	struct err *e = graph_references(a->graph, payload, end, &x);
	ck_assert(!e);
	e = graph_references(b->graph, payload, end, &y);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert_uint_eq(x.list.n, y.list.n);
	for (size_t i = 0; i < x.list.n; i++) {
		const struct reference *p = &x.list.at[i], *q = &y.list.at[i];
		ck_assert_uint_eq(p->from, q->from);
		ck_assert_uint_eq(p->value, q->value);
		ck_assert_uint_eq(p->block, q->block);
		ck_assert_int_eq(p->live, q->live);
		ck_assert_int_eq(p->kernel, q->kernel);
		char *held = holder_of(a->graph, p), *kept = holder_of(b->graph, q);
		ck_assert_str_eq(held, kept);
		free(held);
		free(kept);
	}
	size_t n = x.list.n;
	vec_free(&x.list);
	vec_free(&y.list);
	return n;
}

/* The words of a block that lead into the heap, as offsets and values. */
struct words { const struct blocks *b; VEC(uint64_t) list; };

static void on_word(void *ctx, uint64_t offset, uint64_t value)
{
	struct words *w = ctx;
	block_id id = blocks_at(w->b, value);
	if (id == BLOCK_NONE || value < blocks_payload(w->b, id))
		return;
	*(uint64_t *)vec_push(&w->list) = offset;
	*(uint64_t *)vec_push(&w->list) = value;
}

static void compare_words(struct session *a, struct session *b, block_id id)
{
	struct words x = { .b = a->blocks }, y = { .b = b->blocks };
	struct err *e = graph_words(a->graph, id, on_word, &x);
	ck_assert(!e);
	e = graph_words(b->graph, id, on_word, &y);
	ck_assert(!e);
	ck_assert_uint_eq(x.list.n, y.list.n);
	ck_assert(!x.list.n || !memcmp(x.list.at, y.list.at, x.list.n * sizeof *x.list.at));
	vec_free(&x.list);
	vec_free(&y.list);
}

typedef struct err *walk_fn(struct graph *g, block_id id, struct path *ret);

static size_t compare_steps(walk_fn *walk, block_id id, struct graph *a, struct graph *b)
{
	struct path p, q;
	struct err *e = walk(a, id, &p), *f = walk(b, id, &q);
	ck_assert_int_eq(e ? (int)e->kind : 0, f ? (int)f->kind : 0);
	size_t n = 0;
	if (!e) {
		ck_assert_uint_eq(p.holder, q.holder);
		ck_assert_uint_eq(p.steps.n, q.steps.n);
		for (size_t i = 0; i < p.steps.n; i++) {
			ck_assert_uint_eq(p.steps.at[i].block, q.steps.at[i].block);
			ck_assert_uint_eq(p.steps.at[i].from, q.steps.at[i].from);
			ck_assert_uint_eq(p.steps.at[i].value, q.steps.at[i].value);
			ck_assert_int_eq(p.steps.at[i].strong, q.steps.at[i].strong);
		}
		n = p.steps.n;
		path_free(&p);
		path_free(&q);
	}
	err_free(e);
	err_free(f);
	return n;
}

static void compare_trees(struct graph *a, struct graph *b)
{
	struct tree *t, *u;
	struct err *e = graph_tree(a, &t);
	ck_assert(!e);
	e = graph_tree(b, &u);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert_uint_eq(t->n, u->n);
	ck_assert_uint_eq(t->edges, u->edges);
	ck_assert_mem_eq(t->idom, u->idom, t->n * sizeof *t->idom);
	ck_assert_mem_eq(t->bytes, u->bytes, t->n * sizeof *t->bytes);
	tree_free(t);
	tree_free(u);
}

static const struct {
	struct heap_options heap;
	struct graph_options graph;
} cases[] = {
	{ { .word = 8, .minor = 36, .seed = 1 }, { .threads = 1 } },
	{ { .word = 4, .minor = 31, .seed = 2 }, { .threads = 1 } },
	{ { .word = 8, .minor = 42, .seed = 3, .main_chunks = 4000 }, { .threads = 2 } },
	{ { .word = 8, .minor = 36, .seed = 4 }, { .threads = 1, .interior = INTERIOR_REACHABLE } },
	{ { .word = 8, .minor = 36, .seed = 9 }, { .threads = 1, .unaligned = true } },
	{ { .word = 8, .minor = 31, .seed = 6, .main_chunks = 70000, .blank = true }, { .threads = 2 } },
};

START_TEST(answers_the_same)
{
	struct session_options options = { .target = { .force = true }, .graph = cases[_i].graph };
	size_t references = 0, steps = 0, rounds = 0;
	make(&cases[_i].heap, &options);
	struct session *s = reopen();
	/* Each block of a small heap, some of a large one. */
	for (block_id id = 0; id < session->blocks->n; id += 1 + session->blocks->n / (session->blocks->n > 10000 ? 8 : 200)) {
		references += compare_references(session, s, id);
		if (!cases[_i].graph.unaligned)
			compare_words(session, s, id);
		steps += compare_steps(graph_path, id, session->graph, s->graph);
		rounds += compare_steps(graph_cycle, id, session->graph, s->graph);
	}
	ck_assert_uint_gt(references, 4);
	ck_assert_uint_gt(steps, 4);
	ck_assert_uint_gt(rounds, 2);
	compare_trees(session->graph, s->graph);
	session_close(s);
	end();
}
END_TEST

/* What a census was made of makes no difference. */
START_TEST(of_a_census)
{
	struct session_options options = { .target = { .force = true }, .graph = cases[0].graph };
	struct codec_bytes again, without;
	make(&cases[0].heap, &options);
	struct session *s = reopen(), *bare;
	struct err *e = census_make(s, true, &again);
	ck_assert(!e);
	ck_assert_uint_eq(again.n, bytes.n);
	ck_assert_mem_eq(again.at, bytes.at, bytes.n);
	e = census_make(s, false, &without);
	ck_assert(!e);
	ck_assert_uint_lt(without.n, bytes.n);
	e = open_bytes(without.at, without.n, &bare);
	ck_assert(!e);
	struct path p;
	e = graph_path(bare->graph, 0, &p);
	ck_assert(e && e->kind == ERR_UNSUPPORTED);
	err_free(e);
	session_close(bare);
	session_close(s);
	free(again.at);
	free(without.at);
	end();
}
END_TEST

static size_t section_at(uint32_t id, size_t *ret_n)
{
	for (size_t i = 0; i < resign_get(bytes.at + 12, 4); i++) {
		const uint8_t *entry = bytes.at + HEAD_BYTES + i * ENTRY_BYTES;
		if (resign_get(entry, 4) == id) {
			*ret_n = resign_get(entry + 16, 8);
			return resign_get(entry + 8, 8);
		}
	}
	ck_abort_msg("no section %u", id);
}

/* Pointers to anywhere, of which no two are near: the most that a pointer may cost. */
START_TEST(in_few_bits)
{
	struct session_options options = { .target = { .force = true }, .graph = { .threads = 1 } };
	const struct heap_options o = { .word = 8, .minor = 36, .seed = 8, .main_chunks = 60000, .blank = true };
	heap = heap_make(&o, scratch_directory());
	state = 99;
	for (size_t i = 0; i < heap->blocks.n; i++)
		for (unsigned k = 0; k < 2 && heap->blocks.at[i].state == BLOCK_USED && heap->blocks.at[i].usable >= 16; k++)
			heap_poke(heap, heap->blocks.at[i].chunk + 16 + 8 * k, any_block()->chunk + 16, 8);
	struct err *e = session_open("core", heap->path, &options, &session);
	ck_assert(!e);
	e = census_make(session, true, &bytes);
	ck_assert(!e);
	size_t n, at = section_at(SECTION_REFERENCES + 1, &n);
	struct bits_in in = { { bytes.at + at, n }, 0, false };
	uint64_t references = bits_take_number(&in);
	double each = 8 * (double)n / (double)references;
	ck_assert_uint_gt(references, 100000);
	ck_assert_msg(each <= 1.1 * log2(session->blocks->n), "%.2f bits", each);
	end();
}
END_TEST

/* One bit is another and the checksums are right. */
START_TEST(damaged)
{
	struct session_options options = { .target = { .force = true }, .graph = cases[0].graph };
	size_t refused = 0, tried = 0, n, at;
	make(&cases[0].heap, &options);
	at = section_at(SECTION_REFERENCES + 1, &n);
	for (size_t bit = 0; bit < n * 8; bit += bit < 256 ? 1 : n * 8 / 250, tried++) {
		uint8_t *copy = malloc(bytes.n);
		struct session *s;
		struct tree *t;
		struct path p;
		memcpy(copy, bytes.at, bytes.n);
		copy[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
		resign(copy, bytes.n);
		struct err *e = open_bytes(copy, bytes.n, &s);
		ck_assert_msg(!e, "it is judged when it is asked for");
		e = graph_tree(s->graph, &t);
		refused += e != NULL;
		if (!e) {
			struct references refs;
			tree_free(t);
			for (block_id id = 0; !e && id < s->blocks->n; id += 7) {
				e = graph_path(s->graph, id, &p);
				if (!e)
					path_free(&p);
				err_free(e);
				uint64_t payload = blocks_payload(s->blocks, id);
				e = graph_references(s->graph, payload, payload + blocks_usable(s->blocks, id), &refs);
				ck_assert(!e || blocks_at(s->blocks, payload) != id);
				if (!e)
					vec_free(&refs.list);
				err_free(e);
				e = NULL;
			}
		} else {
			ck_assert_msg(e->kind == ERR_BAD_DATA && strstr(e->text, "references"), "%s", e->text);
			err_free(e);
			/* And again. */
			e = graph_path(s->graph, 0, &p);
			ck_assert(e && e->kind == ERR_BAD_DATA);
			err_free(e);
		}
		session_close(s);
		free(copy);
	}
	ck_assert_uint_gt(refused, tried / 10);
	end();
}
END_TEST

static void round_trip(const uint32_t *counts, uint32_t n)
{
	struct prefix_out out;
	struct prefix_in in;
	struct bits_out to = { 0 };
	uint32_t sum[512], used = 0;
	ck_assert(prefix_make(counts, n, &out));
	for (uint32_t i = 0; i < n; i++)
		if (counts[i])
			sum[used++] = i;
	prefix_write(&out, &to);
	for (uint32_t i = 0; i < 1000 && used; i++) {
		prefix_put(&out, &to, sum[i % used]);
		bits_put(&to, i & 7, 3);
	}
	bits_flush(&to);
	struct bits_in from = { { to.bytes.at, to.bytes.n }, 0, false };
	ck_assert(prefix_read(&from, n, &in));
	ck_assert_uint_eq(in.n, used);
	for (uint32_t i = 0; i < 1000 && used; i++) {
		ck_assert_uint_eq(prefix_take(&in, &from), sum[i % used]);
		ck_assert_uint_eq(bits_take(&from, 3), i & 7);
	}
	ck_assert(!from.failed);
	prefix_free(&out);
	prefix_in_free(&in);
	vec_free(&to.bytes);
}

START_TEST(prefix_codes)
{
	uint32_t counts[300] = { 0 };
	round_trip(counts, 300);
	counts[7] = 5;
	round_trip(counts, 300);
	counts[299] = 1;
	round_trip(counts, 300);
	/* Fibonacci's numbers make the longest words. */
	memset(counts, 0, sizeof counts);
	counts[0] = counts[1] = 1;
	for (int i = 2; i < 44; i++)
		counts[i] = counts[i - 1] + counts[i - 2];
	round_trip(counts, 300);
	state = 4711;
	for (int t = 0; t < 200; t++) {
		for (int i = 0; i < 300; i++)
			counts[i] = below(3) ? 0 : below(1u << below(30)) + 1;
		round_trip(counts, 1 + below(300));
	}
}
END_TEST

/* Nothing is read beyond the end, and a code that is none is refused. */
START_TEST(cut_codes)
{
	static const uint8_t over[] = { 3, 1, 1, 1 }, under[] = { 2, 2, 2 }, far[] = { 1, 0xff, 0x7f }, zero[] = { 2, 0, 1 };
	static const struct { const uint8_t *p; size_t n; } wrong[] = { { over, 4 }, { under, 3 }, { far, 3 }, { zero, 3 }, { over, 2 }, { over, 0 } };
	struct prefix_in in;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct bits_in from = { { wrong[i].p, wrong[i].n }, 0, false };
		ck_assert_msg(!prefix_read(&from, 100, &in), "code %zu", i);
		prefix_in_free(&in);
	}
	struct bits_in from = { { over, 2 }, 9, false };
	ck_assert_uint_eq(bits_take(&from, 7), 1);
	ck_assert(!from.failed);
	bits_take(&from, 1);
	ck_assert(from.failed);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("references");
	TCase *c = tcase_create("references");
	tcase_set_timeout(c, 240);
	tcase_add_loop_test(c, answers_the_same, 0, sizeof cases / sizeof *cases);
	tcase_add_test(c, of_a_census);
	tcase_add_test(c, in_few_bits);
	tcase_add_test(c, damaged);
	tcase_add_test(c, prefix_codes);
	tcase_add_test(c, cut_codes);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
