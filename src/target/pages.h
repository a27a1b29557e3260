/* Which pages a look takes: mappings and residency, read again in the stop into room made before. */
#ifndef TARGET_PAGES_H
#define TARGET_PAGES_H

#include "holder.h"

struct pages {
	const struct holder_plan *plan;
	int maps_fd, pagemap_fd, mem_fd;
	uint64_t page;
	char *maps;
	size_t maps_n, maps_cap;
	struct table_run *found; /* residency as scanned, not yet cut at mappings */
	size_t found_n, found_cap;
	struct table_run *runs;
	size_t runs_n, runs_cap;
	struct table_extent *extents;
	size_t extents_n, extents_cap;
	uint64_t *entries; /* raw pagemap, where the kernel has no PAGEMAP_SCAN */
	uint64_t zero_frame; /* number of the zero page's frame, 0 when not told */
	uint64_t data_bytes, swapped_bytes, shared_file_bytes, device_bytes;
	bool no_scan, too_small;
	bool no_guards; /* the kernel's PAGEMAP_SCAN does not tell guard pages */
};

/* Opens what is read in the stop, by a living thread. errno or 0; a closed pagemap is no error: pagemap_fd is -1. */
int pages_open(struct pages *p, const struct holder *h, pid_t tid, const struct holder_plan *plan);
/* Reads maps and residency into maps, runs and extents (offsets are those of the data file). Allocates nothing;
 * too_small when the room did not suffice. maps_n is 0 when the memory was given up by exec or exit. */
void pages_scan(struct pages *p);
/* Scans with as much room as it takes, then makes room for more. errno or 0. */
int pages_size(struct pages *p);
/* Reads target memory without a trace there. process_vm_readv pins what it reads, and a private page that a forked process
 * shares is copied for that (mm/gup.c since Linux 5.19: gup_must_unshare): a read through mem leaves it shared. That is
 * slower, so only where it matters: `tid` is for what mem refuses. */
ssize_t pages_read(int mem_fd, pid_t tid, void *to, size_t n, uint64_t address);
/* Reads the swapped pages of memory that may hold heaps, so that they are present. True when it read any. */
bool pages_unswap(struct pages *p, pid_t tid);
void pages_close(struct pages *p);

#endif
