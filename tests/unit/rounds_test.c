/* Rounds of blocks to visit (src/types/rounds.c) against two plain arrays of flags: what a round has comes lowest first, what is added
 * meanwhile comes in the next, and nothing is lost or comes twice. */
#include <check.h>
#include <stdlib.h>

#include "src/types/typing.h"

static const size_t sizes[] = { 1, 63, 64, 65, 4096, 4097, 300000 };
enum { N_SIZES = sizeof sizes / sizeof sizes[0], TAKEN = 20000, FIRST = 500 };

struct plain { char *now, *next; size_t n, from; /* nothing of now is below */ };

static uint64_t next_random(uint64_t *r)
{
	*r ^= *r << 13;
	*r ^= *r >> 7;
	*r ^= *r << 17;
	return *r;
}

static block_id plain_take(struct plain *p)
{
	for (int i = 0; i < 2; i++) {
		for (; p->from < p->n; p->from++)
			if (p->now[p->from]) {
				p->now[p->from] = 0;
				return (block_id)p->from;
			}
		char *was = p->now;
		p->now = p->next;
		p->next = was;
		p->from = 0;
	}
	return BLOCK_NONE;
}

START_TEST(taking_equals_a_walk_over_flags)
{
	struct rounds r = { 0 };
	struct plain p = { .n = sizes[_i] };
	uint64_t random = 88172645463325252u;
	p.now = calloc(p.n, 1);
	p.next = calloc(p.n, 1);
	ck_assert(p.now && p.next && rounds_open(&r, p.n));
	ck_assert_uint_eq(rounds_take(&r), BLOCK_NONE);
	for (int i = 0; i < FIRST; i++) {
		block_id id = (block_id)(next_random(&random) % p.n);
		p.next[id] = 1;
		rounds_add(&r, id);
	}
	for (int i = 0; i < TAKEN; i++) {
		block_id id = plain_take(&p);
		ck_assert_uint_eq(rounds_take(&r), id);
		if (id == BLOCK_NONE)
			break;
		/* None, one or two, so that rounds of one block are met and rounds of thousands. What this round still has is not
		 * added: it may have been fetched ahead. */
		for (uint64_t k = next_random(&random) % (i < TAKEN / 2 ? 3 : 2); k-- > 0;) {
			block_id add = (block_id)(next_random(&random) % p.n);
			if (p.now[add])
				continue;
			p.next[add] = 1;
			rounds_add(&r, add);
		}
	}
	rounds_close(&r);
	free(p.now);
	free(p.next);
}
END_TEST

START_TEST(what_waits_is_not_added_again)
{
	struct rounds r = { 0 };
	ck_assert(rounds_open(&r, 1000));
	for (int again = 0; again < 2; again++)
		for (block_id id = 0; id < 1000; id++)
			rounds_add(&r, id);
	ck_assert_uint_eq(rounds_take(&r), 0);
	ck_assert_uint_eq(rounds_ahead(&r, 0), 1);
	/* The first is new again; the last still waits. */
	rounds_add(&r, 0);
	rounds_add(&r, 999);
	for (block_id id = 1; id < 1000; id++)
		ck_assert_uint_eq(rounds_take(&r), id);
	ck_assert_uint_eq(rounds_ahead(&r, 0), BLOCK_NONE);
	ck_assert_uint_eq(rounds_take(&r), 0);
	ck_assert_uint_eq(rounds_take(&r), BLOCK_NONE);
	rounds_close(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rounds");
	TCase *t = tcase_create("rounds");
	tcase_add_loop_test(t, taking_equals_a_walk_over_flags, 0, N_SIZES);
	tcase_add_test(t, what_waits_is_not_added_again);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
