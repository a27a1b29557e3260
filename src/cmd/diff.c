/* flotsam diff: what grew and what shrank between looks. */
#include "cmd.h"

#include <inttypes.h>

struct page {
	const struct arguments *a;
	const struct diff *d;
	struct out *o;
	struct unit unit;
};

static struct short_text signed_in(struct unit u, int64_t n)
{
	struct short_text t = text_in(u, n < 0 ? 0 - (uint64_t)n : (uint64_t)n), r;
	snprintf(r.text, sizeof r.text, "%s%.30s", n < 0 ? "-" : "+", t.text);
	return r;
}

static struct short_text signed_count(int64_t n)
{
	struct short_text t = text_count(n < 0 ? 0 - (uint64_t)n : (uint64_t)n), r;
	snprintf(r.text, sizeof r.text, "%s%.30s", n < 0 ? "-" : "+", t.text);
	return r;
}

/* "1.2 KiB/s" or "1.2 KiB a look". */
static struct short_text rate(const struct diff *d, double slope)
{
	struct short_text r;
	double size = slope < 0 ? -slope : slope;
	snprintf(r.text, sizeof r.text, "%s%.20s/%s", slope < 0 ? "-" : "+", text_size(size < 9e18 ? (uint64_t)(size + 0.5) : 0).text, d->timed ? "s" : "look");
	return r;
}

static void sum(struct out *o, const char *what, struct class_sum s)
{
	out_printf(o, "%s %s (%s)", what, text_count(s.blocks).text, text_size(s.bytes).text);
}

static void head(const struct page *p)
{
	const struct diff *d = p->d;
	struct out *o = p->o;
	for (size_t i = 0; i < d->n; i++) {
		const struct census *c = d->looks[i];
		struct strbuf b = { 0 };
		text_add_foreign(&b, p->a->looks[i].target, o);
		if (c->comm[0]) {
			strbuf_puts(&b, "  ");
			text_add_foreign(&b, c->comm, o);
		}
		out_printf(o, "%c  ", i < 26 ? (char)('A' + i) : '+');
		out_cell(o, b.text ? b.text : "", 40);
		out_printf(o, " %13s blocks %14s\n", text_count(d->used[i].blocks).text, text_size(d->used[i].bytes).text);
		strbuf_free(&b);
	}
	if (d->timed && d->looks[d->n - 1]->look.taken > d->looks[0]->look.taken)
		out_printf(o, "%s apart, %s\n", text_duration((double)(d->looks[d->n - 1]->look.taken - d->looks[0]->look.taken) / 1e9).text,
			   d->one_process ? "one process" : "two processes");
	else
		out_printf(o, "%s\n", d->one_process ? "one process" : "two processes, or one that cannot be told to be the same");
	out_puts(o, "\n");
}

static void sums(const struct page *p)
{
	const struct diff *d = p->d;
	struct out *o = p->o;
	const struct class_sum *a = &d->used[0], *b = &d->used[d->n - 1];
	out_printf(o, "used     %s blocks, %s %s\n", signed_count((int64_t)(b->blocks - a->blocks)).text,
		   signed_in(p->unit, (int64_t)(b->bytes - a->bytes)).text, p->unit.name);
	if (d->one_process) {
		sum(o, "blocks   new", d->created);
		sum(o, ", gone", d->gone);
		sum(o, ", survived", d->survived);
		out_puts(o, "\n");
	}
	out_ink(o, d->new_leaked.blocks ? INK_RED : INK_PLAIN);
	sum(o, "leaked   new", d->new_leaked);
	out_ink(o, INK_PLAIN);
	sum(o, ", as before", d->old_leaked);
	sum(o, ", no longer", d->no_longer_leaked);
	out_puts(o, d->at_most ? ": at most, since memory that may hold pointers was not read\n\n" : "\n\n");
	if (d->other_labels)
		out_puts(o, "Some looks were taken with --types=all, others without: the same blocks stand in\ntwo groups. Take all of them with the same --types.\n\n");
}

static void one(const struct page *p, const struct diff_group *g)
{
	struct out *o = p->o;
	struct strbuf b = { 0 };
	text_add_foreign(&b, g->label, o);
	out_printf(o, "  %s ", g->grew_always && p->d->n > 2 ? "^" : " ");
	out_cell(o, b.text ? b.text : "", 32);
	strbuf_free(&b);
	out_printf(o, " %13s %12s %14s\n", signed_count(g->more_blocks).text, signed_in(p->unit, g->more_bytes).text, rate(p->d, g->slope).text);
	if (!g->holder[0])
		return;
	text_add_foreign(&b, g->holder, o);
	out_printf(o, "      held by %s\n", b.text ? b.text : "");
	strbuf_free(&b);
}

static bool grew(const struct diff_group *g)
{
	return g->more_bytes > 0 || (!g->more_bytes && g->more_blocks > 0);
}

static bool shrank(const struct diff_group *g)
{
	return !grew(g) && (g->more_bytes || g->more_blocks);
}

static void heading(const struct page *p, const char *what)
{
	char bytes[16];
	snprintf(bytes, sizeof bytes, "%s", p->unit.name);
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "%-36s %13s %12s %14s\n", what, "BLOCKS", bytes, "RATE");
	out_ink(p->o, INK_PLAIN);
}

static bool leaks_more(const struct diff_group *g)
{
	return grew(g) && diff_is_leaked(g->class_of);
}

static bool only_grew(const struct diff_group *g)
{
	return grew(g) && !diff_is_leaked(g->class_of);
}

/* Those that grew stand first in the list, those that shrank last. How many there are. */
static size_t section(const struct page *p, const char *title, bool (*belongs)(const struct diff_group *g), bool backwards)
{
	const struct diff *d = p->d;
	size_t n = d->groups.n, shown = 0, all = 0;
	for (size_t i = 0; i < n; i++)
		all += belongs(&d->groups.at[i]);
	if (!all)
		return 0;
	heading(p, title);
	for (size_t i = 0; i < n && (!p->a->top || shown < p->a->top); i++) {
		const struct diff_group *g = &d->groups.at[backwards ? n - 1 - i : i];
		if (!belongs(g))
			continue;
		one(p, g);
		shown++;
	}
	if (shown < all)
		out_printf(p->o, "    %s more (--top 0)\n", text_count(all - shown).text);
	out_puts(p->o, "\n");
	return all;
}

static void groups(const struct page *p)
{
	bool many = p->d->n > 2;
	size_t n = section(p, many ? "MORE LEAKED (^: at every look)" : "MORE LEAKED", leaks_more, false);
	n += section(p, many ? "GREW (^: at every look)" : "GREW", only_grew, false);
	n += section(p, "SHRANK", shrank, true);
	if (!n)
		out_puts(p->o, "No group of blocks grew or shrank.\n");
}

static void text(const struct arguments *a, const struct diff *d, struct out *o)
{
	uint64_t largest = 0;
	for (size_t i = 0; i < d->groups.n; i++) {
		int64_t m = d->groups.at[i].more_bytes;
		uint64_t size = m < 0 ? 0 - (uint64_t)m : (uint64_t)m;
		largest = size > largest ? size : largest;
	}
	struct page p = { a, d, o, unit_for(largest) };
	if (a->quiet) {
		const struct class_sum *x = &d->used[0], *y = &d->used[d->n - 1];
		out_printf(o, "used %s %s, new leaked %s blocks (%s)\n", signed_in(p.unit, (int64_t)(y->bytes - x->bytes)).text, p.unit.name,
			   text_count(d->new_leaked.blocks).text, text_size(d->new_leaked.bytes).text);
		return;
	}
	head(&p);
	if (!d->walked) {
		out_puts(o, "The heap of one of them was not walked: there is nothing to compare.\n");
		return;
	}
	sums(&p);
	groups(&p);
}

static void json_sum(struct json *j, const char *key, struct class_sum s)
{
	out_json_object(j, key);
	out_json_u64(j, "blocks", s.blocks);
	out_json_u64(j, "bytes", s.bytes);
	out_json_end_object(j);
}

static void json_look(struct json *j, const struct arguments *a, const struct diff *d, size_t i)
{
	const struct census *c = d->looks[i];
	out_json_object(j, NULL);
	out_json_string(j, "target", a->looks[i].target);
	out_json_string(j, "kind", c->look.kind);
	if (c->pid)
		out_json_i64(j, "pid", c->pid);
	else
		out_json_null(j, "pid");
	out_json_string(j, "comm", c->comm[0] ? c->comm : NULL);
	out_json_string(j, "exe", c->exe[0] ? c->exe : NULL);
	if (c->timed)
		out_json_double(j, "taken_seconds", (double)c->look.taken / 1e9, 3);
	else
		out_json_null(j, "taken_seconds");
	json_sum(j, "used", d->used[i]);
	for (enum block_class k = CLASS_REACHABLE; k <= CLASS_RUNTIME; k++)
		json_sum(j, block_class_name(k), d->classes[i][k]);
	out_json_end_object(j);
}

static void json_group(struct json *j, const struct diff *d, const struct diff_group *g)
{
	out_json_object(j, NULL);
	out_json_string(j, "label", g->label);
	out_json_u64(j, "size", g->size);
	out_json_string(j, "class", block_class_name(g->class_of));
	out_json_string(j, "holder", g->holder[0] ? g->holder : NULL);
	out_json_i64(j, "more_blocks", g->more_blocks);
	out_json_i64(j, "more_bytes", g->more_bytes);
	out_json_bool(j, "grew_always", g->grew_always);
	out_json_double(j, d->timed ? "bytes_per_second" : "bytes_per_look", g->slope, 3);
	out_json_array(j, "looks");
	for (size_t i = 0; i < d->n; i++)
		json_sum(j, NULL, g->looks[i]);
	out_json_end_array(j);
	if (d->one_process) {
		json_sum(j, "new", g->created);
		json_sum(j, "gone", g->gone);
	} else {
		out_json_null(j, "new");
		out_json_null(j, "gone");
	}
	out_json_end_object(j);
}

void diff_json_write(const struct diff *d, struct json *j)
{
	const struct class_sum *first = &d->used[0], *last = &d->used[d->n - 1];
	uint64_t unchanged = 0;
	out_json_i64(j, "more_blocks", (int64_t)(last->blocks - first->blocks));
	out_json_i64(j, "more_bytes", (int64_t)(last->bytes - first->bytes));
	out_json_bool(j, "one_process", d->one_process);
	out_json_bool(j, "at_most", d->at_most);
	out_json_bool(j, "other_labels", d->other_labels);
	json_sum(j, "new_leaked", d->new_leaked);
	json_sum(j, "old_leaked", d->old_leaked);
	json_sum(j, "no_longer_leaked", d->no_longer_leaked);
	if (d->one_process) {
		json_sum(j, "new", d->created);
		json_sum(j, "gone", d->gone);
		json_sum(j, "survived", d->survived);
	} else {
		out_json_null(j, "new");
		out_json_null(j, "gone");
		out_json_null(j, "survived");
	}
	out_json_array(j, "groups");
	for (size_t i = 0; i < d->groups.n; i++) {
		const struct diff_group *g = &d->groups.at[i];
		if (grew(g) || shrank(g) || g->created.blocks)
			json_group(j, d, g);
		else
			unchanged++;
	}
	out_json_end_array(j);
	out_json_u64(j, "unchanged_groups", unchanged);
}

static void json(const struct arguments *a, const struct diff *d, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.diff/1");
	out_json_string(&j, "version", FLOTSAM_VERSION);
	out_json_array(&j, "looks");
	for (size_t i = 0; i < d->n; i++)
		json_look(&j, a, d, i);
	out_json_end_array(&j);
	diff_json_write(d, &j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct diff *d;
	(void)s;
	TRY(diff_make((const struct census *const *)a->censuses, a->n_looks, &d));
	if (!strcmp(a->format, "json"))
		json(a, d, o);
	else
		text(a, d, o);
	*ret_status = d->walked ? EXIT_REPORT : EXIT_PARTIAL;
	diff_free(d);
	return NULL;
}

const struct command command_diff = {
	.name = "diff",
	.summary = "what grew and what shrank between looks",
	.formats = { "text", "json" },
	.help = "  flotsam diff ./yesterday.census 4242   what has grown since\n"
		"  flotsam diff ./core.1 ./core.2         two cores of one process, or of two\n"
		"  flotsam diff a.census b.census c.census   what grew every time comes first\n",
	.group = GROUP_REPORT,
	.target = TARGET_MANY,
	.operands = "TARGET...",
	.min_words = 1,
	.max_words = MAX_LOOKS - 1,
	.run = run,
};
