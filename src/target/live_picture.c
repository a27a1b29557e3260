/* What the holder hands over, as a picture. The holder is trusted no further than its numbers: every offset is checked. */
#include "live.h"
#include "flotsam/system.h"

#include <time.h>

static bool starts(const char *path, const char *head)
{
	return !strncmp(path, head, strlen(head));
}

static bool is_device(const struct live *l, const struct mapping *m)
{
	for (size_t i = 0; i < l->devices.n; i++)
		if (m->start < l->devices.at[i].end && m->end > l->devices.at[i].start)
			return true;
	return starts(m->path, "/dev/") && !starts(m->path, "/dev/shm/") && !starts(m->path, "/dev/zero");
}

struct err *live_read_maps(struct live *l, char *text, size_t n)
{
	struct picture *p = &l->target.picture;
	struct maps_line line;
	size_t bad = 0, left = n;
	const char *at = text;
	p->listed = true;
	free(l->maps);
	l->maps = text;
	while (system_maps_next(&at, &left, &line, &bad) && p->maps.n < LIMIT_MAPPINGS) {
		struct mapping *m = vec_push(&p->maps);
		if (!m)
			return err_nomem();
		*m = (struct mapping){ .start = line.start, .end = line.end, .offset = line.offset, .inode = line.inode,
				       .dev_major = line.dev_major, .dev_minor = line.dev_minor, .shared = line.shared,
				       .deleted = line.deleted };
		m->prot = (uint8_t)((line.r ? PROT_R : 0) | (line.w ? PROT_W : 0) | (line.x ? PROT_X : 0));
		/* The path ends at its newline or at " (deleted)": both are ours to overwrite, and `at` is past them. */
		char *path = text + (line.path - text);
		m->path = "";
		if (line.path_n && path + line.path_n < text + n) {
			path[line.path_n] = '\0';
			m->path = path;
		}
		m->device = is_device(l, m);
	}
	if (bad)
		findings_add(&p->findings, "bad-maps", 0, "%zu lines of /proc/%d/maps were not understood", bad, (int)l->target.pid);
	return NULL;
}

static const void *table(const struct live *l, uint64_t offset, uint64_t n, size_t size)
{
	uint64_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes) || offset > l->tables_n || bytes > l->tables_n - offset)
		return NULL;
	return l->tables + offset;
}

static bool take_threads(struct live *l, const struct table_header *h, const struct table_thread *t)
{
	struct picture *p = &l->target.picture;
	struct span regs = { l->tables + h->regs, h->regs_n };
	for (size_t i = 0; i < h->threads_n; i++, t++) {
		struct thread *to = vec_push(&p->threads);
		if (!to)
			return false;
		to->tid = t->tid;
		to->stopped = t->stopped;
		memcpy(to->comm, t->comm, sizeof to->comm);
		to->comm[sizeof to->comm - 1] = '\0';
		to->gregs = span_sub(regs, t->gregs, t->gregs_n);
		to->fpregs = span_sub(regs, t->fpregs, t->fpregs_n);
		to->tp = p->arch->reg_tp >= 0 ? arch_reg(p->arch, to->gregs, p->arch->reg_tp) : t->tp;
		if (t->stopped)
			continue;
		p->at_most = true;
		findings_add(&p->findings, "thread-left-out", 0,
			     "thread %d did not stop within 200 ms (a parent inside vfork, waiting for a disk, or a second without a processor): its registers are unknown",
			     t->tid);
	}
	return true;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static bool add_extent(struct picture *p, uint64_t from, uint64_t to, const struct table_extent *e, const uint8_t *data)
{
	if (from >= to)
		return true;
	struct extent *x = vec_push(&p->extents);
	if (x)
		*x = (struct extent){ from, to - from, data + e->offset + (from - e->address), false };
	return x;
}

/* Extents, cut where a page could not be read. */
static bool take_extents(struct live *l, const struct table_extent *e, size_t n, uint64_t *bad, size_t bad_n)
{
	struct picture *p = &l->target.picture;
	size_t b = 0;
	if (bad_n)
		qsort(bad, bad_n, sizeof *bad, compare_u64);
	for (size_t i = 0; i < n; i++, e++) {
		uint64_t at = e->address, end = e->address + e->bytes;
		if (e->offset > l->data_n || e->bytes > l->data_n - e->offset || end < at)
			return true;
		while (b < bad_n && bad[b] < at)
			b++;
		for (; b < bad_n && bad[b] < end; b++) {
			if (!add_extent(p, at, bad[b], e, l->data))
				return false;
			at = bad[b] + p->page;
		}
		if (!add_extent(p, at, end, e, l->data))
			return false;
	}
	return true;
}

static void take_books(struct live *l, const struct table_header *h)
{
	struct picture *p = &l->target.picture;
	p->have_pages = h->have_pages;
	p->taken = clock_nanoseconds(CLOCK_REALTIME);
	p->stopped_seconds = (double)h->stopped_ns / 1e9;
	p->copy_seconds = (double)h->copy_ns / 1e9;
	p->stops = (int)h->stops;
	p->quiet = h->quiet;
	uint64_t bad = h->bad_n * p->page;
	p->read_bytes = h->data_bytes - (bad < h->data_bytes ? bad : h->data_bytes);
	picture_skip(p, "device", h->device_bytes, false);
	picture_skip(p, "shared-file", h->shared_file_bytes, true);
	picture_skip(p, "swapped", h->swapped_bytes, true);
	picture_skip(p, "unreadable", bad, true);
	/* Beyond one part in a hundred of what was scanned the list is headed "at most". */
	p->at_most |= (h->swapped_bytes + bad) * 100 > h->data_bytes;
	if (h->swapped_bytes)
		findings_add(&p->findings, "swapped", 0, "not walked: %.1f MiB of the heap is swapped out; --swap reads it back in",
			     (double)h->swapped_bytes / (1 << 20));
	if (h->unswapped_bytes)
		findings_add(&p->findings, "swapped-in", 0, "%.1f MiB were swapped out and have been read back into memory for this look",
			     (double)h->unswapped_bytes / (1 << 20));
	if (!p->have_pages)
		findings_add(&p->findings, "no-pagemap", 0,
			     "attached, but without CAP_DAC_READ_SEARCH, which would add it, /proc/%d/pagemap is closed: no residency, so "
			     "free memory is not split",
			     (int)l->target.pid);
}

struct err *live_read_tables(struct live *l)
{
	struct picture *p = &l->target.picture;
	const struct table_header *h = table(l, 0, 1, sizeof *h);
	if (!h)
		return err_new(ERR_BAD_DATA, "the holder's tables are cut");
	const struct table_thread *threads = table(l, h->threads, h->threads_n, sizeof *threads);
	const struct table_extent *extents = table(l, h->extents, h->extents_n, sizeof *extents);
	const struct table_run *runs = table(l, h->runs, h->runs_n, sizeof *runs);
	const char *maps = table(l, h->maps, h->maps_n, 1);
	const uint64_t *bad = table(l, h->bad, h->bad_n, sizeof *bad);
	if (!threads || !extents || !runs || !maps || !bad || !table(l, h->regs, h->regs_n, 1) || h->threads_n > LIMIT_THREADS)
		return err_new(ERR_BAD_DATA, "the holder's tables are cut");
	char *text = malloc(h->maps_n + 1);
	AUTO_FREE uint64_t *holes = calloc(h->bad_n + 1, sizeof *holes);
	if (!text || !holes || !vec_reserve(&p->pages, h->runs_n + 1)) {
		free(text);
		return err_nomem();
	}
	memcpy(text, maps, h->maps_n);
	TRY(live_read_maps(l, text, h->maps_n));
	memcpy(holes, bad, h->bad_n * sizeof *bad);
	if (!take_threads(l, h, threads) || !take_extents(l, extents, h->extents_n, holes, h->bad_n))
		return err_nomem();
	for (size_t i = 0; i < h->runs_n; i++)
		p->pages.at[p->pages.n++] = (struct page_run){ runs[i].start, runs[i].end, (uint8_t)runs[i].flags };
	take_books(l, h);
	return NULL;
}

struct word_list {
	struct picture *p;
	enum kernel_word_kind kind;
	int fd;
	struct map64 seen;
};

static void on_kernel_word(void *ctx, uint64_t value)
{
	struct word_list *w = ctx;
	uint64_t old;
	if (!value || map64_find(&w->seen, value, &old))
		return;
	map64_put(&w->seen, value, 1);
	struct kernel_word *k = vec_push(&w->p->kernel_words);
	if (k)
		*k = (struct kernel_word){ value, w->kind, w->fd };
}

/* "fd N\n", then what the kernel prints of it, up to the next of these. */
static void read_epoll(struct word_list *w, char *text)
{
	w->kind = KERNEL_EPOLL;
	for (char *next; text; text = next) {
		next = strstr(text, "\nfd ");
		if (next)
			*next++ = '\0';
		w->fd = !strncmp(text, "fd ", 3) ? atoi(text + 3) : -1;
		system_fdinfo_epoll(text, strlen(text), on_kernel_word, w);
	}
}

void live_read_kernel_words(struct live *l, const struct kernel_texts *before, const struct kernel_texts *after)
{
	struct word_list w = { .p = &l->target.picture };
	const struct kernel_texts *both[] = { before, after };
	if (after->epoll && !strncmp(after->epoll, "closed", 6)) {
		w.p->at_most = true;
		findings_add(&w.p->findings, "no-descriptors", 0,
			     "without CAP_DAC_READ_SEARCH, which would add them, /proc/%d/fd is closed: pointers that only an epoll descriptor keeps "
			     "are not seen", (int)l->target.pid);
	}
	for (int i = 0; i < 2; i++) {
		if (both[i]->epoll)
			read_epoll(&w, both[i]->epoll);
		w.kind = KERNEL_TIMER;
		w.fd = -1;
		if (both[i]->timers)
			system_timers(both[i]->timers, both[i]->timers_n, on_kernel_word, &w);
	}
	map64_free(&w.seen);
}
