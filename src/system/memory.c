/* What the whole machine counts: /proc/meminfo, vmstat, pressure, swaps, and the settings that decide what is refused
 * (proc_meminfo(5); Documentation/admin-guide/sysctl/vm.rst; Documentation/accounting/psi.rst). */
#include "text.h"

struct field { const char *name; size_t offset; };
#define FIELD(type, member, name) { name, offsetof(struct type, member) }

static uint64_t *field_of(void *of, const struct field *f)
{
	return (uint64_t *)((char *)of + f->offset);
}

static void read_meminfo(const char *root, struct system_memory *m)
{
	static const struct field fields[] = {
		FIELD(system_memory, total, "MemTotal"), FIELD(system_memory, free, "MemFree"),
		FIELD(system_memory, available, "MemAvailable"), FIELD(system_memory, buffers, "Buffers"),
		FIELD(system_memory, cached, "Cached"), FIELD(system_memory, anon, "AnonPages"),
		FIELD(system_memory, anon_huge, "AnonHugePages"), FIELD(system_memory, shmem, "Shmem"),
		FIELD(system_memory, slab_reclaimable, "SReclaimable"), FIELD(system_memory, slab_unreclaimable, "SUnreclaim"),
		FIELD(system_memory, kernel_stacks, "KernelStack"), FIELD(system_memory, page_tables, "PageTables"),
		FIELD(system_memory, unevictable, "Unevictable"), FIELD(system_memory, swap_total, "SwapTotal"),
		FIELD(system_memory, swap_free, "SwapFree"), FIELD(system_memory, commit_limit, "CommitLimit"),
		FIELD(system_memory, committed, "Committed_AS"), FIELD(system_memory, huge_page, "Hugepagesize"),
		FIELD(system_memory, hugetlb, "Hugetlb"),
	};
	AUTO_FREE char *text = system_read(root, "/proc/meminfo", NULL);
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		uint64_t kib = text_field(text, fields[i].name), *to = field_of(m, &fields[i]);
		if (__builtin_mul_overflow(kib, 1024u, to))
			*to = UINT64_MAX;
	}
}

static void read_settings(const char *root, struct system_memory *m)
{
	static const struct field fields[] = {
		FIELD(system_memory, overcommit, "/proc/sys/vm/overcommit_memory"),
		FIELD(system_memory, admin_reserve, "/proc/sys/vm/admin_reserve_kbytes"),
		FIELD(system_memory, user_reserve, "/proc/sys/vm/user_reserve_kbytes"),
		FIELD(system_memory, max_mappings, "/proc/sys/vm/max_map_count"),
		FIELD(system_memory, swappiness, "/proc/sys/vm/swappiness"),
		FIELD(system_memory, extfrag_threshold, "/proc/sys/vm/extfrag_threshold"),
	};
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		*field_of(m, &fields[i]) = text_number_in(root, fields[i].name);
	/* These two are in KiB. */
	if (__builtin_mul_overflow(m->admin_reserve, 1024u, &m->admin_reserve))
		m->admin_reserve = UINT64_MAX;
	if (__builtin_mul_overflow(m->user_reserve, 1024u, &m->user_reserve))
		m->user_reserve = UINT64_MAX;
}

/* "always [madvise] never": the word in brackets. */
static void chosen(const char *root, const char *path, char *to, size_t n)
{
	AUTO_FREE char *text = system_read(root, path, NULL);
	const char *open = text ? strchr(text, '[') : NULL;
	*to = '\0';
	if (open)
		snprintf(to, n, "%.*s", (int)strcspn(open + 1, "]\n"), open + 1);
}

void system_memory_read(const char *root, struct system_memory *ret)
{
	memset(ret, 0, sizeof *ret);
	read_meminfo(root, ret);
	read_settings(root, ret);
	chosen(root, "/sys/kernel/mm/transparent_hugepage/enabled", ret->thp, sizeof ret->thp);
	chosen(root, "/sys/kernel/mm/transparent_hugepage/defrag", ret->thp_defrag, sizeof ret->thp_defrag);
}

/* One counter for each zone, as in "allocstall_normal 7"; before 4.10 one for all. */
static uint64_t sum_of(const char *text, const char *prefix)
{
	size_t k = strlen(prefix);
	uint64_t sum = UINT64_MAX, v;
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL) {
		const char *at = p + strcspn(p, " \n");
		if (!strncmp(p, prefix, k) && text_number(&at, &v))
			sum = sum == UINT64_MAX ? v : sum + v;
	}
	return sum;
}

void system_counters_read(const char *root, struct system_counters *ret)
{
	static const struct field fields[] = {
		FIELD(system_counters, oom_kills, "oom_kill"), FIELD(system_counters, compact_stalls, "compact_stall"),
		FIELD(system_counters, compact_failures, "compact_fail"), FIELD(system_counters, compact_successes, "compact_success"),
		FIELD(system_counters, thp_faults, "thp_fault_alloc"), FIELD(system_counters, thp_fallbacks, "thp_fault_fallback"),
		FIELD(system_counters, thp_collapses, "thp_collapse_alloc"),
		FIELD(system_counters, thp_collapse_failures, "thp_collapse_alloc_failed"),
		FIELD(system_counters, swapped_in, "pswpin"), FIELD(system_counters, swapped_out, "pswpout"),
		FIELD(system_counters, major_faults, "pgmajfault"),
	};
	AUTO_FREE char *text = system_read(root, "/proc/vmstat", NULL);
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		*field_of(ret, &fields[i]) = text_field(text, fields[i].name);
	ret->direct_reclaims = sum_of(text, "allocstall");
}

static bool pressure_line(const char *text, const char *which, double average[3], uint64_t *ret_total)
{
	const char *p = text_line(text, which);
	unsigned long long total;
	if (!p || sscanf(p, " avg10=%lf avg60=%lf avg300=%lf total=%llu", &average[0], &average[1], &average[2], &total) != 4)
		return false;
	for (int i = 0; i < 3; i++) /* written so that it holds for no NaN */
		if (!(average[i] >= 0 && average[i] <= 100))
			return false;
	*ret_total = total;
	return true;
}

void system_pressure_read(const char *root, const char *path, struct system_pressure *ret)
{
	AUTO_FREE char *text = system_read(root, path, NULL);
	struct system_pressure p = { 0 };
	if (text && pressure_line(text, "some", p.some, &p.some_us) && pressure_line(text, "full", p.full, &p.full_us))
		p.known = true;
	*ret = p.known ? p : (struct system_pressure){ 0 };
}

/* "Filename Type Size Used Priority" (mm/swapfile.c, swap_show); the kernel writes blanks in a name as \040. */
void system_swaps_read(const char *root, struct system_swaps *ret)
{
	enum { MOST = 64 }; /* the kernel has at most 32 (MAX_SWAPFILES) */
	AUTO_FREE char *text = system_read(root, "/proc/swaps", NULL);
	const char *p = text;
	char line[512], name[256], type[16];
	*ret = (struct system_swaps){ 0 };
	for (bool first = true; text_next_line(&p, line, sizeof line) && ret->n < MOST; first = false) {
		unsigned long long size, used;
		int priority;
		if (first || sscanf(line, "%255s %15s %llu %llu %d", name, type, &size, &used, &priority) != 5 || size > UINT64_MAX / 1024 ||
		    used > size)
			continue;
		struct system_swap *s = vec_push(ret);
		if (!s)
			return;
		snprintf(s->path, sizeof s->path, "%s", name);
		snprintf(s->type, sizeof s->type, "%s", type);
		s->size = size * 1024;
		s->used = used * 1024;
		s->priority = priority;
	}
}
