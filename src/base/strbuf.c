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

/* Length of the valid UTF-8 sequence at p that is no control character (C0, DEL, C1, bidi overrides), else 0. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	size_t want = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || want > n)
		return 0;
	uint32_t c = p[0] & (0x7fu >> want);
	for (size_t i = 1; i < want; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	if (c < least[want] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || (c >= 0x80 && c < 0xa0))
		return 0;
	if ((c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff)
		return 0;
	return want;
}

void strbuf_add_escaped(struct strbuf *s, const char *bytes, size_t n)
{
	const unsigned char *p = (const unsigned char *)bytes;
	for (size_t i = 0; i < n;) {
		size_t k = utf8_length(p + i, n - i);
		if (k) {
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
