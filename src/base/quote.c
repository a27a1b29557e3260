/* Bytes as a C string literal, with repeats folded, as gdb writes them (generic_printstr() in valprint.c of gdb 13): printable
 * ASCII stays, all else is an escape. So foreign text drives no terminal. */
#include "flotsam/base.h"

enum { FOLD_ABOVE = 10 }; /* gdb's `set print repeats` */

static void add_char(struct strbuf *s, uint8_t c, char quote)
{
	static const char names[] = "\aa\bb\ff\nn\rr\tt\vv";
	if (c >= 0x20 && c < 0x7f) {
		strbuf_printf(s, c == (uint8_t)quote || c == '\\' ? "\\%c" : "%c", c);
		return;
	}
	for (size_t i = 0; names[i]; i += 2)
		if (names[i] == (char)c) {
			strbuf_printf(s, "\\%c", names[i + 1]);
			return;
		}
	strbuf_printf(s, "\\%03o", c);
}

void strbuf_add_char(struct strbuf *s, uint8_t c)
{
	strbuf_puts(s, "'");
	add_char(s, c, '\'');
	strbuf_puts(s, "'");
}

size_t strbuf_add_quoted(struct strbuf *s, const uint8_t *p, size_t n, size_t max)
{
	bool open = false;
	size_t i = 0;
	if (!n)
		strbuf_puts(s, "\"\"");
	while (i < n && i < max && !s->failed) {
		size_t same = 1;
		while (i + same < n && p[i + same] == p[i])
			same++;
		if (same > FOLD_ABOVE) {
			strbuf_puts(s, open ? "\", " : i ? ", " : "");
			open = false;
			strbuf_add_char(s, p[i]);
			strbuf_printf(s, " <repeats %zu times>", same);
		} else {
			if (!open)
				strbuf_puts(s, i ? ", \"" : "\"");
			open = true;
			for (size_t k = 0; k < same; k++)
				add_char(s, p[i], '"');
		}
		i += same;
	}
	strbuf_puts(s, open ? "\"" : "");
	return i;
}
