/* Errors as values. Out of memory is a static object, so that reporting it cannot fail. */
#include "flotsam/base.h"

#include <stdarg.h>

static struct err nomem = { .kind = ERR_NOMEM, .text = (char[]){ "out of memory" } };

struct err *err_nomem(void)
{
	return &nomem;
}

struct err *err_new(enum err_kind kind, const char *fmt, ...)
{
	struct err *e = calloc(1, sizeof *e);
	if (!e)
		return &nomem;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&e->text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		free(e);
		return &nomem;
	}
	e->kind = kind;
	return e;
}

struct err *err_os(int os, const char *fmt, ...)
{
	AUTO_FREE char *what = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&what, fmt, ap);
	va_end(ap);
	if (n < 0) {
		what = NULL;
		return &nomem;
	}
	struct err *e = err_new(ERR_OS, "%s: %s", what, strerror(os));
	if (e != &nomem)
		e->os = os;
	return e;
}

struct err *err_hint(struct err *e, const char *fmt, ...)
{
	if (!e || e == &nomem)
		return e;
	va_list ap;
	va_start(ap, fmt);
	char *hint = NULL;
	if (vasprintf(&hint, fmt, ap) >= 0) {
		free(e->hint);
		e->hint = hint;
	}
	va_end(ap);
	return e;
}

void err_free(struct err *e)
{
	if (!e || e == &nomem)
		return;
	free(e->text);
	free(e->hint);
	free(e);
}
