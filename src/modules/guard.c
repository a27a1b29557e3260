/* A file that makes libdw or libelf crash costs its names, not the report. What they were doing is left as it stands and their
 * handles of that module are never used again, nor given back. Only around calls of these libraries: a crash of our own stays one. */
#include "guard.h"

#include <signal.h>
#include <sys/mman.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer)
enum { SANITIZED = 1 }; /* a sanitizer shall see the crash */
#else
enum { SANITIZED = 0 };
#endif
enum { ALTERNATE_STACK = 64 << 10 }; /* libdw may have used up the other one */

static _Thread_local sigjmp_buf *armed;
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

static void on_fault(int sig)
{
	if (armed)
		siglongjmp(*armed, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

bool guard_install(void)
{
	static bool done;
	struct sigaction a = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER };
	if (done || SANITIZED)
		return done;
	void *p = mmap(NULL, ALTERNATE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t s = { .ss_sp = p, .ss_size = ALTERNATE_STACK };
	if (p == MAP_FAILED || sigaltstack(&s, NULL))
		return false;
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		if (sigaction(faults[i], &a, NULL))
			return false;
	return done = true;
}

void guard_except_faults(sigset_t *set)
{
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		sigdelset(set, faults[i]);
}

void guard_give_up(struct modules *ms, struct module *m)
{
	struct priv *p = m ? priv_of(m) : NULL;
	if (p) {
		p->broken = true;
		p->dwarf = p->alt = NULL;
		p->lines.n = p->thread_lines.n = 0;
		p->lines_read = p->dwarf_tried = true;
		m->have_dwarf = false;
	} else {
		ms->broken = true;
	}
	findings_add(&ms->target->picture.findings, "names", m ? m->start : 0, "%s: the library that reads it crashed, its names are left out",
		     m ? m->name : "frames of threads");
}

bool guard_call(void (*f)(void *ctx), void *ctx)
{
	sigjmp_buf point;
	if (armed || !guard_install()) {
		f(ctx);
		return true;
	}
	if (!sigsetjmp(point, 0)) {
		armed = &point;
		f(ctx);
		armed = NULL;
		return true;
	}
	armed = NULL;
	return false;
}

bool modules_guarded(struct modules *ms, struct module *m, void (*f)(void *ctx), void *ctx)
{
	if (m ? priv_of(m)->broken : ms->broken)
		return false;
	if (guard_call(f, ctx))
		return true;
	guard_give_up(ms, m);
	return false;
}
