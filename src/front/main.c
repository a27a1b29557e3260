/* flotsam: arguments, signals, progress, exit status. */
#include "front.h"
#include "output.h"

#include <errno.h>
#include <linux/capability.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <wchar.h>

static bool in_sitting; /* Ctrl-C ends a command, never the sitting */

static void on_signal(int sig)
{
	if (interrupted && !in_sitting) {
		screen_close();
		_exit(128 + sig); /* asked twice: the holder lets go by itself */
	}
	interrupted = sig;
}

static void catch_signals(void)
{
	struct sigaction a = { .sa_handler = on_signal };
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static struct err *drive(const struct arguments *a, struct progress *progress, const struct output *f, struct out *o, int *ret_status)
{
	static struct err *(*const drivers[])(const struct arguments *a, struct progress *p, struct out *o, int *ret_status) = {
		[DRIVER_WATCH] = front_watch, [DRIVER_EXERCISE] = front_exercise, [DRIVER_RUN] = front_run,
	};
	output_begin(f);
	return drivers[a->command->driver](a, progress, o, ret_status);
}

/* One command, in batch. */
static struct err *run(struct arguments *a, struct progress *progress, const struct output *f, struct out *o, int *ret_status)
{
	struct session *s = NULL;
	a->desk = desk_create();
	struct err *e = a->desk ? NULL : err_nomem();
	if (!e && a->command->driver) {
		e = drive(a, progress, f, o, ret_status);
		desk_destroy(a->desk);
		return e;
	}
	if (!e && a->n_looks)
		e = looks_take(a, progress);
	if (!e && a->target && a->command->target != TARGET_UNSEEN && a->command->target != TARGET_MANY)
		e = front_open_session(a, a->kind, a->target, progress, &s);
	if (!e && a->n_looks)
		e = looks_load(a);
	if (!e) {
		output_begin(f);
		e = a->command->run(a, s, o, ret_status);
	}
	progress_wipe(progress);
	front_tell_losses(s);
	out_flush(o);
	desk_destroy(a->desk);
	session_close(s);
	looks_free(a);
	return e;
}

/* A prompt follows the report when a person sits at both ends and asked for nothing else. */
static bool wants_prompt(const struct arguments *a)
{
	return (!a->command->run && !a->command->driver) || (a->defaulted && !a->quiet && !a->output && !a->named_format && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
}

static int sit(const struct arguments *a, struct progress *progress)
{
	struct outside *w;
	struct session *s = NULL;
	struct prompt_files files;
	struct err *e = outside_start(&w);
	if (e)
		return front_complain(e);
	e = prompt_open(a, &files);
	if (!e)
		e = front_open_session(a, a->kind, a->target, progress, &s);
	progress_wipe(progress);
	if (e) {
		prompt_close(&files);
		outside_stop(w);
		return front_complain(e);
	}
	in_sitting = true;
	int status = prompt_run(a, s, w, &files, progress, a->command->run != NULL);
	session_close(s);
	prompt_close(&files);
	outside_stop(w);
	return interrupted == SIGTERM ? 128 + SIGTERM : status;
}

/* Given capabilities by its file, flotsam opens what the user names with the user's rights all the same: they stay unused but
 * in the holder. As another user's program it could not keep the two apart. */
static struct err *set_rights_aside(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	if (!getauxval(AT_SECURE))
		return NULL;
	if (getuid() != geteuid() || getgid() != getegid())
		return err_hint(err_new(ERR_REFUSED, "flotsam will not run set-user-ID or set-group-ID"), "setcap cap_sys_ptrace,cap_dac_read_search+ep flotsam");
	if (syscall(SYS_capget, &head, d))
		return err_os(errno, "cannot read our capabilities");
	d[0].effective = d[1].effective = 0;
	return syscall(SYS_capset, &head, d) ? err_os(errno, "cannot set our capabilities aside") : NULL;
}

static int help_or_version(const struct arguments *a)
{
	struct out o;
	out_init(&o, STDOUT_FILENO, a->color);
	if (a->version)
		out_puts(&o, "flotsam " FLOTSAM_VERSION "\n");
	else if (a->format && !strcmp(a->format, "json"))
		help_json(&o, a->command, N_GROUPS);
	else
		help_print(&o, a->command);
	out_deinit(&o);
	return EXIT_REPORT;
}

int main(int argc, char **argv)
{
	struct arguments a;
	struct progress progress;
	int status = EXIT_REPORT;

	/* Large tables go back to the kernel when they are freed: glibc would raise the limit to 32 MiB after the first. */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	progress_begin(&progress);
	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	btowc(0); /* a locale's converter is loaded at its first use, which is too late once nothing can be loaded */
	struct err *e = set_rights_aside();
	if (!e)
		e = arguments_parse(argc, argv, &a);
	if (e)
		return front_complain(e);
	if (a.help || a.version)
		return help_or_version(&a);
	catch_signals();
	if (wants_prompt(&a))
		return sit(&a, &progress);
	struct output f;
	struct out o;
	e = output_open(a.output, a.command->driver == DRIVER_WATCH ? OUTPUT_LOG : a.command->whole_file ? OUTPUT_WHOLE : OUTPUT_ANSWER, &f);
	if (e)
		return front_complain(e);
	out_init(&o, f.fd, a.color);
	e = run(&a, &progress, &f, &o, &status);
	progress_wipe(&progress);
	out_flush(&o);
	int lost = o.error;
	out_deinit(&o);
	int late = output_close(&f, e != NULL);
	if (!lost)
		lost = late;
	if (e)
		status = front_complain(e);
	else if (lost && lost != EPIPE) /* a reader that has seen enough is no failure */
		status = front_complain(err_os(lost, "cannot write %s", a.output ? a.output : "to standard output"));
	return interrupted ? 128 + interrupted : status;
}
