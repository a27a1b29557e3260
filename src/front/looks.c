/* Sessions, and looks that are taken for their census alone. A process that has opened a session is shut in and can open no
 * other: each look has a process of its own, which writes what it found to nameless memory, or an error to a pipe. */
#include "front.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Once the target is open, before any file of its and any heap is read. */
static struct err *shut_in(void *ctx, struct session *s)
{
	const struct arguments *a = ctx;
	const char *sysroot = a->session.target.sysroot;
	struct sandbox b = { .read = { "/proc", "/sys", "/usr/lib/debug" }, .n_read = 3 };
	bool ok = sandbox_read_below(&b, a->session.modules.debug_dir);
	/* The holder opens the files of a process; those that a core names are read here. */
	if (!s->target->live)
		ok = ok && sandbox_read_below(&b, sysroot ? sysroot : "/") && sandbox_read_below(&b, a->session.target.core_exe);
	if (!ok)
		return err_nomem();
	TRY(sandbox_enter(&b));
	snprintf(s->sandbox, sizeof s->sandbox, "%s", b.note);
	return NULL;
}

/* A core is a file from anywhere, and expanding one is work enough for an attacker: the same, and temporary files. */
static struct err *shut_in_early(const char *kind)
{
	const char *tmp = secure_getenv("TMPDIR");
	struct sandbox b = { .read = { "/" }, .n_read = 1, .write = { "/tmp", "/var/tmp", tmp }, .n_write = tmp && *tmp ? 3 : 2 };
	return strcmp(kind, "core") ? NULL : sandbox_enter(&b);
}

/* Nothing but the file itself is needed. */
static struct err *open_census(const char *path, const struct session_options *o, struct session **ret)
{
	struct sandbox b = { .read = { "/proc", "/sys" }, .n_read = 2 };
	struct census *c;
	AUTO_FD int fd = census_open(path);
	if (fd < 0)
		return err_new(ERR_NOT_FOUND, "cannot read %s", path);
	TRY(sandbox_enter(&b));
	TRY(census_load(fd, path, &c));
	TRY(census_session(c, o, ret));
	snprintf((*ret)->sandbox, sizeof (*ret)->sandbox, "%s", b.note);
	return NULL;
}

struct err *front_open_session(const struct arguments *a, const char *kind, const char *target, struct progress *progress, struct session **ret)
{
	struct session_options options = a->session;
	options.progress = options.target.progress = progress_show;
	options.progress_ctx = options.target.progress_ctx = progress;
	options.opened = shut_in;
	options.opened_ctx = (void *)a;
	if (!strcmp(kind, "census"))
		return open_census(target, &options, ret);
	if (a->debuginfod)
		TRY(fetcher_start(&options.modules));
	kept_start(&options.modules);
	TRY(shut_in_early(kind));
	return session_open(kind, target, &options, ret);
}

struct message { /* an error, on its way up */
	int32_t kind, os;
	char text[1024], hint[2048];
};

static struct err *write_all(int fd, const uint8_t *p, size_t n)
{
	for (ssize_t k; n; p += k, n -= (size_t)k) {
		k = write(fd, p, n);
		if (k < 0 && errno == EINTR && !interrupted)
			k = 0;
		else if (k < 0)
			return err_os(errno, "cannot hand the look on");
	}
	return NULL;
}

static struct err *look(const struct arguments *a, const struct look_job *job, struct progress *p, int to)
{
	struct session *s;
	struct codec_bytes b;
	TRY(front_open_session(a, job->name->kind, job->name->target, p, &s));
	struct err *e = census_make(s, false, &b);
	if (!e) {
		e = write_all(to, b.at, b.n);
		if (!e && job->after)
			e = job->after(job->ctx, s, &b);
		free(b.at);
	}
	session_close(s);
	return e;
}

static _Noreturn void look_and_exit(const struct arguments *a, const struct look_job *job, struct progress *p, int to, int errors, pid_t parent)
{
	static struct message m;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_TARGET);
	struct err *e = look(a, job, p, to);
	progress_wipe(p);
	if (e) {
		m.kind = (int32_t)e->kind;
		m.os = e->os;
		snprintf(m.text, sizeof m.text, "%s", e->text);
		snprintf(m.hint, sizeof m.hint, "%s", e->hint ? e->hint : "");
		if (write(errors, &m, sizeof m) != (ssize_t)sizeof m)
			_exit(EXIT_TARGET);
	}
	_exit(e ? EXIT_TARGET : EXIT_REPORT);
}

/* Until it ends; our own interruption is passed on. */
static int wait_for(pid_t pid)
{
	int status = 0;
	bool told = false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		if (interrupted && !told) {
			kill(pid, SIGTERM);
			told = true;
		}
	return status;
}

static struct err *error_from(int fd, int status)
{
	static struct message m;
	ssize_t n = read(fd, &m, sizeof m);
	if (interrupted)
		return err_new(ERR_INTERRUPTED, "interrupted");
	if (n != (ssize_t)sizeof m || m.kind < ERR_NOMEM || m.kind > ERR_REFUSED)
		return WIFSIGNALED(status) ? err_new(ERR_OS, "the look ended by signal %d", WTERMSIG(status)) : status ? err_new(ERR_OS, "the look failed") : NULL;
	m.text[sizeof m.text - 1] = m.hint[sizeof m.hint - 1] = '\0';
	struct err *e = err_new((enum err_kind)m.kind, "%s", m.text);
	return m.hint[0] ? err_hint(e, "%s", m.hint) : e;
}

struct err *front_look(const struct arguments *a, const struct look_job *job, struct progress *p, int *ret_fd)
{
	int errors[2];
	AUTO_FD int fd = memfd_create("look", MFD_CLOEXEC);
	if (fd < 0 || pipe2(errors, O_CLOEXEC))
		return err_os(errno, "no memory for a look");
	pid_t parent = getpid(), pid = fork();
	if (!pid) {
		close(errors[0]);
		look_and_exit(a, job, p, fd, errors[1], parent);
	}
	close(errors[1]);
	struct err *e = pid < 0 ? err_os(errno, "cannot fork") : error_from(errors[0], wait_for(pid));
	close(errors[0]);
	if (!e) {
		*ret_fd = fd;
		fd = -1;
	}
	return e;
}

struct err *looks_take(struct arguments *a, struct progress *p)
{
	struct err *e = NULL;
	for (a->n_taken = 0; a->n_taken < a->n_looks && !e; a->n_taken++) {
		const struct look_job job = { .name = &a->looks[a->n_taken] };
		int *fd = &a->look_fds[a->n_taken];
		*fd = strcmp(job.name->kind, "core") ? -1 : census_open(job.name->target);
		if (*fd < 0)
			e = front_look(a, &job, p, fd);
	}
	return e;
}

struct err *looks_load(struct arguments *a)
{
	struct sandbox none = { .read = { "/proc", "/sys" }, .n_read = 2 };
	if (a->command->target == TARGET_MANY)
		TRY(sandbox_enter(&none));
	for (unsigned i = 0; i < a->n_taken; i++)
		TRY(census_load(a->look_fds[i], a->looks[i].target, &a->censuses[i]));
	return NULL;
}

void looks_free(struct arguments *a)
{
	for (unsigned i = 0; i < a->n_taken; i++) {
		census_free(a->censuses[i]);
		if (a->look_fds[i] >= 0)
			close(a->look_fds[i]);
	}
}
