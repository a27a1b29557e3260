/* The machine as JSON, schema flotsam.system/1. Unknown, and a limit that is none, is null. */
#include "cmd.h"

static void pages(struct json *j, const struct machine *m, const char *key, uint64_t v)
{
	out_json_known(j, key, v == UNKNOWN || v > UINT64_MAX / m->page ? UNKNOWN : v * m->page);
}

static void verdicts(struct json *j, const struct machine *m)
{
	out_json_array(j, "verdicts");
	for (size_t i = 0; i < m->verdicts.n; i++) {
		const struct machine_verdict *v = &m->verdicts.at[i];
		out_json_object(j, NULL);
		out_json_string(j, "kind", v->kind);
		out_json_string(j, "when", verdict_when_name(v->when));
		out_json_string(j, "text", v->text);
		out_json_string(j, "step", v->step);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static void pressure(struct json *j, const struct system_pressure *p)
{
	static const char *const keys[] = { "avg10", "avg60", "avg300" };
	if (!p->known) {
		out_json_null(j, "pressure");
		return;
	}
	out_json_object(j, "pressure");
	for (int full = 0; full < 2; full++) {
		out_json_object(j, full ? "full" : "some");
		for (int i = 0; i < 3; i++)
			out_json_double(j, keys[i], full ? p->full[i] : p->some[i], 2);
		out_json_u64(j, "total_us", full ? p->full_us : p->some_us);
		out_json_end_object(j);
	}
	out_json_end_object(j);
}

static void memory(struct json *j, const struct machine *m)
{
	const struct system_memory *x = &m->memory;
	out_json_object(j, "memory");
	out_json_known(j, "total_bytes", x->total);
	out_json_known(j, "free_bytes", x->free);
	out_json_known(j, "available_bytes", x->available);
	out_json_known(j, "buffers_bytes", x->buffers);
	out_json_known(j, "cached_bytes", x->cached);
	out_json_known(j, "anon_bytes", x->anon);
	out_json_known(j, "anon_huge_bytes", x->anon_huge);
	out_json_known(j, "shmem_bytes", x->shmem);
	out_json_known(j, "slab_reclaimable_bytes", x->slab_reclaimable);
	out_json_known(j, "slab_unreclaimable_bytes", x->slab_unreclaimable);
	out_json_known(j, "kernel_stack_bytes", x->kernel_stacks);
	out_json_known(j, "page_table_bytes", x->page_tables);
	out_json_known(j, "unevictable_bytes", x->unevictable);
	out_json_known(j, "hugetlb_bytes", x->hugetlb);
	out_json_known(j, "huge_page_bytes", x->huge_page);
	out_json_known(j, "swap_total_bytes", x->swap_total);
	out_json_known(j, "swap_free_bytes", x->swap_free);
	out_json_end_object(j);
	out_json_object(j, "commit");
	out_json_known(j, "mode", x->overcommit);
	out_json_known(j, "limit_bytes", x->commit_limit);
	out_json_known(j, "promised_bytes", x->committed);
	out_json_known(j, "room_bytes", m->commit_room);
	out_json_known(j, "admin_reserve_bytes", x->admin_reserve);
	out_json_known(j, "user_reserve_bytes", x->user_reserve);
	out_json_end_object(j);
	out_json_object(j, "settings");
	out_json_known(j, "max_map_count", x->max_mappings);
	out_json_known(j, "swappiness", x->swappiness);
	out_json_known(j, "extfrag_threshold", x->extfrag_threshold);
	out_json_string(j, "thp", x->thp[0] ? x->thp : NULL);
	out_json_string(j, "thp_defrag", x->thp_defrag[0] ? x->thp_defrag : NULL);
	out_json_end_object(j);
	pressure(j, &m->pressure);
}

static void counters(struct json *j, const struct system_counters *c)
{
	out_json_object(j, "counters");
	out_json_known(j, "oom_kills", c->oom_kills);
	out_json_known(j, "direct_reclaims", c->direct_reclaims);
	out_json_known(j, "compact_stalls", c->compact_stalls);
	out_json_known(j, "compact_failures", c->compact_failures);
	out_json_known(j, "compact_successes", c->compact_successes);
	out_json_known(j, "thp_faults", c->thp_faults);
	out_json_known(j, "thp_fallbacks", c->thp_fallbacks);
	out_json_known(j, "thp_collapses", c->thp_collapses);
	out_json_known(j, "thp_collapse_failures", c->thp_collapse_failures);
	out_json_known(j, "pages_swapped_in", c->swapped_in);
	out_json_known(j, "pages_swapped_out", c->swapped_out);
	out_json_known(j, "major_faults", c->major_faults);
	out_json_end_object(j);
}

static void zone(struct json *j, const struct machine *m, const struct system_zone *z)
{
	out_json_object(j, NULL);
	out_json_u64(j, "node", z->node);
	out_json_string(j, "zone", z->name);
	pages(j, m, "free_bytes", z->free);
	pages(j, m, "min_bytes", z->min);
	pages(j, m, "low_bytes", z->low);
	pages(j, m, "high_bytes", z->high);
	pages(j, m, "managed_bytes", z->managed);
	out_json_known(j, "pageblocks", z->pageblocks ? z->pageblocks : UNKNOWN);
	out_json_known(j, "pageblocks_unmovable", z->pageblocks ? z->pageblocks_unmovable : UNKNOWN);
	out_json_array(j, "orders");
	for (unsigned order = 0; order < z->orders; order++) {
		int index = system_fragmentation_index(z, order);
		out_json_object(j, NULL);
		out_json_u64(j, "order", order);
		out_json_u64(j, "free_blocks", z->blocks[order]);
		out_json_double(j, "unusable_index", system_unusable_index(z, order) / 1000.0, 3);
		out_json_double(j, "fragmentation_index", index / 1000.0, 3);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_end_object(j);
}

static void group(struct json *j, const struct system_group *g)
{
	out_json_object(j, NULL);
	out_json_string(j, "path", g->path);
	out_json_known(j, "usage_bytes", g->usage);
	out_json_known(j, "limit_bytes", g->limit);
	out_json_known(j, "high_bytes", g->high);
	out_json_known(j, "peak_bytes", g->peak);
	out_json_known(j, "swap_bytes", g->swap);
	out_json_known(j, "swap_limit_bytes", g->swap_limit);
	out_json_known(j, "anon_bytes", g->anon);
	out_json_known(j, "file_bytes", g->file);
	out_json_known(j, "inactive_file_bytes", g->inactive_file);
	out_json_known(j, "shmem_bytes", g->shmem);
	out_json_known(j, "kernel_bytes", g->kernel);
	out_json_known(j, "at_limit", g->at_limit);
	out_json_known(j, "at_high", g->at_high);
	out_json_known(j, "ooms", g->ooms);
	out_json_known(j, "oom_kills", g->oom_kills);
	pressure(j, &g->pressure);
	out_json_end_object(j);
}

static void process(struct json *j, const struct machine *m)
{
	const struct system_process *p = &m->process;
	if (!m->have_process) {
		out_json_null(j, "process");
		return;
	}
	out_json_object(j, "process");
	out_json_i64(j, "pid", p->pid);
	out_json_string(j, "comm", p->status.name);
	out_json_known(j, "vmsize_bytes", p->status.vm_size);
	out_json_known(j, "vmrss_bytes", p->status.vm_rss);
	out_json_known(j, "vmdata_bytes", p->status.vm_data);
	out_json_known(j, "vmlck_bytes", p->status.vm_lck);
	out_json_known(j, "vmswap_bytes", p->status.vm_swap);
	out_json_known(j, "mappings", p->mappings);
	out_json_known(j, "limit_address_space_bytes", p->address_space);
	out_json_known(j, "limit_data_bytes", p->data);
	out_json_known(j, "limit_stack_bytes", p->stack);
	out_json_known(j, "limit_locked_bytes", p->locked);
	out_json_known(j, "limit_files", p->files);
	out_json_i64(j, "oom_score", p->oom_score);
	out_json_i64(j, "oom_score_adj", p->oom_score_adj);
	out_json_end_object(j);
}

static void kernel_log(struct json *j, const struct system_kernel_log *log)
{
	if (!log->readable) {
		out_json_null(j, "kills");
		out_json_null(j, "allocation_failures");
		return;
	}
	out_json_array(j, "kills");
	for (size_t i = 0; i < log->kills.n; i++) {
		const struct system_kill *k = &log->kills.at[i];
		out_json_object(j, NULL);
		if (k->seconds < 0)
			out_json_null(j, "seconds_after_boot");
		else
			out_json_double(j, "seconds_after_boot", k->seconds, 3);
		out_json_i64(j, "pid", k->pid);
		out_json_string(j, "comm", k->comm);
		out_json_bool(j, "by_cgroup", k->by_group);
		out_json_string(j, "constraint", k->constraint[0] ? k->constraint : NULL);
		out_json_string(j, "limit_of", k->group[0] ? k->group : NULL);
		out_json_string(j, "cgroup", k->task_group[0] ? k->task_group : NULL);
		if (k->order < 0)
			out_json_null(j, "order");
		else
			out_json_i64(j, "order", k->order);
		out_json_known(j, "total_vm_bytes", k->vm);
		out_json_known(j, "anon_bytes", k->anon);
		out_json_known(j, "file_bytes", k->file);
		out_json_known(j, "shmem_bytes", k->shmem);
		out_json_i64(j, "oom_score_adj", k->score_adj);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_u64(j, "allocation_failures", log->failures);
}

static void swaps(struct json *j, const struct system_swaps *s)
{
	out_json_array(j, "swaps");
	for (size_t i = 0; i < s->n; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "path", s->at[i].path);
		out_json_string(j, "type", s->at[i].type);
		out_json_u64(j, "bytes", s->at[i].size);
		out_json_u64(j, "used_bytes", s->at[i].used);
		out_json_i64(j, "priority", s->at[i].priority);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

void system_json(const struct machine *m, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.system/1");
	out_json_string(&j, "version", FLOTSAM_VERSION);
	out_json_u64(&j, "page_bytes", m->page);
	verdicts(&j, m);
	process(&j, m);
	memory(&j, m);
	counters(&j, &m->counters);
	if (m->orders && m->served >= 0)
		out_json_i64(&j, "largest_order_served", m->served);
	else
		out_json_null(&j, "largest_order_served");
	out_json_array(&j, "zones");
	for (size_t i = 0; i < m->zones.list.n; i++)
		if (m->zones.list.at[i].orders || (m->zones.list.at[i].managed && m->zones.list.at[i].managed != UNKNOWN))
			zone(&j, m, &m->zones.list.at[i]);
	out_json_end_array(&j);
	swaps(&j, &m->swaps);
	if (m->groups.version)
		out_json_i64(&j, "cgroup_version", m->groups.version);
	else
		out_json_null(&j, "cgroup_version");
	out_json_array(&j, "cgroups");
	for (size_t i = 0; i < m->groups.n; i++)
		group(&j, &m->groups.at[i]);
	out_json_end_array(&j);
	kernel_log(&j, &m->log);
	out_json_end_object(&j);
	out_puts(o, "\n");
}
