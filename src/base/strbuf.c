/* Text that grows, and the escaping of foreign bytes. */
#include "flotsam/base.h"

#include <errno.h>
#include <strings.h>

#include <stdarg.h>

void strbuf_add(struct strbuf *s, const char *bytes, size_t n)
{
	if (s->failed || !vec_grow_((void **)&s->text, &s->cap, s->n + n + 1, 1)) {
		s->failed = true;
		return;
	}
	memcpy(s->text + s->n, bytes, n);
	s->n += n;
	s->text[s->n] = '\0';
}

void strbuf_puts(struct strbuf *s, const char *text)
{
	strbuf_add(s, text, strlen(text));
}

void strbuf_printf(struct strbuf *s, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0) {
		s->failed = true;
		return;
	}
	if ((size_t)n < sizeof small) {
		strbuf_add(s, small, (size_t)n);
		return;
	}
	char *big = NULL;
	va_start(ap, fmt);
	n = vasprintf(&big, fmt, ap);
	va_end(ap);
	if (n < 0) {
		s->failed = true;
		return;
	}
	strbuf_add(s, big, (size_t)n);
	free(big);
}

void strbuf_add_escaped(struct strbuf *s, const char *bytes, size_t n)
{
	const uint8_t *p = (const uint8_t *)bytes;
	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t k = utf8_character(p + i, n - i, &c);
		if (k && !utf8_drives_terminal(c)) {
			strbuf_add(s, bytes + i, k);
			i += k;
		} else {
			strbuf_printf(s, "\\x%02x", p[i]);
			i++;
		}
	}
}

void strbuf_free(struct strbuf *s)
{
	free(s->text);
	*s = (struct strbuf){ 0 };
}

bool text_to_bytes(const char *text, uint64_t *ret)
{
	static const char units[] = "kmgt";
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	uint64_t v = strtoull(text, &end, 0);
	const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
	unsigned shift = unit ? 10u * (unsigned)(unit - units + 1) : 0;
	if (errno || (shift && v >> (64 - shift)))
		return false;
	if (unit) {
		end++;
		end += !strcasecmp(end, "iB") ? 2 : !strcasecmp(end, "B");
	}
	if (*end)
		return false;
	*ret = v << shift;
	return true;
}
