/* Threads: where each one's stack, TLS block and descriptor lie, which stacks are dead, and which blocks libc owns.
 *
 * glibc puts static TLS and struct pthread at the top of a thread's stack mapping (nptl/allocatestack.c); the main thread's
 * come from ld.so's own memory. A finished thread's stack stays cached with its stale content: it is no root. */
#include "runtime.h"

enum { MOST_TLS = 1 << 20 };

static uint64_t word_at(const struct finder *f, uint64_t address)
{
	uint64_t v = 0;
	image_word(f->img, address, &v);
	return v;
}

static bool add_extent(struct finder *f, struct runtime_extent e)
{
	if (e.start >= e.end)
		return true;
	struct runtime_extent *slot = vec_push(&f->r->extents);
	if (slot)
		*slot = e;
	return slot;
}

/* Bytes of static TLS below the thread pointer, or above it, from the modules' own offsets; at least the program's. */
static uint64_t static_tls(struct finder *f)
{
	uint64_t most = 0;
	bool below = f->arch->tls_below_tp;
	for (size_t i = 0; i < modules_count(f->ms); i++) {
		struct module *m = modules_get(f->ms, i);
		uint64_t offset;
		if (!m->tls_bytes)
			continue;
		bool known = modules_tls_offset(f->ms, m, &offset);
		if (known && below && (int64_t)offset < 0 && -offset > most && -offset < MOST_TLS)
			most = -offset;
		if (known && !below && offset < MOST_TLS && m->tls_bytes < MOST_TLS && offset + m->tls_bytes > most)
			most = offset + m->tls_bytes;
		uint64_t own = align_up(m->tls_bytes, m->tls_align ? m->tls_align : 1) + (below ? 0 : 2u * f->arch->word);
		if (m->role == MODULE_PROGRAM && own > most && own < MOST_TLS)
			most = own;
	}
	return align_up(most, 64);
}

/* struct pthread's size is not known from outside; its mapping's end is what limits it. */
enum { DESCRIPTOR_AT_LEAST = 0x700, DESCRIPTOR_AT_MOST = 0x2000, STACK_AT_LEAST = 16384 /* PTHREAD_STACK_MIN */ };

/* How much of struct pthread lies in front of the thread pointer: libc tells its debuggers all of its size (nptl_db/structs.def:
 * _thread_db_sizeof_pthread). Where it does not, a descriptor begins where its list of robust mutexes is empty. */
static uint64_t descriptor_bytes(const struct finder *f)
{
	static const enum module_role roles[] = { MODULE_LIBC, MODULE_LIBPTHREAD };
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
		struct module *m = modules_by_role(f->ms, roles[i]);
		struct symbol s;
		uint32_t bytes = 0;
		if (m && modules_symbol(f->ms, m, "_thread_db_sizeof_pthread", &s) && image_u32(f->img, s.address, &bytes) && bytes < DESCRIPTOR_AT_MOST)
			return align_up(bytes, 16);
	}
	for (size_t i = 0; i < f->p->threads.n; i++) {
		uint64_t tp = f->p->threads.at[i].tp;
		for (uint64_t n = 0x400; tp && n < DESCRIPTOR_AT_MOST; n += 16)
			if (word_at(f, tp - n + f->arch->descriptor_robust) == tp - n + f->arch->descriptor_robust)
				return n;
	}
	return DESCRIPTOR_AT_LEAST;
}

static bool is_main_stack(const struct mapping *m)
{
	return !strcmp(m->path, "[stack]");
}

/* Stack pointer below the red zone: from here on a stack is live. */
static uint64_t live_from(const struct finder *f, const struct thread *t)
{
	uint64_t sp = arch_reg(f->arch, t->gregs, f->arch->reg_sp);
	return sp > f->arch->red_zone ? sp - f->arch->red_zone : 0;
}

/* The end of what lies above a stack in the same mapping: another thread's descriptor may follow directly. */
static bool add_stack(struct finder *f, uint64_t start, uint64_t end, uint64_t live, uint64_t tp, int thread)
{
	uint64_t tls = tp > start && tp < end ? tp - f->tls_below : end;
	if (tls < live || tls > end)
		tls = end;
	return add_extent(f, (struct runtime_extent){ start, tls, live, EXTENT_STACK, thread }) &&
	       add_extent(f, (struct runtime_extent){ tls, end, 0, EXTENT_TLS, thread });
}

static uint64_t end_above(const struct finder *f, const struct mapping *m, uint64_t tp, uint64_t limit, uint64_t start)
{
	uint64_t end = align_up(tp + f->tls_above, f->p->page);
	return tp >= m->start && tp < limit && end > start && end <= limit ? end : start;
}

/* Where in a mapping the stack that ends at or holds `limit` begins: behind the nearest descriptor below it, be its thread alive
 * or not. From glibc 2.42 on stacks lie side by side in one mapping. */
static uint64_t stack_start(const struct finder *f, const struct mapping *m, uint64_t limit)
{
	uint64_t start = m->start;
	for (size_t i = 0; i < f->p->threads.n; i++)
		start = end_above(f, m, f->p->threads.at[i].tp, limit, start);
	for (size_t i = 0; i < f->r->dead_threads.n; i++)
		start = end_above(f, m, f->r->dead_threads.at[i], limit, start);
	return start;
}

static uint64_t stack_end(const struct finder *f, const struct mapping *m, uint64_t tp)
{
	if (tp < m->start || tp >= m->end)
		return m->end;
	uint64_t end = align_up(tp + f->tls_above, f->p->page);
	return end < m->end ? end : m->end;
}

static const struct mapping *main_stack(const struct finder *f)
{
	for (size_t i = 0; i < f->p->maps.n; i++)
		if (is_main_stack(&f->p->maps.at[i]))
			return &f->p->maps.at[i];
	return NULL;
}

/* A coroutine, a signal stack: what holds SP is a stack from SP on where it is a block (the graph knows blocks, see
 * graph/roots.c), and the thread's own stack counts whole. */
static bool add_left_stack(struct finder *f, size_t i, const struct mapping *own)
{
	const struct thread *t = &f->p->threads.at[i];
	f->r->threads.at[i].sp_elsewhere = true;
	if (t->tid == f->main_tid) {
		const struct mapping *m = main_stack(f);
		return !m || add_extent(f, (struct runtime_extent){ m->start, m->end, m->start, EXTENT_STACK, (int)i });
	}
	if (!own)
		return true;
	uint64_t start = stack_start(f, own, t->tp);
	return add_stack(f, start, stack_end(f, own, t->tp), start, t->tp, (int)i);
}

/* The thread's own stack, and whether SP is on it. */
static bool thread_extents(struct finder *f, size_t i)
{
	const struct thread *t = &f->p->threads.at[i];
	struct runtime_thread *rt = &f->r->threads.at[i];
	rt->tp = t->tp;
	if (t->tp)
		rt->dtv = word_at(f, t->tp + f->arch->dtv_slot);
	if (!t->gregs.n)
		return true; /* not stopped: all of its stack counts as live */
	uint64_t sp = arch_reg(f->arch, t->gregs, f->arch->reg_sp);
	const struct mapping *m = picture_mapping(f->p, sp), *own = t->tp ? picture_mapping(f->p, t->tp) : NULL;
	if (!m)
		return true;
	rt->live_from = live_from(f, t);
	if (is_main_stack(m)) {
		rt->stack_start = m->start;
		rt->stack_end = m->end;
		return add_extent(f, (struct runtime_extent){ m->start, m->end, rt->live_from, EXTENT_STACK, (int)i });
	}
	/* The first thread's descriptor is no part of its stack, though the kernel may have merged the mappings. */
	if (own == m && t->tp > sp && (t->tid != f->main_tid || !main_stack(f))) {
		rt->stack_start = stack_start(f, m, sp);
		rt->stack_end = stack_end(f, m, t->tp);
		return add_stack(f, rt->stack_start, rt->stack_end, rt->live_from, t->tp, (int)i);
	}
	return add_left_stack(f, i, own);
}

/* Offset of struct pthread's tid: libc tells its debuggers (nptl_db/structs.def: _thread_db_pthread_tid, three words of 32
 * bits: bits, elements, offset). Where it does not, a live thread's descriptor holds the number that the kernel knows. */
static uint64_t tid_offset(const struct finder *f)
{
	static const enum module_role roles[] = { MODULE_LIBC, MODULE_LIBPTHREAD };
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
		struct module *m = modules_by_role(f->ms, roles[i]);
		struct symbol s;
		uint32_t off = 0;
		if (m && modules_symbol(f->ms, m, "_thread_db_pthread_tid", &s) && image_u32(f->img, s.address + 8, &off) &&
		    off >= 0x60 && off < DESCRIPTOR_AT_LEAST)
			return off;
	}
	if (!f->arch->tls_below_tp)
		return f->arch->descriptor_tid;
	for (size_t i = 0; i < f->p->threads.n; i++) {
		const struct thread *t = &f->p->threads.at[i];
		uint32_t v;
		for (uint64_t off = 0x60; t->tp && off < DESCRIPTOR_AT_LEAST; off += 4)
			if (image_u32(f->img, t->tp + off, &v) && v == (uint32_t)t->tid)
				return off;
	}
	return 0;
}

static bool known_descriptor(const struct finder *f, uint64_t tp)
{
	for (size_t i = 0; i < f->p->threads.n; i++)
		if (f->p->threads.at[i].tp == tp)
			return true;
	return false;
}

/* Each descriptor is compared with each thread: a core may be made of descriptors. */
enum { MOST_DEAD = 16384, MOST_COMPARISONS = 1 << 28 };
struct dead_scan { struct finder *f; uint64_t tid_at, left; bool failed; };

/* By what the descriptors of living threads say themselves: in another pid namespace the kernel's numbers are others. */
static bool tid_lives(const struct dead_scan *d, uint32_t tid)
{
	const struct picture *p = d->f->p;
	uint32_t v;
	for (size_t i = 0; i < p->threads.n; i++) {
		const struct thread *t = &p->threads.at[i];
		if (t->tp ? image_u32(d->f->img, t->tp - d->f->descriptor + d->tid_at, &v) && v == tid : t->tid == (pid_t)tid)
			return true;
	}
	return false;
}

/* What a thread descriptor at this address says of itself: on x86 its own address twice (sysdeps/x86_64/nptl/tls.h: tcb and
 * self), elsewhere an empty list of robust mutexes (nptl/descr.h: robust_head). */
static bool is_descriptor(const struct finder *f, uint64_t at)
{
	unsigned w = f->arch->word, robust = f->arch->descriptor_robust;
	return f->arch->tls_below_tp ? word_at(f, at) == at && word_at(f, at + 2 * w) == at : word_at(f, at + robust) == at + robust;
}

/* Up to 2.42 the kernel clears a thread's tid when it ends (set_tid_address), joining writes -1 (nptl/pthread_join_common.c);
 * 2.43 has the kernel clear joinstate and leaves the tid as it was. */
static bool is_dead_descriptor(const struct dead_scan *d, uint64_t at)
{
	const struct finder *f = d->f;
	uint32_t tid;
	if (!is_descriptor(f, at) || known_descriptor(f, at + f->descriptor))
		return false;
	uint64_t dtv = word_at(f, at + f->descriptor + f->arch->dtv_slot);
	return dtv && dtv % f->arch->word == 0 && image_u32(f->img, at + d->tid_at, &tid) && ((int32_t)tid <= 0 || !tid_lives(d, tid));
}

static bool add_dead(struct finder *f, uint64_t tp)
{
	struct runtime_block *b = vec_push(&f->r->blocks);
	uint64_t *dead = vec_push(&f->r->dead_threads);
	if (!b || !dead)
		return false;
	*b = (struct runtime_block){ word_at(f, tp + f->arch->dtv_slot), "dtv" };
	*dead = tp;
	return true;
}

static bool scan_for_dead(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct dead_scan *d = ctx;
	unsigned w = d->f->arch->word, robust = d->f->arch->descriptor_robust;
	/* Descriptors are aligned to 64 bytes (TCB_ALIGNMENT), or end at an address that is. */
	uint64_t step = d->f->arch->tls_below_tp ? 64 : 16;
	for (uint64_t at = align_up(address, step); at + robust + w <= address + n; at += step) {
		uint64_t self;
		if (!span_word((struct span){ data, n }, at + robust - address, w, d->f->arch->big, &self) || self != at + robust)
			continue;
		if (d->left < d->f->p->threads.n || d->f->r->dead_threads.n >= MOST_DEAD)
			return false;
		d->left -= d->f->p->threads.n;
		if (is_dead_descriptor(d, at) && !add_dead(d->f, at + d->f->descriptor))
			return !(d->failed = true);
	}
	return true;
}

/* A static program has its first thread's descriptor in front of the heap (csu/libc-tls.c: _dl_early_allocate). */
enum { EARLY_BYTES = 1 << 20 };

static bool find_dead(struct finder *f)
{
	struct dead_scan d = { .f = f, .tid_at = tid_offset(f), .left = MOST_COMPARISONS };
	if (!d.tid_at)
		return true;
	for (size_t i = 0; i < f->p->maps.n && !d.failed; i++) {
		const struct mapping *m = &f->p->maps.at[i];
		bool heap = !strcmp(m->path, "[heap]");
		if (m->shared || m->inode || !(m->prot & PROT_W) || (m->path[0] == '[' && !heap) || m->device)
			continue;
		uint64_t end = heap && m->end - m->start > EARLY_BYTES ? m->start + EARLY_BYTES : m->end;
		image_each_window(f->img, m->start, end, scan_for_dead, &d);
	}
	return !d.failed;
}

static bool dead_stacks(struct finder *f)
{
	for (size_t i = 0; i < f->r->dead_threads.n; i++) {
		uint64_t tp = f->r->dead_threads.at[i], tls = tp - f->tls_below;
		const struct mapping *m = picture_mapping(f->p, tls);
		uint64_t start = m ? stack_start(f, m, tls) : tls;
		/* The first thread's descriptor, left by pthread_exit(), has no stack in front but memory of ld.so's. */
		if (tls >= start + STACK_AT_LEAST && !add_extent(f, (struct runtime_extent){ start, tp - f->descriptor, 0, EXTENT_STACK_DEAD, -1 }))
			return false;
	}
	return true;
}

static bool live_dtvs(struct finder *f)
{
	for (size_t i = 0; i < f->r->threads.n; i++) {
		uint64_t dtv = f->r->threads.at[i].dtv;
		if (!dtv || dtv % f->arch->word)
			continue;
		/* The slot points at element 1's pair: the block starts two words before (elf/dl-tls.c: dtv[-1] is its length). */
		struct runtime_block *b = vec_push(&f->r->blocks);
		if (!b)
			return false;
		*b = (struct runtime_block){ dtv - 2 * f->arch->word, "dtv" };
	}
	return true;
}

static int compare_extents(const void *a, const void *b)
{
	const struct runtime_extent *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* Extents must not overlap: the first to claim an address keeps it. */
static void sort_extents(struct runtime *r)
{
	size_t keep = 0;
	if (r->extents.n)
		qsort(r->extents.at, r->extents.n, sizeof *r->extents.at, compare_extents);
	for (size_t i = 0; i < r->extents.n; i++) {
		struct runtime_extent e = r->extents.at[i];
		if (keep && e.start < r->extents.at[keep - 1].end)
			e.start = r->extents.at[keep - 1].end;
		if (e.start < e.end)
			r->extents.at[keep++] = e;
	}
	r->extents.n = keep;
}

static void find_guard(struct finder *f)
{
	for (size_t i = 0; i < f->p->threads.n && f->arch->guard_slot >= 0; i++) {
		uint64_t tp = f->p->threads.at[i].tp;
		if (tp && image_word(f->img, tp + (uint64_t)f->arch->guard_slot, &f->r->guard))
			f->r->have_guard = true;
	}
	struct symbol s;
	struct module *ldso = modules_by_role(f->ms, MODULE_LDSO);
	if (f->arch->guard_slot < 0 && ldso && modules_symbol(f->ms, ldso, "__pointer_chk_guard", &s))
		f->r->have_guard = image_word(f->img, s.address, &f->r->guard);
}

/* The process's first thread has the process's id, which need not be the lowest: ids begin anew. Without it the lowest of those that
 * are left stands for it. */
static pid_t main_thread_id(const struct finder *f, pid_t pid)
{
	const struct thread *t = f->p->threads.at;
	pid_t least = t[0].tid;
	for (size_t i = 0; i < f->p->threads.n; i++) {
		if (t[i].tid == pid)
			return pid;
		if (t[i].tid < least)
			least = t[i].tid;
	}
	return least;
}

struct err *runtime_find(struct image *img, struct modules *ms, pid_t pid, struct runtime **ret)
{
	struct runtime *r = calloc(1, sizeof *r);
	if (!r)
		return err_nomem();
	struct finder f = { .r = r, .img = img, .ms = ms, .p = image_picture(img), .arch = image_arch(img) };
	f.main_tid = f.p->threads.n ? main_thread_id(&f, pid) : 0;
	bool ok = vec_reserve(&r->threads, f.p->threads.n + 1);
	f.descriptor = f.arch->tls_below_tp ? 0 : descriptor_bytes(&f);
	f.tls_below = f.arch->tls_below_tp ? static_tls(&f) : f.descriptor;
	f.tls_above = f.arch->tls_below_tp ? DESCRIPTOR_AT_LEAST : static_tls(&f);
	ok = ok && find_dead(&f);
	for (size_t i = 0; i < f.p->threads.n && ok; i++) {
		ok = vec_push(&r->threads);
		ok = ok && thread_extents(&f, i);
	}
	ok = ok && live_dtvs(&f) && dead_stacks(&f) && runtime_libc_blocks(&f) && runtime_find_language(&f);
	if (!ok) {
		runtime_free(r);
		return err_nomem();
	}
	sort_extents(r);
	find_guard(&f);
	*ret = r;
	return NULL;
}

void runtime_free(struct runtime *r)
{
	if (!r)
		return;
	vec_free(&r->extents);
	vec_free(&r->threads);
	vec_free(&r->blocks);
	vec_free(&r->dead_threads);
	vec_free(&r->regions);
	free(r);
}

const struct runtime_extent *runtime_extent_at(const struct runtime *r, uint64_t address)
{
	size_t lo = 0, hi = r->extents.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->extents.at[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->extents.n && r->extents.at[lo].start <= address ? &r->extents.at[lo] : NULL;
}

bool runtime_tls_offset(struct modules *ms, const struct arch *a, struct module *m, uint64_t *ret)
{
	uint64_t align = m->tls_align ? m->tls_align : 1;
	if (!m->tls_bytes)
		return false;
	if (m->role != MODULE_PROGRAM)
		return modules_tls_offset(ms, m, ret);
	/* The program's block is the first: below the thread pointer, or behind the two words there (ELF Handling For
	 * Thread-Local Storage, variants II and I). */
	*ret = a->tls_below_tp ? -align_up(m->tls_bytes, align) : align_up(2u * a->word, align);
	return true;
}

bool runtime_thread_variable(struct modules *ms, const struct arch *a, const struct thread *t, struct module *m, uint64_t offset, uint64_t *ret)
{
	uint64_t from;
	if (!t || !t->tp || !runtime_tls_offset(ms, a, m, &from))
		return false;
	*ret = t->tp + from + offset;
	return true;
}
