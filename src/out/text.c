/* Text for people: foreign strings in columns, paragraphs, and figures with as many digits as say something. */
#include "flotsam/out.h"

#include <wchar.h>

enum { UTF8_BYTES = 4 };

void text_add_foreign(struct strbuf *to, const char *text, const struct out *o)
{
	if (o->unicode) {
		strbuf_add_escaped(to, text, strlen(text));
		return;
	}
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p >= 0x80)
			strbuf_printf(to, "\\x%02x", (unsigned char)*p);
		else
			strbuf_add_escaped(to, p, 1);
}

/* Bytes and columns of the character at p, of text that was escaped. */
static size_t character(const struct out *o, const char *p, int *ret_columns)
{
	wchar_t c;
	*ret_columns = 1;
	if (!o->unicode || (unsigned char)*p < 0x80)
		return 1;
	size_t n = mbrtowc(&c, p, UTF8_BYTES, &(mbstate_t){ 0 });
	if (n == 0 || n > UTF8_BYTES)
		return 1;
	int w = wcwidth(c);
	*ret_columns = w < 0 ? 1 : w;
	return n;
}

/* How many bytes of text fit into `width` columns. */
static size_t fit(const struct out *o, const char *text, int width, int *ret_columns)
{
	size_t at = 0;
	*ret_columns = 0;
	while (text[at]) {
		int w;
		size_t n = character(o, text + at, &w);
		if (*ret_columns + w > width)
			break;
		*ret_columns += w;
		at += n;
	}
	return at;
}

void out_cell(struct out *o, const char *text, int width)
{
	struct strbuf b = { 0 };
	text_add_foreign(&b, text, o);
	const char *p = b.text ? b.text : "";
	int columns, mark = 0;
	size_t n = fit(o, p, width, &columns);
	if (p[n]) {
		mark = 2;
		n = fit(o, p, width - mark, &columns);
	}
	out_bytes(o, p, n);
	out_printf(o, "%s%*s", mark ? ".." : "", width - mark - columns, "");
	strbuf_free(&b);
}

void paragraph_begin(struct paragraph *p, struct out *o, const char *lead, int columns)
{
	int n = (int)strlen(lead);
	/* A narrow terminal would break words. */
	if (columns > o->width)
		columns = o->width;
	*p = (struct paragraph){ .out = o, .indent = n, .at = n, .columns = columns };
	out_puts(o, lead);
}

static void add_word(struct paragraph *p, const char *word, size_t n)
{
	char *text = strndup(word, n);
	int columns;
	if (!text)
		return;
	fit(p->out, text, INT32_MAX, &columns);
	if (p->begun && p->columns && p->at + 1 + columns > p->columns) {
		out_printf(p->out, "\n%*s", p->indent, "");
		p->at = p->indent;
	} else if (p->begun) {
		out_puts(p->out, " ");
		p->at++;
	}
	out_puts(p->out, text);
	p->at += columns;
	p->begun = true;
	free(text);
}

void paragraph_add(struct paragraph *p, const char *text)
{
	struct strbuf b = { 0 };
	text_add_foreign(&b, text, p->out);
	for (const char *at = b.text ? b.text : ""; *(at += strspn(at, " "));) {
		size_t n = strcspn(at, " ");
		add_word(p, at, n);
		at += n;
	}
	strbuf_free(&b);
}

void paragraph_ink(struct paragraph *p, enum ink ink)
{
	out_ink(p->out, ink);
}

void paragraph_end(struct paragraph *p)
{
	out_puts(p->out, "\n");
}

struct unit unit_for(uint64_t largest)
{
	return largest >= 64u << 20 ? (struct unit){ "MiB", 1u << 20 } : (struct unit){ "KiB", 1u << 10 };
}

struct short_text text_in(struct unit u, uint64_t bytes)
{
	uint64_t whole = bytes / u.bytes, tenths = (bytes % u.bytes * 10 + u.bytes / 2) / u.bytes;
	struct short_text t = text_count(whole + tenths / 10);
	size_t n = strlen(t.text);
	t.text[n++] = '.';
	t.text[n++] = (char)('0' + tenths % 10);
	t.text[n] = '\0';
	if (bytes && !whole && !tenths)
		strcpy(t.text, "<0.1");
	return t;
}

struct short_text text_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct short_text t;
	double v = (double)bytes;
	int u = 0;
	for (; v >= 1023.5 && u < 6; u++)
		v /= 1024;
	snprintf(t.text, sizeof t.text, u == 0 || v >= 99.95 ? "%.0f %s" : v >= 9.995 ? "%.1f %s" : "%.2f %s", v, units[u]);
	return t;
}

struct short_text text_percent(uint64_t part, uint64_t whole)
{
	struct short_text t;
	double share = whole ? 100.0 * (double)part / (double)whole : 0;
	snprintf(t.text, sizeof t.text, part && share < 0.05 ? "<0.1" : "%.1f", share);
	return t;
}

struct short_text text_count(uint64_t n)
{
	struct short_text t; /* 20 digits and 6 commas at most */
	char digits[24];
	int k = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
	for (int i = 0; i < k; i++) {
		if (i && (k - i) % 3 == 0)
			t.text[at++] = ',';
		t.text[at++] = digits[i];
	}
	t.text[at] = '\0';
	return t;
}

struct short_text text_count_short(uint64_t n)
{
	struct short_text t;
	if (n < 100000)
		return text_count(n);
	if (n < 999500)
		snprintf(t.text, sizeof t.text, "%.0fk", (double)n / 1e3);
	else
		snprintf(t.text, sizeof t.text, n < 99950000 ? "%.1fM" : "%.0fM", (double)n / 1e6);
	return t;
}

struct short_text text_duration(double seconds)
{
	struct short_text t;
	long s = (long)seconds;
	if (s < 60)
		snprintf(t.text, sizeof t.text, "%lds", s);
	else if (s < 3600)
		snprintf(t.text, sizeof t.text, "%ldm%02lds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(t.text, sizeof t.text, "%ldh%02ldm", s / 3600, s % 3600 / 60);
	else
		snprintf(t.text, sizeof t.text, "%ldd%02ldh", s / 86400, s % 86400 / 3600);
	return t;
}

struct short_text text_elapsed(double seconds)
{
	struct short_text t;
	if (seconds >= 0.9995)
		snprintf(t.text, sizeof t.text, "%.2f s", seconds);
	else
		snprintf(t.text, sizeof t.text, seconds >= 0.00995 ? "%.0f ms" : "%.1f ms", seconds * 1e3);
	return t;
}
