/* The walker of glibc's heaps, on heaps made by hand (heap_builder.h) in which words are written over. The first byte chooses the
 * layout; then come records of eleven bytes: how, where (two bytes), the value. No crash, no endless loop; and what comes out is
 * an index: blocks in order, side by side, inside their segments. */
#include "heap_builder.h"
#include "scratch.h"

#include <sys/stat.h>

#include "flotsam/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { LAYOUTS = 8, MOST_WOUNDS = 48, RECORD = 11 };
static const struct { unsigned word, minor; } layouts[LAYOUTS] = { { 8, 36 }, { 8, 43 }, { 4, 36 }, { 8, 31 }, { 8, 41 }, { 4, 43 }, { 8, 27 }, { 4, 29 } };

static struct made {
	char dir[300]; /* each has its own libc */
	struct made_heap *heap;
	struct session *session;
} made[LAYOUTS];

static void remove_all(void)
{
	for (int i = 0; i < LAYOUTS; i++) {
		session_close(made[i].session);
		if (made[i].heap)
			heap_destroy(made[i].heap);
	}
}

static struct made *make(unsigned which)
{
	struct made *m = &made[which];
	struct heap_options o = { .word = layouts[which].word, .minor = layouts[which].minor, .seed = 5, .chunks = 12 };
	struct session_options options = { .graph = { .threads = 1 } };
	static bool to_remove;
	if (m->session)
		return m;
	/* A libc.so.6 each. */
	snprintf(m->dir, sizeof m->dir, "%s/%u", scratch_directory(), which);
	if (mkdir(m->dir, 0700))
		abort();
	if (!to_remove)
		atexit(remove_all);
	to_remove = true;
	m->heap = heap_make(&o, m->dir);
	struct err *e = session_open("core", m->heap->path, &options, &m->session);
	if (e)
		abort();
	return m;
}

struct wound {
	uint64_t address, old;
	unsigned bytes;
};

/* A field of malloc's, or a word of a block. */
static struct wound where(const struct made_heap *h, uint8_t how, unsigned index)
{
	if (how & 1 || !h->blocks.n) {
		const struct made_field *f = &h->fields.at[index % h->fields.n];
		return (struct wound){ .address = f->address, .bytes = f->bytes };
	}
	const struct made_block *b = &h->blocks.at[index % h->blocks.n];
	uint64_t words = b->bytes / h->o.word;
	return (struct wound){ .address = b->chunk + (words ? index / h->blocks.n % words : 0) * h->o.word, .bytes = h->o.word };
}

static uint64_t with(const struct made_heap *h, uint8_t how, uint64_t old, uint64_t value)
{
	switch (how >> 1 & 7) {
	case 0:
		return value;
	case 1:
		return old ^ value;
	case 2:
		return old + value;
	case 3: /* what lists lead to */
		return h->blocks.at[value % h->blocks.n].chunk + (value >> 32 & 0x30);
	case 4:
		return h->fields.at[value % h->fields.n].address;
	case 5:
		return h->blocks.at[value % h->blocks.n].bytes | (value >> 32 & 7);
	default:
		return value & 0xffff;
	}
}

static void is_an_index(const struct alloc *a, const struct blocks *b)
{
	struct block_cursor c;
	uint64_t end = 0, n = 0;
	blocks_begin(b, &c);
	while (blocks_next(&c)) {
		if (!c.chunk_bytes || c.chunk < end || c.chunk + c.chunk_bytes < c.chunk || c.id != n++)
			abort();
		const struct region *r = blocks_region(b, c.chunk);
		/* From the first chunk of a segment to its end without a gap. */
		if (!r || c.chunk + c.chunk_bytes > r->end || (c.chunk != r->start && c.chunk != end))
			abort();
		end = c.chunk + c.chunk_bytes;
	}
	if (n != b->n)
		abort();
	for (size_t i = 0; i < a->findings.list.n; i++)
		if (!a->findings.list.at[i].kind || !a->findings.list.at[i].text)
			abort();
}

static void walk(const struct session *s)
{
	struct alloc *a = NULL;
	struct blocks *b = NULL;
	struct err *e = alloc_open(s->image, s->modules, s->runtime, &(struct alloc_options){ 0 }, &a);
	if (!e && a->facts.walked)
		e = blocks_build(a, s->image, &b);
	if (!e && b)
		is_an_index(a, b);
	err_free(e);
	blocks_free(b);
	alloc_close(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct wound wounds[MOST_WOUNDS];
	size_t count = 0;
	if (!n)
		return 0;
	struct made *m = make(data[0] % LAYOUTS);
	for (size_t at = 1; at + RECORD <= n && count < MOST_WOUNDS; at += RECORD) {
		uint64_t value;
		memcpy(&value, data + at + 3, 8);
		struct wound w = where(m->heap, data[at], (unsigned)data[at + 1] | (unsigned)data[at + 2] << 8);
		w.old = heap_peek(m->heap, w.address, w.bytes);
		heap_poke(m->heap, w.address, with(m->heap, data[at], w.old, value), w.bytes);
		wounds[count++] = w;
	}
	walk(m->session);
	while (count--)
		heap_poke(m->heap, wounds[count].address, wounds[count].old, wounds[count].bytes);
	return 0;
}
