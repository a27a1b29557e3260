/* The verdict on the page: the rule that weighs most, with its next step and what mends it; other rules that hold; and the few
 * sentences that tell what RSS is made of. */
#include "cmd.h"

/* A sentence in the making. */
struct sentence {
	struct strbuf text;
	const struct out *out;
};

static void name(struct sentence *s, const char *foreign)
{
	text_add_foreign(&s->text, foreign, s->out);
}

static void end(struct sentence *s, struct paragraph *p, enum ink ink)
{
	if (s->text.text) {
		paragraph_ink(p, ink);
		paragraph_add(p, s->text.text);
		paragraph_ink(p, INK_PLAIN);
	}
	strbuf_free(&s->text);
}

/* What the causes come to in the words of a sentence. */
struct part {
	const char *text;
	uint64_t bytes;
};

static int larger(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : strcmp(x->text, y->text);
}

static uint64_t free_bytes(const struct rss_table *t)
{
	return t->bytes[RSS_FREE_TRIMMABLE] + t->bytes[RSS_FREE_TOP] + t->bytes[RSS_FREE_PINNED];
}

/* "58 % in use, 18 % leaked, 10 % files and libraries": what makes up most of it, at most three parts. */
static void largest_parts(struct strbuf *to, const struct rss_table *t)
{
	struct part parts[] = {
		{ "in use", t->bytes[RSS_IN_USE] + t->bytes[RSS_POSSIBLE] + t->bytes[RSS_RUNTIME] },
		{ "leaked", t->bytes[RSS_LEAKED] },
		{ "free inside malloc", free_bytes(t) },
		{ "files and libraries", t->bytes[RSS_FILES] },
		{ "shared memory", t->bytes[RSS_SHARED_MEMORY] },
		{ "mapped outside malloc", t->bytes[RSS_OTHER_MAPPINGS] },
		{ "thread stacks", t->bytes[RSS_STACKS] },
		{ "malloc's headers", t->bytes[RSS_OVERHEAD] },
	};
	qsort(parts, sizeof parts / sizeof parts[0], sizeof parts[0], larger);
	for (int i = 0; i < 3; i++) {
		double share = t->total ? 100.0 * (double)parts[i].bytes / (double)t->total : 0;
		if (i && share < 5)
			break;
		strbuf_printf(to, i ? ", %.0f %% %s" : "%.0f %% %s", share, parts[i].text);
	}
}

static void size(struct sentence *s, struct paragraph *p, const struct rss_table *t)
{
	if (t->known)
		strbuf_printf(&s->text, "RSS is %s: ", text_size(t->total).text);
	else if (t->vmrss != UNKNOWN)
		strbuf_printf(&s->text, "RSS is %s; which pages that is cannot be seen. Of the %s that it may write: ", text_size(t->vmrss).text,
			      text_size(t->total).text);
	else
		strbuf_printf(&s->text, "The process could write to %s (a core does not tell what was resident): ", text_size(t->total).text);
	largest_parts(&s->text, t);
	strbuf_puts(&s->text, ".");
	end(s, p, INK_PLAIN);
}

static void kept_free(struct sentence *s, struct paragraph *p, const struct rss_table *t)
{
	uint64_t kept = free_bytes(t), trimmable = t->bytes[RSS_FREE_TRIMMABLE];
	if (kept * 20 < t->total && kept < 16u << 20)
		return;
	strbuf_printf(&s->text, "malloc keeps %s free", text_size(kept).text);
	if (t->known && trimmable)
		strbuf_printf(&s->text, "; malloc_trim could return %s of it", text_size(trimmable).text);
	else if (t->known)
		strbuf_puts(&s->text, "; malloc_trim could return none of it");
	strbuf_puts(&s->text, ".");
	end(s, p, INK_YELLOW);
}

static void leaked(struct sentence *s, struct paragraph *p, const struct report *r)
{
	const struct class_sum *c = r->classes;
	uint64_t blocks = c[CLASS_DEFINITE].blocks + c[CLASS_INDIRECT].blocks, bytes = c[CLASS_DEFINITE].bytes + c[CLASS_INDIRECT].bytes;
	const char *where = r->session->alloc->partial ? " in the part of the heap that could be walked" : "";
	if (verdict_without_leaks(r)) {
		paragraph_add(p, "The core is truncated: a leak list would be wrong, so there is none (--force).");
		return;
	}
	if (!blocks) {
		strbuf_printf(&s->text, "Nothing has leaked%s.", where);
		end(s, p, INK_PLAIN);
		return;
	}
	strbuf_printf(&s->text, "%s%s in %s %s has leaked%s", r->at_most ? "At most " : "", text_size(bytes).text, text_count(blocks).text,
		      blocks == 1 ? "block" : "blocks", where);
	/* The first group, when it is most of it. */
	const struct leak_group *g = r->leaks.n ? &r->leaks.at[0] : NULL;
	if (g && g->retained_bytes >= bytes / 2) {
		strbuf_puts(&s->text, strcmp(g->identified_by, "size") ? "; L1 (" : "; L1 (blocks of ");
		name(s, g->label);
		if (g->perhaps) {
			strbuf_puts(&s->text, ", perhaps ");
			name(s, g->perhaps);
		}
		if (g->retained_bytes >= bytes)
			strbuf_puts(&s->text, ") holds all of it");
		else
			strbuf_printf(&s->text, ") holds %.0f %% of it", 100.0 * (double)g->retained_bytes / (double)bytes);
	}
	strbuf_puts(&s->text, ".");
	end(s, p, INK_RED);
}

/* Growth that is no leak by the rules: what one holder keeps alive. */
static void kept_alive(struct sentence *s, struct paragraph *p, const struct report *r)
{
	const struct holder_line *h = NULL;
	for (size_t i = 0; i < r->holders.n && !h; i++)
		h = r->holders.at[i].stack ? NULL : &r->holders.at[i];
	if (!h || h->retained_bytes < r->used.bytes / 4 || h->retained_bytes < 64 << 10)
		return;
	name(s, h->name);
	strbuf_printf(&s->text, " (H%u) keeps %s alive.", h->number, text_size(h->retained_bytes).text);
	end(s, p, INK_PLAIN);
}

static bool told(const struct verdicts *v, const char *kind)
{
	for (size_t i = 0; i < v->list.n; i++)
		if (!strcmp(v->list.at[i].kind, kind))
			return true;
	return false;
}

void verdict_step(struct strbuf *to, const struct arguments *a, const struct verdict *v)
{
	if (!v->command)
		return;
	if (a->prompt) {
		strbuf_puts(to, v->command);
	} else {
		strbuf_printf(to, "flotsam %s ", v->command);
		cmd_add_target(to, a);
	}
	if (v->operand)
		strbuf_printf(to, " %s", v->operand);
}

static void line(struct out *o, const char *lead, const char *text, int columns)
{
	struct paragraph p;
	if (!text)
		return;
	paragraph_begin(&p, o, lead, columns);
	paragraph_add(&p, text);
	paragraph_end(&p);
}

static void headline(const struct arguments *a, const struct verdicts *v, struct out *o, int columns)
{
	const struct verdict *first = &v->list.at[0];
	bool calm = !first->command;
	struct strbuf step = { 0 };
	struct paragraph p;
	char lead[48];
	snprintf(lead, sizeof lead, "%s: ", first->kind);
	out_ink(o, calm ? INK_GREEN : INK_RED);
	paragraph_begin(&p, o, lead, columns);
	paragraph_ink(&p, INK_PLAIN);
	paragraph_add(&p, first->text);
	paragraph_end(&p);
	verdict_step(&step, a, first);
	line(o, "  next: ", step.text, columns);
	line(o, "  fix:  ", first->fix, columns);
	strbuf_free(&step);
	for (size_t i = 1; i < v->list.n; i++) {
		snprintf(lead, sizeof lead, "also %s: ", v->list.at[i].kind);
		line(o, lead, v->list.at[i].text, columns);
	}
	out_puts(o, "\n");
}

/* What RSS is made of, and what is said of leaks and holders where no rule said it. */
static void facts(const struct report *r, const struct verdicts *v, struct paragraph *p, struct out *o)
{
	struct sentence s = { .out = o };
	size(&s, p, &r->rss);
	if (r->session->blocks) {
		kept_free(&s, p, &r->rss);
		if (!told(v, "leak"))
			leaked(&s, p, r);
		if (!told(v, "held"))
			kept_alive(&s, p, r);
	} else {
		name(&s, r->allocator_note[0] ? r->allocator_note : "the heap is not walked");
		strbuf_puts(&s.text, ". Only RSS by cause is exact; a leak list would be a guess, so there is none.");
		if (s.text.text && s.text.text[0] >= 'a' && s.text.text[0] <= 'z')
			s.text.text[0] -= 'a' - 'A';
		end(&s, p, INK_PLAIN);
	}
}

void report_verdict(const struct arguments *a, const struct report *r, const struct verdicts *v, struct out *o, int columns)
{
	struct paragraph p;
	if (columns) {
		headline(a, v, o, columns);
		paragraph_begin(&p, o, "", columns);
	} else {
		char lead[48];
		snprintf(lead, sizeof lead, "%s: ", v->list.at[0].kind);
		paragraph_begin(&p, o, lead, 0);
		paragraph_add(&p, v->list.at[0].text);
	}
	facts(r, v, &p, o);
	paragraph_end(&p);
}
