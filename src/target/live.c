/* A running process, from the analyst's side: checks the gates, starts the holder, asks it. */
#include "live.h"
#include "refuse.h"
#include "flotsam/system.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Below what a copy by two readers reaches on slow machines; the estimate only keeps hopeless looks from stopping anything. */
static const double copy_bytes_per_second = 2.5e9;

static struct live *live_of(struct target *t)
{
	return (struct live *)t;
}

static bool send_request(struct live *l, const struct holder_request *q, int send_fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)q, sizeof *q };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (send_fd >= 0) {
		m.msg_control = control;
		m.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(c), &send_fd, sizeof(int));
	}
	return sendmsg(l->socket, &m, MSG_NOSIGNAL) == (ssize_t)sizeof *q;
}

/* One request and its reply. Returns 0 or errno: EPIPE when the holder is gone, EINTR when the user wants to stop; then no
 * further request is made, since the reply to this one may still come. */
static int ask(struct live *l, const struct holder_request *q, int send_fd, int fds[2])
{
	char control[CMSG_SPACE(2 * sizeof(int))];
	fds[0] = fds[1] = -1;
	if (l->socket < 0 || !send_request(l, q, send_fd))
		return EPIPE;
	struct iovec in = { &l->reply, sizeof l->reply };
	struct msghdr m = { .msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n;
	do
		n = recvmsg(l->socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR && !interrupted);
	if (n < (ssize_t)offsetof(struct holder_reply, bytes)) {
		int os = n < 0 && errno == EINTR ? EINTR : EPIPE;
		close(l->socket);
		l->socket = -1;
		return os;
	}
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0) < 2 * sizeof(int) ? c->cmsg_len - CMSG_LEN(0) : 2 * sizeof(int));
	if ((size_t)n < offsetof(struct holder_reply, bytes) + l->reply.n)
		return EPIPE;
	return l->reply.os;
}

static int ask_file(struct live *l, enum holder_op op, uint64_t a, uint64_t b, const char *name)
{
	struct holder_request q = { .op = op, .a = a, .b = b };
	int fds[2];
	snprintf(q.name, sizeof q.name, "%s", name);
	int os = ask(l, &q, -1, fds);
	if (!os && fds[0] < 0)
		os = EPIPE;
	errno = os;
	return os ? -1 : fds[0];
}

static int open_proc(struct target *t, const char *name)
{
	return ask_file(live_of(t), HOLDER_OPEN_PROC, 0, 0, name);
}

static int open_mapped(struct target *t, const struct mapping *m)
{
	return ask_file(live_of(t), HOLDER_OPEN_MAPPED, m->start, m->end, m->path);
}

static int open_path(struct target *t, const char *path)
{
	return ask_file(live_of(t), HOLDER_OPEN_PATH, 0, 0, path);
}

static bool peek(struct target *t, uint64_t address, void *to, size_t n)
{
	struct live *l = live_of(t);
	int fds[2];
	for (size_t done = 0; done < n;) {
		size_t step = n - done < HOLDER_PEEK_MAX ? n - done : HOLDER_PEEK_MAX;
		struct holder_request q = { .op = HOLDER_PEEK, .a = address + done, .b = step };
		if (ask(l, &q, -1, fds) || l->reply.n != step)
			return false;
		memcpy((uint8_t *)to + done, l->reply.bytes, step);
		done += step;
	}
	return true;
}

static char *read_proc(struct target *t, const char *name, size_t *ret_n)
{
	AUTO_FD int fd = open_proc(t, name);
	return fd < 0 ? NULL : system_read_fd(fd, ret_n);
}

static void say(const struct live *l, const char *text)
{
	if (l->target.options.progress)
		l->target.options.progress(l->target.options.progress_ctx, text);
}

static struct err *interrupted_error(void)
{
	return err_new(ERR_INTERRUPTED, "interrupted");
}

static struct err *gone_error(const struct live *l)
{
	return err_new(ERR_NOT_FOUND, "no process %d (%s): it ended while it was looked at", (int)l->target.pid, l->target.comm);
}

/* In words: what the holder could not do. */
static struct err *holder_error(struct live *l, int os)
{
	const char *comm = l->target.comm;
	int pid = (int)l->target.pid;
	double max_stop = l->target.options.max_stop > 0 ? l->target.options.max_stop : 5;
	switch (os) {
	case EINTR:
		return interrupted_error();
	case EPIPE:
	case ECHILD:
		return err_new(ERR_OS, "flotsam's helper process was killed: %d (%s) was let go and nothing was taken", pid, comm);
	case ETIME:
		return err_hint(err_new(ERR_LIMIT, "the stop of %d (%s) took longer than %.3g s: it was let go and nothing was taken", pid,
					comm, max_stop),
				"--max-stop SECONDS allows a longer one");
	case EAGAIN:
		return err_new(ERR_OS, "%d (%s) calls exec again and again: no picture could be taken", pid, comm);
	case ENOBUFS:
		return err_new(ERR_LIMIT, "%d (%s) grows faster than room can be made for its picture", pid, comm);
	case EBUSY:
		return err_new(ERR_OS, "no thread of %d (%s) stopped within 200 ms: it is frozen (cgroup freezer) or waits for a disk", pid, comm);
	case ESRCH:
	case ENOENT:
		return gone_error(l);
	case EPERM:
	case EACCES:
		return refuse_access("", pid, os);
	case ENOSPC:
		return err_hint(err_new(ERR_LIMIT, "the spool directory has no room for the picture of %d (%s)", pid, comm),
				"--spool DIR with another one");
	case ENOMEM:
		return err_hint(err_new(ERR_LIMIT, "no memory for the picture of %d (%s)", pid, comm), "--spool DIR");
	default:
		return err_os(os, "cannot take a picture of %d (%s)", pid, comm);
	}
}

static bool on_smaps(void *ctx, const struct smaps_entry *e)
{
	struct live *l = ctx;
	l->has_userfaultfd |= e->flag_userfaultfd;
	/* Of a file's mapping this would not tell pages of the file from pages of its own; who forked shares others too. */
	l->shares_pages |= !e->map.shared && !e->map.inode && e->anonymous && e->shared_clean + e->shared_dirty;
	if (e->flag_io || e->flag_pf) {
		struct page_run *r = vec_push(&l->devices);
		if (r)
			*r = (struct page_run){ .start = e->map.start, .end = e->map.end };
	}
	return true;
}

/* VmFlags are in smaps alone, which is slow: asked before the stop. */
static void find_devices(struct live *l)
{
	AUTO_FD int fd = open_proc(&l->target, "smaps");
	l->devices.n = 0;
	l->has_userfaultfd = l->shares_pages = false;
	if (fd >= 0)
		err_free(system_smaps_each(fd, on_smaps, l));
}

static void reset_picture(struct live *l)
{
	struct picture *p = &l->target.picture;
	picture_clear(p);
	*p = (struct picture){ .arch = l->target.arch, .page = (uint64_t)sysconf(_SC_PAGESIZE) };
}

static struct err *read_auxv(struct live *l)
{
	struct picture *p = &l->target.picture;
	size_t n = 0;
	AUTO_FREE char *text = read_proc(&l->target, "auxv", &n);
	if (!text || !n)
		return auxv_from_stack(&l->target);
	if (!vec_reserve(&p->auxv, n))
		return err_nomem();
	memcpy(p->auxv.at, text, n);
	p->auxv.n = n;
	return NULL;
}

static struct err *survey(struct target *t)
{
	struct live *l = live_of(t);
	size_t n = 0;
	find_devices(l);
	reset_picture(l);
	char *text = read_proc(t, "maps", &n);
	if (!text)
		return holder_error(l, errno);
	TRY(live_read_maps(l, text, n));
	return n ? read_auxv(l) : gone_error(l);
}

/* The plan of a look as a file: quiet may be NULL. -1 without memory. */
static int make_plan(struct live *l, const struct quiet_plan *quiet)
{
	static const struct quiet_plan none;
	const struct target_options *o = &l->target.options;
	quiet = quiet ? quiet : &none;
	size_t bytes = sizeof(struct holder_plan) + (quiet->mutexes.n + 2 * quiet->code.n + 2 * l->devices.n) * 8;
	int fd = memfd_create("plan", MFD_CLOEXEC);
	AUTO_FREE struct holder_plan *p = calloc(1, bytes);
	if (fd < 0 || !p)
		return -1;
	*p = (struct holder_plan){ .max_stop_ns = (uint64_t)((o->max_stop > 0 ? o->max_stop : 5) * 1e9), .n_mutexes = quiet->mutexes.n,
				   .n_code = quiet->code.n, .n_skip = l->devices.n };
	p->flags = (o->no_restart_fix ? PLAN_NO_RESTART_FIX : 0) | (o->scan_shared ? PLAN_SCAN_SHARED : 0) |
		   (o->read_swap ? PLAN_READ_SWAP : 0) | (l->has_userfaultfd ? PLAN_NO_TOUCH : 0) |
		   (l->shares_pages ? PLAN_GENTLE : 0);
	uint64_t *w = p->words;
	for (size_t i = 0; i < quiet->mutexes.n; i++)
		*w++ = quiet->mutexes.at[i];
	for (size_t i = 0; i < quiet->code.n; i++) {
		*w++ = quiet->code.at[i].start;
		*w++ = quiet->code.at[i].end;
	}
	for (size_t i = 0; i < l->devices.n; i++) {
		*w++ = l->devices.at[i].start;
		*w++ = l->devices.at[i].end;
	}
	if (write(fd, p, bytes) != (ssize_t)bytes) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Room first, and time: nothing is stopped for a picture that cannot be finished. */
static struct err *check_room(struct live *l, uint64_t need)
{
	const struct target_options *o = &l->target.options;
	const char *what;
	const double gib = 1 << 30, max_stop = o->max_stop > 0 ? o->max_stop : 5, seconds = (double)need / copy_bytes_per_second;
	uint64_t room = system_room("", &what);
	if (need > room / 2 && !o->spool_dir)
		return err_hint(err_new(ERR_LIMIT, "the picture needs %.1f GiB and there is room for %.1f (half of the %s)",
					(double)need / gib, (double)(room / 2) / gib, what),
				"--spool DIR, or run flotsam outside the container");
	if (seconds > max_stop && !o->force)
		return err_hint(err_new(ERR_LIMIT, "the picture of %.1f GiB may take %.1f s, and no stop may be longer than %.3g s",
					(double)need / gib, seconds, max_stop),
				"--max-stop SECONDS allows a longer one");
	char text[96];
	snprintf(text, sizeof text, "looking at %.1f GiB, about %.1f s", (double)need / gib, seconds / 2);
	say(l, text);
	return NULL;
}

static void drop_look(struct live *l)
{
	if (l->data)
		munmap(l->data, l->data_n);
	if (l->tables)
		munmap(l->tables, l->tables_n);
	l->data = l->tables = NULL;
}

static uint8_t *map_file(int fd, int flags, size_t *ret_n)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) || st.st_size <= 0)
		return NULL;
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | flags, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	*ret_n = (size_t)st.st_size;
	return p;
}

static struct kernel_texts ask_kernel_words(struct live *l)
{
	struct kernel_texts k = { 0 };
	size_t n;
	AUTO_FD int fd = ask_file(l, HOLDER_KERNEL_WORDS, 0, 0, "");
	if (fd >= 0 && !lseek(fd, 0, SEEK_SET))
		k.epoll = system_read_fd(fd, &n);
	k.timers = read_proc(&l->target, "timers", &k.timers_n);
	return k;
}

static void free_texts(struct kernel_texts *k)
{
	free(k->epoll);
	free(k->timers);
}

/* One look by the holder, mapped. EAGAIN: an exec came in between. */
static int ask_look(struct live *l, int plan, const char *spool, struct kernel_texts *before, struct kernel_texts *after)
{
	struct holder_request q = { .op = HOLDER_LOOK };
	int fds[2];
	snprintf(q.name, sizeof q.name, "%s", spool);
	drop_look(l);
	*before = ask_kernel_words(l);
	int os = ask(l, &q, plan, fds);
	if (os)
		return os;
	*after = ask_kernel_words(l);
	l->tables = map_file(fds[0], 0, &l->tables_n);
	l->data = map_file(fds[1], MAP_POPULATE, &l->data_n);
	close(fds[0]);
	close(fds[1]);
	return l->tables && l->data ? 0 : errno ? errno : EIO;
}

static struct err *take_once(struct live *l, const struct quiet_plan *quiet, const char *spool, bool *ret_exec)
{
	struct holder_request q = { .op = HOLDER_ESTIMATE };
	int fds[2], os;
	AUTO_FD int plan = make_plan(l, quiet);
	if (plan < 0)
		return err_nomem();
	if ((os = ask(l, &q, plan, fds)))
		return holder_error(l, os);
	TRY(check_room(l, l->reply.value));
	if (interrupted)
		return interrupted_error();
	struct kernel_texts before = { 0 }, after = { 0 };
	os = ask_look(l, plan, spool, &before, &after);
	*ret_exec = os == EAGAIN;
	reset_picture(l);
	struct err *e = os ? holder_error(l, os) : live_read_tables(l);
	if (!e)
		live_read_kernel_words(l, &before, &after);
	free_texts(&before);
	free_texts(&after);
	return e;
}

static struct err *take(struct target *t, const struct quiet_plan *quiet)
{
	struct live *l = live_of(t);
	bool exec = false;
	char text[96], spool[PATH_MAX] = "";
	/* The holder stands in "/". */
	if (t->options.spool_dir && !realpath(t->options.spool_dir, spool))
		return err_os(errno, "cannot spool to '%s'", t->options.spool_dir);
	struct err *e = take_once(l, quiet, spool, &exec);
	if (exec) {
		/* Another program runs now: what was found out before holds no more. */
		err_free(e);
		TRY(survey(t));
		TRY(take_once(l, NULL, spool, &exec));
		findings_add(&t->picture.findings, "exec", 0, "%d called exec while it was looked at: this is the program after it", (int)t->pid);
		e = NULL;
	}
	if (e)
		return e;
	snprintf(text, sizeof text, "target running again, stopped %.2f s", t->picture.stopped_seconds);
	say(l, text);
	return read_auxv(l);
}

static void close_live(struct target *t)
{
	struct live *l = live_of(t);
	if (l->socket >= 0)
		close(l->socket);
	bool last = !l->link || !--l->link->users;
	if (last)
		free(l->link);
	while (last && l->holder > 0 && waitpid(l->holder, NULL, 0) < 0 && errno == EINTR)
		;
	drop_look(l);
	picture_clear(&t->picture);
	vec_free(&l->devices);
	free(l->maps);
	free(l);
}

/* The holder dies with the thread that started it (PR_SET_PDEATHSIG), so that is the one that looks. */
static struct err *start_holder(struct live *l)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_os(errno, "cannot make a socket pair");
	/* Without memory the kernel kills us before the target: said before anything large is allocated. */
	AUTO_FD int adj = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (adj < 0 || write(adj, "1000", 4) != 4)
		say(l, "cannot make flotsam the first to be killed without memory");
	/* No handler of the analyst's may run in the child before it blocks all signals itself. */
	sigset_t all, old;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	l->holder = fork();
	int os = errno;
	if (!l->holder)
		holder_main(pair[1], l->target.pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(pair[1]);
	l->socket = pair[0];
	return l->holder < 0 ? err_os(os, "cannot start the holder process") : NULL;
}

/* Class and machine of the program, from its own file, whichever thread is left to name it. */
static struct err *find_arch(struct live *l)
{
	uint8_t head[20];
	l->target.arch = arch_host();
	AUTO_FD int fd = open_proc(&l->target, "exe");
	if (fd < 0 || pread(fd, head, sizeof head, 0) != sizeof head || memcmp(head, ELFMAG, SELFMAG) != 0)
		return NULL;
	uint16_t machine = (uint16_t)(head[18] | head[19] << 8);
	const struct arch *a = arch_find(machine, head[EI_CLASS]);
	if (!a)
		return err_new(ERR_UNSUPPORTED, "cannot look at %d: its architecture (ELF machine %u) is not known", (int)l->target.pid, machine);
	l->target.arch = a;
	return NULL;
}

/* May we attach at all? Asked before anything is read. */
static struct err *probe(struct live *l)
{
	struct holder_request q = { .op = HOLDER_PROBE };
	int fds[2], os = ask(l, &q, -1, fds);
	return os ? holder_error(l, os) : NULL;
}

static struct err *open_live(const char *what, const struct target_options *o, struct target **ret)
{
	char *end, path[64];
	long pid = strtol(what, &end, 10);
	if (end == what || *end || pid <= 0 || pid > INT32_MAX)
		return err_new(ERR_USAGE, "'%s' is no pid", what);
	struct live *l = calloc(1, sizeof *l);
	if (!l)
		return err_nomem();
	l->socket = -1;
	l->link = calloc(1, sizeof *l->link);
	if (!l->link) {
		free(l);
		return err_nomem();
	}
	l->link->users = 1;
	l->target.row = &target_live_row;
	l->target.live = true;
	l->target.pid = (pid_t)pid;
	l->target.options = *o;
	struct err *e = refuse_target((pid_t)pid, o->force, l->target.comm);
	if (!e)
		e = start_holder(l);
	if (!e)
		e = probe(l);
	if (!e)
		e = find_arch(l);
	if (e) {
		close_live(&l->target);
		return e;
	}
	snprintf(path, sizeof path, "/proc/%ld/exe", pid);
	ssize_t n = readlink(path, l->target.exe, sizeof l->target.exe - 1);
	l->target.exe[n > 0 ? n : 0] = '\0';
	reset_picture(l);
	*ret = &l->target;
	return NULL;
}

/* The same holder, which knows the process by its pidfd: another that got its pid is not looked at by chance. */
static struct err *again(struct target *t, struct target **ret)
{
	struct live *old = live_of(t), *l = calloc(1, sizeof *l);
	if (!l)
		return err_nomem();
	l->socket = dup(old->socket);
	l->holder = old->holder;
	l->link = old->link;
	l->link->users++;
	l->target.row = t->row;
	l->target.live = true;
	l->target.pid = t->pid;
	l->target.arch = t->arch;
	l->target.options = t->options;
	memcpy(l->target.comm, t->comm, sizeof l->target.comm);
	memcpy(l->target.exe, t->exe, sizeof l->target.exe);
	reset_picture(l);
	if (l->socket < 0) {
		struct err *e = err_os(errno, "no descriptor is left");
		close_live(&l->target);
		return e;
	}
	*ret = &l->target;
	return NULL;
}

const struct target_row target_live_row = {
	.name = "live",
	.open = open_live,
	.again = again,
	.survey = survey,
	.take = take,
	.peek = peek,
	.open_mapped = open_mapped,
	.open_path = open_path,
	.open_proc = open_proc,
	.close = close_live,
};
