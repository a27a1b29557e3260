/* The walk of glibc's heaps against heaps made by hand, of every layout: equal block for block while they are whole; then
 * damaged a field at a time: no crash, a finding where the damage is, and all other blocks as they were. */
#include "heap_builder.h"
#include "scratch.h"

#include <check.h>
#include <unistd.h>

#include "flotsam/session.h"

static const struct { unsigned word, minor; } layouts[] = {
	{ 8, 27 }, { 8, 29 }, { 8, 31 }, { 8, 34 }, { 8, 36 }, { 8, 41 }, { 8, 42 }, { 8, 43 },
	{ 4, 27 }, { 4, 29 }, { 4, 31 }, { 4, 34 }, { 4, 36 }, { 4, 41 }, { 4, 42 }, { 4, 43 },
};
enum { N_LAYOUTS = sizeof layouts / sizeof *layouts, SEEDS = 6 };


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
		struct made_heap *h = heap_make(&o, scratch_directory());
		struct session *s = look(h);
		ck_assert_str_eq(s->alloc->facts.name, "glibc");
		ck_assert_str_eq(s->alloc->facts.found_by, o.stripped ? "file signature" : "symbols");
		has_all_states(h);
		walk_equals(h, s);
		no_findings(s);
		session_close(s);
		heap_destroy(h);
	}
}
END_TEST

/* Damage. */

enum { A_KIND = 4 /* fields of a kind in an arena */ };

static const bool harmless[FIELD_KINDS] = {
	[FIELD_FD_NEXTSIZE] = true,	   /* a short cut for malloc: all chunks are on fd and bk as well */
	[FIELD_BK_NEXTSIZE] = true,
	[FIELD_TCACHE_KEY] = true,	   /* in a chunk that is on the list anyhow */
	[FIELD_HEAP_MPROTECT] = true,
	[FIELD_ARENA_BINMAP] = true,	   /* a hint: stale bits are usual */
	[FIELD_ARENA_LAST_REMAINDER] = true,
};

static uint64_t damaged(const struct made_heap *h, const struct made_field *f, int way)
{
	uint64_t old = heap_peek(h, f->address, f->bytes), mask = f->bytes == 8 ? UINT64_MAX : (1ull << 8 * f->bytes) - 1;
	const uint64_t values[] = { 0, mask, 0x4141414141414141 & mask, old ^ 1, (old + 16) & mask, 0x20, (old ^ 1ull << (4 * f->bytes)) & mask };
	return values[way];
}
enum { WAYS = 7 };

/* Damage that looks like what malloc writes itself: nobody could tell. */
static bool says_nothing(const struct made_heap *h, const struct made_field *f, uint64_t value)
{
	uint64_t old = heap_peek(h, f->address, f->bytes), size = value & ~7ull;
	const struct made_block *b = heap_block(h, f->owner);
	switch ((int)f->kind) {
	case FIELD_FASTBIN_HEAD: /* the end of a list: nothing counts what is on it */
	case FIELD_FASTBIN_NEXT:
		return value == (f->kind == FIELD_FASTBIN_NEXT && h->o.minor >= 32 ? f->address >> 12 : 0);
	case FIELD_MMAP_PREV_SIZE:
		return h->o.minor >= 43 && value == (old ^ 1); /* MMAP_HP */
	case FIELD_FENCE_SIZE:
		return !size && f->arena; /* so is the header behind it */
	case FIELD_SIZE: /* a chunk in use that swallowed another */
		if ((value ^ old) == 4 || (b > h->blocks.at && b[-1].state == BLOCK_FOREIGN && value == (old ^ 1)))
			return true;
		return !b->list && !b[1].list && b[1].state == BLOCK_USED && value - old == b[1].bytes;
	default:
		return harmless[f->kind];
	}
}

struct seen { uint64_t chunk, bytes; enum block_state state; };
struct outcome { VEC(struct seen) blocks; };

/* Where somebody else's memory begins is told by what is behind the fences, where it ends by the first chunks behind it. */
enum { BEHIND_GAP = 4 };
static bool in_gap(const struct made_heap *h, const struct made_block *own, const struct made_block *b)
{
	const struct made_block *gap = h->blocks.at;
	while (gap < h->blocks.at + h->blocks.n && gap->state != BLOCK_FOREIGN)
		gap++;
	return own - gap >= -3 && own - gap <= BEHIND_GAP && b - gap >= -1 && b - gap <= BEHIND_GAP;
}

static bool near(const struct made_heap *h, const struct made_field *f, const struct made_block *b)
{
	switch ((int)f->kind) {
	case FIELD_SIZE: case FIELD_FREE_SIZE: case FIELD_PREV_SIZE: case FIELD_FENCE_SIZE: case FIELD_TOP_SIZE: {
		const struct made_block *own = heap_block(h, f->owner);
		ptrdiff_t d = b - own;
		return (d >= -1 && d <= 1) || in_gap(h, own, b);
	}
	case FIELD_MMAP_PREV_SIZE: case FIELD_MMAP_SIZE:
		return b->chunk == f->owner;
	default:
		return false;
	}
}

/* Behind a broken link the rest of a list is not found: it keeps its place and size, and what its neighbours say of it. */
static bool on_broken_list(const struct made_heap *h, const struct made_field *f, const struct made_block *b)
{
	if (b->list && b->list == f->list)
		return true;
	for (size_t i = 0; b->list && i < h->blocks.n; i++) /* a header's damage takes the lists of the chunks around it along */
		if (h->blocks.at[i].list == b->list && near(h, f, &h->blocks.at[i]))
			return true;
	return false;
}

static enum block_state unlisted(enum block_state s)
{
	return s == BLOCK_TCACHE || s == BLOCK_FASTBIN ? BLOCK_USED : BLOCK_FREE;
}

static void why(const struct made_heap *h, const struct made_field *f, uint64_t old, const char *what, const struct session *s)
{
	char text[2048];
	int n = 0;
	for (size_t i = 0; i < s->alloc->findings.list.n && i < 5; i++) {
		const struct finding *g = &s->alloc->findings.list.at[i];
		n += snprintf(text + n, sizeof text - (size_t)n, "\n  %s at %#llx: %s", g->kind, (unsigned long long)g->address, g->text);
	}
	text[n] = '\0';
	ck_abort_msg("2.%u, words of %u: %s at %#llx (of %#llx) is %#llx instead of %#llx: %s%s", h->o.minor, h->o.word, made_field_name(f->kind),
		     (unsigned long long)f->address, (unsigned long long)f->owner, (unsigned long long)heap_peek(h, f->address, f->bytes),
		     (unsigned long long)old, what, text);
}

static const struct seen *find_seen(const struct outcome *o, uint64_t chunk)
{
	size_t lo = 0, hi = o->blocks.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (o->blocks.at[mid].chunk < chunk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < o->blocks.n && o->blocks.at[lo].chunk == chunk ? &o->blocks.at[lo] : NULL;
}

static void others_are_as_they_were(const struct made_heap *h, const struct made_field *f, uint64_t old, const struct session *s)
{
	struct outcome o = { 0 };
	struct block_cursor c;
	char what[256];
	blocks_begin(s->blocks, &c);
	while (blocks_next(&c))
		*vec_push(&o.blocks) = (struct seen){ c.chunk, c.chunk_bytes, c.state };
	for (size_t i = 0; i < h->blocks.n; i++) {
		const struct made_block *b = &h->blocks.at[i];
		const struct seen *seen = find_seen(&o, b->chunk);
		if (near(h, f, b))
			continue;
		bool ok = seen && seen->bytes == b->bytes &&
			  (seen->state == b->state || (on_broken_list(h, f, b) && seen->state == unlisted(b->state)));
		if (ok)
			continue;
		snprintf(what, sizeof what, "chunk %#llx of %llu bytes, %s, became %llu bytes, %s", (unsigned long long)b->chunk,
			 (unsigned long long)b->bytes, block_state_name(b->state), seen ? (unsigned long long)seen->bytes : 0,
			 seen ? block_state_name(seen->state) : "nothing");
		why(h, f, old, what, s);
		break;
	}
	for (size_t i = 0; i < o.blocks.n; i++) {
		const struct made_block *b = heap_block(h, o.blocks.at[i].chunk);
		if (b && (b->chunk == o.blocks.at[i].chunk || near(h, f, b)))
			continue;
		snprintf(what, sizeof what, "a block at %#llx that is none", (unsigned long long)o.blocks.at[i].chunk);
		why(h, f, old, what, s);
		break;
	}
	vec_free(&o.blocks);
}

static bool right_address(const struct made_heap *h, const struct made_field *f, uint64_t address)
{
	const struct made_block *b = heap_block(h, address);
	if (address >= f->owner && address <= f->address)
		return true;
	if (f->kind >= FIELD_TCACHE_NEXT && f->kind <= FIELD_TCACHE_ENTRY && address - h->tcaches[f->arena] < 256)
		return true; /* the count that does not fit */
	if (f->list && b && b == heap_block(h, heap_peek(h, f->address, f->bytes)))
		return true; /* what the link names now is on another list */
	if (f->kind == FIELD_ARENA_TOP || f->kind == FIELD_HEAP_ARENA || f->kind == FIELD_ARENA_NEXT)
		return f->owner == address;
	/* Findings name payloads, which may be the next chunk's already. */
	const struct made_block *before = heap_block(h, address - 2 * h->o.word);
	return (b && (near(h, f, b) || on_broken_list(h, f, b))) || (before && near(h, f, before));
}

static void damage_is_told(const struct made_heap *h, const struct made_field *f, uint64_t old, const struct session *s)
{
	const struct findings *found = &s->alloc->findings;
	for (size_t i = 0; i < found->list.n; i++) {
		const struct finding *g = &found->list.at[i];
		/* Nobody knows where a block was whose only header is gone. */
		if ((f->kind == FIELD_MMAP_SIZE || f->kind == FIELD_MMAP_PREV_SIZE) && !strcmp(g->kind, "mmap-count"))
			return;
		if (right_address(h, f, g->address))
			return;
	}
	why(h, f, old, found->list.n ? "no finding there" : "no finding", s);
}

static const struct { unsigned word, minor; } to_damage[] = { { 8, 31 }, { 8, 36 }, { 8, 43 }, { 4, 31 }, { 4, 36 }, { 4, 43 } };

START_TEST(damage_is_found_and_stays_where_it_is)
{
	struct heap_options o = { .word = to_damage[_i].word, .minor = to_damage[_i].minor, .seed = 11, .chunks = 24 };
	struct made_heap *h = heap_make(&o, scratch_directory());
	unsigned taken[FIELD_KINDS][4] = { 0 };
	uint64_t seed = 77;
	for (size_t i = 0; i < h->fields.n; i++) {
		struct made_field *f = &h->fields.at[i], *g = &h->fields.at[i + test_random(&seed) % (h->fields.n - i)];
		struct made_field swap = *f;
		*f = *g;
		*g = swap;
		if (taken[f->kind][f->arena + 1]++ >= A_KIND)
			continue;
		for (int way = 0; way < WAYS; way++) {
			uint64_t value = damaged(h, f, way), old = heap_peek(h, f->address, f->bytes);
			bool told = !says_nothing(h, f, value);
			if (value == old)
				continue;
			heap_poke(h, f->address, value, f->bytes);
			struct session *s = look(h);
			others_are_as_they_were(h, f, old, s);
			if (told)
				damage_is_told(h, f, old, s);
			session_close(s);
			heap_poke(h, f->address, old, f->bytes);
		}
	}
	for (int k = 0; k < FIELD_KINDS; k++)
		if (o.minor < 43 || (k != FIELD_FASTBIN_HEAD && k != FIELD_FASTBIN_NEXT))
			ck_assert_msg(taken[k][0] + taken[k][1] + taken[k][2] + taken[k][3], "no %s was damaged", made_field_name((enum field_kind)k));
	heap_destroy(h);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("alloc");
	TCase *t = tcase_create("glibc");
	tcase_add_loop_test(t, a_whole_heap_is_walked_exactly, 0, N_LAYOUTS);
	tcase_add_loop_test(t, damage_is_found_and_stays_where_it_is, 0, sizeof to_damage / sizeof *to_damage);
	tcase_set_timeout(t, 300);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
