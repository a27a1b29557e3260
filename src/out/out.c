/* Buffered output with a sticky error, colour. */
#include "flotsam/out.h"

#include <errno.h>
#include <langinfo.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BUFFER = 1 << 16 };

void out_init(struct out *o, int fd, const char *color)
{
	struct winsize w;
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	bool tty = isatty(fd);
	*o = (struct out){ .fd = fd, .width = 80, .buffer = malloc(BUFFER) };
	o->unicode = !strcmp(nl_langinfo(CODESET), "UTF-8");
	if (tty && !ioctl(fd, TIOCGWINSZ, &w) && w.ws_col >= 40)
		o->width = w.ws_col;
	/* https://no-color.org: set and not empty. */
	bool automatic = tty && !(no_color && *no_color) && term && strcmp(term, "dumb");
	o->color = !strcmp(color, "always") || (!strcmp(color, "auto") && automatic);
	if (!o->buffer)
		o->error = ENOMEM;
}

static bool more_than(const char *p, size_t n, unsigned lines)
{
	for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		if (!lines--)
			return true;
	return false;
}

void out_flush(struct out *o)
{
	size_t at = 0;
	if (o->page && more_than(o->buffer, o->n, o->page_lines))
		o->page(o);
	o->page = NULL;
	while (at < o->n && !o->error) {
		ssize_t k = write(o->fd, o->buffer + at, o->n - at);
		if (k >= 0)
			at += (size_t)k;
		else if (errno != EINTR)
			o->error = errno;
	}
	o->n = 0;
}

void out_deinit(struct out *o)
{
	out_flush(o);
	free(o->buffer);
	o->buffer = NULL;
}

void out_bytes(struct out *o, const char *p, size_t n)
{
	while (n && !o->error) {
		size_t k = BUFFER - o->n < n ? BUFFER - o->n : n;
		memcpy(o->buffer + o->n, p, k);
		o->n += k;
		p += k;
		n -= k;
		if (o->n == BUFFER)
			out_flush(o);
	}
}

void out_puts(struct out *o, const char *s)
{
	out_bytes(o, s, strlen(s));
}

void out_printf(struct out *o, const char *fmt, ...)
{
	char small[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n < sizeof small) {
		out_bytes(o, small, (size_t)n);
		return;
	}
	char *big;
	va_start(ap, fmt);
	n = vasprintf(&big, fmt, ap);
	va_end(ap);
	if (n < 0) {
		o->error = ENOMEM;
		return;
	}
	out_bytes(o, big, (size_t)n);
	free(big);
}

void out_ink(struct out *o, enum ink ink)
{
	static const char *const codes[] = { "\033[0m", "\033[31m", "\033[33m", "\033[32m", "\033[2m", "\033[1m",
					     "\033[34m", "\033[35m", "\033[36m" };
	if (o->color)
		out_puts(o, codes[ink]);
}
