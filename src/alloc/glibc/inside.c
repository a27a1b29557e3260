/* Who was inside malloc when the picture was taken, and what chunks they had in hand. A look at a process asks the first question
 * in the stop (target/quiet.c), for a core it is asked here. A thread that malloc's own checks killed, or a damaged heap, is no
 * excuse for the damage. */
#include "glibc.h"

#include <signal.h>

/* Frames of malloc are shallow: behind a leaf such as memset or brk their return addresses lie this near. Frames of abort() and
 * of what prints before it are larger. */
enum { STACK_WORDS = 96, ABORT_WORDS = 256, HAND_WORDS = 96, CHAIN_MOST = 1 << 20 };

/* malloc's code, for "is a thread inside": the functions that a program calls and that lead to the local ones between
 * them. Each symbol's range is enough: inside a local function the caller is on the stack. */
static const char *const malloc_functions[] = { "malloc", "free", "realloc", "calloc", "memalign", "aligned_alloc",
						"posix_memalign", "valloc", "malloc_trim", "cfree", "_int_malloc", "_int_free",
						"_int_free_merge_chunk", "_int_free_maybe_consolidate", "sysmalloc",
						"malloc_consolidate", "unlink_chunk", "_int_realloc", "_int_memalign",
						"tcache_init", "sysmalloc_mmap", "systrim", "heap_trim", "arena_get2", "_int_free_chunk" };

/* malloc.o is one piece of text, its local functions first: 10 to 20 KiB in Debian's libraries. free() of 2.31 jumps into one of them,
 * and is on no stack then. Without their symbols what lies in front of malloc, up to another function, is taken for them. */
enum { LOCAL_BYTES = 20 << 10, PIECE_BYTES = 64 << 10, STEP = 16 };

static bool add_piece(struct modules *ms, struct quiet_plan *quiet)
{
	uint64_t start = UINT64_MAX, end = 0;
	struct symbol s;
	for (size_t i = 0; i < quiet->code.n; i++) {
		start = quiet->code.at[i].start < start ? quiet->code.at[i].start : start;
		end = quiet->code.at[i].end > end ? quiet->code.at[i].end : end;
	}
	if (end <= start || end - start > PIECE_BYTES)
		return true;
	for (uint64_t from = start; start - from < LOCAL_BYTES && start > LOCAL_BYTES; from -= STEP)
		if (modules_symbol_at(ms, from - STEP, &s) && s.is_function) {
			start = s.address + s.size;
			break;
		} else if (start - from + STEP >= LOCAL_BYTES) {
			start = from - STEP;
			break;
		}
	struct page_run *r = vec_push(&quiet->code);
	if (r)
		*r = (struct page_run){ .start = start, .end = end };
	return r;
}

bool glibc_code(struct modules *ms, struct module *m, struct quiet_plan *quiet)
{
	struct symbol s;
	for (size_t i = 0; i < sizeof malloc_functions / sizeof malloc_functions[0]; i++) {
		if (!modules_symbol(ms, m, malloc_functions[i], &s) || !s.size)
			continue;
		struct page_run *r = vec_push(&quiet->code);
		if (!r)
			return false;
		*r = (struct page_run){ .start = s.address, .end = s.address + s.size };
	}
	return modules_symbol(ms, m, "_int_malloc", &s) || add_piece(ms, quiet);
}

static bool in_code(const struct glibc *g, uint64_t address)
{
	for (size_t i = 0; i < g->plan.code.n; i++)
		if (address >= g->plan.code.at[i].start && address < g->plan.code.at[i].end)
			return true;
	return false;
}

static bool returns_to_code(const struct glibc *g, const struct thread *t, unsigned words)
{
	uint64_t word, sp = arch_reg(g->arch, t->gregs, g->arch->reg_sp);
	for (unsigned i = 0; i < words && image_word(g->img, sp + i * g->w, &word); i++)
		if (in_code(g, word))
			return true;
	return false;
}

/* The number of the system call that the thread is in; -1: in none. */
static int64_t call_of(const struct glibc *g, const struct thread *t)
{
	const struct arch *a = g->arch;
	uint64_t call = arch_reg(a, t->gregs, a->reg_syscall);
	uint8_t before[8];
	if (a->keeps_call)
		return a->word == 4 ? (int32_t)call : (int64_t)call;
	uint64_t at = arch_reg(a, t->gregs, a->reg_pc) - a->system_call_bytes;
	if (!image_read(g->img, at, before, a->system_call_bytes) || memcmp(before, a->system_calls, a->system_call_bytes) != 0)
		return -1;
	return (int64_t)call;
}

/* `waiting`: for a lock counts too. It has changed nothing yet, but may have a chunk to free in hand. */
static bool is_inside(const struct glibc *g, const struct thread *t, bool waiting)
{
	if (!t->gregs.n)
		return false;
	if (in_code(g, arch_reg(g->arch, t->gregs, g->arch->reg_pc)))
		return true;
	int64_t call = call_of(g, t);
	if (call >= 0 && !arch_is_heap_call(g->arch, (uint64_t)call) && !(waiting && call == g->arch->call_futex))
		return false;
	return returns_to_code(g, t, STACK_WORDS);
}

/* A core's first thread is the one that the signal killed (fs/binfmt_elf.c, fill_note_info). */
static bool died_inside(const struct glibc *g, const struct thread *t)
{
	if (t->signal == SIGSEGV || t->signal == SIGBUS)
		return is_inside(g, t, false);
	int64_t call = call_of(g, t);
	bool raised = call >= 0 && (call == g->arch->raise_calls[0] || call == g->arch->raise_calls[1]);
	return t->signal == SIGABRT && raised && returns_to_code(g, t, ABORT_WORDS);
}

bool glibc_who_is_inside(struct glibc *g, struct module *libc)
{
	const struct picture *p = image_picture(g->img);
	if (!glibc_code(g->ms, libc, &g->plan))
		return false;
	g->transit_expected = !p->quiet;
	/* Registers of another word size were not judged in the stop. */
	if (p->stopped_seconds >= 0 && g->w == sizeof(void *))
		return true;
	for (size_t i = 0; i < p->threads.n; i++) {
		if (!i && died_inside(g, &p->threads.at[i]))
			g->died_inside = true;
		else
			g->transit_expected |= is_inside(g, &p->threads.at[i], false);
	}
	return true;
}

/* malloc_consolidate() and others take a whole fastbin off its arena and go along its links. */
static void take_chain(struct glibc *g, const struct chunk_sink *sink, uint64_t chunk, uint64_t size)
{
	uint64_t next, next_size;
	enum block_state state;
	for (unsigned n = 0; n < CHAIN_MOST && image_word(g->img, chunk + g->header, &next); n++) {
		chunk = glibc_reveal(g, chunk + g->header, next);
		if (!sink->get(sink->ctx, chunk, &next_size, &state) || state != BLOCK_USED || next_size != size ||
		    !sink->listed(sink->ctx, chunk, size, BLOCK_IN_TRANSIT))
			return;
	}
}

/* Only malloc points at chunks, or at the mapping of one: programs point at what is behind their headers. */
static void take_in_hand(struct glibc *g, const struct chunk_sink *sink, uint64_t word)
{
	const struct segment *s = glibc_segment_at(g->alloc, word);
	uint64_t size;
	enum block_state state;
	if (!s)
		return;
	if (s->arena == ARENA_MMAP && word == s->header_from)
		word = s->start;
	if (!sink->get(sink->ctx, word, &size, &state) || !block_state_is_used(state) ||
	    !sink->listed(sink->ctx, word, size, BLOCK_IN_TRANSIT))
		return;
	if (state == BLOCK_USED && size <= (uint64_t)(g->l->arena.n_fastbins + 1) * 2 * g->w)
		take_chain(g, sink, word, size);
}

void glibc_in_hand(struct glibc *g, const struct chunk_sink *sink)
{
	const struct picture *p = image_picture(g->img);
	const struct arch *a = g->arch;
	uint64_t word;
	/* Without symbols it is not known who is inside. */
	bool known = g->plan.code.n;
	for (size_t i = 0; i < p->threads.n && !interrupted; i++) {
		const struct thread *t = &p->threads.at[i];
		if (!t->gregs.n || (known && !is_inside(g, t, true)))
			continue;
		for (size_t off = 0; span_word(t->gregs, off, a->word, a->big, &word); off += a->word)
			take_in_hand(g, sink, word);
		uint64_t sp = arch_reg(a, t->gregs, a->reg_sp) - a->red_zone;
		for (unsigned k = 0; k < HAND_WORDS && image_word(g->img, sp + k * g->w, &word); k++)
			take_in_hand(g, sink, word);
	}
}

static const struct arena *arena_of(const struct glibc *g, uint64_t address)
{
	const struct segment *s = glibc_segment_at(g->alloc, address);
	if (s)
		return s->arena >= 0 ? &g->alloc->arenas.at[s->arena] : NULL;
	for (size_t i = 0; i < g->alloc->arenas.n; i++)
		if (address - g->alloc->arenas.at[i].address < g->l->arena.size)
			return &g->alloc->arenas.at[i];
	return NULL;
}

/* With threads, who changes an arena holds its lock; a process that has one takes none (malloc/malloc.c: SINGLE_THREAD_P). */
static bool is_doubtful(const struct glibc *g, const struct finding *f)
{
	const struct arena *a = arena_of(g, f->address);
	if (a)
		return a->mutex || image_picture(g->img)->threads.n <= 1;
	return !strcmp(f->kind, "bad-mmapped") || !strcmp(f->kind, "mmap-count");
}

void glibc_drop_doubtful(struct glibc *g)
{
	struct findings *f = &g->alloc->findings;
	size_t keep = 0, all = f->list.n;
	if (!g->transit_expected)
		return;
	for (size_t i = 0; i < all; i++) {
		struct finding now = f->list.at[i];
		if (is_doubtful(g, &now)) {
			free(now.text);
			f->list.at[i].text = NULL;
		} else {
			f->list.at[i] = f->list.at[keep];
			f->list.at[keep++] = now;
		}
	}
	f->list.n = keep;
}
