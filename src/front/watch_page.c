/* flotsam watch on a terminal: its page, its keys, and what has changed since the first look. */
#include "sandbox.h"
#include "watch.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST_BODY = 8 << 20 };

void watch_page_draw(struct watch *w)
{
	screen_size(&w->view.rows, &w->view.columns);
	w->view.note = w->note[0] ? w->note : NULL;
	w->view.body = w->body;
	w->view.gone = w->gone;
	command_watch_page(&w->state, &w->view, w->o);
}

void watch_page_event(struct watch *w, const struct watch_event *e)
{
	if (e->what == WATCH_ALARM) {
		snprintf(w->alarm, sizeof w->alarm, "%s", e->reason);
		w->view.alarm = w->alarm;
		w->view.alarm_time = w->state.now;
	}
	if (e->what == WATCH_ERROR)
		snprintf(w->note, sizeof w->note, "No look: %s", e->error->text);
	else if (e->what == WATCH_LOOK)
		w->note[0] = '\0';
	watch_page_draw(w);
}

/* What the looks say is not to be believed: read by a process that is shut in. */
static _Noreturn void diff_and_exit(struct watch *w, int to)
{
	struct arguments a = *w->a;
	struct sandbox none = { .read = { "/proc", "/sys" }, .n_read = 2 };
	struct out o;
	int status;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	out_init(&o, to, "never");
	o.width = w->view.columns;
	a.format = "text";
	a.n_looks = 2;
	a.looks[0] = a.looks[1] = w->target;
	struct err *e = sandbox_enter(&none);
	if (!e)
		e = census_load(w->first, "the first look", &a.censuses[0]);
	if (!e)
		e = census_load(w->last, "the last look", &a.censuses[1]);
	if (!e)
		e = command_by_name("diff")->run(&a, NULL, &o, &status);
	if (e)
		out_printf(&o, "cannot compare: %s\n", e->text);
	out_flush(&o);
	_exit(0);
}

static char *read_body(int fd)
{
	struct stat st;
	size_t n = fstat(fd, &st) || st.st_size < 0 ? 0 : st.st_size > LONGEST_BODY ? LONGEST_BODY : (size_t)st.st_size;
	char *text = malloc(n + 1);
	ssize_t k = text ? pread(fd, text, n, 0) : -1;
	if (text)
		text[k < 0 ? 0 : k] = '\0';
	return text;
}

static void show_diff(struct watch *w)
{
	AUTO_FD int fd = memfd_create("diff", MFD_CLOEXEC);
	if (w->first < 0 || w->last < 0) {
		snprintf(w->note, sizeof w->note, "It takes two looks to compare: l looks now.");
		return;
	}
	pid_t pid = fd < 0 ? -1 : fork();
	if (!pid)
		diff_and_exit(w, fd);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(w->body);
	w->body = pid > 0 ? read_body(fd) : NULL;
	w->view.first_line = 0;
}

static void hide_body(struct watch *w)
{
	free(w->body);
	w->body = NULL;
}

static void key_in_body(struct watch *w, char key)
{
	size_t lines = 0, page = w->view.rows > 4 ? (size_t)w->view.rows - 4 : 1;
	for (const char *p = w->body; (p = strchr(p, '\n')); p++)
		lines++;
	size_t *at = &w->view.first_line;
	if (key == 'j' || key == ' ')
		*at += key == 'j' ? 1 : page;
	else if (key == 'k')
		*at -= *at > 0;
	else
		hide_body(w);
	if (*at >= lines)
		*at = lines ? lines - 1 : 0;
}

static void press(struct watch *w, char key)
{
	if (key == 'q') {
		w->quit = true;
	} else if (w->body) {
		key_in_body(w, key);
	} else if (key == 'l' && !w->gone) {
		snprintf(w->note, sizeof w->note, "Looking...");
		watch_page_draw(w);
		watch_take_look(w, "key");
	} else if (key == 'd') {
		w->note[0] = '\0';
		show_diff(w);
	} else {
		w->note[0] = '\0';
	}
}

void watch_page_input(struct watch *w, bool readable)
{
	char keys[64];
	ssize_t n = readable ? read(STDIN_FILENO, keys, sizeof keys) : 0;
	if (readable && (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)))
		w->quit = true; /* the terminal is gone */
	for (ssize_t i = 0; i < n && !w->quit && !interrupted; i++) {
		char key = keys[i];
		/* An arrow is an escape sequence, and not its letters. */
		if (key == '\033' && i + 2 < n && (keys[i + 1] == '[' || keys[i + 1] == 'O')) {
			key = keys[i + 2] == 'A' ? 'k' : keys[i + 2] == 'B' ? 'j' : '\0';
			i += 2;
		}
		if (key)
			press(w, key);
	}
	if ((screen_changed() || n > 0) && !w->quit && !interrupted)
		watch_page_draw(w);
}
