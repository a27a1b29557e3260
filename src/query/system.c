/* The machine as one answer: the sources below a root, and the verdicts. Each rule has its threshold in the table of
 * thresholds below, which flotsam(1) repeats. */
#include "flotsam/query.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <unistd.h>

/* Parts of a hundred. */
enum { NOW_AT = 97, SOON_AT = 90, AVAILABLE_NOW = 5, AVAILABLE_SOON = 10, COMMIT_NOW = 5, COMMIT_SOON = 10, SWAP_SOON = 5, PRESSURE_NOW = 10,
       PRESSURE_SOON = 20, KERNEL_NOTE = 25, UNMOVABLE_NOTE = 50, FALLBACK_NOTE = 50 };
enum { KILLS_TOLD = 3, GROUPS_TOLD = 5, COSTLY_ORDER = 3 /* PAGE_ALLOC_COSTLY_ORDER, include/linux/mmzone.h */ };

const char *verdict_when_name(enum verdict_when w)
{
	static const char *const names[] = { "now", "soon", "past", "note" };
	return names[w];
}

static void say(struct machine *m, const char *kind, enum verdict_when when, const char *step, const char *fmt, ...) PRINTF_LIKE(5, 6);
static void say(struct machine *m, const char *kind, enum verdict_when when, const char *step, const char *fmt, ...)
{
	char *text;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	struct machine_verdict *v = n < 0 ? NULL : vec_push(&m->verdicts);
	if (v)
		*v = (struct machine_verdict){ .kind = kind, .when = when, .text = text, .step = step ? strdup(step) : NULL };
	else if (n >= 0)
		free(text);
}

struct amount { char text[32]; };
static struct amount amount(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct amount a;
	double v = (double)bytes;
	int u = 0;
	for (; v >= 1024 && u < 6; u++)
		v /= 1024;
	snprintf(a.text, sizeof a.text, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return a;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* NOW, SOON, or -1 for neither. */
static int how_near(uint64_t usage, uint64_t limit)
{
	if (usage == UNKNOWN || limit == UNKNOWN)
		return -1;
	double p = limit ? percent(usage, limit) : 100;
	return p >= NOW_AT ? (int)VERDICT_NOW : p >= SOON_AT ? (int)VERDICT_SOON : -1;
}

static uint64_t zone_pages(const struct machine *m, size_t offset)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < m->zones.list.n; i++) {
		uint64_t v = *(const uint64_t *)((const char *)&m->zones.list.at[i] + offset);
		if (v != UNKNOWN && __builtin_add_overflow(sum, v, &sum))
			return 0;
	}
	return sum;
}

/* A saved tree may be of a machine with other pages than ours: MemTotal is the managed pages of all zones. */
static uint64_t page_size(const struct machine *m)
{
	uint64_t pages = zone_pages(m, offsetof(struct system_zone, managed)), own = (uint64_t)sysconf(_SC_PAGESIZE);
	if (!*m->root || m->memory.total == UNKNOWN || !pages)
		return own;
	for (uint64_t page = 4096; page <= 65536; page *= 2)
		if (fabs((double)m->memory.total / (double)pages / (double)page - 1) < 0.2)
			return page;
	return own;
}

/* The last zone that ordinary requests of the kernel may use (GFP_KERNEL: include/linux/gfp_types.h); Movable and above
 * are for pages of processes. */
static unsigned kernel_zone(const struct machine *m, unsigned node)
{
	unsigned highest = 0;
	for (size_t i = 0; i < m->zones.list.n; i++) {
		const struct system_zone *z = &m->zones.list.at[i];
		if (z->node == node && strcmp(z->name, "Movable") && strcmp(z->name, "Device") && strcmp(z->name, "HighMem") && z->index > highest)
			highest = z->index;
	}
	return highest;
}

static bool order_served(const struct machine *m, unsigned order)
{
	for (size_t i = 0; i < m->zones.list.n; i++) {
		const struct system_zone *z = &m->zones.list.at[i];
		if (z->orders > order && system_zone_serves(z, order, kernel_zone(m, z->node)))
			return true;
	}
	return false;
}

static void find_served(struct machine *m)
{
	m->orders = 0;
	for (size_t i = 0; i < m->zones.list.n; i++)
		if (m->zones.list.at[i].orders > m->orders)
			m->orders = m->zones.list.at[i].orders;
	m->served = -1;
	while (m->served + 1 < (int)m->orders && order_served(m, (unsigned)m->served + 1))
		m->served++;
}

/* Is it the form of the free memory and not its amount? By the zone with the most free memory, as the kernel judges it. */
static bool is_fragmentation(const struct machine *m, unsigned order)
{
	const struct system_zone *most = NULL;
	for (size_t i = 0; i < m->zones.list.n; i++) {
		const struct system_zone *z = &m->zones.list.at[i];
		if (z->orders > order && z->free != UNKNOWN && (!most || z->free > most->free))
			most = z;
	}
	int threshold = m->memory.extfrag_threshold <= 1000 ? (int)m->memory.extfrag_threshold : 500;
	return most && system_fragmentation_index(most, order) > threshold;
}

static void judge_orders(struct machine *m)
{
	unsigned order = (unsigned)(m->served + 1);
	if (!m->orders || order >= m->orders || (m->page << order) > (m->memory.huge_page != UNKNOWN ? m->memory.huge_page : 2u << 20))
		return;
	uint64_t unmovable = 0, blocks = 0;
	for (size_t i = 0; i < m->zones.list.n; i++) {
		unmovable += m->zones.list.at[i].pageblocks_unmovable;
		blocks += m->zones.list.at[i].pageblocks;
	}
	bool fragmented = is_fragmentation(m, order);
	uint64_t free = zone_pages(m, offsetof(struct system_zone, free));
	const char *step = !fragmented ? "less use of memory: what is free lies below the watermarks, which are kept for emergencies" :
			   percent(unmovable, blocks) >= UNMOVABLE_NOTE ? "a restart of what fills the kernel's memory (see Slab): compaction cannot move the kernel's pages" :
			   "echo 1 > /proc/sys/vm/compact_memory   joins free pages where what lies between can be moved";
	say(m, fragmented ? "order-fragmented" : "order-short", VERDICT_NOW, step,
	    "an order-%u request (%s in one piece) would fail now, and so would larger ones: %s is free, %s. Atomic requests fail at once; "
	    "others wait for reclaim and compaction first%s",
	    order, amount(m->page << order).text, amount(free * m->page).text,
	    fragmented ? "but in smaller pieces (external fragmentation)" : "but that is at or below what the zones keep back",
	    order > COSTLY_ORDER ? ", and may fail then too." : ", and are retried until something is killed.");
}

static void judge_zones(struct machine *m)
{
	for (size_t i = 0; i < m->zones.list.n; i++) {
		const struct system_zone *z = &m->zones.list.at[i];
		if (z->free == UNKNOWN || z->min == UNKNOWN || !z->managed || z->managed == UNKNOWN || z->free >= z->min)
			continue;
		say(m, "zone-below-min", VERDICT_NOW, NULL,
		    "zone %s of node %u has %s free, below its min watermark of %s: whoever asks for memory there must first free some, and waits.", z->name,
		    z->node, amount(z->free * m->page).text, amount(z->min * m->page).text);
	}
}

static void judge_memory(struct machine *m)
{
	const struct system_memory *x = &m->memory;
	if (x->total == UNKNOWN || !x->total)
		return;
	double p = x->available != UNKNOWN ? percent(x->available, x->total) : 100;
	if (p < AVAILABLE_SOON)
		say(m, "memory-short", p < AVAILABLE_NOW ? VERDICT_NOW : VERDICT_SOON, "flotsam on the largest processes: who holds it, and what would come back",
		    "%s of %s is available (%.1f %%): the next large request may end in an OOM kill.", amount(x->available).text, amount(x->total).text, p);
	if (x->swap_total && x->swap_total != UNKNOWN && x->swap_free != UNKNOWN && percent(x->swap_free, x->swap_total) < SWAP_SOON)
		say(m, "swap-full", VERDICT_SOON, NULL, "swap is full: %s of %s is left, so anonymous memory can no longer be moved out.", amount(x->swap_free).text,
		    amount(x->swap_total).text);
	uint64_t kernel = 0, parts[] = { x->slab_unreclaimable, x->page_tables, x->kernel_stacks };
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		if (parts[i] != UNKNOWN && __builtin_add_overflow(kernel, parts[i], &kernel))
			return;
	if (percent(kernel, x->total) >= KERNEL_NOTE)
		say(m, "kernel-memory", VERDICT_NOTE, "slabtop -s c", "the kernel itself holds %s that no process shows (slab %s, page tables %s, stacks %s).",
		    amount(kernel).text, amount(x->slab_unreclaimable).text, amount(x->page_tables).text, amount(x->kernel_stacks).text);
	if (x->hugetlb != UNKNOWN && percent(x->hugetlb, x->total) >= KERNEL_NOTE)
		say(m, "hugetlb-pool", VERDICT_NOTE, "sysctl vm.nr_hugepages", "%s is set aside for hugetlb pages: it is missing everywhere else, used or not.",
		    amount(x->hugetlb).text);
}

/* __vm_enough_memory() in mm/util.c (Linux 6.1): in strict mode the sum of what was promised must stay below CommitLimit,
 * less what is kept for root and, in a large process, for the one who would end it. */
static void judge_commit(struct machine *m)
{
	const struct system_memory *x = &m->memory;
	m->commit_room = UNKNOWN;
	if (x->overcommit != 2 || x->commit_limit == UNKNOWN || x->committed == UNKNOWN)
		return;
	uint64_t kept = x->admin_reserve != UNKNOWN ? x->admin_reserve : 0;
	if (m->have_process) {
		uint64_t vm = m->process.status.vm_size != UNKNOWN ? m->process.status.vm_size / 32 : 0;
		uint64_t user = x->user_reserve != UNKNOWN ? x->user_reserve : 0;
		uint64_t for_user = vm < user ? vm : user;
		if (__builtin_add_overflow(kept, for_user, &kept))
			kept = UNKNOWN;
	}
	uint64_t allowed = x->commit_limit > kept ? x->commit_limit - kept : 0;
	m->commit_room = allowed > x->committed ? allowed - x->committed : 0;
	double p = percent(m->commit_room, x->commit_limit);
	if (p > COMMIT_SOON)
		return;
	say(m, "commit-limit", p <= COMMIT_NOW ? VERDICT_NOW : VERDICT_SOON, "sysctl vm.overcommit_ratio (or overcommit_kbytes) higher, more swap, or vm.overcommit_memory=0",
	    "overcommit is strict and %s of the commit limit of %s is promised: malloc or fork of more than %s fails with ENOMEM, though %s is available.",
	    amount(x->committed).text, amount(x->commit_limit).text, amount(m->commit_room).text,
	    x->available != UNKNOWN ? amount(x->available).text : "memory");
}

static void judge_pressure(struct machine *m)
{
	const struct system_pressure *p = &m->pressure;
	if (p->known && p->full[0] >= PRESSURE_NOW)
		say(m, "pressure", VERDICT_NOW, NULL, "in %.0f %% of the last 10 s no process could go on, all waited for memory.", p->full[0]);
	else if (p->known && p->some[0] >= PRESSURE_SOON)
		say(m, "pressure", VERDICT_SOON, NULL, "in %.0f %% of the last 10 s some process waited for memory.", p->some[0]);
}

/* The page cache that nobody uses at present is dropped before anything fails; kubelet calls the rest the working set. */
static uint64_t working(const struct system_group *g)
{
	return g->usage == UNKNOWN ? UNKNOWN : g->inactive_file != UNKNOWN && g->inactive_file < g->usage ? g->usage - g->inactive_file : g->usage;
}

static void judge_group(struct machine *m, const struct system_group *g)
{
	int near = how_near(working(g), g->limit);
	if (near >= 0)
		say(m, "cgroup-limit", (enum verdict_when)near, "a higher limit, or flotsam on its processes: what of it would come back",
		    "cgroup %s is at %.0f %% of its limit: %s of %s, page cache that can be dropped not counted. At the limit the kernel kills there, however much the "
		    "machine has free.", g->path, percent(working(g), g->limit), amount(working(g)).text, amount(g->limit).text);
	else if (how_near(g->usage, g->limit) >= 0)
		say(m, "cgroup-cache", VERDICT_NOTE, NULL, "cgroup %s is at %.0f %% of its limit, but %s of that is page cache that is dropped when it must.", g->path,
		    percent(g->usage, g->limit), amount(g->inactive_file).text);
	if (g->swap != UNKNOWN && how_near(g->swap, g->swap_limit) >= 0 && g->swap_limit)
		say(m, "cgroup-swap", VERDICT_SOON, NULL, "cgroup %s is at %.0f %% of its limit on %s: %s of %s.", g->path, percent(g->swap, g->swap_limit),
		    m->groups.version == 2 ? "swap" : "memory and swap", amount(g->swap).text, amount(g->swap_limit).text);
	if (g->usage != UNKNOWN && g->high != UNKNOWN && g->usage > g->high)
		say(m, "cgroup-high", VERDICT_NOW, NULL, "cgroup %s uses %s, more than its memory.high of %s: its processes are slowed down.", g->path,
		    amount(g->usage).text, amount(g->high).text);
	if (g->under_oom && g->kill_disabled)
		say(m, "cgroup-frozen", VERDICT_NOW, "echo 0 > memory.oom_control, or a higher limit",
		    "cgroup %s is out of memory and must not kill (oom_kill_disable): its processes stand still.", g->path);
}

static void judge_groups(struct machine *m)
{
	unsigned told = 0;
	for (size_t i = 0; i < m->groups.n; i++)
		judge_group(m, &m->groups.at[i]);
	/* v2 counts a kill for all groups above it too; the lowest says most, and those stand last. */
	for (size_t i = m->groups.n; i-- > 0 && told < GROUPS_TOLD;) {
		const struct system_group *g = &m->groups.at[i];
		if (g->oom_kills == UNKNOWN || !g->oom_kills || (g->limit == UNKNOWN && !m->have_process && g->swap_limit == UNKNOWN))
			continue;
		say(m, "cgroup-kills", VERDICT_PAST, NULL, "%" PRIu64 " process%s of cgroup %s %s killed for want of memory%s.", g->oom_kills,
		    g->oom_kills == 1 ? "" : "es", g->path, g->oom_kills == 1 ? "was" : "were", g->limit == UNKNOWN ? "" : " there; it has a limit of its own");
		told++;
	}
}

static bool concerns(const struct machine *m, const struct system_kill *k)
{
	if (!m->have_process)
		return !m->pid || k->pid == m->pid;
	for (size_t i = 0; i < m->groups.n; i++) {
		/* The log has the host's path, of which a container sees the end. */
		const char *path = m->groups.at[i].path;
		size_t n = strlen(path), whole = strlen(k->task_group);
		if (n > 1 && whole >= n && !strcmp(k->task_group + whole - n, path))
			return true;
	}
	return k->pid == m->pid;
}

static void tell_kill(struct machine *m, const struct system_kill *k)
{
	char when[48] = "", why[640];
	double up = system_uptime(m->root);
	if (k->seconds >= 0 && up >= k->seconds)
		snprintf(when, sizeof when, " %.0f s ago", up - k->seconds);
	if (k->by_group)
		snprintf(why, sizeof why, "the limit of cgroup %s was reached; the machine's free memory does not count there", k->group[0] ? k->group : "it was in");
	else if (!strcmp(k->constraint, "CONSTRAINT_CPUSET") || !strcmp(k->constraint, "CONSTRAINT_MEMORY_POLICY"))
		snprintf(why, sizeof why, "the nodes it was bound to (%s) were full; others may have had memory",
			 !strcmp(k->constraint, "CONSTRAINT_CPUSET") ? "cpuset" : "memory policy");
	else if (k->order > 0)
		snprintf(why, sizeof why, "the machine had no free block of order %d (%s) for a request, which may happen with memory free", k->order,
			 amount(m->page << (k->order < 32 ? k->order : 32)).text);
	else
		snprintf(why, sizeof why, "the whole machine was out of memory");
	say(m, "oom-kill", VERDICT_PAST, NULL, "pid %d (%s) was killed%s: %s. It had %s of anonymous memory, oom_score_adj %d.", k->pid, k->comm, when, why,
	    k->anon == UNKNOWN ? "an unknown amount" : amount(k->anon).text, k->score_adj);
}

static void judge_log(struct machine *m)
{
	unsigned told = 0, more = 0;
	for (size_t i = m->log.kills.n; i-- > 0;) {
		if (!concerns(m, &m->log.kills.at[i]))
			continue;
		if (told++ < KILLS_TOLD)
			tell_kill(m, &m->log.kills.at[i]);
		else
			more++;
	}
	if (more)
		say(m, "oom-kills", VERDICT_PAST, NULL, "%u more kills for want of memory stand in the kernel log.", more);
	if (m->log.failures)
		say(m, "page-allocation", VERDICT_PAST, NULL, "the kernel log has %" PRIu64 " failed requests for pages, the smallest of order %d.", m->log.failures,
		    m->log.failed_order);
	const struct system_counters *c = &m->counters;
	if (c->thp_faults != UNKNOWN && c->thp_fallbacks != UNKNOWN && c->thp_fallbacks >= 100 &&
	    percent(c->thp_fallbacks, c->thp_faults + c->thp_fallbacks) >= FALLBACK_NOTE)
		say(m, "huge-pages", VERDICT_NOTE, NULL, "%.0f %% of the huge pages asked for at a page fault since boot could not be had.",
		    percent(c->thp_fallbacks, c->thp_faults + c->thp_fallbacks));
}

static void judge_limit(struct machine *m, const char *kind, const char *what, uint64_t usage, uint64_t limit, const char *step)
{
	int near = how_near(usage, limit);
	if (near >= 0)
		say(m, kind, (enum verdict_when)near, step, "the process has %s of %s that its limit on %s allows: more fails with ENOMEM, however much is free.",
		    amount(usage).text, amount(limit).text, what);
}

static void judge_process(struct machine *m)
{
	const struct system_process *p = &m->process;
	if (!m->have_process)
		return;
	judge_limit(m, "address-space", "address space (RLIMIT_AS)", p->status.vm_size, p->address_space, "ulimit -v");
	judge_limit(m, "data-size", "private memory (RLIMIT_DATA)", p->status.vm_data, p->data, "ulimit -d");
	if (p->status.vm_lck != UNKNOWN && p->status.vm_lck)
		judge_limit(m, "locked-memory", "locked memory (RLIMIT_MEMLOCK)", p->status.vm_lck, p->locked, "ulimit -l");
	int near = how_near(p->mappings, m->memory.max_mappings);
	if (near >= 0)
		say(m, "mappings", (enum verdict_when)near, "sysctl vm.max_map_count higher; flotsam report -v says what the mappings are",
		    "the process has %" PRIu64 " of the %" PRIu64 " mappings that vm.max_map_count allows: mmap, and with it malloc of large blocks, thread stacks and new "
		    "arenas, fails with ENOMEM, however much is free.", p->mappings, m->memory.max_mappings);
	if (p->oom_score_adj == 1000)
		say(m, "oom-first", VERDICT_NOTE, NULL, "its oom_score_adj is 1000: it is the first to be killed.");
	else if (p->oom_score_adj == -1000)
		say(m, "oom-never", VERDICT_NOTE, NULL, "its oom_score_adj is -1000: others are killed in its place.");
}

static void sort_verdicts(struct machine *m)
{
	/* Few, and those of one kind stay in order. */
	for (size_t i = 1; i < m->verdicts.n; i++)
		for (size_t k = i; k && m->verdicts.at[k].when < m->verdicts.at[k - 1].when; k--) {
			struct machine_verdict v = m->verdicts.at[k];
			m->verdicts.at[k] = m->verdicts.at[k - 1];
			m->verdicts.at[k - 1] = v;
		}
}

static struct err *read_process(struct machine *m)
{
	if (!m->pid)
		return NULL;
	m->have_process = system_process_read(m->root, m->pid, &m->process);
	for (size_t i = 0; !m->have_process && i < m->log.kills.n; i++)
		if (m->log.kills.at[i].pid == m->pid)
			return NULL;
	if (!m->have_process)
		return err_hint(err_new(ERR_NOT_FOUND, "no process %d, and the kernel log %s", m->pid,
					m->log.readable ? "does not say that it was killed" : "cannot be read"), "flotsam system   speaks of the machine alone");
	m->groups = m->process.groups;
	m->process.groups = (struct system_groups){ 0 };
	return NULL;
}

struct err *query_machine(const char *root, int pid, const struct session *s, struct machine **ret)
{
	struct machine *m = calloc(1, sizeof *m);
	if (!m)
		return err_nomem();
	m->root = root;
	m->pid = pid;
	system_memory_read(root, &m->memory);
	system_zones_read(root, &m->zones);
	system_counters_read(root, &m->counters);
	system_pressure_read(root, "/proc/pressure/memory", &m->pressure);
	system_swaps_read(root, &m->swaps);
	system_kernel_log_read(root, &m->log);
	struct err *e = m->memory.total == UNKNOWN && !m->zones.list.n ? err_new(ERR_NOT_FOUND, "no /proc/meminfo below '%s'", root) : read_process(m);
	if (e) {
		machine_free(m);
		return e;
	}
	if (!m->have_process)
		system_groups_read(root, NULL, &m->groups);
	else if (m->process.mappings == UNKNOWN && s)
		m->process.mappings = s->target->picture.maps.n;
	m->page = page_size(m);
	find_served(m);
	judge_orders(m);
	judge_zones(m);
	judge_memory(m);
	judge_commit(m);
	judge_pressure(m);
	judge_process(m);
	judge_groups(m);
	judge_log(m);
	sort_verdicts(m);
	*ret = m;
	return NULL;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->verdicts.n; i++) {
		free(m->verdicts.at[i].text);
		free(m->verdicts.at[i].step);
	}
	vec_free(&m->verdicts);
	vec_free(&m->zones.list);
	vec_free(&m->swaps);
	vec_free(&m->log.kills);
	system_groups_free(&m->groups);
	system_process_free(&m->process);
	free(m);
}
