/* Buffered output with a sticky error, colour, and figures as people read them. */
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

void out_flush(struct out *o)
{
	size_t at = 0;
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
	static const char *const codes[] = { "\033[0m", "\033[31m", "\033[33m", "\033[32m", "\033[2m", "\033[1m" };
	if (o->color)
		out_puts(o, codes[ink]);
}

struct short_text text_mib(uint64_t bytes)
{
	struct short_text t;
	snprintf(t.text, sizeof t.text, "%.1f", (double)bytes / (1 << 20));
	return t;
}

struct short_text text_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct short_text t;
	double v = (double)bytes;
	int u = 0;
	for (; v >= 1024 && u < 6; u++)
		v /= 1024;
	/* Three digits that say something. */
	snprintf(t.text, sizeof t.text, u == 0 || v >= 100 ? "%.0f %s" : v >= 10 ? "%.1f %s" : "%.2f %s", v, units[u]);
	return t;
}

struct short_text text_count(uint64_t n)
{
	struct short_text t;
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
	if (n < 1000000)
		snprintf(t.text, sizeof t.text, "%.0fk", (double)n / 1e3);
	else
		snprintf(t.text, sizeof t.text, n < 100000000 ? "%.1fM" : "%.0fM", (double)n / 1e6);
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
