/* The rules, and their order. */
#include "verdict.h"

#include <inttypes.h>
#include <stdarg.h>

struct judge {
	const struct report *r;
	const struct resources *beside; /* NULL: not known */
	struct verdicts *v;
	bool nomem;
};

/* What fails first stands first; counts of things stand behind memory, which has its bytes for a weight. */
static const double WEIGHT_FAILS_SOON = 1e30, WEIGHT_COUNT = 1;

static const struct verdict nowhere = { .kind = "" };

/* The new verdict, to be completed; never NULL. */
static struct verdict *say(struct judge *j, const char *kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
static struct verdict *say(struct judge *j, const char *kind, const char *fmt, ...)
{
	static _Thread_local struct verdict spare;
	struct verdict *v = vec_push(&j->v->list);
	va_list ap;
	if (!v) {
		j->nomem = true;
		spare = nowhere;
		return &spare;
	}
	*v = (struct verdict){ .kind = kind, .bytes = UNKNOWN, .count = UNKNOWN, .weight = WEIGHT_COUNT };
	va_start(ap, fmt);
	if (vasprintf(&v->text, fmt, ap) < 0) {
		v->text = NULL;
		j->nomem = true;
	}
	va_end(ap);
	return v;
}

static void about(struct verdict *v, uint64_t bytes, const char *command, const char *fix)
{
	v->bytes = bytes;
	v->weight = (double)bytes;
	v->command = command;
	v->fix = fix;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static bool much(const struct judge *j, uint64_t bytes)
{
	return bytes >= VERDICT_BYTES && percent(bytes, j->r->rss.total) >= VERDICT_PERCENT;
}

static const char *language(const struct judge *j)
{
	return j->r->session->runtime ? j->r->session->runtime->language : NULL;
}

bool verdict_without_leaks(const struct report *r)
{
	return r->session->target->picture.truncated && !r->session->options.target.force;
}

/* Of records that contradict each other no other verdict is safe. */
static void judge_damage(struct judge *j)
{
	const struct findings *f = &j->r->session->alloc->findings;
	uint64_t n = 0, records = 0;
	const struct finding *first = NULL, *abort = NULL;
	for (size_t i = 0; i < f->list.n; i++) {
		const struct finding *now = &f->list.at[i];
		if (!query_finding_kind(now->kind)->damage)
			continue;
		n++;
		if (!strcmp(now->kind, "malloc-abort"))
			abort = now;
		else if (!records++)
			first = now;
	}
	if (!n)
		return;
	struct verdict *v;
	if (first)
		v = say(j, "damage", "%s%smalloc's own records are damaged in %s %s, the first at 0x%" PRIx64 " (%s): what is said of blocks may be wrong.",
			abort ? abort->text : "", abort ? "; " : "", text_count(records).text, records == 1 ? "place" : "places", first->address, first->kind);
	else
		v = say(j, "damage", "%s.", abort->text);
	v->count = n;
	v->weight = WEIGHT_FAILS_SOON * 2;
	v->command = "verify";
	v->fix = "find what writes there: the block before it first, under AddressSanitizer or Valgrind.";
}

/* Page cache that nobody uses at present is dropped before anything fails. */
static void judge_cgroup(struct judge *j)
{
	const struct cgroup_memory *c = &j->r->session->cgroup;
	if (!c->known || c->limit == UNKNOWN || c->limit_usage == UNKNOWN)
		return;
	uint64_t used = c->limit_cache != UNKNOWN && c->limit_cache < c->limit_usage ? c->limit_usage - c->limit_cache : c->limit_usage;
	if (c->limit && percent(used, c->limit) < VERDICT_LIMIT_PERCENT)
		return;
	struct verdict *v = say(j, "cgroup-limit",
				"its control group, or one above it, has used %s of the %s that it may have (%.0f %%), page cache that can be dropped not counted: at the "
				"limit the kernel kills there, however much the machine has free.",
				text_size(used).text, text_size(c->limit).text, percent(used, c->limit));
	about(v, used, "system", c->version == 2 ? "a higher memory.max, or less memory." : "a higher memory.limit_in_bytes, or less memory.");
	v->weight = WEIGHT_FAILS_SOON;
}

static bool has_peer(const struct descriptor_kind *k)
{
	return !strcmp(k->state, "ESTABLISHED") || !strcmp(k->state, "connected");
}

/* Kinds that nobody keeps many of on purpose: whose peer has gone, that were never bound, that have no name any more. */
static bool is_forgotten(const struct descriptor_kind *k)
{
	return !strcmp(k->state, "CLOSE_WAIT") || !strcmp(k->kind, "socket") || (!strcmp(k->kind, "unix") && !strcmp(k->state, "unconnected")) || !strcmp(k->state, "deleted") ||
	       !strcmp(k->kind, "timerfd") || !strcmp(k->kind, "epoll") || !strcmp(k->kind, "inotify");
}

static bool nearly_full(const struct resources *b)
{
	return b->descriptor_limit != UNKNOWN && b->descriptors >= VERDICT_DESCRIPTORS_LEAST && percent(b->descriptors, b->descriptor_limit) >= VERDICT_DESCRIPTORS_PERCENT;
}

static void tell_descriptors(struct judge *j, const char *what, uint64_t n, const char *fix)
{
	const struct resources *b = j->beside;
	struct verdict *v = nearly_full(b) ? say(j, "descriptors", "%s; %s of %s descriptors are open, and at the limit open(2), socket(2) and accept(2) fail with EMFILE.",
						 what, text_count(b->descriptors).text, text_count(b->descriptor_limit).text)
					   : say(j, "descriptors", "%s.", what);
	if (nearly_full(b))
		v->weight = WEIGHT_FAILS_SOON / 2;
	v->count = n;
	v->command = "resources";
	v->fix = fix;
}

static void tell_kind(struct judge *j, const struct descriptor_kind *k, const char *more, const char *fix)
{
	char what[256];
	snprintf(what, sizeof what, "%s descriptors are of the kind %s%s%s%s", text_count(k->count).text, k->kind, k->state[0] ? ", " : "", k->state, more);
	tell_descriptors(j, what, k->count, fix);
}

static void judge_descriptors(struct judge *j)
{
	const struct resources *b = j->beside;
	if (!b || !b->have_descriptors || !b->kinds.n)
		return;
	for (size_t i = 0; i < b->kinds.n; i++) { /* most first */
		const struct descriptor_kind *k = &b->kinds.at[i];
		if (k->count < VERDICT_DESCRIPTORS || !is_forgotten(k))
			continue;
		tell_kind(j, k, !strcmp(k->state, "CLOSE_WAIT") ? ": the peers have closed, this process has not" : !strcmp(k->kind, "socket") ? ", never bound or connected" : "",
			  fix_of_descriptors(k));
		return;
	}
	const struct open_file *f = b->files.n ? &b->files.at[0] : NULL;
	const struct descriptor_kind *first = &b->kinds.at[0];
	if (f && f->count >= VERDICT_DESCRIPTORS && strncmp(f->path, "/dev/", 5) != 0) {
		char what[512];
		snprintf(what, sizeof what, "%s is open %s times", f->path, text_count(f->count).text);
		tell_descriptors(j, what, f->count, fix_of_descriptors(first));
	} else if (nearly_full(b) || (first->count >= VERDICT_DESCRIPTORS_ANY && !has_peer(first))) {
		tell_kind(j, first, "", has_peer(first) ? "a higher limit (ulimit -n) when it serves so many; else a time-out for idle connections." : fix_of_descriptors(first));
	}
}

static void judge_mappings(struct judge *j)
{
	const struct resources *b = j->beside;
	if (!b || b->mapping_limit == UNKNOWN || !b->mapping_limit || percent(b->mappings, b->mapping_limit) < VERDICT_MAPPINGS_PERCENT)
		return;
	struct verdict *v = say(j, "mappings", "%s of the %s mappings that vm.max_map_count allows exist: at the limit mmap(2) fails with ENOMEM, and with it malloc of large "
				"blocks, new threads and new arenas, however much is free.", text_count(b->mappings).text, text_count(b->mapping_limit).text);
	v->count = b->mappings;
	v->weight = WEIGHT_FAILS_SOON / 4;
	v->command = "resources";
	v->fix = "munmap(2) what is done with, or fewer and larger mappings; sysctl vm.max_map_count higher until then.";
}

/* Which of the groups has most of it, when that is worth a word. */
static void add_first_group(struct strbuf *to, const struct report *r, uint64_t bytes)
{
	const struct leak_group *g = r->leaks.n ? &r->leaks.at[0] : NULL;
	if (!g || g->retained_bytes < bytes / 2)
		return;
	strbuf_printf(to, strcmp(g->identified_by, "size") ? "; L1 (%s" : "; L1 (blocks of %s", g->label);
	strbuf_printf(to, g->perhaps ? ", perhaps %s) holds " : ") holds ", g->perhaps);
	if (g->retained_bytes >= bytes)
		strbuf_puts(to, "all of it");
	else
		strbuf_printf(to, "%.0f %% of it", percent(g->retained_bytes, bytes));
}

static void judge_leaks(struct judge *j)
{
	const struct report *r = j->r;
	const struct class_sum *c = r->classes;
	uint64_t blocks = c[CLASS_DEFINITE].blocks + c[CLASS_INDIRECT].blocks, bytes = c[CLASS_DEFINITE].bytes + c[CLASS_INDIRECT].bytes;
	bool little = bytes < VERDICT_LEAK_LEAST || percent(bytes, r->used.bytes) < VERDICT_LEAK_PERCENT;
	if (verdict_without_leaks(r) || (bytes < VERDICT_LEAK_BYTES && little))
		return;
	struct strbuf t = { 0 };
	add_first_group(&t, r, bytes);
	struct verdict *v = say(j, "leak", "%s%s in %s %s has leaked%s%s: nothing points at it any more.", r->at_most ? "at most " : "", text_size(bytes).text,
				text_count(blocks).text, blocks == 1 ? "block" : "blocks", r->session->alloc->partial ? " in the part of the heap that could be walked" : "",
				t.text ? t.text : "");
	strbuf_free(&t);
	about(v, bytes, "blocks", "free it on every way out of the function that asks for it, those of errors too.");
	v->count = blocks;
	v->weight = (double)bytes * VERDICT_LEAK_WEIGHT;
	if (r->leaks.n && r->leaks.at[0].n_samples && asprintf(&v->operand, "0x%" PRIx64, r->leaks.at[0].sample[0]) < 0)
		v->operand = NULL;
	if (v->operand)
		v->command = "sites";
}

/* One word of a filter, as the shell takes it too. */
static bool is_plain(const char *name)
{
	return *name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:")];
}

static void judge_holders(struct judge *j)
{
	enum { MOST = 3 };
	for (size_t i = 0, told = 0; i < j->r->holders.n && told < MOST; i++) {
		const struct holder_line *h = &j->r->holders.at[i];
		if (h->stack || !much(j, h->retained_bytes) || (h->retained_blocks < VERDICT_HELD_BLOCKS && h->retained_bytes < VERDICT_HELD_BYTES))
			continue;
		struct verdict *v = say(j, "held", "%s (H%u%s%s) keeps %s in %s %s alive, %.0f %% of what is in use: a leak when it grows without end.", h->name, h->number,
					h->where && *h->where ? ", " : "", h->where ? h->where : "", text_size(h->retained_bytes).text, text_count(h->retained_blocks).text, h->retained_blocks == 1 ? "block" : "blocks",
					percent(h->retained_bytes, j->r->used.bytes));
		about(v, h->retained_bytes, "tree", fix_of_holder(h->name, language(j)));
		v->count = h->retained_blocks;
		if (is_plain(h->name) && asprintf(&v->operand, "holder=%s group by label", h->name) < 0)
			v->operand = NULL;
		if (v->operand)
			v->command = "blocks";
		told++;
	}
}

static void judge_retention(struct judge *j)
{
	const struct rss_table *t = &j->r->rss;
	const char *at_most = t->known ? "" : "at most ";
	if (much(j, t->bytes[RSS_FREE_TRIMMABLE]))
		about(say(j, "retention", "%s%s that the program has freed stays with malloc, and malloc_trim(3) would return it.", at_most,
			  text_size(t->bytes[RSS_FREE_TRIMMABLE]).text),
		      t->bytes[RSS_FREE_TRIMMABLE], "trim", "no leak: call malloc_trim(0) when the peak is over; a lower M_MMAP_THRESHOLD keeps large blocks out of the heap.");
	if (much(j, t->bytes[RSS_FREE_TOP]))
		about(say(j, "thread-tops", "%s%s is free at the tops of thread arenas, which malloc_trim(3) does not touch.", at_most, text_size(t->bytes[RSS_FREE_TOP]).text),
		      t->bytes[RSS_FREE_TOP], "trim",
		      "MALLOC_TRIM_THRESHOLD_=131072 in the environment (or mallopt(3)): tops then go back when they are freed; MALLOC_ARENA_MAX=2 has fewer of them.");
}

void verdict_sparse(struct strbuf *to, const struct sparse_label *x, uint64_t page, bool resident)
{
	/* A label by size says the size itself. */
	bool sized = strstr(x->label, " B") && x->label[0] >= '0' && x->label[0] <= '9';
	char size[32];
	size_t n = (size_t)snprintf(size, sizeof size, " %llu B", (unsigned long long)x->min_size), length = strlen(x->label);
	bool told = length > n && !strcmp(x->label + length - n, size);
	strbuf_printf(to, "%s of ", text_size(x->live_bytes).text);
	if (x->min_size == x->max_size && x->min_size && !told)
		strbuf_printf(to, "%s-byte ", text_count(x->min_size).text);
	if (!sized || x->min_size != x->max_size)
		strbuf_puts(to, x->label);
	bool blocks = strstr(x->label, "blocks");
	strbuf_printf(to, "%s keep %s%s", blocks ? "" : sized && x->min_size == x->max_size ? "blocks" : " blocks", text_size(x->pages * page).text,
		      resident ? " resident" : "");
}

static void judge_fragments(struct judge *j)
{
	const struct report *r = j->r;
	uint64_t pinned = r->rss.bytes[RSS_FREE_PINNED];
	struct strbuf t = { 0 };
	if (!much(j, pinned))
		return;
	if (r->sparse.label) {
		strbuf_puts(&t, ": ");
		verdict_sparse(&t, &r->sparse, r->page, r->rss.known);
		if (r->sparse_holder)
			strbuf_printf(&t, ", held by %s", r->sparse_holder);
	}
	about(say(j, "fragmentation", "%s is free, but on pages where something lives%s.", text_size(pinned).text, t.text ? t.text : ""), pinned, "frag",
	      "allocate what lives long apart from what does not: early, or in a pool of its own, so that it does not lie between.");
	strbuf_free(&t);
}

/* Of an allocator that was not walked the mappings are the allocator's. */
static void judge_outside(struct judge *j)
{
	static const struct { enum rss_cause cause; const char *text; uint64_t least; } rows[] = {
		{ RSS_OTHER_MAPPINGS, "is mapped outside malloc", VERDICT_OUTSIDE_BYTES },
		{ RSS_SHARED_MEMORY, "is shared memory", VERDICT_OUTSIDE_BYTES },
		{ RSS_STACKS, "is thread stacks", VERDICT_OUTSIDE_BYTES },
		{ RSS_FILES, "is files and libraries", VERDICT_FILES_BYTES },
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0] && j->r->session->blocks; i++) {
		uint64_t bytes = j->r->rss.bytes[rows[i].cause];
		if (bytes < rows[i].least || percent(bytes, j->r->rss.total) < VERDICT_OUTSIDE_PERCENT)
			continue;
		const char *whose = rows[i].cause == RSS_OTHER_MAPPINGS ? language(j) : NULL;
		about(say(j, "outside-malloc", "%s, %.0f %% of the whole, %s%s%s%s: nothing that malloc knows of.", text_size(bytes).text, percent(bytes, j->r->rss.total),
			  rows[i].text, whose ? " (" : "", whose ? whose : "", whose ? " has memory of its own)" : ""),
		      bytes, "maps", fix_of_outside(rows[i].cause, language(j)));
	}
}

static void judge_threads(struct judge *j)
{
	const struct resources *b = j->beside;
	uint64_t n = j->r->session->target->picture.threads.n;
	if (!b || !b->places.n || b->places.at[0].count < VERDICT_THREADS || b->places.at[0].count * 2 < n)
		return;
	const struct place *p = &b->places.at[0];
	struct verdict *v = say(j, "threads", "%s of %s threads stand in %s%s%s%s%s.", text_count(p->count).text, text_count(n).text,
				p->function ? p->function : p->module ? p->module : "the same place", p->function && !strchr(p->function, '(') ? "()" : "",
				p->start ? ", begun in " : "", p->start ? p->start : "", p->start && !strchr(p->start, '(') ? "()" : "");
	v->count = p->count;
	v->command = "resources";
	v->fix = "let them wait with a deadline, and end; for work that comes and goes, a pool with a bound.";
}

static void judge_timers(struct judge *j)
{
	const struct resources *b = j->beside;
	if (!b || b->timers == UNKNOWN || b->timers < VERDICT_TIMERS)
		return;
	struct verdict *v = say(j, "timers", "%s timers of timer_create(2) exist.", text_count(b->timers).text);
	v->count = b->timers;
	v->command = "resources";
	v->fix = "timer_delete(2) where that which armed it ends.";
}

static void judge_rest(struct judge *j)
{
	const struct report *r = j->r;
	if (!r->session->blocks) {
		const char *why = r->allocator_note[0] ? r->allocator_note : "the heap is not walked";
		struct verdict *v = say(j, "not-walked", "%s, so that no leak can be told from what is in use.", why);
		v->command = "rss";
		v->fix = "the profiler of that allocator, or the same program on glibc's malloc.";
		v->weight = WEIGHT_COUNT / 2;
	} else if (!j->v->list.n) {
		say(j, "nothing-unusual", "%s", "leaks, holders, free memory and counts are all below what calls for action.");
	}
}

bool verdict_is_kind(const char *word)
{
	static const char *const kinds[] = { "damage", "cgroup-limit", "descriptors", "mappings", "leak", "held", "retention", "thread-tops", "fragmentation", "outside-malloc",
					     "threads", "timers", "not-walked", "nothing-unusual" };
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (!strcmp(kinds[i], word))
			return true;
	return false;
}

static int heaviest_first(const void *a, const void *b)
{
	const struct verdict *x = a, *y = b;
	return x->weight != y->weight ? (x->weight > y->weight ? -1 : 1) : strcmp(x->kind, y->kind);
}

struct err *verdicts_judge(const struct report *r, const struct resources *beside, struct verdicts **ret)
{
	struct judge j = { .r = r, .beside = beside, .v = calloc(1, sizeof *j.v) };
	if (!j.v)
		return err_nomem();
	judge_damage(&j);
	judge_cgroup(&j);
	judge_descriptors(&j);
	judge_mappings(&j);
	if (r->session->blocks) {
		judge_leaks(&j);
		judge_holders(&j);
		judge_retention(&j);
		judge_fragments(&j);
	}
	judge_outside(&j);
	judge_threads(&j);
	judge_timers(&j);
	judge_rest(&j);
	if (j.nomem) {
		verdicts_free(j.v);
		return err_nomem();
	}
	qsort(j.v->list.at, j.v->list.n, sizeof *j.v->list.at, heaviest_first);
	*ret = j.v;
	return NULL;
}

struct err *query_verdicts(const struct report *r, struct verdicts **ret)
{
	struct resources *beside;
	unsigned parts = r->session->target->live ? RESOURCES_DESCRIPTORS : 0;
	if (r->session->target->picture.threads.n >= VERDICT_THREADS)
		parts |= RESOURCES_THREADS;
	TRY(query_resources(r->session, parts, &beside));
	/* How many there are is known without asking where each comes from. */
	if (r->session->target->live) {
		struct system_memory machine;
		system_memory_read("", &machine);
		beside->mappings = r->session->target->picture.maps.n;
		beside->mapping_limit = machine.max_mappings;
	}
	struct err *e = verdicts_judge(r, beside, ret);
	resources_free(beside);
	return e;
}

void verdicts_free(struct verdicts *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->list.n; i++) {
		free(v->list.at[i].text);
		free(v->list.at[i].operand);
	}
	vec_free(&v->list);
	free(v);
}
