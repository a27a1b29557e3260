/* One look, in a process of its own: everything that the stop needs is opened and made before it; in the stop, quiet is asked
 * for, registers, mappings, residency and pages are taken; then the threads go on and the tables are written. */
#include "look.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { QUIET_TRIES = 20, QUIET_SUM_MS = 50, STEP_OUT_MS = 20, STEP_US = 30, MOST_STEP_US = 2000, GREGS_MAX = 512, TOUCH_MAX = 256 << 20 };
#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif
#ifndef NT_ARM_TLS
#define NT_ARM_TLS 0x401
#endif
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static uint8_t *take_regs(struct look *l, size_t max, uint64_t *ret_offset)
{
	l->regs_n = align_up(l->regs_n, 8);
	if (l->regs_cap - l->regs_n < max)
		return NULL;
	*ret_offset = l->regs_n;
	return l->regs + l->regs_n;
}

/* Extended state in a signal frame, which holds all that a thread may have (AMX too): the kernel says how much. */
static size_t extended_max(void)
{
	size_t frame = getauxval(AT_MINSIGSTKSZ);
	return frame > 4096 ? frame : 4096;
}

/* Where no general register is the thread pointer: TPIDR on arm64; on x86 with 32 bits the base that gs selects. */
static uint64_t thread_pointer(const struct look *l, const struct table_thread *t)
{
	enum { I386_GREGS = 68, I386_GS = 10, GET_THREAD_AREA = 25 };
	uint32_t gs, area[4] = { 0 }; /* struct user_desc: entry, base, limit, flags */
	uint64_t tp = 0;
	struct iovec v = { &tp, sizeof tp };
	if (arch_host()->elf_machine == EM_X86_64 && t->gregs_n == I386_GREGS) {
		memcpy(&gs, l->regs + t->gregs + I386_GS * sizeof gs, sizeof gs);
		return ptrace((enum __ptrace_request)GET_THREAD_AREA, t->tid, (void *)(uintptr_t)(gs >> 3), area) ? 0 : area[1];
	}
	return arch_host()->reg_tp < 0 && !ptrace(PTRACE_GETREGSET, t->tid, NT_ARM_TLS, &v) ? tp : 0;
}

static bool take_thread(struct look *l, const struct tracee *t)
{
	if (l->threads_n == l->threads_cap)
		return false;
	struct table_thread *to = &l->threads[l->threads_n++];
	*to = (struct table_thread){ .tid = t->tid, .stopped = t->state == TRACEE_STOPPED };
	if (!to->stopped)
		return true;
	struct iovec v = { take_regs(l, GREGS_MAX, &to->gregs), GREGS_MAX };
	if (!v.iov_base)
		return false;
	if (!ptrace(PTRACE_GETREGSET, t->tid, NT_PRSTATUS, &v))
		l->regs_n += to->gregs_n = (uint32_t)v.iov_len;
	v = (struct iovec){ take_regs(l, extended_max(), &to->fpregs), extended_max() };
	if (!v.iov_base)
		return false;
	if (!ptrace(PTRACE_GETREGSET, t->tid, NT_X86_XSTATE, &v) || !ptrace(PTRACE_GETREGSET, t->tid, NT_PRFPREG, &v))
		l->regs_n += to->fpregs_n = (uint32_t)v.iov_len;
	to->tp = thread_pointer(l, to);
	return true;
}

static bool take_threads(struct look *l)
{
	l->threads_n = l->regs_n = 0;
	for (size_t i = 0; i < l->ts.n; i++)
		if (l->ts.at[i].state != TRACEE_GONE && !take_thread(l, &l->ts.at[i]))
			return false;
	return true;
}

static void let_go(struct look *l)
{
	look_restart_waits(l);
	l->left = tracees_release(&l->ts);
	l->stopped += monotonic_seconds() - l->ts.interrupted_at;
	l->ts.interrupted_at = 0;
}

/* Lets as many of the threads inside go on as there are processors: a thread that waits for one is caught where it was.
 * From *next on, in turn. */
static bool let_some_on(struct look *l, size_t *next)
{
	unsigned n = 0;
	for (size_t i = 0; i < l->ts.n && n < l->processors; i++) {
		struct tracee *t = &l->ts.at[(*next + i) % l->ts.n];
		if (!t->inside)
			continue;
		if (!tracee_go_on(t))
			return false;
		if (++n == l->processors)
			*next += i + 1;
	}
	return n;
}

/* The threads inside malloc go on, for a moment at a time; who is caught outside stays. A thread outside holds no lock of
 * malloc's, so that the others can come out. */
static bool step_out(struct look *l)
{
	double until = l->ts.interrupted_at + STEP_OUT_MS / 1e3;
	unsigned us = STEP_US;
	size_t inside, before = SIZE_MAX, next = 0;
	while (!look_is_quiet(l, &inside)) {
		if (!inside || l->h->shared->abort || l->ts.exec_seen || l->ts.too_many || monotonic_seconds() > until)
			return false;
		/* On a busy machine they wait for a processor first. */
		us = inside < before ? STEP_US : us * 3 < MOST_STEP_US ? us * 3 : MOST_STEP_US;
		before = inside;
		bool on = let_some_on(l, &next);
		if (on)
			usleep(us);
		tracees_stop(&l->ts);
		if (!on)
			return false;
	}
	return true;
}

/* Stops until nobody is inside malloc, or the patience for that is used up. */
static void stop_quietly(struct look *l)
{
	for (int tries = 1;; tries++) {
		tracees_stop(&l->ts);
		l->stops++;
		if (l->ts.exec_seen || l->ts.too_many)
			return;
		l->quiet = step_out(l);
		if (l->quiet || tries == QUIET_TRIES || l->h->shared->abort || l->stopped * 1e3 > QUIET_SUM_MS)
			return;
		let_go(l);
		usleep(1000 + (unsigned)(tries - 1) % 5 * 1000);
	}
}

/* --max-stop: the end of a tracer lets go of all. */
static void on_alarm(int sig)
{
	(void)sig;
	_exit(LOOK_MAX_STOP);
}

static void arm(uint64_t ns)
{
	struct itimerval it = { .it_value = { (time_t)(ns / 1000000000), (suseconds_t)(ns % 1000000000 / 1000) } };
	setitimer(ITIMER_REAL, &it, NULL);
}

/* What lies between is the stop. 0, EAGAIN: an exec, ENOBUFS: not room enough, ESRCH: it has exited, EBUSY: no thread stopped. */
static int in_the_stop(struct look *l)
{
	int os = 0;
	if (l->h->shared->abort)
		return EINTR;
	arm(l->plan->max_stop_ns ? l->plan->max_stop_ns : 1);
	stop_quietly(l);
	if (l->ts.exec_seen) {
		os = EAGAIN;
	} else if (!tracees_stopped(&l->ts)) {
		os = l->ts.n && l->ts.seize_error ? l->ts.seize_error : l->ts.n ? EBUSY : ESRCH;
	} else {
		bool room = take_threads(l) && !l->ts.too_many;
		pages_scan(&l->pages);
		if (!room || l->pages.too_small || l->pages.data_bytes > l->data_cap)
			os = ENOBUFS;
		else if (!l->pages.maps_n)
			os = EAGAIN; /* what was opened before an exec shows nothing after it */
		else
			look_copy(l);
	}
	let_go(l);
	arm(0);
	return l->h->shared->abort ? EINTR : os;
}

/* A file of huge pages, in a tmpfs that is mounted nowhere: filled in a tenth of the time, and quicker to search. -1 where
 * that needs more rights than we have (CAP_SYS_ADMIN). */
static int huge_file(uint64_t bytes)
{
	char size[32];
	snprintf(size, sizeof size, "%llu", (unsigned long long)(bytes + (4u << 20)));
	AUTO_FD int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "huge", "always", 0) ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", size, 0) ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	AUTO_FD int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? -1 : openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* Without a name: nobody else reads it, and our end removes it. */
static int spool_file(const char *dir)
{
	char path[LIMIT_PATH + 16];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) /* the file system has no such files */
		return fd;
	snprintf(path, sizeof path, "%s/flotsamXXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static int data_file(const char *spool, uint64_t bytes)
{
	if (spool)
		return spool_file(spool);
	int fd = huge_file(bytes);
	return fd >= 0 ? fd : memfd_create("flotsam", MFD_CLOEXEC);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct prefault {
	uint8_t *at;
	size_t n, page;
	int os;
};

static void *prefault(void *arg)
{
	struct prefault *p = arg;
	p->os = 0;
	if (!madvise(p->at, p->n, MADV_POPULATE_WRITE))
		return NULL;
	if (errno != EINVAL)
		p->os = ENOMEM; /* EFAULT: the file could not grow */
	for (size_t i = 0; !p->os && i < p->n; i += p->page)
		((volatile uint8_t *)p->at)[i] = 0;
	return NULL;
}

/* Most of the time before the stop goes into clearing these pages: both cores share it. */
static int prefault_data(struct look *l)
{
	size_t half = align_up(l->data_cap / 2, 2u << 20);
	struct prefault a = { l->data, half, l->pages.page, 0 }, b = { l->data + half, l->data_cap - half, l->pages.page, 0 };
	pthread_t other;
	bool two = b.n && !pthread_create(&other, NULL, prefault, &b);
	prefault(&a);
	if (two)
		pthread_join(other, NULL);
	else if (b.n)
		prefault(&b);
	return a.os ? a.os : b.os;
}

/* Room for `bytes` of pages, filled with zeroes by the kernel now and not in the stop. errno or 0. */
static int make_data(struct look *l, const char *spool, uint64_t bytes)
{
	l->data_cap = align_up(bytes, 2u << 20);
	l->data_fd = data_file(spool, l->data_cap);
	if (l->data_fd < 0 || ftruncate(l->data_fd, (off_t)l->data_cap))
		return errno;
	/* A full disk is found out here, not by SIGBUS. */
	if (spool && (errno = posix_fallocate(l->data_fd, 0, (off_t)l->data_cap)))
		return errno;
	l->data = mmap(NULL, l->data_cap, PROT_READ | PROT_WRITE, MAP_SHARED, l->data_fd, 0);
	if (l->data == MAP_FAILED)
		return errno;
	madvise(l->data, l->data_cap, MADV_HUGEPAGE);
	return prefault_data(l);
}

static void *touched(size_t n, size_t size)
{
	void *p = malloc(n * size);
	if (p)
		memset(p, 0, n * size);
	return p;
}

/* Sizes everything by a scan of the running process: what it needs now, and a share more, growing with each attempt. */
static int make_room(struct look *l, const char *spool, unsigned attempt)
{
	pid_t tid = holder_living(l->h);
	int os = tracees_prepare(&l->ts, l->h->proc, (size_t)512 << (4 * attempt));
	if (!os)
		os = pages_open(&l->pages, l->h, tid, l->plan);
	if (!os)
		os = pages_size(&l->pages);
	if (os)
		return os;
	uint64_t swapped = l->pages.swapped_bytes;
	bool touch = swapped <= TOUCH_MAX || l->plan->flags & PLAN_READ_SWAP;
	if (swapped && touch && !(l->plan->flags & PLAN_NO_TOUCH) && pages_unswap(&l->pages, tid)) {
		pages_scan(&l->pages);
		l->unswapped += swapped > l->pages.swapped_bytes ? swapped - l->pages.swapped_bytes : 0;
	}
	uint64_t need = l->pages.data_bytes;
	l->threads_cap = l->ts.cap;
	l->regs_cap = l->ts.cap * (GREGS_MAX + extended_max() + 16);
	l->threads = touched(l->threads_cap, sizeof *l->threads);
	l->regs = touched(l->regs_cap, 1);
	l->bad = touched(LOOK_MAX_BAD, sizeof *l->bad);
	l->now = touched(1, sizeof *l->now);
	if (!l->threads || !l->regs || !l->bad || !l->now)
		return ENOMEM;
	os = make_data(l, spool, need + ((need / 32 + (8u << 20)) << 2 * attempt));
	if (!os && look_start_readers(l) != LOOK_READERS)
		os = ENOMEM;
	return os;
}

/* Writes one array at the end of the table file; returns its offset. */
static uint64_t put(int fd, uint64_t *end, const void *at, size_t bytes)
{
	uint64_t where = *end;
	const char *p = at;
	while (bytes) {
		ssize_t n = pwrite(fd, p, bytes, (off_t)*end);
		if (n <= 0)
			break;
		p += n;
		bytes -= (size_t)n;
		*end += (uint64_t)n;
	}
	*end = align_up(*end, 64);
	return where;
}

static void read_comm(const struct look *l, struct table_thread *t)
{
	AUTO_FD int fd = holder_proc(l->h, t->tid, "comm");
	ssize_t n = fd < 0 ? -1 : read(fd, t->comm, sizeof t->comm - 1);
	if (n > 0 && t->comm[n - 1] == '\n')
		t->comm[n - 1] = '\0';
}

static int write_tables(struct look *l)
{
	const struct pages *p = &l->pages;
	struct table_header h = { .stops = l->stops, .quiet = l->quiet, .have_pages = p->pagemap_fd >= 0, .threads_n = l->threads_n };
	l->tables_fd = memfd_create("flotsam-tables", MFD_CLOEXEC);
	if (l->tables_fd < 0)
		return errno;
	for (size_t i = 0; i < l->threads_n; i++)
		read_comm(l, &l->threads[i]);
	uint64_t end = align_up(sizeof h, 64), start = 0;
	h.stopped_ns = (uint64_t)(l->stopped * 1e9);
	h.copy_ns = (uint64_t)(l->copying * 1e9);
	h.extents_n = p->extents_n;
	h.runs_n = p->runs_n;
	h.maps_n = p->maps_n;
	h.regs_n = l->regs_n;
	h.bad_n = l->bad_n < LOOK_MAX_BAD ? l->bad_n : LOOK_MAX_BAD;
	h.data_bytes = p->data_bytes;
	h.swapped_bytes = p->swapped_bytes;
	h.unswapped_bytes = l->unswapped;
	h.shared_file_bytes = p->shared_file_bytes;
	h.device_bytes = p->device_bytes;
	h.threads = put(l->tables_fd, &end, l->threads, l->threads_n * sizeof *l->threads);
	h.regs = put(l->tables_fd, &end, l->regs, l->regs_n);
	h.extents = put(l->tables_fd, &end, p->extents, p->extents_n * sizeof *p->extents);
	h.runs = put(l->tables_fd, &end, p->runs, p->runs_n * sizeof *p->runs);
	h.maps = put(l->tables_fd, &end, p->maps, p->maps_n);
	h.bad = put(l->tables_fd, &end, l->bad, h.bad_n * sizeof *l->bad);
	put(l->tables_fd, &start, &h, sizeof h);
	/* Offsets of empty arrays lie inside too. */
	return ftruncate(l->tables_fd, (off_t)end) ? errno : 0;
}

void look_take(const struct holder *h, const struct holder_plan *plan, const char *spool, unsigned attempt)
{
	static struct look l;
	static struct holder_reply r;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	l = (struct look){ .h = h, .plan = plan, .data_fd = -1, .tables_fd = -1, .processors = processors > 0 ? (unsigned)processors : 1 };
	r.os = make_room(&l, spool, attempt);
	/* Readers keep all signals blocked: the alarm comes to us. */
	signal(SIGALRM, on_alarm);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (!r.os)
		r.os = in_the_stop(&l);
	if (r.os) {
		h->shared->os = r.os;
		_exit(LOOK_FAILED);
	}
	h->shared->waits = *l.now;
	/* What never stopped is let go by our end: a child that traces nothing does the rest, once we are gone. */
	pid_t taker = getpid();
	if (l.left && fork() > 0)
		_exit(LOOK_REPLIED);
	while (l.left && getppid() == taker)
		usleep(100);
	r.os = write_tables(&l);
	/* The slack goes back at once, but for the rest of a huge page. */
	if (l.pages.data_bytes && ftruncate(l.data_fd, (off_t)align_up(l.pages.data_bytes, 2u << 20)))
		r.os = errno;
	int fds[2] = { l.tables_fd, l.data_fd };
	holder_reply(h, &r, fds, r.os ? 0 : 2);
	_exit(LOOK_REPLIED);
}

int look_estimate(const struct holder *h, const struct holder_plan *plan, uint64_t *ret_bytes)
{
	struct pages p;
	int os = pages_open(&p, h, holder_living(h), plan);
	if (!os)
		os = pages_size(&p);
	*ret_bytes = p.data_bytes;
	pages_close(&p);
	return os;
}
