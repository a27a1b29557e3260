/* The report as a profile of who owns memory: for pprof, and folded for tools that draw flame graphs. */
#include "cmd.h"

#include <inttypes.h>

/* A semicolon parts frames. */
static void add_frame(struct strbuf *to, const char *name, const struct out *o)
{
	size_t from = to->n;
	text_add_foreign(to, name, o);
	for (size_t i = from; i < to->n; i++)
		if (to->text[i] == ';')
			to->text[i] = ':';
}

static void add_stack(struct strbuf *to, const struct profile *p, uint32_t node, const struct out *o)
{
	uint32_t stack[128];
	size_t n = 0;
	for (; node != PROFILE_NONE && n < sizeof stack / sizeof *stack; node = p->nodes.at[node].parent)
		stack[n++] = p->nodes.at[node].frame;
	while (n--) {
		add_frame(to, p->frames.at[stack[n]].name, o);
		if (n)
			strbuf_puts(to, ";");
	}
}

static struct err *folded(const struct profile *p, struct out *o)
{
	AUTO_FREE uint64_t *bytes = calloc(p->nodes.n + 1, sizeof *bytes);
	if (!bytes)
		return err_nomem();
	for (size_t i = 0; i < p->samples.n; i++)
		bytes[p->samples.at[i].node] += p->samples.at[i].bytes;
	for (uint32_t i = 0; i < p->nodes.n; i++) {
		struct strbuf b = { 0 };
		if (!bytes[i])
			continue;
		add_stack(&b, p, i, o);
		out_printf(o, "%s %" PRIu64 "\n", b.text ? b.text : "", bytes[i]);
		strbuf_free(&b);
	}
	return NULL;
}

static struct err *pprof(const struct profile *p, const struct session *s, struct out *o)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n;
	TRY(profile_pprof(p, s, &bytes, &n));
	out_bytes(o, (const char *)bytes, n);
	return NULL;
}

struct err *report_profile(const struct arguments *a, struct session *s, struct out *o)
{
	struct profile *p;
	TRY(profile_make(s, &p));
	struct err *e = strcmp(a->format, "pprof") ? folded(p, o) : pprof(p, s, o);
	profile_free(p);
	return e;
}
