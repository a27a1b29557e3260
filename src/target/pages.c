/* Residency by PAGEMAP_SCAN (Linux 6.7, Documentation/admin-guide/mm/pagemap.rst), else by reading pagemap.
 *
 * Only present pages are taken: reading an absent one makes it resident, reading a swapped one swaps it in, and a missing
 * userfaultfd page would hang the reader. Anonymous pages of private mappings and pages of shared memory are copied; a page
 * that equals its file is not. */
#include "pages.h"
#include "flotsam/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef PAGEMAP_SCAN /* linux/fs.h before 6.7 */
struct page_region { uint64_t start, end, categories; };
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif
enum { SCAN_FILE = 1 << 2, SCAN_PRESENT = 1 << 3, SCAN_SWAPPED = 1 << 4, SCAN_ZERO = 1 << 5, SCAN_HUGE = 1 << 6 };
enum { BUFFER = 1 << 16 };

int pages_open(struct pages *p, pid_t pid, pid_t tid, const struct holder_plan *plan)
{
	char path[96];
	*p = (struct pages){ .plan = plan, .maps_fd = -1, .pagemap_fd = -1, .mem_fd = -1, .page = (uint64_t)sysconf(_SC_PAGESIZE) };
	snprintf(path, sizeof path, "/proc/%d/task/%d/maps", (int)pid, (int)tid);
	p->maps_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->maps_fd < 0)
		return errno;
	snprintf(path, sizeof path, "/proc/%d/task/%d/pagemap", (int)pid, (int)tid);
	p->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/%d/task/%d/mem", (int)pid, (int)tid);
	p->mem_fd = open(path, O_RDONLY | O_CLOEXEC);
	p->buffer = malloc(BUFFER * sizeof *p->buffer);
	return p->buffer ? 0 : ENOMEM;
}

bool pages_make_room(struct pages *p, size_t maps_cap, size_t runs_cap, size_t extents_cap)
{
	free(p->maps);
	free(p->runs);
	free(p->extents);
	p->maps = malloc(maps_cap);
	p->runs = malloc(runs_cap * sizeof *p->runs);
	p->extents = malloc(extents_cap * sizeof *p->extents);
	p->maps_cap = maps_cap;
	p->runs_cap = runs_cap;
	p->extents_cap = extents_cap;
	if (!p->maps || !p->runs || !p->extents)
		return false;
	/* Touched now, not in the stop. */
	memset(p->maps, 0, maps_cap);
	memset(p->runs, 0, runs_cap * sizeof *p->runs);
	memset(p->extents, 0, extents_cap * sizeof *p->extents);
	return true;
}

static void read_maps(struct pages *p)
{
	p->maps_n = 0;
	lseek(p->maps_fd, 0, SEEK_SET);
	for (;;) {
		if (p->maps_n == p->maps_cap) {
			p->too_small = true;
			return;
		}
		ssize_t n = read(p->maps_fd, p->maps + p->maps_n, p->maps_cap - p->maps_n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p->maps_n += (size_t)n;
	}
}

static bool starts(const struct maps_line *m, const char *head)
{
	size_t n = strlen(head);
	return m->path_n >= n && !memcmp(m->path, head, n);
}

static bool is_memory_file(const struct maps_line *m)
{
	return starts(m, "/dev/shm/") || starts(m, "/dev/zero") || starts(m, "/memfd:") || starts(m, "/SYSV") || starts(m, "/anon_hugepage");
}

static bool is_device(const struct pages *p, const struct maps_line *m)
{
	if (starts(m, "/dev/") && !is_memory_file(m))
		return true;
	const uint64_t *skip = p->plan->words + p->plan->n_mutexes + 2 * p->plan->n_code;
	for (uint64_t i = 0; i < p->plan->n_skip; i++)
		if (m->start < skip[2 * i + 1] && m->end > skip[2 * i])
			return true;
	return false;
}

enum what { NOTHING, ANONYMOUS_PAGES, ALL_PAGES };

/* What of a mapping is copied. */
static enum what wanted(struct pages *p, const struct maps_line *m, bool device)
{
	if (device || starts(m, "[v"))
		return NOTHING;
	if (!m->shared)
		return ANONYMOUS_PAGES;
	bool disk = m->inode && !is_memory_file(m);
	if (disk && !(p->plan->flags & PLAN_SCAN_SHARED))
		return NOTHING;
	return m->r ? ALL_PAGES : NOTHING;
}

static void add_extent(struct pages *p, uint64_t start, uint64_t end)
{
	struct table_extent *last = p->extents_n ? &p->extents[p->extents_n - 1] : NULL;
	if (last && last->address + last->bytes == start) {
		last->bytes += end - start;
	} else if (p->extents_n == p->extents_cap) {
		p->too_small = true;
		return;
	} else {
		p->extents[p->extents_n++] = (struct table_extent){ start, end - start, p->data_bytes };
	}
	p->data_bytes += end - start;
}

static void add_run(struct pages *p, const struct maps_line *m, enum what what, uint64_t start, uint64_t end, uint64_t flags)
{
	if (p->runs_n == p->runs_cap) {
		p->too_small = true;
		return;
	}
	p->runs[p->runs_n++] = (struct table_run){ start, end, flags };
	bool take = flags & PAGE_PRESENT && !(flags & PAGE_ZERO) && (what == ALL_PAGES || (what == ANONYMOUS_PAGES && !(flags & PAGE_FILE)));
	if (take)
		add_extent(p, start, end);
	else if (flags & PAGE_SWAPPED && what == ANONYMOUS_PAGES && m->w)
		p->swapped_bytes += end - start;
	else if (flags & PAGE_PRESENT && m->shared && what == NOTHING)
		p->shared_file_bytes += end - start;
}

static uint64_t run_flags(uint64_t c)
{
	return (c & SCAN_PRESENT ? PAGE_PRESENT : 0) | (c & SCAN_SWAPPED ? PAGE_SWAPPED : 0) | (c & SCAN_FILE ? PAGE_FILE : 0) |
	       (c & SCAN_ZERO ? PAGE_ZERO : 0) | (c & SCAN_HUGE ? PAGE_HUGE : 0);
}

static bool scan_by_ioctl(struct pages *p, const struct maps_line *m, enum what what)
{
	struct page_region out[512];
	uint64_t at = m->start;
	while (at < m->end) {
		struct pm_scan_arg arg = { .size = sizeof arg, .start = at, .end = m->end, .vec = (uintptr_t)out, .vec_len = 512,
					   .category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
					   .return_mask = SCAN_PRESENT | SCAN_SWAPPED | SCAN_FILE | SCAN_ZERO | SCAN_HUGE };
		int n = ioctl(p->pagemap_fd, PAGEMAP_SCAN, &arg);
		if (n < 0)
			return false;
		for (int i = 0; i < n; i++)
			add_run(p, m, what, out[i].start, out[i].end, run_flags(out[i].categories));
		if (arg.walk_end <= at)
			break;
		at = arg.walk_end;
	}
	return true;
}

/* pagemap entry: bit 63 present, 62 swapped, 61 file or shared anonymous; the zero page cannot be told from here. */
static void scan_by_entries(struct pages *p, const struct maps_line *m, enum what what)
{
	uint64_t run_start = 0, run = 0;
	for (uint64_t at = m->start; at < m->end;) {
		uint64_t n = (m->end - at) / p->page;
		n = n < BUFFER ? n : BUFFER;
		ssize_t got = pread(p->pagemap_fd, p->buffer, n * 8, (off_t)(at / p->page * 8));
		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got / 8; i++, at += p->page) {
			uint64_t e = p->buffer[i];
			uint64_t flags = (e >> 63 ? PAGE_PRESENT : 0) | (e >> 62 & 1 ? PAGE_SWAPPED : 0) | (e >> 61 & 1 ? PAGE_FILE : 0);
			if (!(flags & (PAGE_PRESENT | PAGE_SWAPPED)))
				flags = 0;
			if (flags == run)
				continue;
			if (run)
				add_run(p, m, what, run_start, at, run);
			run = flags;
			run_start = at;
		}
	}
	if (run)
		add_run(p, m, what, run_start, m->end, run);
}

void pages_scan(struct pages *p)
{
	p->runs_n = p->extents_n = 0;
	p->data_bytes = p->swapped_bytes = p->shared_file_bytes = p->device_bytes = 0;
	p->too_small = false;
	read_maps(p);
	const char *text = p->maps;
	size_t n = p->maps_n;
	struct maps_line m;
	while (!p->too_small && system_maps_next(&text, &n, &m, NULL)) {
		if (m.start >> 63)
			continue; /* vsyscall: no memory of the process, and EFAULT to whoever asks for its pages */
		bool device = is_device(p, &m);
		enum what what = wanted(p, &m, device);
		if (device)
			p->device_bytes += m.end - m.start;
		if (p->pagemap_fd < 0) {
			/* No residency: private writable memory as a whole. */
			if (what != NOTHING && m.w && m.r)
				add_extent(p, m.start, m.end);
			continue;
		}
		if (!p->no_scan && !scan_by_ioctl(p, &m, what))
			p->no_scan = true;
		if (p->no_scan)
			scan_by_entries(p, &m, what);
	}
}

void pages_close(struct pages *p)
{
	if (p->maps_fd >= 0)
		close(p->maps_fd);
	if (p->pagemap_fd >= 0)
		close(p->pagemap_fd);
	if (p->mem_fd >= 0)
		close(p->mem_fd);
	free(p->maps);
	free(p->runs);
	free(p->extents);
	free(p->buffer);
}
