/* What flotsam says on its own account: how far it is, and why it cannot. */
#include "front.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* Progress goes to a terminal alone that can wipe a line, after 0.3 s, on one line that is wiped at the end. */
void progress_begin(struct progress *p)
{
	const char *term = getenv("TERM");
	*p = (struct progress){ monotonic_seconds(), isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0, false };
}

void progress_show(void *ctx, const char *text)
{
	struct progress *p = ctx;
	if (!p->on || monotonic_seconds() - p->started < 0.3)
		return;
	dprintf(STDERR_FILENO, "\r\033[K%s", text);
	p->drawn = true;
}

void progress_wipe(struct progress *p)
{
	if (p->drawn)
		dprintf(STDERR_FILENO, "\r\033[K");
	p->drawn = false;
}

static int status_of(const struct err *e)
{
	switch (e->kind) {
	case ERR_USAGE:
		return EXIT_USAGE;
	case ERR_INTERRUPTED:
		return 128 + (interrupted ? interrupted : SIGINT);
	case ERR_NOMEM:
	case ERR_OS:
	case ERR_FAULT:
	case ERR_BAD_DATA:
	case ERR_NOT_FOUND:
	case ERR_UNSUPPORTED:
	case ERR_LIMIT:
	case ERR_REFUSED:
		break;
	}
	return EXIT_TARGET;
}

static void print_escaped(const char *head, const char *text, const char *tail)
{
	struct strbuf b = { 0 };
	strbuf_puts(&b, head);
	strbuf_add_escaped(&b, text, strlen(text));
	strbuf_puts(&b, tail);
	if (b.text && write(STDERR_FILENO, b.text, b.n) < 0)
		errno = 0; /* nowhere left to say so */
	strbuf_free(&b);
}

int front_complain(struct err *e)
{
	int status = status_of(e);
	if (e->kind != ERR_INTERRUPTED) {
		print_escaped("flotsam: ", e->text, "\n");
		for (char *save = NULL, *line = e->hint ? strtok_r(e->hint, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
			print_escaped("  ", line, "\n");
	}
	err_free(e);
	return status;
}

void front_tell_losses(struct session *s)
{
	const char *text;
	while (s && s->modules && (text = modules_next_loss(s->modules)))
		print_escaped("flotsam: ", text, "\n");
}
