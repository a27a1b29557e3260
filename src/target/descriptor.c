/* Thread pointers of a core that does not tell them: gdb writes no NT_386_TLS, qemu-user no NT_ARM_TLS. glibc's thread
 * descriptors are found by what they say of themselves, and belong to the thread whose id they hold (nptl/descr.h: tid). */
#include "core.h"

enum {
	TCB_ALIGN = 64, /* nptl/descr.h: TCB_ALIGNMENT; where the thread pointer has it the descriptor's start may not */
	LEAST_DESCRIPTOR = 0x400, MOST_DESCRIPTOR = 0x2000, DESCRIPTOR_STEP = 16,
	MOST_STATIC_TLS = 1 << 20, MOST_MODULES = 1 << 16,
	MOST_COMPARISONS = 1 << 28, /* of descriptors with threads: a core may be made of descriptors */
};

struct found { size_t thread; uint64_t at; };
struct search { struct picture *p; uint64_t left; VEC(struct found) found; };

static struct span extent_span(const struct extent *e)
{
	return (struct span){ e->data, e->bytes };
}

static uint64_t word_at(const struct picture *p, uint64_t address)
{
	size_t lo = 0, hi = p->extents.n;
	uint64_t v = 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (p->extents.at[mid].address <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo)
		span_word(extent_span(&p->extents.at[lo - 1]), address - p->extents.at[lo - 1].address, p->arch->word, p->arch->big, &v);
	return v;
}

/* On x86 the descriptor keeps its own address as its first and third word (sysdeps/i386/nptl/tls.h: tcb, self). Elsewhere it is
 * the list of robust mutexes that begins with its own address, as long as the thread holds none (nptl/descr.h: robust_head). */
static bool says_so(const struct arch *a, struct span s, uint64_t offset, uint64_t at)
{
	uint64_t first = 0, second = 0;
	if (!a->tls_below_tp)
		return span_word(s, offset + a->descriptor_robust, a->word, a->big, &first) && first == at + a->descriptor_robust;
	return span_word(s, offset, a->word, a->big, &first) && first == at && span_word(s, offset + 2 * a->word, a->word, a->big, &second) && second == at;
}

static bool take_descriptor(struct search *s, const struct extent *e, uint64_t offset)
{
	const struct arch *a = s->p->arch;
	uint32_t tid = 0;
	if (!span_u32(extent_span(e), offset + (a->tls_below_tp ? a->tid_slot : a->descriptor_tid), a->big, &tid))
		return true;
	if (s->left < s->p->threads.n)
		return false;
	s->left -= s->p->threads.n;
	for (size_t i = 0; i < s->p->threads.n; i++) {
		if (s->p->threads.at[i].tp || s->p->threads.at[i].tid != (pid_t)tid)
			continue;
		struct found *f = s->found.n < LIMIT_THREADS ? vec_push(&s->found) : NULL;
		if (!f)
			return false;
		*f = (struct found){ i, e->address + offset };
	}
	return true;
}

static void search_extent(struct search *s, const struct extent *e)
{
	uint64_t step = s->p->arch->tls_below_tp ? TCB_ALIGN : DESCRIPTOR_STEP;
	for (uint64_t off = align_up(e->address, step) - e->address; off < e->bytes; off += step)
		if (says_so(s->p->arch, extent_span(e), off, e->address + off) && !take_descriptor(s, e, off))
			return;
}

/* At the thread pointer stands the dtv: in front of it its length, then a generation, then the modules' blocks, of which one of
 * the first lies right behind (elf/dl-tls.c: _dl_allocate_tls_init). */
static bool is_thread_pointer(const struct picture *p, uint64_t tp)
{
	unsigned w = p->arch->word;
	uint64_t dtv = word_at(p, tp + p->arch->dtv_slot), length = dtv && dtv % w == 0 ? word_at(p, dtv - 2 * w) : 0;
	if (!length || length > MOST_MODULES || word_at(p, dtv) > MOST_MODULES)
		return false;
	for (uint64_t i = 1; i <= 4 && i <= length; i++) {
		uint64_t block = word_at(p, dtv + 2 * i * w);
		if (block >= tp + 2 * w && block - tp < MOST_STATIC_TLS)
			return true;
	}
	return false;
}

/* The size of struct pthread differs from release to release; it is the one with which each descriptor ends at a thread pointer. */
static uint64_t descriptor_bytes(const struct search *s)
{
	for (uint64_t n = LEAST_DESCRIPTOR; n < MOST_DESCRIPTOR && s->found.n; n += DESCRIPTOR_STEP) {
		size_t fits = 0;
		while (fits < s->found.n && is_thread_pointer(s->p, s->found.at[fits].at + n))
			fits++;
		if (fits == s->found.n)
			return n;
	}
	return 0;
}

/* A static program of glibc 2.31 without threads has no more than a dtv, and the list of robust mutexes is none yet: the one
 * place in memory that looks like a thread pointer. */
static void find_only_thread(struct picture *p)
{
	uint64_t only = 0;
	size_t n = 0;
	for (size_t i = 0; i < p->extents.n && n < 2; i++) {
		const struct extent *e = &p->extents.at[i];
		const struct mapping *m = picture_mapping(p, e->address);
		for (uint64_t off = align_up(e->address, 16) - e->address; m && m->prot & PROT_W && !m->inode && off < e->bytes && n < 2; off += 16)
			if (is_thread_pointer(p, e->address + off)) {
				only = e->address + off;
				n++;
			}
	}
	if (n == 1)
		p->threads.at[0].tp = only;
}

void core_find_descriptors(struct picture *p)
{
	const struct arch *a = p->arch;
	struct search s = { .p = p, .left = MOST_COMPARISONS };
	size_t without = 0;
	for (size_t i = 0; i < p->threads.n; i++)
		without += !p->threads.at[i].tp;
	for (size_t i = 0; i < p->extents.n && without && (a->tls_below_tp ? a->tid_slot : a->descriptor_tid); i++) {
		const struct mapping *m = picture_mapping(p, p->extents.at[i].address);
		if (m && m->prot & PROT_W && !m->inode)
			search_extent(&s, &p->extents.at[i]);
	}
	uint64_t bytes = a->tls_below_tp ? 0 : descriptor_bytes(&s);
	for (size_t i = 0; i < s.found.n && (bytes || a->tls_below_tp); i++)
		p->threads.at[s.found.at[i].thread].tp = s.found.at[i].at + bytes;
	if (!s.found.n && !a->tls_below_tp && p->threads.n == 1 && without)
		find_only_thread(p);
	vec_free(&s.found);
}
