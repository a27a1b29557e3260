/* What a look knows beside its bytes, member by member, for the writer and the reader at once: sections of a census and notes of a
 * core. A member may be added at the end: an older reader does not look there, and a newer one takes what is missing for unknown. */
#include "flotsam/codec.h"
#include "flotsam/target.h"

static void code_account(struct codec *k, struct kernel_account *a)
{
	struct process_status *s = &a->status;
	struct cgroup_memory *g = &a->cgroup;
	uint64_t *sizes[] = { &s->vm_size, &s->vm_rss, &s->rss_anon, &s->rss_file, &s->rss_shmem, &s->vm_pte, &s->vm_swap, &s->vm_lck, &s->vm_data };
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		codec_u64(k, sizes[i]);
	CODEC_I(k, s->threads);
	CODEC_I(k, s->ppid);
	codec_double(k, &a->uptime);
	codec_bool(k, &g->known);
	CODEC_I(k, g->version);
	codec_array(k, g->path, sizeof g->path);
	uint64_t *figures[] = { &g->usage, &g->limit, &g->limit_usage, &g->anon, &g->file, &g->events_oom_kill };
	for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
		codec_u64(k, figures[i]);
}

static void code_threads(struct codec *k, struct picture *p)
{
	struct thread *t;
	CODEC_EACH(k, &p->threads, t) {
		char comm[sizeof t->comm + 1] = "";
		memcpy(comm, t->comm, sizeof t->comm);
		CODEC_I(k, t->tid);
		codec_array(k, comm, sizeof comm);
		memcpy(t->comm, comm, sizeof t->comm);
		codec_bool(k, &t->stopped);
		codec_u64(k, &t->tp);
	}
}

void target_code(struct codec *k, struct target *t, struct kernel_account *a)
{
	struct picture *p = &t->picture;
	struct skipped *s;
	uint64_t machine = t->arch ? t->arch->elf_machine : 0, class = t->arch ? t->arch->elf_class : 0;
	codec_u64(k, &machine);
	codec_u64(k, &class);
	if (!k->writing)
		t->arch = p->arch = arch_find((uint16_t)machine, (uint8_t)class);
	codec_bool(k, &t->live);
	CODEC_I(k, t->pid);
	codec_array(k, t->comm, sizeof t->comm);
	codec_array(k, t->exe, sizeof t->exe);
	code_account(k, a);
	codec_u64(k, &p->page);
	codec_u64(k, &p->read_bytes);
	codec_double(k, &p->stopped_seconds);
	codec_double(k, &p->copy_seconds);
	CODEC_I(k, p->stops);
	codec_bool(k, &p->quiet);
	codec_bool(k, &p->truncated);
	codec_bool(k, &p->at_most);
	code_threads(k, p);
	CODEC_EACH(k, &p->skipped, s) {
		codec_string(k, &s->reason);
		codec_u64(k, &s->bytes);
		codec_bool(k, &s->may_hold_roots);
	}
	codec_findings(k, &p->findings);
	if (codec_more(k)) /* until then a process alone had the kernel's list */
		codec_bool(k, &p->listed);
	else
		p->listed = t->live;
	if (codec_more(k))
		codec_u64(k, &a->cgroup.limit_cache);
	else
		a->cgroup.limit_cache = UNKNOWN;
	if (codec_more(k))
		codec_u64(k, &p->taken);
}

void picture_code_maps(struct codec *k, struct picture *p)
{
	struct mapping *m;
	uint64_t last = 0;
	CODEC_EACH(k, &p->maps, m) {
		codec_range(k, &last, &m->start, &m->end);
		codec_u64(k, &m->offset);
		codec_u64(k, &m->inode);
		CODEC_U(k, m->dev_major);
		CODEC_U(k, m->dev_minor);
		CODEC_U(k, m->prot);
		codec_bool(k, &m->shared);
		codec_bool(k, &m->device);
		codec_bool(k, &m->deleted);
		codec_string(k, &m->path);
		k->failed |= !m->path;
	}
}

void picture_code_pages(struct codec *k, struct picture *p)
{
	struct page_run *r;
	uint64_t last = 0;
	codec_bool(k, &p->have_pages);
	CODEC_EACH(k, &p->pages, r) {
		codec_range(k, &last, &r->start, &r->end);
		CODEC_U(k, r->flags);
	}
}

void picture_code_kernel_words(struct codec *k, struct picture *p)
{
	struct kernel_word *w;
	CODEC_EACH(k, &p->kernel_words, w) {
		codec_u64(k, &w->value);
		CODEC_U(k, w->kind);
		CODEC_I(k, w->fd);
	}
}

static bool fault(struct coded_fault *f, const char *where, uint64_t index, const char *what)
{
	*f = (struct coded_fault){ where, index, what };
	return false;
}

bool target_coded_well(const struct target *t, struct coded_fault *f)
{
	const struct picture *p = &t->picture;
	if (!t->arch || !is_power_of_two(p->page) || p->page < 1024 || p->page > 1 << 20 || t->pid < 0 || p->threads.n > LIMIT_THREADS)
		return fault(f, "target", 0, "is no process");
	for (size_t i = 0; i < p->skipped.n; i++)
		if (!p->skipped.at[i].reason)
			return fault(f, "target", i, "has no reason");
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (!p->findings.list.at[i].kind || !p->findings.list.at[i].text)
			return fault(f, "target", i, "is no finding");
	for (size_t i = 0; i < p->pages.n; i++)
		if (p->pages.at[i].flags > (PAGE_HUGE << 1) - 1)
			return fault(f, "pages", i, "has no known state");
	for (size_t i = 0; i < p->maps.n; i++)
		if (p->maps.at[i].prot > (PROT_R | PROT_W | PROT_X))
			return fault(f, "maps", i, "has no known rights");
	for (size_t i = 0; i < p->kernel_words.n; i++)
		if (p->kernel_words.at[i].kind > KERNEL_TIMER)
			return fault(f, "kernel words", i, "is of no known kind");
	return true;
}
