/* The report as JSON, schema flotsam.report/1. Unknown is null, never 0. */
#include "cmd.h"

static void known_u64(struct json *j, const char *key, uint64_t v)
{
	if (v == UNKNOWN)
		json_null(j, key);
	else
		json_u64(j, key, v);
}

static void sum(struct json *j, const char *key, struct class_sum s)
{
	json_object(j, key);
	json_u64(j, "blocks", s.blocks);
	json_u64(j, "bytes", s.bytes);
	json_end_object(j);
}

static void identity(struct json *j, const struct session *s)
{
	const struct picture *p = &s->target->picture;
	json_object(j, "target");
	json_string(j, "kind", s->target->row->name);
	if (s->target->pid)
		json_i64(j, "pid", s->target->pid);
	else
		json_null(j, "pid");
	json_string(j, "comm", s->target->comm[0] ? s->target->comm : NULL);
	json_string(j, "exe", s->target->exe[0] ? s->target->exe : NULL);
	json_string(j, "arch", s->target->arch->name);
	json_u64(j, "threads", p->threads.n);
	if (p->stopped_seconds < 0)
		json_null(j, "stopped_seconds");
	else
		json_double(j, "stopped_seconds", p->stopped_seconds, 6);
	json_end_object(j);
	const struct alloc *a = s->alloc;
	json_object(j, "allocator");
	json_string(j, "name", a->facts.name);
	json_string(j, "version", a->facts.version[0] ? a->facts.version : NULL);
	json_string(j, "found_by", a->facts.walked ? a->facts.found_by : NULL);
	json_u64(j, "arenas", a->arenas.n);
	json_bool(j, "walked", a->facts.walked);
	json_end_object(j);
}

static void coverage(struct json *j, const struct report *r)
{
	const struct picture *p = &r->session->target->picture;
	json_object(j, "coverage");
	json_bool(j, "complete", r->complete);
	json_bool(j, "at_most", r->at_most);
	json_u64(j, "read_bytes", p->read_bytes);
	json_array(j, "skipped");
	for (size_t i = 0; i < p->skipped.n; i++) {
		json_object(j, NULL);
		json_string(j, "reason", p->skipped.at[i].reason);
		json_u64(j, "bytes", p->skipped.at[i].bytes);
		json_end_object(j);
	}
	json_end_array(j);
	json_array(j, "notes");
	for (size_t i = 0; i < r->notes.n; i++)
		json_string(j, NULL, r->notes.at[i]);
	json_end_array(j);
	json_end_object(j);
}

static void rss(struct json *j, const struct report *r)
{
	const struct rss_table *t = &r->rss;
	json_object(j, "rss");
	json_bool(j, "resident", t->known);
	json_u64(j, "total_bytes", t->total);
	json_u64(j, "unexplained_bytes", t->unexplained);
	known_u64(j, "vmrss_bytes", t->vmrss);
	known_u64(j, "swapped_bytes", t->known ? t->swapped : UNKNOWN);
	json_array(j, "causes");
	for (int i = 0; i < RSS_CAUSES; i++) {
		json_object(j, NULL);
		json_string(j, "cause", rss_cause_name((enum rss_cause)i));
		json_u64(j, "bytes", t->bytes[i]);
		known_u64(j, "blocks", t->blocks[i]);
		json_end_object(j);
	}
	json_end_array(j);
	json_end_object(j);
}

static void heap(struct json *j, const struct report *r)
{
	bool split = r->free_split_known;
	json_object(j, "heap");
	sum(j, "used", r->used);
	json_object(j, "free");
	json_u64(j, "blocks", r->free.blocks);
	json_u64(j, "bytes", r->free.bytes);
	known_u64(j, "trimmable_bytes", split ? r->free_trimmable : UNKNOWN);
	known_u64(j, "top_bytes", split ? r->free_top : UNKNOWN);
	known_u64(j, "pinned_bytes", split ? r->free_pinned : UNKNOWN);
	known_u64(j, "nonresident_bytes", split ? r->free_nonresident : UNKNOWN);
	json_end_object(j);
	json_array(j, "states");
	for (size_t i = 0; i < r->n_states; i++) {
		json_object(j, NULL);
		json_string(j, "state", r->states[i].state);
		json_u64(j, "blocks", r->states[i].blocks);
		json_u64(j, "bytes", r->states[i].bytes);
		json_end_object(j);
	}
	json_end_array(j);
	json_end_object(j);
	json_object(j, "reachability");
	sum(j, "definite", r->classes[CLASS_DEFINITE]);
	sum(j, "indirect", r->classes[CLASS_INDIRECT]);
	sum(j, "possible", r->classes[CLASS_POSSIBLE]);
	sum(j, "reachable", r->classes[CLASS_REACHABLE]);
	sum(j, "runtime", r->classes[CLASS_RUNTIME]);
	sum(j, "stack_only", r->stack_only);
	json_end_object(j);
}

static void leaks(const struct arguments *a, struct json *j, const struct report *r)
{
	json_array(j, "leaks");
	for (size_t i = 0; i < r->leaks.n; i++) {
		const struct leak_group *g = &r->leaks.at[i];
		char rank[16];
		snprintf(rank, sizeof rank, "L%u", g->number);
		json_object(j, NULL);
		json_string(j, "rank", rank);
		json_string(j, "label", g->label);
		json_string(j, "identified_by", g->identified_by);
		json_u64(j, "size", g->size);
		json_u64(j, "blocks", g->blocks);
		json_u64(j, "bytes", g->bytes);
		json_u64(j, "retained_bytes", g->retained_bytes);
		json_array(j, "sample");
		for (unsigned k = 0; k < g->n_samples; k++)
			json_address(j, NULL, g->sample[k]);
		json_end_array(j);
		if (a->show_content)
			json_string(j, "preview", g->preview);
		json_end_object(j);
	}
	json_end_array(j);
	json_array(j, "holders");
	for (size_t i = 0; i < r->holders.n; i++) {
		const struct holder_line *h = &r->holders.at[i];
		char rank[16];
		snprintf(rank, sizeof rank, "H%u", h->number);
		json_object(j, NULL);
		json_string(j, "rank", rank);
		json_string(j, "name", h->name);
		json_string(j, "kind", h->kind);
		json_string(j, "where", h->where);
		json_u64(j, "retained_blocks", h->retained_blocks);
		json_u64(j, "retained_bytes", h->retained_bytes);
		json_end_object(j);
	}
	json_end_array(j);
}

static void rest(struct json *j, const struct report *r)
{
	const struct session *s = r->session;
	json_array(j, "interior_rules");
	for (int i = 0; s->graph && i < N_INTERIOR_RULES; i++) {
		if (!s->graph->rule_counts[i])
			continue;
		json_object(j, NULL);
		json_string(j, "rule", interior_rule_name((enum interior_rule)i));
		json_u64(j, "blocks", s->graph->rule_counts[i]);
		json_end_object(j);
	}
	json_end_array(j);
	json_array(j, "findings");
	for (size_t i = 0; i < r->findings.n; i++) {
		const struct finding *f = r->findings.at[i];
		json_object(j, NULL);
		json_string(j, "kind", f->kind);
		if (f->address)
			json_address(j, "address", f->address);
		else
			json_null(j, "address");
		json_string(j, "text", f->text);
		json_end_object(j);
	}
	json_end_array(j);
	const struct picture *p = &s->target->picture;
	json_object(j, "timings");
	if (p->stopped_seconds >= 0) {
		json_double(j, "stopped", p->stopped_seconds, 6);
		json_double(j, "copy", p->copy_seconds, 6);
	} else {
		json_null(j, "stopped");
		json_null(j, "copy");
	}
	json_double(j, "read", s->timings.read, 6);
	json_double(j, "walk", s->timings.walk, 6);
	json_double(j, "mark", s->graph ? s->graph->mark_seconds : 0, 6);
	json_double(j, "classify", s->timings.mark, 6);
	json_double(j, "holders", s->timings.holders, 6);
	json_double(j, "types", s->timings.types, 6);
	json_double(j, "total", s->timings.read + s->timings.walk + s->timings.mark + s->timings.holders + s->timings.types, 6);
	json_u64(j, "marked_blocks", s->graph ? s->graph->marked : 0);
	json_u64(j, "index_bytes", s->blocks ? s->blocks->bytes : 0);
	json_end_object(j);
}

void report_json(const struct arguments *a, const struct report *r, struct out *o)
{
	struct json j;
	json_init(&j, o, true);
	json_object(&j, NULL);
	json_string(&j, "schema", "flotsam.report/1");
	json_string(&j, "version", FLOTSAM_VERSION);
	identity(&j, r->session);
	coverage(&j, r);
	rss(&j, r);
	heap(&j, r);
	leaks(a, &j, r);
	rest(&j, r);
	json_end_object(&j);
	out_puts(o, "\n");
}
