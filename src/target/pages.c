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
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PAGEMAP_SCAN /* linux/fs.h before 6.7 */
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif
enum { SCAN_FILE = 1 << 2, SCAN_PRESENT = 1 << 3, SCAN_SWAPPED = 1 << 4, SCAN_ZERO = 1 << 5, SCAN_HUGE = 1 << 6, SCAN_GUARD = 1 << 8 };
enum { ENTRIES = 1 << 16 };

/* The kernel writes its answer in place. */
_Static_assert(sizeof(struct table_run) == sizeof(struct page_region), "table_run is page_region");

/* Frame of the zero page, by one of our own: a private page that was only read. Frames are told to CAP_SYS_ADMIN alone. */
static uint64_t find_zero_frame(uint64_t page)
{
	uint64_t entry = 0;
	AUTO_FD int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile uint8_t *p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 0;
	(void)*p;
	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)p / page * 8)) != 8)
		entry = 0;
	munmap((void *)p, page);
	return entry & ((1ull << 55) - 1);
}

int pages_open(struct pages *p, const struct holder *h, pid_t tid, const struct holder_plan *plan)
{
	*p = (struct pages){ .plan = plan, .page = (uint64_t)sysconf(_SC_PAGESIZE) };
	p->maps_fd = holder_proc(h, tid, "maps");
	int os = errno;
	p->pagemap_fd = holder_proc(h, tid, "pagemap");
	p->mem_fd = holder_proc(h, tid, "mem");
	p->zero_frame = find_zero_frame(p->page);
	p->entries = malloc(ENTRIES * sizeof *p->entries);
	if (p->maps_fd < 0)
		return os;
	return p->entries ? 0 : ENOMEM;
}

static bool make_room(struct pages *p, size_t maps_cap, size_t runs_cap)
{
	free(p->maps);
	free(p->found);
	free(p->runs);
	free(p->extents);
	p->maps = malloc(maps_cap);
	p->found = malloc(runs_cap * sizeof *p->found);
	p->runs = malloc(runs_cap * sizeof *p->runs);
	p->extents = malloc(runs_cap * sizeof *p->extents);
	p->maps_cap = maps_cap;
	p->found_cap = p->runs_cap = p->extents_cap = runs_cap;
	if (!p->maps || !p->found || !p->runs || !p->extents)
		return false;
	/* Touched now, not in the stop. */
	memset(p->maps, 0, maps_cap);
	memset(p->found, 0, runs_cap * sizeof *p->found);
	memset(p->runs, 0, runs_cap * sizeof *p->runs);
	memset(p->extents, 0, runs_cap * sizeof *p->extents);
	return true;
}

int pages_size(struct pages *p)
{
	for (size_t maps = 1u << 18, runs = 1u << 12; maps < 1ull << 36; maps *= 2, runs *= 2) {
		if (!make_room(p, maps, runs))
			return ENOMEM;
		pages_scan(p);
		if (p->too_small)
			continue;
		size_t most = p->found_n > p->runs_n ? p->found_n : p->runs_n;
		/* A running program maps more and cuts runs in the meantime: half as much again. */
		if (most > runs / 3 * 2 || p->maps_n > maps / 3 * 2) {
			uint64_t bytes = p->data_bytes, swapped = p->swapped_bytes;
			if (!make_room(p, maps * 2, runs * 2))
				return ENOMEM;
			pages_scan(p);
			if (p->too_small) {
				p->data_bytes = bytes;
				p->swapped_bytes = swapped;
			}
		}
		return 0;
	}
	return ENOBUFS;
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

/* Memory that has a name only because it is shared or huge (mm/shmem.c, ipc/shm.c, fs/hugetlbfs/inode.c). */
static bool is_memory_file(const struct maps_line *m)
{
	return starts(m, "/dev/shm/") || starts(m, "/dev/zero") || starts(m, "/memfd:") || starts(m, "/SYSV") ||
	       starts(m, "/anon_hugepage");
}

/* By name, for mappings that came after smaps was read; by VmFlags io and pf for all others. */
static bool is_device(const struct pages *p, const struct maps_line *m)
{
	if (starts(m, "/dev/"))
		return !is_memory_file(m);
	if (starts(m, "/sys/") || starts(m, "/proc/") || starts(m, "anon_inode:") || starts(m, "/dmabuf:") ||
	    starts(m, "socket:") || starts(m, "[vvar") || starts(m, "[vsyscall"))
		return true;
	const uint64_t *skip = p->plan->words + p->plan->n_mutexes + 2 * p->plan->n_code;
	uint64_t low = 0, high = p->plan->n_skip;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (skip[2 * mid + 1] <= m->start)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->plan->n_skip && skip[2 * low] < m->end;
}

enum what { NOTHING, ANONYMOUS_PAGES, ALL_PAGES };

/* What of a mapping is copied. */
static enum what wanted(const struct pages *p, const struct maps_line *m, bool device)
{
	if (device)
		return NOTHING;
	if (!m->shared) /* the vdso is no file that could be read elsewhere */
		return starts(m, "[vdso]") ? ALL_PAGES : ANONYMOUS_PAGES;
	if (!m->w || !m->r)
		return NOTHING;
	bool disk = m->inode && !is_memory_file(m);
	return !disk || p->plan->flags & PLAN_SCAN_SHARED ? ALL_PAGES : NOTHING;
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
	bool ours = what == ALL_PAGES || (what == ANONYMOUS_PAGES && !(flags & PAGE_FILE));
	if (flags & PAGE_PRESENT && ours && !(flags & PAGE_ZERO))
		add_extent(p, start, end);
	else if (flags & PAGE_SWAPPED && ours)
		p->swapped_bytes += end - start;
	else if (flags & PAGE_PRESENT && m->shared && m->w && what == NOTHING)
		p->shared_file_bytes += end - start;
}

static uint64_t run_flags(uint64_t c)
{
	return (c & SCAN_PRESENT ? PAGE_PRESENT : 0) | (c & SCAN_SWAPPED ? PAGE_SWAPPED : 0) | (c & SCAN_FILE ? PAGE_FILE : 0) |
	       (c & SCAN_ZERO ? PAGE_ZERO : 0) | (c & SCAN_HUGE ? PAGE_HUGE : 0);
}

/* Scans a range in one go. False when the kernel has no such call. walk_end is not set by a walk that came to its end and
 * may be that of an earlier piece (do_pagemap_scan, fs/proc/task_mmu.c): a list that was not filled says it instead. */
static bool scan_by_ioctl(struct pages *p, uint64_t start, uint64_t end, bool ask_file)
{
	struct pm_scan_arg arg = { .size = sizeof arg, .start = start, .end = end };
	arg.vec = (uintptr_t)(p->found + p->found_n);
	arg.vec_len = p->found_cap - p->found_n;
	arg.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED;
	arg.return_mask = SCAN_PRESENT | SCAN_SWAPPED | SCAN_ZERO | SCAN_HUGE | (ask_file ? SCAN_FILE : 0);
	/* A guard page (MADV_GUARD_INSTALL, what thread stacks have with glibc 2.42) would pass for swapped: its entry is a
	 * marker in the place of one. Kernels before 6.15 know no such category. */
	arg.category_mask = arg.category_inverted = p->no_guards ? 0 : SCAN_GUARD;
	int n = arg.vec_len ? ioctl(p->pagemap_fd, PAGEMAP_SCAN, &arg) : 0;
	if (n < 0 && errno == EINVAL && !p->no_guards) {
		p->no_guards = true;
		arg.category_mask = arg.category_inverted = 0;
		n = ioctl(p->pagemap_fd, PAGEMAP_SCAN, &arg);
	}
	if (n < 0)
		return false;
	for (int i = 0; i < n; i++, p->found_n++)
		p->found[p->found_n].flags = run_flags(p->found[p->found_n].flags);
	p->too_small |= p->found_n == p->found_cap;
	return true;
}

/* pagemap entry: bit 63 present, 62 swapped, 61 file or shared anonymous, 58 guard (6.15), 0 to 54 the frame. */
static uint64_t entry_flags(const struct pages *p, uint64_t e)
{
	if (!(e >> 62) || (e >> 58 & 1))
		return 0;
	bool zero = p->zero_frame && e >> 63 && (e & ((1ull << 55) - 1)) == p->zero_frame;
	return (e >> 63 ? PAGE_PRESENT : 0) | (e >> 62 & 1 ? PAGE_SWAPPED : 0) | (e >> 61 & 1 ? PAGE_FILE : 0) | (zero ? PAGE_ZERO : 0);
}

static void scan_by_entries(struct pages *p, uint64_t start, uint64_t end)
{
	struct table_run *last = p->found_n ? &p->found[p->found_n - 1] : NULL;
	for (uint64_t at = start; at < end;) {
		uint64_t n = (end - at) / p->page;
		n = n < ENTRIES ? n : ENTRIES;
		ssize_t got = pread(p->pagemap_fd, p->entries, n * 8, (off_t)(at / p->page * 8));
		if (got < 8)
			return;
		for (ssize_t i = 0; i < got / 8; i++, at += p->page) {
			uint64_t flags = entry_flags(p, p->entries[i]);
			if (!flags)
				continue;
			if (last && last->flags == flags && last->end == at) {
				last->end += p->page;
				continue;
			}
			if (p->found_n == p->found_cap) {
				p->too_small = true;
				return;
			}
			last = &p->found[p->found_n++];
			*last = (struct table_run){ at, at + p->page, flags };
		}
	}
}

/* Pages of these are anonymous, every one. */
static bool has_no_file(const struct maps_line *m)
{
	return !m->shared && !m->inode && !starts(m, "[v");
}

/* Whether a page is its file's is told from its struct page, a cache miss each: 10 ms per GiB. So neighbours without a file
 * are scanned in one range, and those with one in another. */
static void scan_ranges(struct pages *p)
{
	const char *text = p->maps;
	size_t n = p->maps_n;
	struct maps_line m;
	uint64_t start = 0, end = 0;
	bool no_file = false, more;
	do {
		more = system_maps_next(&text, &n, &m, NULL) && m.end <= 1ull << 56; /* [vsyscall] lies above user space */
		if (more && end && has_no_file(&m) == no_file) {
			end = m.end;
			continue;
		}
		if (end && !scan_by_ioctl(p, start, end, !no_file)) {
			p->no_scan = true;
			return;
		}
		start = m.start;
		end = m.end;
		no_file = more && has_no_file(&m);
	} while (more && !p->too_small);
}

static void scan_residency(struct pages *p)
{
	if (!p->no_scan)
		scan_ranges(p);
	if (!p->no_scan)
		return;
	const char *text = p->maps;
	size_t n = p->maps_n;
	struct maps_line m;
	p->found_n = 0;
	while (!p->too_small && system_maps_next(&text, &n, &m, NULL))
		if (m.end <= 1ull << 56 && !is_device(p, &m))
			scan_by_entries(p, m.start, m.end);
}

/* No residency: private memory that the program writes or has written, as a whole. Of what is read-only that is memory without
 * a file and RELRO, which lies right below the writable part of its file; other pages would equal their file. A shared page
 * that is absent would become resident by being read, so none is. `last` is the mapping before. */
static void add_unseen(struct pages *p, const struct maps_line *m, const struct maps_line *last, enum what what)
{
	bool below = last->r && !last->w && !last->x && !last->shared && last->inode && last->inode == m->inode && last->end == m->start;
	if (what == NOTHING || !m->r)
		return;
	if (m->shared) {
		p->shared_file_bytes += m->end - m->start;
		return;
	}
	if (m->w && below)
		add_extent(p, last->start, last->end);
	if (m->w || what == ALL_PAGES || (!m->inode && !m->x))
		add_extent(p, m->start, m->end);
}

void pages_scan(struct pages *p)
{
	p->runs_n = p->extents_n = p->found_n = 0;
	p->data_bytes = p->swapped_bytes = p->shared_file_bytes = p->device_bytes = 0;
	p->too_small = false;
	read_maps(p);
	if (p->pagemap_fd >= 0 && !p->too_small)
		scan_residency(p);
	const char *text = p->maps;
	size_t n = p->maps_n, k = 0;
	struct maps_line m, last = { 0 };
	while (!p->too_small && system_maps_next(&text, &n, &m, NULL)) {
		if (m.start >> 63)
			continue; /* vsyscall: no memory of the process, and EFAULT to whoever asks for its pages */
		bool device = is_device(p, &m);
		enum what what = wanted(p, &m, device);
		if (device && m.path_n && m.path[0] != '[')
			p->device_bytes += m.end - m.start;
		if (p->pagemap_fd < 0)
			add_unseen(p, &m, &last, what);
		last = m;
		while (k < p->found_n && p->found[k].end <= m.start)
			k++;
		for (size_t i = k; i < p->found_n && p->found[i].start < m.end; i++) {
			const struct table_run *f = &p->found[i];
			add_run(p, &m, what, f->start > m.start ? f->start : m.start, f->end < m.end ? f->end : m.end, f->flags);
		}
	}
}

ssize_t pages_read(int mem_fd, pid_t tid, void *to, size_t n, uint64_t address)
{
	ssize_t got = mem_fd < 0 ? -1 : pread(mem_fd, to, n, (off_t)address);
	if (got > 0)
		return got;
	struct iovec into = { to, n }, from = { (void *)(uintptr_t)address, n };
	return process_vm_readv(tid, &into, 1, &from, 1, 0);
}

bool pages_unswap(struct pages *p, pid_t tid)
{
	uint8_t scratch[65536];
	uint64_t done = 0;
	for (size_t i = 0; i < p->runs_n; i++) {
		const struct table_run *r = &p->runs[i];
		if (!(r->flags & PAGE_SWAPPED) || r->flags & PAGE_FILE)
			continue;
		for (uint64_t at = r->start; at < r->end; at += sizeof scratch, done += sizeof scratch) {
			uint64_t n = r->end - at < sizeof scratch ? r->end - at : sizeof scratch;
			if (pages_read(p->mem_fd, tid, scratch, n, at) < 0)
				break;
		}
	}
	return done;
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
	free(p->found);
	free(p->runs);
	free(p->extents);
	free(p->entries);
}
