/* A running process, from the analyst's side: speaks to the holder and turns its tables into a picture. */
#include "holder.h"
#include "refuse.h"
#include "row.h"
#include "flotsam/system.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct live {
	struct target target;
	int socket;
	pid_t holder;
	uint8_t *data, *tables;
	size_t data_n, tables_n;
	VEC(struct page_run) devices;
	struct holder_reply reply;
};

static struct live *live_of(struct target *t)
{
	return (struct live *)t;
}

/* One request and its reply. Returns 0 or errno; EPIPE when the holder is gone. */
static int ask(struct live *l, const struct holder_request *q, int send_fd, int fds[2])
{
	char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)q, sizeof *q };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	fds[0] = fds[1] = -1;
	if (send_fd >= 0) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(c), &send_fd, sizeof(int));
	}
	if (sendmsg(l->socket, &m, MSG_NOSIGNAL) < 0)
		return errno;
	struct iovec in = { &l->reply, sizeof l->reply };
	m = (struct msghdr){ .msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n;
	do
		n = recvmsg(l->socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR && !interrupted);
	if (n < 0)
		return errno;
	if (n < (ssize_t)offsetof(struct holder_reply, bytes))
		return EPIPE;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0) < 2 * sizeof(int) ? c->cmsg_len - CMSG_LEN(0) : 2 * sizeof(int));
	return l->reply.os;
}

static int ask_file(struct live *l, struct holder_request *q)
{
	int fds[2], os = ask(l, q, -1, fds);
	if (os) {
		errno = os;
		return -1;
	}
	return fds[0];
}

static int open_proc(struct target *t, const char *name)
{
	struct holder_request q = { .op = HOLDER_OPEN_PROC };
	snprintf(q.name, sizeof q.name, "%s", name);
	return ask_file(live_of(t), &q);
}

static int open_mapped(struct target *t, const struct mapping *m)
{
	struct holder_request q = { .op = HOLDER_OPEN_MAPPED, .a = m->start, .b = m->end };
	snprintf(q.name, sizeof q.name, "%s", m->path);
	return ask_file(live_of(t), &q);
}

static int open_path(struct target *t, const char *path)
{
	struct holder_request q = { .op = HOLDER_OPEN_PATH };
	snprintf(q.name, sizeof q.name, "%s", path);
	return ask_file(live_of(t), &q);
}

static bool peek(struct target *t, uint64_t address, void *to, size_t n)
{
	struct live *l = live_of(t);
	int fds[2];
	if (n > HOLDER_PEEK_MAX)
		return false;
	struct holder_request q = { .op = HOLDER_PEEK, .a = address, .b = n };
	if (ask(l, &q, -1, fds) || l->reply.n != n)
		return false;
	memcpy(to, l->reply.bytes, n);
	return true;
}

static char *read_proc(struct target *t, const char *name, size_t *ret_n)
{
	AUTO_FD int fd = open_proc(t, name);
	return fd < 0 ? NULL : system_read_fd(fd, ret_n);
}

static struct err *parse_maps(struct live *l, const char *text, size_t n)
{
	struct picture *p = &l->target.picture;
	struct maps_line line;
	size_t bad = 0;
	while (system_maps_next(&text, &n, &line, &bad) && p->maps.n < LIMIT_MAPPINGS) {
		struct mapping *m = vec_push(&p->maps);
		char *path = strndup(line.path, line.path_n);
		if (!m || !path) {
			free(path);
			return err_nomem();
		}
		*m = (struct mapping){ .start = line.start, .end = line.end, .offset = line.offset, .inode = line.inode,
				       .dev_major = line.dev_major, .dev_minor = line.dev_minor, .shared = line.shared, .deleted = line.deleted,
				       .path = path, .prot = (uint8_t)((line.r ? PROT_R : 0) | (line.w ? PROT_W : 0) | (line.x ? PROT_X : 0)) };
		for (size_t i = 0; i < l->devices.n; i++)
			m->device |= m->start < l->devices.at[i].end && m->end > l->devices.at[i].start;
		m->device |= !strncmp(path, "/dev/", 5) && strncmp(path, "/dev/shm/", 9) && strncmp(path, "/dev/zero", 9);
	}
	if (bad)
		findings_add(&p->findings, "bad-maps", 0, "%zu lines of /proc/PID/maps were not understood", bad);
	return NULL;
}

static struct err *read_auxv(struct live *l)
{
	struct picture *p = &l->target.picture;
	size_t n = 0;
	AUTO_FREE char *text = read_proc(&l->target, "auxv", &n);
	if (!text)
		return NULL;
	if (!vec_reserve(&p->auxv, n))
		return err_nomem();
	memcpy(p->auxv.at, text, n);
	p->auxv.n = n;
	return NULL;
}

static bool on_smaps(void *ctx, const struct smaps_entry *e)
{
	struct live *l = ctx;
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
	if (fd >= 0)
		err_free(system_smaps_each(fd, on_smaps, l));
}

static void reset_picture(struct live *l)
{
	struct picture *p = &l->target.picture;
	picture_clear(p);
	p->arch = l->target.arch;
	p->page = (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct err *survey(struct target *t)
{
	struct live *l = live_of(t);
	size_t n = 0;
	find_devices(l);
	reset_picture(l);
	AUTO_FREE char *text = read_proc(t, "maps", &n);
	if (!text)
		return refuse_access(t->pid, errno);
	if (!n)
		return err_new(ERR_NOT_FOUND, "cannot look at %d (%s): it has no memory (it has exited, or is a kernel thread)", (int)t->pid, t->comm);
	TRY(parse_maps(l, text, n));
	return read_auxv(l);
}

static int make_plan(struct live *l, const struct quiet_plan *quiet)
{
	const struct target_options *o = &l->target.options;
	size_t words = quiet->mutexes.n + 2 * quiet->code.n + 2 * l->devices.n;
	int fd = memfd_create("plan", MFD_CLOEXEC);
	AUTO_FREE struct holder_plan *p = calloc(1, sizeof *p + words * 8);
	if (fd < 0 || !p)
		return -1;
	*p = (struct holder_plan){ .max_stop_ns = (uint64_t)((o->max_stop > 0 ? o->max_stop : 5) * 1e9), .n_mutexes = quiet->mutexes.n,
				   .n_code = quiet->code.n, .n_skip = l->devices.n };
	p->flags = (o->no_restart_fix ? PLAN_NO_RESTART_FIX : 0) | (o->scan_shared ? PLAN_SCAN_SHARED : 0) | (o->read_swap ? PLAN_READ_SWAP : 0);
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
	if (write(fd, p, sizeof *p + words * 8) != (ssize_t)(sizeof *p + words * 8)) {
		close(fd);
		return -1;
	}
	return fd;
}

static struct err *check_room(struct live *l, uint64_t need)
{
	const char *what;
	uint64_t room = system_room("", &what);
	const double gib = 1 << 30;
	if (need <= room / 2 || l->target.options.spool_dir)
		return NULL;
	return err_hint(err_new(ERR_LIMIT, "the picture needs %.1f GiB and there is room for %.1f (half of the %s)", (double)need / gib,
				(double)(room / 2) / gib, what),
			"--spool DIR, or run flotsam where there is more memory");
}

static struct err *holder_error(struct live *l, int os)
{
	int status;
	struct target *t = &l->target;
	if (os == EPIPE || os == ECONNRESET) {
		waitpid(l->holder, &status, WNOHANG);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			return err_hint(err_new(ERR_LIMIT, "the stop of %d (%s) took longer than %.3g s: it was let go and nothing was taken", (int)t->pid,
						t->comm, t->options.max_stop > 0 ? t->options.max_stop : 5),
					"--max-stop SECONDS allows a longer one");
		return err_new(ERR_OS, "the holder process ended: %d (%s) was let go and nothing was taken", (int)t->pid, t->comm);
	}
	if (os == ESRCH || os == ENOENT)
		return err_new(ERR_NOT_FOUND, "no process %d: it exited meanwhile", (int)t->pid);
	if (os == EAGAIN)
		return err_new(ERR_OS, "%d (%s) calls exec again and again: no picture could be taken", (int)t->pid, t->comm);
	if (os == ENOBUFS)
		return err_new(ERR_LIMIT, "%d (%s) grew faster than room could be made for its picture", (int)t->pid, t->comm);
	if (os == EPERM || os == EACCES)
		return refuse_access(t->pid, os);
	return err_os(os, "cannot take a picture of %d (%s)", (int)t->pid, t->comm);
}

static const void *table(const struct live *l, uint64_t offset, uint64_t n, size_t size)
{
	uint64_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes) || offset > l->tables_n || bytes > l->tables_n - offset)
		return NULL;
	return l->tables + offset;
}

static uint8_t *map_file(int fd, size_t *ret_n)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) || st.st_size <= 0)
		return NULL;
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	*ret_n = (size_t)st.st_size;
	return p;
}

static bool take_threads(struct live *l, const struct table_thread *t, size_t n)
{
	struct picture *p = &l->target.picture;
	for (size_t i = 0; i < n; i++, t++) {
		struct thread *to = vec_push(&p->threads);
		if (!to)
			return false;
		to->tid = t->tid;
		to->stopped = t->stopped;
		memcpy(to->comm, t->comm, sizeof to->comm);
		to->comm[sizeof to->comm - 1] = '\0';
		to->gregs = (struct span){ t->gregs, t->gregs_n <= sizeof t->gregs ? t->gregs_n : 0 };
		to->fpregs = (struct span){ t->fpregs, t->fpregs_n <= sizeof t->fpregs ? t->fpregs_n : 0 };
		to->tp = p->arch->reg_tp >= 0 ? arch_reg(p->arch, to->gregs, p->arch->reg_tp) : t->tp;
		if (!t->stopped)
			findings_add(&p->findings, "thread-left-out", 0, "thread %d did not stop within 200 ms: its registers are unknown", t->tid);
		p->at_most |= !t->stopped;
	}
	return true;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static bool add_extent(struct picture *p, uint64_t from, uint64_t to, const struct table_extent *e, const uint8_t *data)
{
	if (from >= to)
		return true;
	struct extent *x = vec_push(&p->extents);
	if (x)
		*x = (struct extent){ from, to - from, data + e->offset + (from - e->address), false };
	return x;
}

/* Extents, cut where a page could not be read. */
static bool take_extents(struct live *l, const struct table_extent *e, size_t n, uint64_t *bad, size_t bad_n)
{
	struct picture *p = &l->target.picture;
	size_t b = 0;
	if (bad_n)
		qsort(bad, bad_n, sizeof *bad, compare_u64);
	for (size_t i = 0; i < n; i++, e++) {
		uint64_t at = e->address, end = e->address + e->bytes;
		if (e->offset > l->data_n || e->bytes > l->data_n - e->offset || end < at)
			return true;
		while (b < bad_n && bad[b] < at)
			b++;
		for (; b < bad_n && bad[b] < end; b++) {
			if (!add_extent(p, at, bad[b], e, l->data))
				return false;
			at = bad[b] + p->page;
		}
		if (!add_extent(p, at, end, e, l->data))
			return false;
	}
	return true;
}

static void note_skipped(struct picture *p, const char *reason, uint64_t bytes, bool may_hold_roots)
{
	struct skipped *s = bytes ? vec_push(&p->skipped) : NULL;
	if (s)
		*s = (struct skipped){ reason, bytes, may_hold_roots };
}

static struct err *read_tables(struct live *l)
{
	struct picture *p = &l->target.picture;
	const struct table_header *h = table(l, 0, 1, sizeof *h);
	if (!h)
		return err_new(ERR_BAD_DATA, "the holder's tables are cut");
	const struct table_thread *threads = table(l, h->threads, h->threads_n, sizeof *threads);
	const struct table_extent *extents = table(l, h->extents, h->extents_n, sizeof *extents);
	const struct table_run *runs = table(l, h->runs, h->runs_n, sizeof *runs);
	const char *maps = table(l, h->maps, h->maps_n, 1);
	const uint64_t *bad = table(l, h->bad, h->bad_n, sizeof *bad);
	if (!threads || !extents || !runs || !maps || !bad || h->threads_n > LIMIT_THREADS)
		return err_new(ERR_BAD_DATA, "the holder's tables are cut");
	TRY(parse_maps(l, maps, h->maps_n));
	AUTO_FREE uint64_t *holes = calloc(h->bad_n + 1, sizeof *holes);
	if (!holes || !vec_reserve(&p->pages, h->runs_n + 1))
		return err_nomem();
	memcpy(holes, bad, h->bad_n * sizeof *bad);
	if (!take_threads(l, threads, h->threads_n) || !take_extents(l, extents, h->extents_n, holes, h->bad_n))
		return err_nomem();
	for (size_t i = 0; i < h->runs_n; i++)
		p->pages.at[p->pages.n++] = (struct page_run){ runs[i].start, runs[i].end, (uint8_t)runs[i].flags };
	p->have_pages = h->have_pages;
	if (!p->have_pages)
		findings_add(&p->findings, "no-pagemap", 0,
			     "attached, but without CAP_DAC_READ_SEARCH /proc/%d/pagemap is closed: no residency, so free memory is not split",
			     (int)l->target.pid);
	p->stopped_seconds = (double)h->stopped_ns / 1e9;
	p->copy_seconds = (double)h->copy_ns / 1e9;
	p->stops = (int)h->stops;
	p->quiet = h->quiet;
	p->read_bytes = h->data_bytes;
	note_skipped(p, "device", h->device_bytes, false);
	note_skipped(p, "shared-file", h->shared_file_bytes, false);
	note_skipped(p, "swapped", h->swapped_bytes, true);
	note_skipped(p, "unreadable", h->bad_n * p->page, true);
	/* Beyond one part in a hundred of what was scanned the list is headed "at most". */
	p->at_most |= (h->swapped_bytes + h->bad_n * p->page) * 100 > h->data_bytes;
	return NULL;
}

struct word_list { struct live *l; enum kernel_word_kind kind; int fd; };

static void on_kernel_word(void *ctx, uint64_t value)
{
	struct word_list *w = ctx;
	struct kernel_word *k = value ? vec_push(&w->l->target.picture.kernel_words) : NULL;
	if (k)
		*k = (struct kernel_word){ value, w->kind, w->fd };
}

struct kernel_texts { char *epoll, *timers; size_t epoll_n, timers_n; };

static struct kernel_texts ask_kernel_words(struct live *l)
{
	struct kernel_texts k = { 0 };
	struct holder_request q = { .op = HOLDER_KERNEL_WORDS };
	AUTO_FD int fd = ask_file(l, &q);
	if (fd >= 0 && !lseek(fd, 0, SEEK_SET))
		k.epoll = system_read_fd(fd, &k.epoll_n);
	k.timers = read_proc(&l->target, "timers", &k.timers_n);
	return k;
}

/* Taken right before and right after the stop: a word that either saw counts. */
static void take_kernel_words(struct live *l, struct kernel_texts *k)
{
	struct word_list w = { l, KERNEL_EPOLL, -1 };
	for (char *p = k->epoll, *next; p && *p; p = next) {
		next = strstr(p + 1, "\nfd ");
		if (next)
			*next++ = '\0';
		w.fd = !strncmp(p, "fd ", 3) ? atoi(p + 3) : -1;
		system_fdinfo_epoll(p, strlen(p), on_kernel_word, &w);
	}
	w = (struct word_list){ l, KERNEL_TIMER, -1 };
	if (k->timers)
		system_timers(k->timers, k->timers_n, on_kernel_word, &w);
	free(k->epoll);
	free(k->timers);
}

static void drop_look(struct live *l)
{
	if (l->data)
		munmap(l->data, l->data_n);
	if (l->tables)
		munmap(l->tables, l->tables_n);
	l->data = l->tables = NULL;
}

static struct err *take(struct target *t, const struct quiet_plan *quiet)
{
	struct live *l = live_of(t);
	int fds[2] = { -1, -1 };
	AUTO_FD int plan = make_plan(l, quiet);
	if (plan < 0)
		return err_nomem();
	struct holder_request q = { .op = HOLDER_ESTIMATE };
	int os = ask(l, &q, plan, fds);
	if (os)
		return holder_error(l, os);
	TRY(check_room(l, l->reply.value));
	if (interrupted)
		return err_new(ERR_INTERRUPTED, "interrupted");
	struct kernel_texts before = ask_kernel_words(l);
	q.op = HOLDER_LOOK;
	snprintf(q.name, sizeof q.name, "%s", t->options.spool_dir ? t->options.spool_dir : "");
	os = ask(l, &q, plan, fds);
	reset_picture(l);
	if (os) {
		take_kernel_words(l, &before);
		return holder_error(l, os);
	}
	struct kernel_texts after = ask_kernel_words(l);
	drop_look(l);
	l->tables = map_file(fds[0], &l->tables_n);
	l->data = map_file(fds[1], &l->data_n);
	close(fds[0]);
	close(fds[1]);
	struct err *e = l->tables && l->data ? read_tables(l) : err_os(errno, "cannot map the picture");
	take_kernel_words(l, &before);
	take_kernel_words(l, &after);
	return e ? e : read_auxv(l);
}

static void close_live(struct target *t)
{
	struct live *l = live_of(t);
	close(l->socket);
	if (l->holder > 0)
		waitpid(l->holder, NULL, 0);
	drop_look(l);
	picture_clear(&t->picture);
	vec_free(&l->devices);
	free(l);
}

static struct err *start_holder(struct live *l)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_os(errno, "cannot make a socket pair");
	/* The kernel kills us before the target, whatever we allocate: set before anything large is. */
	AUTO_FD int adj = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (adj >= 0 && write(adj, "1000", 4) != 4)
		findings_add(&l->target.picture.findings, "oom-score", 0, "cannot make flotsam the first to be killed without memory");
	l->holder = fork();
	if (l->holder < 0) {
		close(pair[0]);
		close(pair[1]);
		return err_os(errno, "cannot start the holder process");
	}
	if (!l->holder) {
		close(pair[0]);
		holder_main(pair[1], l->target.pid);
	}
	close(pair[1]);
	l->socket = pair[0];
	return NULL;
}

/* Class and machine of the program, from its own file. */
static struct err *find_arch(struct live *l)
{
	char path[64];
	struct stat st;
	uint8_t head[20];
	snprintf(path, sizeof path, "/proc/%d/exe", (int)l->target.pid);
	l->target.arch = arch_host();
	AUTO_FD int fd = stat(path, &st) || !S_ISREG(st.st_mode) ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || pread(fd, head, sizeof head, 0) != sizeof head || memcmp(head, ELFMAG, SELFMAG))
		return NULL;
	uint16_t machine = (uint16_t)(head[18] | head[19] << 8);
	const struct arch *a = arch_find(machine, head[EI_CLASS]);
	if (!a)
		return err_new(ERR_UNSUPPORTED, "cannot look at %d: its architecture (ELF machine %u) is not known", (int)l->target.pid, machine);
	l->target.arch = a;
	return NULL;
}

static struct err *open_live(const char *what, const struct target_options *o, struct target **ret)
{
	char *end;
	long pid = strtol(what, &end, 10);
	if (*end || pid <= 0 || pid > INT32_MAX)
		return err_new(ERR_USAGE, "'%s' is no pid", what);
	struct live *l = calloc(1, sizeof *l);
	if (!l)
		return err_nomem();
	l->socket = -1;
	l->target.row = &target_live_row;
	l->target.live = true;
	l->target.pid = (pid_t)pid;
	l->target.options = *o;
	struct err *e = refuse_target((pid_t)pid, o->force, l->target.comm);
	if (!e)
		e = find_arch(l);
	if (!e)
		e = start_holder(l);
	if (e) {
		close_live(&l->target);
		return e;
	}
	char path[64];
	snprintf(path, sizeof path, "/proc/%ld/exe", pid);
	ssize_t n = readlink(path, l->target.exe, sizeof l->target.exe - 1);
	l->target.exe[n > 0 ? n : 0] = '\0';
	reset_picture(l);
	*ret = &l->target;
	return NULL;
}

const struct target_row target_live_row = {
	.name = "live",
	.open = open_live,
	.survey = survey,
	.take = take,
	.peek = peek,
	.open_mapped = open_mapped,
	.open_path = open_path,
	.open_proc = open_proc,
	.close = close_live,
};
