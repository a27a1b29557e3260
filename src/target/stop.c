/* One look: everything that the stop needs is opened and made before it; in the stop, quiet is asked for, registers,
 * mappings, residency and pages are taken; then the threads go on. Signals are blocked throughout; SIGALRM alone ends us
 * when --max-stop is over, and the end of a tracer lets every tracee go on. */
#include "pages.h"
#include "threads.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

enum { READERS = 2, MAX_IOV = 512, MAX_BAD = 1 << 16, QUIET_TRIES = 20, QUIET_SUM_MS = 50, STACK_WORDS = 24 };
#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

struct reader {
	struct look *look;
	uint64_t from, to; /* bytes of the data file */
	sem_t start, done;
	pthread_t thread;
	bool started, quit;
};
struct look {
	pid_t pid;
	const struct holder_plan *plan;
	struct tracees ts;
	struct pages pages;
	struct reader readers[READERS];
	uint8_t *data; /* data file, prefaulted */
	uint64_t data_cap;
	struct table_thread *threads;
	size_t threads_cap;
	uint64_t *bad; /* addresses of pages that could not be read */
	uint64_t bad_n;
	uint64_t mutex_values[256];
	double stopped, copying;
	unsigned stops;
	bool quiet;
};

/* Waits that return EINTR when a thread was only stopped (signal(7), "Interruption of system calls by stop signals"). */
#ifdef __x86_64__
static const short eintr_calls[] = { SYS_epoll_wait, SYS_epoll_pwait, 441 /* epoll_pwait2 */, SYS_semop, SYS_semtimedop,
				     SYS_rt_sigtimedwait, SYS_io_getevents, 333 /* io_pgetevents */, SYS_recvfrom, SYS_recvmsg,
				     SYS_recvmmsg, SYS_read, SYS_readv, SYS_accept, SYS_accept4, SYS_connect, SYS_sendto,
				     SYS_sendmsg, 307 /* sendmmsg */, SYS_write, SYS_writev, SYS_futex, SYS_msgrcv, SYS_msgsnd,
				     SYS_io_uring_enter, SYS_inotify_init, SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6 };

/* The same wait is never restarted twice in a row: its timeout starts anew each time. Kept over the holder's looks. */
struct wait { pid_t tid; uint64_t call, sp, args[3]; };
static struct wait last_waits[4096];
static unsigned n_last_waits;

static bool restarted_before(const struct wait *w)
{
	for (unsigned i = 0; i < n_last_waits; i++)
		if (!memcmp(&last_waits[i], w, sizeof *w))
			return true;
	return false;
}

static void repair_eintr(const struct tracee *t, const struct user_regs_struct *r, struct wait *now, unsigned *n_now)
{
	if ((long)r->rax != -EINTR || (long)r->orig_rax < 0 || !t->by_us)
		return;
	for (size_t i = 0; i < sizeof eintr_calls / sizeof eintr_calls[0]; i++) {
		if (r->orig_rax != (unsigned long)eintr_calls[i])
			continue;
		struct wait w = { t->tid, r->orig_rax, r->rsp, { r->rdi, r->rsi, r->rdx } };
		if (restarted_before(&w))
			return;
		if (*n_now < sizeof last_waits / sizeof last_waits[0])
			now[(*n_now)++] = w;
		/* -ERESTARTNOHAND (include/linux/errno.h): the kernel repeats the call unless a handler runs. */
		ptrace(PTRACE_POKEUSER, t->tid, offsetof(struct user_regs_struct, rax), -514L);
		return;
	}
}

static struct wait now_waits[4096];

static void repair_all(struct look *l, bool last)
{
	unsigned n = 0;
	if (l->plan->flags & PLAN_NO_RESTART_FIX)
		return;
	for (size_t i = 0; i < l->ts.n; i++) {
		struct tracee *t = &l->ts.at[i];
		struct user_regs_struct r;
		struct iovec v = { &r, sizeof r };
		if (t->stopped && !t->gone && t->by_us && !ptrace(PTRACE_GETREGSET, t->tid, NT_PRSTATUS, &v) && v.iov_len == sizeof r)
			repair_eintr(t, &r, now_waits, &n);
	}
	if (last) {
		memcpy(last_waits, now_waits, n * sizeof *now_waits);
		n_last_waits = n;
	}
}

static bool registers(pid_t tid, uint64_t *pc, uint64_t *sp, int64_t *call)
{
	struct user_regs_struct r;
	struct iovec v = { &r, sizeof r };
	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &v) || v.iov_len != sizeof r)
		return false;
	*pc = r.rip;
	*sp = r.rsp;
	*call = (int64_t)r.orig_rax;
	return true;
}

/* Calls that malloc makes: any other means that the thread is elsewhere, whatever its stack still holds. */
static bool call_of_malloc(int64_t call)
{
	return call < 0 || call == SYS_mmap || call == SYS_munmap || call == SYS_mremap || call == SYS_brk || call == SYS_madvise ||
	       call == SYS_mprotect || call == SYS_futex;
}
#else
static void repair_all(struct look *l, bool last)
{
	(void)l, (void)last;
}
static bool registers(pid_t tid, uint64_t *pc, uint64_t *sp, int64_t *call)
{
	(void)tid, (void)pc, (void)sp, (void)call;
	return false;
}
static bool call_of_malloc(int64_t call)
{
	(void)call;
	return true;
}
#endif

static bool in_code(const struct holder_plan *plan, uint64_t address, uint64_t slack)
{
	const uint64_t *code = plan->words + plan->n_mutexes;
	for (uint64_t i = 0; i < plan->n_code; i++)
		if (address >= code[2 * i] - slack && address < code[2 * i + 1] + slack)
			return true;
	return false;
}

/* Functions that malloc calls (memset, munmap) lie in the same library: within some megabytes of it. */
enum { NEAR = 2 << 20 };

static bool thread_in_malloc(struct look *l, pid_t tid)
{
	uint64_t pc, sp, words[STACK_WORDS];
	int64_t call;
	if (!registers(tid, &pc, &sp, &call) || !call_of_malloc(call))
		return false;
	if (in_code(l->plan, pc, 0))
		return true;
	if (!in_code(l->plan, pc, NEAR))
		return false;
	struct iovec to = { words, sizeof words }, from = { (void *)(uintptr_t)sp, sizeof words };
	ssize_t n = process_vm_readv(tid, &to, 1, &from, 1, 0);
	for (ssize_t i = 0; i < n / 8; i++)
		if (in_code(l->plan, words[i], 0))
			return true;
	return false;
}

static bool is_quiet(struct look *l)
{
	for (uint64_t i = 0; i < l->plan->n_mutexes; i++) {
		int32_t value = 0;
		struct iovec to = { &value, 4 }, from = { (void *)(uintptr_t)l->plan->words[i], 4 };
		if (process_vm_readv(l->pid, &to, 1, &from, 1, 0) == 4 && value)
			return false;
	}
	for (size_t i = 0; i < l->ts.n; i++)
		if (l->ts.at[i].stopped && !l->ts.at[i].gone && thread_in_malloc(l, l->ts.at[i].tid))
			return false;
	return true;
}

static pid_t any_stopped(const struct look *l)
{
	for (size_t i = 0; i < l->ts.n; i++)
		if (l->ts.at[i].stopped && !l->ts.at[i].gone)
			return l->ts.at[i].tid;
	return l->pid;
}

/* A page that the fast way refuses: PROT_NONE memory of a private mapping is still readable through mem. */
static void read_hard_page(struct look *l, uint64_t address, uint8_t *to)
{
	if (l->pages.mem_fd >= 0 && pread(l->pages.mem_fd, to, l->pages.page, (off_t)address) == (ssize_t)l->pages.page)
		return;
	uint64_t slot = __atomic_fetch_add(&l->bad_n, 1, __ATOMIC_RELAXED);
	if (slot < MAX_BAD)
		l->bad[slot] = address;
}

struct cursor { size_t extent; uint64_t in; };

static void copy_range(struct look *l, uint64_t from, uint64_t to)
{
	const struct table_extent *e = l->pages.extents;
	pid_t tid = any_stopped(l);
	size_t i = 0;
	while (i < l->pages.extents_n && e[i].offset + e[i].bytes <= from)
		i++;
	while (from < to && i < l->pages.extents_n) {
		/* One call takes as many extents as fit; the destination is one piece, since the file is compact. */
		struct iovec remote[MAX_IOV];
		uint64_t sum = 0, at = from;
		int n = 0;
		for (size_t k = i; k < l->pages.extents_n && n < MAX_IOV && at < to && sum < 1u << 28; k++, n++) {
			uint64_t in = at - e[k].offset, bytes = e[k].bytes - in;
			if (bytes > to - at)
				bytes = to - at;
			if (bytes > (1u << 28) - sum)
				bytes = (1u << 28) - sum;
			remote[n] = (struct iovec){ (void *)(uintptr_t)(e[k].address + in), bytes };
			sum += bytes;
			at += bytes;
		}
		struct iovec local = { l->data + from, sum };
		ssize_t got = process_vm_readv(tid, &local, 1, remote, (unsigned long)n, 0);
		if (got < 0)
			got = 0;
		from += (uint64_t)got;
		while (i < l->pages.extents_n && e[i].offset + e[i].bytes <= from)
			i++;
		if ((uint64_t)got < sum && i < l->pages.extents_n) {
			uint64_t address = e[i].address + (from - e[i].offset), page = align_down(address, l->pages.page);
			if (page != address) { /* part of the page came: take it again as a whole */
				from -= address - page;
				address = page;
			}
			read_hard_page(l, address, l->data + from);
			from += l->pages.page;
		}
		while (i < l->pages.extents_n && e[i].offset + e[i].bytes <= from)
			i++;
	}
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	for (;;) {
		while (sem_wait(&r->start))
			;
		if (r->quit)
			return NULL;
		copy_range(r->look, r->from, r->to);
		sem_post(&r->done);
	}
}

static void copy_all(struct look *l)
{
	double start = monotonic_seconds();
	uint64_t all = l->pages.data_bytes, half = align_down(all / 2, l->pages.page);
	struct reader *helper = &l->readers[1];
	if (helper->started && all > 4u << 20) {
		helper->from = half;
		helper->to = all;
		sem_post(&helper->start);
		copy_range(l, 0, half);
		while (sem_wait(&helper->done))
			;
	} else {
		copy_range(l, 0, all);
	}
	l->copying = monotonic_seconds() - start;
}

static void take_thread(struct tracee *t, struct table_thread *slot)
{
	struct iovec g = { slot->gregs, sizeof slot->gregs }, f = { slot->fpregs, sizeof slot->fpregs };
	slot->tid = t->tid;
	slot->stopped = t->stopped;
	slot->gregs_n = slot->fpregs_n = 0;
	if (!t->stopped)
		return;
	if (!ptrace(PTRACE_GETREGSET, t->tid, NT_PRSTATUS, &g))
		slot->gregs_n = (uint32_t)g.iov_len;
	/* The extended state may be large (AMX): the kernel says how much it wrote. */
	if (!ptrace(PTRACE_GETREGSET, t->tid, NT_X86_XSTATE, &f) || !ptrace(PTRACE_GETREGSET, t->tid, NT_PRFPREG, &f))
		slot->fpregs_n = (uint32_t)f.iov_len;
}

static size_t take_threads(struct look *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->ts.n && n < l->threads_cap; i++)
		if (l->ts.at[i].seized && !l->ts.at[i].gone)
			take_thread(&l->ts.at[i], &l->threads[n++]);
	return n;
}

/* Stops until nobody is inside malloc, or the patience for that is used up. */
static double stop_quietly(struct look *l)
{
	double budget = QUIET_SUM_MS / 1e3;
	for (int tries = 0;; tries++) {
		double start = monotonic_seconds();
		tracees_stop(&l->ts);
		l->stops++;
		l->quiet = is_quiet(l);
		if (l->quiet || l->ts.exec_seen || tries + 1 == QUIET_TRIES || budget <= 0)
			return start;
		repair_all(l, false);
		tracees_continue(&l->ts);
		double took = monotonic_seconds() - start;
		l->stopped += took;
		budget -= took;
		usleep(1000 + (unsigned)tries % 5 * 1000);
	}
}

static void on_alarm(int sig)
{
	(void)sig;
	_exit(77); /* the end of the tracer lets go */
}

static void arm(uint64_t ns)
{
	struct itimerval it = { .it_value = { (time_t)(ns / 1000000000), (suseconds_t)(ns % 1000000000 / 1000) } };
	setitimer(ITIMER_REAL, &it, NULL);
}

/* What is in between is the stop. */
static enum look_outcome in_the_stop(struct look *l, size_t *ret_threads, size_t *ret_left)
{
	enum look_outcome outcome = LOOK_DONE;
	arm(l->plan->max_stop_ns);
	double start = stop_quietly(l);
	if (l->ts.exec_seen) {
		outcome = LOOK_EXEC;
	} else {
		*ret_threads = take_threads(l);
		pages_scan(&l->pages);
		if (l->pages.too_small || l->pages.data_bytes > l->data_cap || l->ts.too_many)
			outcome = LOOK_TOO_SMALL;
		else
			copy_all(l);
	}
	repair_all(l, true);
	tracees_release(&l->ts, ret_left);
	l->stopped += monotonic_seconds() - start;
	arm(0);
	return outcome;
}

static int data_file(const char *spool, uint64_t bytes)
{
	int fd = spool ? open(spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : memfd_create("flotsam", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, (off_t)bytes)) {
		int os = errno;
		close(fd);
		errno = os;
		return -1;
	}
	return fd;
}

static void read_comm(pid_t pid, struct table_thread *t)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/comm", (int)pid, t->tid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, t->comm, sizeof t->comm - 1);
	if (n > 0 && t->comm[n - 1] == '\n')
		t->comm[n - 1] = '\0';
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

static int write_tables(struct look *l, enum look_outcome outcome, size_t n_threads, size_t left)
{
	int fd = memfd_create("flotsam-tables", MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < n_threads; i++)
		read_comm(l->pid, &l->threads[i]);
	uint64_t end = align_up(sizeof(struct table_header), 64);
	const struct pages *p = &l->pages;
	struct table_header h = { .outcome = (int32_t)outcome, .stopped_ns = (uint64_t)(l->stopped * 1e9), .copy_ns = (uint64_t)(l->copying * 1e9),
				  .stops = l->stops, .quiet = l->quiet, .have_pages = p->pagemap_fd >= 0, .left_out = left,
				  .threads_n = n_threads, .extents_n = p->extents_n, .runs_n = p->runs_n, .maps_n = p->maps_n,
				  .bad_n = l->bad_n < MAX_BAD ? l->bad_n : MAX_BAD, .data_bytes = p->data_bytes,
				  .swapped_bytes = p->swapped_bytes, .shared_file_bytes = p->shared_file_bytes, .device_bytes = p->device_bytes };
	h.threads = put(fd, &end, l->threads, n_threads * sizeof *l->threads);
	h.extents = put(fd, &end, p->extents, p->extents_n * sizeof *p->extents);
	h.runs = put(fd, &end, p->runs, p->runs_n * sizeof *p->runs);
	h.maps = put(fd, &end, p->maps, p->maps_n);
	h.bad = put(fd, &end, l->bad, h.bad_n * sizeof *l->bad);
	uint64_t zero = 0;
	put(fd, &zero, &h, sizeof h);
	/* Offsets of empty arrays lie inside too. */
	if (ftruncate(fd, (off_t)end)) {
		close(fd);
		return -1;
	}
	return fd;
}

static pid_t first_living(struct tracees *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		if (ts->at[i].seized && !ts->at[i].gone)
			return ts->at[i].tid;
	return 0;
}

/* Sizes everything by a scan of the running process: what it needs now, and a share more. */
static int make_room(struct look *l, unsigned attempt, const char *spool, int *ret_data)
{
	size_t maps = 1u << 20, runs = 1u << 14, extents = 1u << 14;
	for (int i = 0; i < 16; i++) {
		if (!pages_make_room(&l->pages, maps, runs, extents))
			return ENOMEM;
		pages_scan(&l->pages);
		if (!l->pages.too_small)
			break;
		maps *= 2;
		runs *= 2;
		extents *= 2;
	}
	uint64_t need = l->pages.data_bytes;
	if (!pages_make_room(&l->pages, l->pages.maps_n + l->pages.maps_n / 4 + (1u << 16), 2 * l->pages.runs_n + (1u << 14),
			     2 * l->pages.extents_n + (1u << 14)))
		return ENOMEM;
	l->data_cap = align_up(need + ((need / 8 + (16u << 20)) << 2 * attempt), 2u << 20);
	*ret_data = data_file(spool, l->data_cap);
	if (*ret_data < 0)
		return errno;
	l->data = mmap(NULL, l->data_cap, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, *ret_data, 0);
	if (l->data == MAP_FAILED)
		return errno;
	l->threads_cap = l->ts.cap < 4096 ? l->ts.cap : l->ts.n + 4096;
	l->threads = mmap(NULL, l->threads_cap * sizeof *l->threads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	l->bad = calloc(MAX_BAD, sizeof *l->bad);
	if (l->threads == MAP_FAILED || !l->bad)
		return ENOMEM;
	for (size_t i = 0; i < l->ts.n + 64 && i < l->threads_cap; i++)
		memset(&l->threads[i], 0, sizeof l->threads[i]);
	return 0;
}

static void start_reader(struct look *l)
{
	struct reader *r = &l->readers[1];
	r->look = l;
	sem_init(&r->start, 0, 0);
	sem_init(&r->done, 0, 0);
	sigset_t all, old;
	sigfillset(&all); /* SIGALRM goes to the first thread */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r->started = !pthread_create(&r->thread, NULL, reader_main, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void clean_up(struct look *l)
{
	if (l->readers[1].started) {
		l->readers[1].quit = true;
		sem_post(&l->readers[1].start);
		pthread_join(l->readers[1].thread, NULL);
	}
	if (l->data && l->data != MAP_FAILED)
		munmap(l->data, l->data_cap);
	if (l->threads && l->threads != MAP_FAILED)
		munmap(l->threads, l->threads_cap * sizeof *l->threads);
	free(l->bad);
	pages_close(&l->pages);
	tracees_forget(&l->ts);
}

static int one_look(struct look *l, unsigned attempt, const char *spool, int *ret_tables, int *ret_data, enum look_outcome *ret_outcome, size_t *ret_left)
{
	size_t n_threads = 0;
	int os = tracees_prepare(&l->ts, l->pid);
	if (os)
		return os;
	tracees_seize(&l->ts);
	pid_t tid = first_living(&l->ts);
	if (!tid) {
		return l->ts.seize_error ? l->ts.seize_error : ESRCH;
	}
	os = pages_open(&l->pages, l->pid, tid, l->plan);
	if (!os)
		os = make_room(l, attempt, spool, ret_data);
	if (os) {
		tracees_stop(&l->ts);
		tracees_release(&l->ts, ret_left);
		return os;
	}
	start_reader(l);
	*ret_outcome = in_the_stop(l, &n_threads, ret_left);
	*ret_tables = write_tables(l, *ret_outcome, n_threads, *ret_left);
	return *ret_tables < 0 ? errno : 0;
}

int stop_and_copy(pid_t pid, const struct holder_plan *plan, const char *spool, int *ret_tables, int *ret_data, bool *ret_abandoned)
{
	signal(SIGALRM, on_alarm);
	for (unsigned attempt = 0;; attempt++) {
		struct look l = { .pid = pid, .plan = plan, .ts.task_fd = -1 };
		l.pages.maps_fd = l.pages.pagemap_fd = l.pages.mem_fd = -1;
		enum look_outcome outcome = LOOK_GONE;
		size_t left = 0;
		*ret_tables = *ret_data = -1;
		int os = one_look(&l, attempt, spool, ret_tables, ret_data, &outcome, &left);
		clean_up(&l);
		*ret_abandoned |= left > 0;
		if (!os && outcome == LOOK_DONE)
			return 0;
		if (*ret_tables >= 0)
			close(*ret_tables);
		if (*ret_data >= 0)
			close(*ret_data);
		*ret_tables = *ret_data = -1;
		if (os)
			return os;
		/* An exec, or growth beyond the room: once more, with more room; then it is too restless a target. */
		if (attempt == 2)
			return outcome == LOOK_EXEC ? EAGAIN : ENOBUFS;
	}
}

int stop_estimate(pid_t pid, const struct holder_plan *plan, uint64_t *ret_bytes, uint64_t *ret_swapped)
{
	struct pages p;
	size_t room = 1u << 14;
	int os = pages_open(&p, pid, pid, plan);
	for (int i = 0; !os && i < 16; i++, room *= 2) {
		if (!pages_make_room(&p, room * 64, room, room)) {
			os = ENOMEM;
			break;
		}
		pages_scan(&p);
		if (!p.too_small)
			break;
	}
	*ret_bytes = p.data_bytes;
	*ret_swapped = p.swapped_bytes;
	pages_close(&p);
	return os;
}
