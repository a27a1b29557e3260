/* A census made of any bytes, with and without checksums that are right: read, compared with itself, opened as a session, asked
 * for its report, for chains, pointers and dominators. No crash, no endless loop, no write out of bounds. */
#include "flotsam/diff.h"
#include "flotsam/query.h"

#include "resign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ask_graph(struct session *s)
{
	struct tree *t;
	struct path p;
	struct references refs;
	struct err *e = graph_tree(s->graph, &t);
	if (!e)
		tree_free(t);
	for (block_id id = 0; !e && id < s->blocks->n && id < 32; id++) {
		uint64_t payload = blocks_payload(s->blocks, id);
		for (int way = 0; way < 2; way++) {
			struct err *f = way ? graph_cycle(s->graph, id, &p) : graph_path(s->graph, id, &p);
			if (!f)
				path_free(&p);
			err_free(f);
		}
		e = graph_references(s->graph, payload, payload + blocks_usable(s->blocks, id), &refs);
		for (size_t i = 0; !e && i < refs.list.n; i++) {
			uint32_t holder;
			struct err *f = graph_reference_holder(s->graph, &refs.list.at[i], &holder);
			if (!f && holder >= s->graph->holders.n)
				abort();
			err_free(f);
		}
		if (!e)
			vec_free(&refs.list);
	}
	err_free(e);
}

static void ask(uint8_t *data, size_t n)
{
	static const struct session_options options = { .graph = { .threads = 1 } };
	struct census *c = NULL;
	struct session *s = NULL;
	struct report *r = NULL;
	struct diff *d = NULL;
	struct err *e = census_read(data, n, &c);
	if (!e) {
		const struct census *both[2] = { c, c };
		e = diff_make(both, 2, &d);
		if (!e && (d->created.blocks || d->gone.blocks))
			abort(); /* nothing changes between a look and itself */
		diff_free(d);
		err_free(e);
		e = census_session(c, &options, &s);
	}
	if (!e)
		e = query_report(s, &r);
	if (!e) {
		report_free(r);
		if (s->graph)
			ask_graph(s);
	}
	err_free(e);
	session_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	for (int sign = 0; sign < 2; sign++) {
		uint8_t *copy = malloc(n + 1);
		if (!copy)
			abort();
		memcpy(copy, data, n);
		if (sign)
			resign(copy, n);
		ask(copy, n);
	}
	return 0;
}
