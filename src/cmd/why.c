/* why: in words, why a block is alive, or why it counts as lost. */
#include "cmd.h"

#include <inttypes.h>

struct answer {
	struct session *s;
	block_id id;
	uint64_t payload, usable;
	struct references refs;
	uint64_t live, stale, starts;	/* pointers to it: alive, stale; alive to its start, from elsewhere */
	struct strbuf text;
};

static void count(struct answer *w)
{
	for (size_t i = 0; i < w->refs.list.n; i++) {
		const struct reference *r = &w->refs.list.at[i];
		if (r->block == w->id)
			continue;
		w->live += r->live;
		w->stale += !r->live;
		w->starts += r->live && r->value == w->payload;
	}
}

static void add_identity(struct answer *w)
{
	const char *label = cmd_label_of(w->s, w->id);
	strbuf_printf(&w->text, "0x%" PRIx64 ", ", w->payload);
	if (label && types_identified_by(w->s->types, w->id) != BY_SIZE)
		strbuf_printf(&w->text, "%s, ", label);
	strbuf_printf(&w->text, "%" PRIu64 " usable bytes, ", w->usable);
}

static void add_stale(struct answer *w)
{
	if (!w->stale)
		return;
	const struct reference *r = NULL;
	for (size_t i = 0; i < w->refs.list.n && !r; i++)
		if (!w->refs.list.at[i].live)
			r = &w->refs.list.at[i];
	AUTO_FREE char *place = query_place(w->s, r->from);
	strbuf_printf(&w->text, " Its address still stands in %" PRIu64 " stale word%s that nobody reads, as at 0x%" PRIx64 " (%s).", w->stale, w->stale == 1 ? "" : "s",
		      r->from, place ? place : "");
}

static struct err *tell_path(struct answer *w)
{
	struct session *s = w->s;
	struct path p;
	struct err *e = graph_path(s->graph, w->id, &p);
	if (e && e->kind == ERR_NOT_FOUND) {
		err_free(e);
		strbuf_puts(&w->text, " The pointer that keeps it is mangled (setjmp, atexit), so that no chain can be shown.");
		return NULL;
	}
	if (e)
		return e;
	AUTO_FREE char *root = cmd_holder_text(s, p.holder, p.steps.n ? p.steps.at[0].from : 0, true);
	strbuf_printf(&w->text, " The shortest chain begins at %s", root ? root : "?");
	if (p.steps.n == 1)
		strbuf_puts(&w->text, ", which points at it");
	else
		strbuf_printf(&w->text, " and passes %zu other block%s", p.steps.n - 1, p.steps.n == 2 ? "" : "s");
	strbuf_puts(&w->text, p.steps.at[p.steps.n - 1].strong ? "." : " by an inner pointer.");
	path_free(&p);
	return NULL;
}

static struct err *tell_alive(struct answer *w)
{
	struct graph *g = w->s->graph;
	uint32_t set = graph_set(g, w->id);
	strbuf_puts(&w->text, "is alive:");
	if (set) {
		AUTO_FREE char *name = query_set_name(g, set - 1);
		strbuf_printf(&w->text, " %s keep%s it.", name ? name : "?", g->sets.at[set - 1].n == 1 ? "s" : "");
	}
	TRY(tell_path(w));
	if (g->stack_only_bits[w->id / 64] >> w->id % 64 & 1)
		strbuf_puts(&w->text, " Thread frames or registers alone hold it: it may be in use for a moment only.");
	if (w->live > 1)
		strbuf_printf(&w->text, " %" PRIu64 " words point at it in all (who).", w->live);
	return NULL;
}

static struct err *tell_possible(struct answer *w)
{
	strbuf_puts(&w->text, "is possibly lost:");
	strbuf_printf(&w->text, w->starts ? " it hangs on a block of which the same is true." : " words point into it, but none to its start, and no rule explains that.");
	return tell_path(w);
}

static struct err *tell_definite(struct answer *w)
{
	struct path round;
	strbuf_puts(&w->text, "has leaked:");
	if (!w->live) {
		strbuf_puts(&w->text, " no word of memory or of a register that is alive points at it.");
	} else {
		struct err *e = graph_cycle(w->s->graph, w->id, &round);
		if (e && e->kind != ERR_NOT_FOUND)
			return e;
		if (e) {
			err_free(e);
			strbuf_puts(&w->text, " only blocks that are lost themselves point at it.");
		} else {
			strbuf_printf(&w->text, " it is on a ring of %zu block%s that only hold each other (cycle).", round.steps.n, round.steps.n == 1 ? "" : "s");
			path_free(&round);
		}
	}
	add_stale(w);
	return NULL;
}

static struct err *tell_indirect(struct answer *w)
{
	block_id leader = graph_leader(w->s->graph, w->id);
	strbuf_puts(&w->text, "has leaked with another:");
	if (leader != BLOCK_NONE)
		strbuf_printf(&w->text, " it hangs on 0x%" PRIx64 " (%s), which is lost.", blocks_payload(w->s->blocks, leader), cmd_label_of(w->s, leader));
	add_stale(w);
	return NULL;
}

static struct err *tell(struct answer *w)
{
	enum block_state state = blocks_state(w->s->blocks, w->id);
	add_identity(w);
	if (!block_state_is_used(state)) {
		strbuf_printf(&w->text, "is free memory (%s).", block_state_name(state));
		if (w->live)
			strbuf_printf(&w->text, " %" PRIu64 " live word%s still point%s at it: a dangling pointer, or chance (who).", w->live, w->live == 1 ? "" : "s",
				      w->live == 1 ? "s" : "");
		return NULL;
	}
	switch ((enum block_class)w->s->graph->class_of[w->id]) {
	case CLASS_REACHABLE:
		return tell_alive(w);
	case CLASS_POSSIBLE:
		return tell_possible(w);
	case CLASS_DEFINITE:
		return tell_definite(w);
	case CLASS_INDIRECT:
		return tell_indirect(w);
	case CLASS_RUNTIME:
		strbuf_printf(&w->text, "belongs to libc or ld.so (%s): it is never called a leak.", cmd_label_of(w->s, w->id));
		break;
	case CLASS_NONE:
		break;
	}
	return NULL;
}

static void put_json(const struct answer *w, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.why/1");
	out_json_address(&j, "address", w->payload);
	out_json_u64(&j, "size", w->usable);
	out_json_string(&j, "state", block_state_name(blocks_state(w->s->blocks, w->id)));
	out_json_string(&j, "class", cmd_class_of(w->s, w->id));
	out_json_string(&j, "label", cmd_label_of(w->s, w->id));
	out_json_u64(&j, "live_pointers", w->live);
	out_json_u64(&j, "stale_pointers", w->stale);
	block_id leader = graph_leader(w->s->graph, w->id);
	if (leader == BLOCK_NONE)
		out_json_null(&j, "leader");
	else
		out_json_address(&j, "leader", blocks_payload(w->s->blocks, leader));
	out_json_string(&j, "text", w->text.text);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct answer w = { .s = s };
	struct paragraph p;
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_holders(s));
	TRY(session_types(s));
	TRY(cmd_block(a, s, a->words[0], &w.id));
	w.payload = blocks_payload(s->blocks, w.id);
	w.usable = blocks_usable(s->blocks, w.id);
	TRY(graph_references(s->graph, w.payload, w.payload + w.usable, &w.refs));
	count(&w);
	struct err *e = tell(&w);
	if (!e && cmd_is_text(a)) {
		paragraph_begin(&p, o, "", 80);
		paragraph_add(&p, w.text.text ? w.text.text : "");
		paragraph_end(&p);
	} else if (!e) {
		put_json(&w, o);
	}
	vec_free(&w.refs.list);
	strbuf_free(&w.text);
	*ret_status = EXIT_REPORT;
	return e;
}

const struct command command_why = {
	.name = "why",
	.summary = "in words: why it is alive, or why it counts as lost",
	.formats = { "text", "json" },
	.help = "  flotsam why ./core.4242 0x55d0c0a012a0\n"
		"  why L1                 at the prompt: the first block of leak group L1\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "ADDR",
	.min_words = 1,
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = run,
};
