/* A file that makes libdw or libelf crash, or keeps them busy without an end, costs its names, not the report. What they were doing
 * is left as it stands and their handles of that module are never used again, nor given back. Only around calls of these libraries:
 * a crash of our own stays one.
 *
 * Time is the processor's, of all calls for one file together: a file may make each of a million calls slow. It is looked at by a
 * timer's signal. Only one that finds these libraries themselves at work leaves them, since libc might hold the lock of its
 * allocator; our own loops ask whether it is time. */
#include "guard.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <ucontext.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer)
enum { SANITIZED = 1 }; /* a sanitizer shall see the crash */
#else
enum { SANITIZED = 0 };
#endif
enum { ALTERNATE_STACK = 64 << 10 }; /* libdw may have used up the other one */
/* gcc's larger files take a twentieth of a second a MiB for each of a few passes. A file is allowed so much of the processor: */
enum { TICKS = 20 /* a second */, LEAST_SECONDS = 5, SECONDS_A_MIB = 1, THREADS_A_SECOND = 10 };
enum { CRASHED = 1, TOO_LONG };

struct guard {
	sigjmp_buf point;
	struct modules *ms;	/* NULL: time does not count */
	struct module *m;
	struct guard *outer;
};

static _Thread_local struct guard *armed;
static volatile sig_atomic_t in_use, ticking, overdue;
static struct { uintptr_t start, end; } code[2]; /* of libdw, of libelf */
static unsigned wanted_seconds;
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

/* All that holds handles of this module is left: its outermost guard. */
static _Noreturn void leave(int why)
{
	struct guard *to = armed;
	for (struct guard *g = armed; g; g = g->outer)
		if (g->m == armed->m)
			to = g;
	siglongjmp(to->point, why);
}

static void on_fault(int sig)
{
	if (armed)
		leave(CRASHED);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Time */

static unsigned mib(int fd)
{
	struct stat st;
	return fd < 0 || fstat(fd, &st) ? 0 : (unsigned)(st.st_size >> 20);
}

static unsigned mib_of(const struct module *m)
{
	const struct priv *p = priv_of(m);
	return mib(p->fd) + mib(p->debug_fd) + mib(p->alt_fd);
}

static unsigned allowed_seconds(const struct guard *g)
{
	unsigned n = LEAST_SECONDS;
	if (wanted_seconds)
		return wanted_seconds;
	if (g->m)
		return n + mib_of(g->m) * SECONDS_A_MIB;
	for (size_t i = 0; i < g->ms->list.n; i++)
		n += mib_of(g->ms->list.at[i]) * SECONDS_A_MIB;
	return n + (unsigned)(image_picture(g->ms->img)->threads.n / THREADS_A_SECOND);
}

static unsigned *spent(const struct guard *g)
{
	return g->m ? &priv_of(g->m)->spent : &g->ms->spent;
}

static uintptr_t interrupted_at(const void *context)
{
	const ucontext_t *u = context;
#if defined(__x86_64__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
	return (uintptr_t)u->uc_mcontext.pc;
#else
	(void)u;
	return 0; /* time is not bounded there */
#endif
}

static bool in_libraries(uintptr_t pc)
{
	return (pc >= code[0].start && pc < code[0].end) || (pc >= code[1].start && pc < code[1].end);
}

static void set_timer(long microseconds)
{
	struct itimerval t = { { 0, microseconds }, { 0, microseconds } };
	ticking = microseconds != 0;
	setitimer(ITIMER_PROF, &t, NULL);
}

static void on_tick(int sig, siginfo_t *info, void *context)
{
	int was = errno;
	(void)sig;
	(void)info;
	if (!in_use)
		set_timer(0); /* no signals where nobody needs them */
	if (armed && armed->ms && ++*spent(armed) > allowed_seconds(armed) * TICKS) {
		if (in_libraries(interrupted_at(context)))
			leave(TOO_LONG);
		overdue = 1;
	}
	errno = was;
}

void modules_check_time(void)
{
	if (!overdue)
		return;
	overdue = 0;
	if (armed && armed->ms && *spent(armed) > allowed_seconds(armed) * TICKS)
		leave(TOO_LONG);
}

static void not_in_child(void)
{
	ticking = 0; /* timers are the parent's alone */
}

static int find_code(struct dl_phdr_info *d, size_t size, void *ctx)
{
	const uintptr_t in[2] = { (uintptr_t)dwarf_begin_elf, (uintptr_t)elf_begin };
	(void)size;
	(void)ctx;
	for (size_t i = 0; i < d->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &d->dlpi_phdr[i];
		uintptr_t start = d->dlpi_addr + h->p_vaddr, end = start + h->p_memsz;
		for (size_t k = 0; k < 2 && h->p_type == PT_LOAD && h->p_flags & PF_X; k++)
			if (in[k] >= start && in[k] < end) {
				code[k].start = start;
				code[k].end = end;
			}
	}
	return 0;
}

/* A statically linked libdw lies beside our own code, where nothing may be left. */
static bool watch_time(void)
{
	struct sigaction a = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER | (SANITIZED ? 0 : SA_ONSTACK) };
	const char *wish = secure_getenv("FLOTSAM_DWARF_SECONDS");
	wanted_seconds = wish ? (unsigned)strtoul(wish, NULL, 10) : 0;
	dl_iterate_phdr(find_code, NULL);
	for (size_t i = 0; i < 2; i++)
		if ((uintptr_t)watch_time >= code[i].start && (uintptr_t)watch_time < code[i].end)
			code[i].start = code[i].end = 0;
	return !pthread_atfork(NULL, NULL, not_in_child) && !sigaction(SIGPROF, &a, NULL);
}

static bool watch_faults(void)
{
	struct sigaction a = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER };
	void *p = mmap(NULL, ALTERNATE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t s = { .ss_sp = p, .ss_size = ALTERNATE_STACK };
	if (p == MAP_FAILED || sigaltstack(&s, NULL))
		return false;
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		if (sigaction(faults[i], &a, NULL))
			return false;
	return true;
}

bool guard_install(void)
{
	static bool done, failed;
	if (!done && !failed) {
		done = (SANITIZED || watch_faults()) && watch_time();
		failed = !done;
	}
	return done;
}

void guard_except_faults(sigset_t *set)
{
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		sigdelset(set, faults[i]);
}

/* What was given up */

/* A handle that is never given back stays known to those who look for leaks of ours. */
static void abandon(void *handle)
{
	static VEC(void *) abandoned;
	void **slot = handle ? vec_push(&abandoned) : NULL;
	if (slot)
		*slot = handle;
}

static void say(struct modules *ms, const struct module *m, int why, unsigned seconds)
{
	const char *name = m ? m->name : "frames of threads";
	char *text = NULL;
	int n = why == CRASHED ? asprintf(&text, "%s: the library that reads it crashed, its names are left out", name)
			       : asprintf(&text, "%s: reading its names took more than %u s, they are left out", name, seconds);
	const char *kept = n < 0 ? NULL : modules_keep(ms, text), **slot = kept ? vec_push(&ms->losses) : NULL;
	if (slot)
		*slot = kept;
	if (kept)
		findings_add(&ms->target->picture.findings, "names", m ? m->start : 0, "%s", kept);
}

const char *modules_next_loss(struct modules *ms)
{
	return ms->losses_told < ms->losses.n ? ms->losses.at[ms->losses_told++] : NULL;
}

void modules_begin_question(struct modules *ms)
{
	ms->spent = 0;
	for (size_t i = 0; i < ms->list.n; i++)
		priv_of(ms->list.at[i])->spent = 0;
}

struct module *modules_of_die(struct modules *ms, const Dwarf_Die *die)
{
	Dwarf *of = die->cu ? dwarf_cu_getdwarf(die->cu) : NULL;
	for (size_t i = ms->die_hint, n = ms->list.n; of && n--; i++) {
		struct module *m = ms->list.at[i % ms->list.n];
		if (priv_of(m)->dwarf != of && priv_of(m)->alt != of)
			continue;
		ms->die_hint = i % ms->list.n;
		return m;
	}
	return NULL;
}

/* 0, or why it was left. */
static int call(struct guard *g, void (*f)(void *ctx), void *ctx)
{
	g->outer = armed;
	int why = sigsetjmp(g->point, 0);
	if (!why) {
		armed = g;
		f(ctx);
	}
	armed = g->outer;
	return why;
}

bool guard_call(void (*f)(void *ctx), void *ctx)
{
	struct guard g = { 0 };
	if (guard_install())
		return !call(&g, f, ctx);
	f(ctx);
	return true;
}

static void give_up(struct modules *ms, struct module *m, int why)
{
	struct priv *p = m ? priv_of(m) : NULL;
	unsigned seconds = allowed_seconds(&(struct guard){ .ms = ms, .m = m });
	if (p) {
		p->broken = true;
		abandon(p->dwarf);
		abandon(p->alt);
		p->dwarf = p->alt = NULL;
		p->lines.n = p->thread_lines.n = p->units.n = p->named.n = 0;
		p->lines_read = p->units_read = p->named_read = p->dwarf_tried = true;
		m->have_dwarf = false;
	} else {
		ms->broken = true;
	}
	say(ms, m, why, seconds);
}

void guard_give_up(struct modules *ms, struct module *m)
{
	give_up(ms, m, CRASHED);
}

bool modules_guarded(struct modules *ms, struct module *m, void (*f)(void *ctx), void *ctx)
{
	struct guard g = { .ms = ms, .m = m };
	if (m ? priv_of(m)->broken : ms->broken)
		return false;
	if (!guard_install()) {
		f(ctx);
		return true;
	}
	bool outermost = !in_use;
	in_use = 1;
	if (!ticking)
		set_timer(1000000 / TICKS);
	int why = call(&g, f, ctx);
	if (outermost)
		in_use = 0;
	if (why)
		give_up(ms, m, why);
	return !why;
}
