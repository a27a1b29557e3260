/* The walk of glibc's heaps against heaps made by hand, of every layout: equal block for block while they are whole; then
 * damaged a field at a time: no crash, a finding where the damage is, and all other blocks as they were. */
#include "heap_builder.h"

#include <check.h>
#include <unistd.h>

#include "flotsam/session.h"

static const struct { unsigned word, minor; } layouts[] = {
	{ 8, 27 }, { 8, 29 }, { 8, 31 }, { 8, 34 }, { 8, 36 }, { 8, 41 }, { 8, 42 }, { 8, 43 },
	{ 4, 27 }, { 4, 29 }, { 4, 31 }, { 4, 34 }, { 4, 36 }, { 4, 41 }, { 4, 42 }, { 4, 43 },
};
enum { N_LAYOUTS = sizeof layouts / sizeof *layouts, SEEDS = 6 };

static char dir[] = "/tmp/flotsam-alloc-XXXXXX";

static struct session *look(const struct made_heap *h)
{
	struct session_options o = { .graph = { .threads = 1 } };
	struct session *s = NULL;
	struct err *e = session_open("core", h->path, &o, &s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert_msg(s->alloc->facts.walked, "%s", s->alloc->findings.list.n ? s->alloc->findings.list.at[0].text : "not walked");
	e = session_walk(s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	return s;
}

static void no_findings(const struct session *s)
{
	const struct findings *f = &s->alloc->findings;
	ck_assert_msg(!f->list.n, "%s at %#llx: %s", f->list.n ? f->list.at[0].kind : "", f->list.n ? (unsigned long long)f->list.at[0].address : 0,
		      f->list.n ? f->list.at[0].text : "");
}

static void same_block(const struct block_cursor *c, const struct made_block *b)
{
	ck_assert_msg(c->chunk == b->chunk && c->chunk_bytes == b->bytes, "chunk %#llx of %llu bytes, not %#llx of %llu",
		      (unsigned long long)c->chunk, (unsigned long long)c->chunk_bytes, (unsigned long long)b->chunk, (unsigned long long)b->bytes);
	ck_assert_msg(c->state == b->state, "chunk %#llx is %s, not %s", (unsigned long long)b->chunk, block_state_name(c->state),
		      block_state_name(b->state));
	ck_assert_msg(c->arena == b->arena, "chunk %#llx is of arena %d, not %d", (unsigned long long)b->chunk, c->arena, b->arena);
	ck_assert_msg(c->usable == b->usable, "chunk %#llx has %llu usable bytes, not %llu", (unsigned long long)b->chunk,
		      (unsigned long long)c->usable, (unsigned long long)b->usable);
}

static void walk_equals(const struct made_heap *h, const struct session *s)
{
	struct block_cursor c;
	size_t i = 0;
	blocks_begin(s->blocks, &c);
	while (blocks_next(&c)) {
		ck_assert_uint_lt(i, h->blocks.n);
		same_block(&c, &h->blocks.at[i++]);
	}
	ck_assert_uint_eq(i, h->blocks.n);
	ck_assert_uint_eq(s->blocks->n, h->blocks.n);
}

/* Every state is there in every layout that has it: else the comparison would say nothing of it. */
static void has_all_states(const struct made_heap *h)
{
	unsigned n[BLOCK_STATES] = { 0 };
	for (size_t i = 0; i < h->blocks.n; i++)
		n[h->blocks.at[i].state]++;
	static const enum block_state wanted[] = { BLOCK_USED, BLOCK_MMAPPED, BLOCK_TCACHE, BLOCK_FASTBIN, BLOCK_UNSORTED, BLOCK_SMALLBIN,
						   BLOCK_LARGEBIN, BLOCK_TOP, BLOCK_FENCE, BLOCK_FOREIGN };
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		ck_assert_msg(n[wanted[i]] || (wanted[i] == BLOCK_FASTBIN && h->o.minor >= 43), "the heap has no chunk that is %s",
			      block_state_name(wanted[i]));
}

START_TEST(a_whole_heap_is_walked_exactly)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct heap_options o = { .word = layouts[_i].word, .minor = layouts[_i].minor, .seed = seed, .stripped = seed % 2 };
		struct made_heap *h = heap_make(&o, dir);
		struct session *s = look(h);
		ck_assert_str_eq(s->alloc->facts.name, "glibc");
		ck_assert_str_eq(s->alloc->facts.found_by, o.stripped ? "file signature" : "symbols");
		has_all_states(h);
		walk_equals(h, s);
		no_findings(s);
		session_close(s);
		heap_free(h);
	}
}
END_TEST

static void set_up(void)
{
	ck_assert(mkdtemp(dir));
}

static void tear_down(void)
{
	rmdir(dir);
}

int main(void)
{
	Suite *s = suite_create("alloc");
	TCase *t = tcase_create("glibc");
	tcase_add_unchecked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, a_whole_heap_is_walked_exactly, 0, N_LAYOUTS);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
