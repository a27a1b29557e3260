/* The kernel's own account of the process, beside ours. */
#include "flotsam/memory.h"

#include <unistd.h>

static bool add_entry(void *ctx, const struct smaps_entry *e)
{
	struct memory_account *a = ctx;
	a->rss += e->rss;
	a->pss += e->pss;
	a->uss += e->private_clean + e->private_dirty;
	a->shared_clean += e->shared_clean;
	a->shared_dirty += e->shared_dirty;
	a->anon_huge += e->anon_huge;
	a->file_huge += e->file_huge;
	a->shmem_huge += e->shmem_huge;
	a->hugetlb += e->private_hugetlb + e->shared_hugetlb;
	a->swap += e->swap;
	a->swap_pss += e->swap_pss;
	a->locked += e->locked;
	return true;
}

/* smaps_rollup is of Linux 4.14; before it the entries of smaps are summed. */
static bool read_smaps(struct session *s, struct memory_account *ret)
{
	AUTO_FD int fd = target_open_proc(s->target, "smaps_rollup");
	if (fd < 0)
		fd = target_open_proc(s->target, "smaps");
	AUTO_ERR struct err *e = fd >= 0 ? system_smaps_each(fd, add_entry, ret) : err_new(ERR_NOT_FOUND, "no smaps");
	return !e && ret->rss;
}

void memory_account(struct session *s, struct memory_account *ret)
{
	struct memory_account sums = { 0 };
	const uint64_t u = UNKNOWN;
	bool known = s->status.threads;
	if (!read_smaps(s, &sums))
		sums = (struct memory_account){ u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u };
	*ret = sums;
	ret->page_tables = known ? s->status.vm_pte : u;
	ret->rss_anon = known ? s->status.rss_anon : u;
	ret->rss_file = known ? s->status.rss_file : u;
	ret->rss_shmem = known ? s->status.rss_shmem : u;
}
