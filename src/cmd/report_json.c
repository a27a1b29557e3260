/* The report as JSON, schema flotsam.report/1. Unknown is null, never 0. */
#include "cmd.h"

/* Of a heap that was not walked nothing is known. */
static const struct class_sum unknown_sum = { UNKNOWN, UNKNOWN };

static void sum(struct json *j, const char *key, struct class_sum s)
{
	out_json_object(j, key);
	out_json_known(j, "blocks", s.blocks);
	out_json_known(j, "bytes", s.bytes);
	out_json_end_object(j);
}

void report_json_identity(struct json *j, const struct session *s)
{
	const struct picture *p = &s->target->picture;
	out_json_object(j, "target");
	out_json_string(j, "kind", s->target->row->name);
	if (s->target->pid)
		out_json_i64(j, "pid", s->target->pid);
	else
		out_json_null(j, "pid");
	out_json_string(j, "comm", s->target->comm[0] ? s->target->comm : NULL);
	out_json_string(j, "exe", s->target->exe[0] ? s->target->exe : NULL);
	out_json_string(j, "arch", s->target->arch->name);
	out_json_u64(j, "threads", p->threads.n);
	if (s->uptime < 0)
		out_json_null(j, "uptime_seconds");
	else
		out_json_double(j, "uptime_seconds", s->uptime, 2);
	if (p->stopped_seconds < 0)
		out_json_null(j, "stopped_seconds");
	else
		out_json_double(j, "stopped_seconds", p->stopped_seconds, 6);
	out_json_end_object(j);
	const struct alloc *a = s->alloc;
	out_json_object(j, "allocator");
	out_json_string(j, "name", a->facts.name);
	out_json_string(j, "version", a->facts.version[0] ? a->facts.version : NULL);
	out_json_string(j, "found_by", a->facts.walked ? a->facts.found_by : NULL);
	out_json_u64(j, "arenas", a->arenas.n);
	out_json_bool(j, "walked", a->facts.walked);
	out_json_end_object(j);
}

/* What labels are made from, and why. */
static void labelled(struct json *j, const struct session *s)
{
	if (!s->types) {
		out_json_null(j, "labelled");
		return;
	}
	out_json_object(j, "labelled");
	out_json_string(j, "types", s->labels_by_dwarf ? "all" : "vtable");
	out_json_string(j, "because", types_because_name(s->types_because));
	if (s->types_because == BECAUSE_COSTLY && !s->labels_by_dwarf)
		out_json_double(j, "all_seconds", s->types_cost, 0);
	else
		out_json_null(j, "all_seconds");
	out_json_end_object(j);
}

static void coverage(struct json *j, const struct report *r)
{
	const struct picture *p = &r->session->target->picture;
	out_json_object(j, "coverage");
	out_json_bool(j, "complete", r->complete);
	out_json_bool(j, "at_most", r->at_most);
	out_json_bool(j, "quiet", r->quiet);
	out_json_u64(j, "read_bytes", p->read_bytes);
	labelled(j, r->session);
	out_json_array(j, "skipped");
	for (size_t i = 0; i < p->skipped.n; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "reason", p->skipped.at[i].reason);
		out_json_u64(j, "bytes", p->skipped.at[i].bytes);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_array(j, "notes");
	for (size_t i = 0; i < r->notes.n; i++)
		out_json_string(j, NULL, r->notes.at[i]);
	out_json_end_array(j);
	out_json_end_object(j);
}

static void cgroup(struct json *j, const struct cgroup_memory *c)
{
	if (!c->known) {
		out_json_null(j, "cgroup");
		return;
	}
	out_json_object(j, "cgroup");
	out_json_u64(j, "usage_bytes", c->usage);
	out_json_known(j, "limit_bytes", c->limit);
	out_json_known(j, "anon_bytes", c->anon);
	out_json_known(j, "file_bytes", c->file);
	out_json_end_object(j);
}

void report_json_rss(struct json *j, const struct session *s, const struct rss_table *t)
{
	out_json_object(j, "rss");
	out_json_bool(j, "resident", t->known);
	out_json_u64(j, "total_bytes", t->total);
	out_json_u64(j, "unexplained_bytes", t->unexplained);
	out_json_known(j, "vmrss_bytes", t->vmrss);
	out_json_known(j, "swapped_bytes", t->known ? t->swapped : UNKNOWN);
	out_json_array(j, "causes");
	for (int i = 0; i < RSS_CAUSES; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "cause", rss_cause_name((enum rss_cause)i));
		/* What a heap that was not walked is made of nobody knows. */
		bool unknown = i < RSS_FILES && !s->blocks;
		out_json_known(j, "bytes", unknown ? UNKNOWN : t->bytes[i]);
		out_json_known(j, "blocks", unknown ? UNKNOWN : t->blocks[i]);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	cgroup(j, &s->cgroup);
	out_json_end_object(j);
}

static void sparse(struct json *j, const struct report *r)
{
	const struct sparse_label *x = &r->sparse;
	if (!x->label) {
		out_json_null(j, "sparse");
		return;
	}
	out_json_object(j, "sparse");
	out_json_string(j, "label", x->label);
	out_json_u64(j, "blocks", x->blocks);
	out_json_u64(j, "live_bytes", x->live_bytes);
	out_json_u64(j, "pages", x->pages);
	out_json_u64(j, "bytes", x->pages * r->page);
	out_json_end_object(j);
}

static void arenas(struct json *j, const struct report *r)
{
	out_json_array(j, "arenas");
	for (size_t i = 0; i < r->arenas.n; i++) {
		const struct arena_line *x = &r->arenas.at[i];
		out_json_object(j, NULL);
		out_json_i64(j, "arena", x->index);
		out_json_address(j, "address", x->address);
		out_json_u64(j, "system_bytes", x->system_bytes);
		out_json_u64(j, "used_bytes", x->used_bytes);
		out_json_u64(j, "free_bytes", x->free_bytes);
		out_json_u64(j, "top_bytes", x->top_bytes);
		out_json_u64(j, "heaps", x->heaps);
		out_json_bool(j, "consistent", x->consistent);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_array(j, "pins");
	for (size_t i = 0; i < r->pins.n; i++) {
		const struct pin *x = &r->pins.at[i];
		out_json_object(j, NULL);
		out_json_i64(j, "arena", x->arena);
		out_json_address(j, "block", x->block);
		out_json_u64(j, "size", x->block_bytes);
		out_json_string(j, "label", x->label);
		out_json_string(j, "state", x->state);
		out_json_string(j, "holder", x->holder);
		out_json_u64(j, "free_bytes", x->free_below_top);
		out_json_u64(j, "freed_bytes", x->freed_bytes);
		out_json_u64(j, "freed_resident_bytes", x->freed_resident);
		out_json_address(j, "heap", x->heap);
		out_json_u64(j, "heap_bytes", x->heap_bytes);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	sparse(j, r);
}

static void heap(struct json *j, const struct report *r)
{
	bool walked = r->session->blocks, classes = r->session->graph, split = walked && r->free_split_known;
	const struct class_sum *c = r->classes;
	out_json_object(j, "heap");
	sum(j, "used", walked ? r->used : unknown_sum);
	out_json_object(j, "free");
	out_json_known(j, "blocks", walked ? r->free.blocks : UNKNOWN);
	out_json_known(j, "bytes", walked ? r->free.bytes : UNKNOWN);
	out_json_known(j, "trimmable_bytes", split ? r->free_trimmable : UNKNOWN);
	out_json_known(j, "top_bytes", split ? r->free_top : UNKNOWN);
	out_json_known(j, "pinned_bytes", split ? r->free_pinned : UNKNOWN);
	out_json_known(j, "nonresident_bytes", split ? r->free_nonresident : UNKNOWN);
	out_json_end_object(j);
	out_json_array(j, "states");
	for (size_t i = 0; i < r->n_states; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "state", r->states[i].state);
		out_json_u64(j, "blocks", r->states[i].blocks);
		out_json_u64(j, "bytes", r->states[i].bytes);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	arenas(j, r);
	out_json_end_object(j);
	out_json_object(j, "reachability");
	sum(j, "definite", classes ? c[CLASS_DEFINITE] : unknown_sum);
	sum(j, "indirect", classes ? c[CLASS_INDIRECT] : unknown_sum);
	sum(j, "possible", classes ? c[CLASS_POSSIBLE] : unknown_sum);
	sum(j, "reachable", classes ? c[CLASS_REACHABLE] : unknown_sum);
	sum(j, "runtime", classes ? c[CLASS_RUNTIME] : unknown_sum);
	sum(j, "stack_only", classes ? r->stack_only : unknown_sum);
	out_json_end_object(j);
}

static void likely(struct json *j, const struct types *t, const struct likely *l)
{
	out_json_array(j, "likely");
	for (unsigned i = 0; i < l->n; i++) {
		struct strbuf name = { 0 };
		type_table_name(t->typing->table, l->at[i].type, &name);
		out_json_object(j, NULL);
		out_json_string(j, "type", name.text);
		out_json_u64(j, "fits", l->at[i].fits);
		out_json_u64(j, "looked_at", l->looked_at);
		out_json_u64(j, "in_use", l->at[i].in_use);
		out_json_end_object(j);
		strbuf_free(&name);
	}
	out_json_end_array(j);
}

static void leaks(const struct arguments *a, struct json *j, const struct report *r)
{
	if (!r->session->graph || verdict_without_leaks(r)) {
		out_json_null(j, "leaks");
		return;
	}
	out_json_array(j, "leaks");
	for (size_t i = 0; i < r->leaks.n; i++) {
		const struct leak_group *g = &r->leaks.at[i];
		char rank[16];
		snprintf(rank, sizeof rank, "L%u", g->number);
		out_json_object(j, NULL);
		out_json_string(j, "rank", rank);
		out_json_string(j, "label", g->label);
		out_json_string(j, "identified_by", g->identified_by);
		out_json_u64(j, "size", g->size);
		out_json_u64(j, "blocks", g->blocks);
		out_json_u64(j, "bytes", g->bytes);
		out_json_u64(j, "retained_bytes", g->retained_bytes);
		out_json_array(j, "sample");
		for (unsigned k = 0; k < g->n_samples; k++)
			out_json_address(j, NULL, g->sample[k]);
		out_json_end_array(j);
		likely(j, r->session->types, &g->likely);
		if (a->show_content)
			out_json_string(j, "preview", g->preview);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static void holders(struct json *j, const struct report *r)
{
	if (!r->session->graph) {
		out_json_null(j, "holders");
		return;
	}
	out_json_array(j, "holders");
	for (size_t i = 0; i < r->holders.n; i++) {
		const struct holder_line *h = &r->holders.at[i];
		char rank[16];
		snprintf(rank, sizeof rank, "H%u", h->number);
		out_json_object(j, NULL);
		out_json_string(j, "rank", rank);
		out_json_string(j, "name", h->name);
		out_json_string(j, "kind", h->kind);
		out_json_string(j, "where", h->where);
		if (h->container) {
			out_json_object(j, "container");
			out_json_string(j, "type", h->container);
			out_json_string(j, "member", h->member);
			out_json_known(j, "items", h->items);
			out_json_end_object(j);
		} else {
			out_json_null(j, "container");
		}
		out_json_u64(j, "retained_blocks", h->retained_blocks);
		out_json_u64(j, "retained_bytes", h->retained_bytes);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static void known_address(struct json *j, const char *key, bool known, uint64_t v)
{
	if (known)
		out_json_address(j, key, v);
	else
		out_json_null(j, key);
}

void report_json_finding(struct json *j, const struct finding *f)
{
	out_json_string(j, "kind", f->kind);
	known_address(j, "address", f->address, f->address);
	out_json_string(j, "text", f->text);
	known_address(j, "expected", f->has_expected, f->expected);
	known_address(j, "found", f->has_found, f->found);
	known_address(j, "neighbour", f->neighbour, f->neighbour);
}

static void rest(struct json *j, const struct report *r)
{
	const struct session *s = r->session;
	out_json_array(j, "interior_rules");
	for (int i = 0; s->graph && i < N_INTERIOR_RULES; i++) {
		if (!s->graph->rule_counts[i])
			continue;
		out_json_object(j, NULL);
		out_json_string(j, "rule", interior_rule_name((enum interior_rule)i));
		out_json_u64(j, "blocks", s->graph->rule_counts[i]);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_array(j, "findings");
	for (size_t i = 0; i < r->findings.n; i++) {
		out_json_object(j, NULL);
		report_json_finding(j, r->findings.at[i]);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static void timings(struct json *j, const struct session *s)
{
	const struct picture *p = &s->target->picture;
	out_json_object(j, "timings");
	if (p->stopped_seconds >= 0) {
		out_json_double(j, "stopped", p->stopped_seconds, 6);
		out_json_u64(j, "stops", (uint64_t)p->stops);
		out_json_double(j, "copy", p->copy_seconds, 6);
	} else {
		out_json_null(j, "stopped");
		out_json_null(j, "copy");
	}
	out_json_double(j, "read", s->timings.read, 6);
	out_json_double(j, "walk", s->timings.walk, 6);
	out_json_double(j, "mark", s->graph ? s->graph->mark_seconds : 0, 6);
	out_json_double(j, "classify", s->timings.mark, 6);
	out_json_double(j, "holders", s->timings.holders, 6);
	out_json_double(j, "types", s->timings.types, 6);
	out_json_double(j, "total", s->timings.read + s->timings.walk + s->timings.mark + s->timings.holders + s->timings.types, 6);
	out_json_u64(j, "marked_blocks", s->graph ? s->graph->marked : 0);
	out_json_u64(j, "index_bytes", s->blocks ? s->blocks->bytes : 0);
	out_json_end_object(j);
}

static void verdicts(const struct arguments *a, struct json *j, const struct verdicts *v)
{
	out_json_array(j, "verdicts");
	for (size_t i = 0; i < v->list.n; i++) {
		const struct verdict *x = &v->list.at[i];
		struct strbuf step = { 0 };
		verdict_step(&step, a, x);
		out_json_object(j, NULL);
		out_json_string(j, "kind", x->kind);
		out_json_string(j, "text", x->text);
		out_json_string(j, "next", step.text);
		out_json_string(j, "fix", x->fix);
		out_json_known(j, "bytes", x->bytes);
		out_json_known(j, "count", x->count);
		out_json_end_object(j);
		strbuf_free(&step);
	}
	out_json_end_array(j);
}

static void types_named(struct json *j, struct session *s)
{
	struct typed_rows rows = { 0 };
	if (!s->types || !s->types->typed_labels)
		return;
	struct err *e = types_rows(s->types, &rows);
	if (!e) {
		out_json_object(j, "types");
		coverage_json(&rows, j);
		without_dwarf_json(s, j);
		out_json_end_object(j);
	}
	err_free(e);
	typed_rows_free(&rows);
}

void report_json_write(const struct arguments *a, const struct report *r, const struct verdicts *v, struct json *j)
{
	out_json_object(j, NULL);
	out_json_string(j, "schema", "flotsam.report/1");
	out_json_string(j, "version", FLOTSAM_VERSION);
	report_json_identity(j, r->session);
	verdicts(a, j, v);
	coverage(j, r);
	types_named(j, r->session);
	report_json_rss(j, r->session, &r->rss);
	heap(j, r);
	leaks(a, j, r);
	holders(j, r);
	rest(j, r);
	timings(j, r->session);
	out_json_end_object(j);
}

void report_json(const struct arguments *a, const struct report *r, const struct verdicts *v, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	report_json_write(a, r, v, &j);
	out_puts(o, "\n");
}
