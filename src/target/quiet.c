/* Two questions about stopped threads: is one of them inside malloc, and which syscall did our stop break off? */
#include "look.h"

#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* Frames of malloc are shallow: behind a leaf such as memset or brk its return addresses lie this near. */
enum { STACK_WORDS = 96 };

static bool in_code(const struct holder_plan *plan, uint64_t address)
{
	const uint64_t *code = plan->words + plan->n_mutexes;
	for (uint64_t i = 0; i < plan->n_code; i++)
		if (address >= code[2 * i] && address < code[2 * i + 1])
			return true;
	return false;
}

/* The registers that the question needs. False for a program of another word size, whose calls have other numbers. */
static bool registers(pid_t tid, uint64_t *r, size_t n)
{
	const struct arch *a = arch_host();
	struct iovec v = { r, n * sizeof *r };
	return !ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &v) && v.iov_len == (size_t)a->n_gregs * a->word && a->word == sizeof *r;
}

/* x86 alone keeps the number of the call beside the result: -1 when the thread is in none. */
static bool knows_call(void)
{
	return arch_host()->elf_machine == EM_X86_64;
}

static bool thread_in_malloc(const struct look *l, pid_t tid)
{
	const struct arch *a = arch_host();
	uint64_t r[64], words[STACK_WORDS];
	if (!registers(tid, r, 64))
		return false;
	if (in_code(l->plan, r[a->reg_pc]))
		return true;
	/* In any other call it is elsewhere, whatever its stack still holds of former calls; one that waits for a lock (futex)
	 * has changed nothing yet. */
	if (knows_call() && (int64_t)r[a->reg_syscall] >= 0 && !arch_is_heap_call(a, r[a->reg_syscall]))
		return false;
	ssize_t n = pages_read(l->pages.mem_fd, tid, words, sizeof words, r[a->reg_sp]);
	for (ssize_t i = 0; i < n / 8; i++)
		if (in_code(l->plan, words[i]))
			return true;
	return false;
}

static bool mutexes_are_free(const struct look *l, pid_t tid)
{
	for (uint64_t i = 0; tid && i < l->plan->n_mutexes; i++) {
		int32_t value = 0;
		if (pages_read(l->pages.mem_fd, tid, &value, 4, l->plan->words[i]) == 4 && value)
			return false;
	}
	return true;
}

bool look_is_quiet(struct look *l, size_t *ret_inside)
{
	pid_t any = 0;
	*ret_inside = 0;
	for (size_t i = 0; i < l->ts.n; i++) {
		struct tracee *t = &l->ts.at[i];
		if (t->state != TRACEE_STOPPED)
			continue;
		if (!t->judged)
			t->inside = thread_in_malloc(l, t->tid);
		t->judged = true;
		*ret_inside += t->inside;
		any = t->tid;
	}
	return !*ret_inside && mutexes_are_free(l, any);
}

/* Calls that return EINTR to a thread that was stopped and has no handler to run: signal(7), "Interruption of system calls
 * and library functions by stop signals", and io_getevents (fs/aio.c), io_uring_enter (io_uring/io_uring.c). Those on
 * sockets do so with SO_RCVTIMEO or SO_SNDTIMEO (sock_intr_errno, include/net/sock.h), read and write among them. All have
 * done nothing when they return EINTR, so that calling them again is what the program itself would do. */
static bool restarts(uint64_t call)
{
	switch (call) {
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
#endif
	case SYS_epoll_pwait:
	case 441: /* epoll_pwait2, Linux 5.11; the same everywhere */
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case 426: /* io_uring_enter */
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_sendfile:
	case SYS_splice:
		return true;
	default:
		return false;
	}
}

/* Places of the arguments in user_regs_struct. */
enum { ARG0 = 14, ARG1 = 13, ARG2 = 12, ARG3 = 7, ARG4 = 9 };

/* Has the call no timeout that a restart would wind back? Of sockets those alone return EINTR that have one. */
static bool waits_for_ever(uint64_t call, const uint64_t *r)
{
	switch (call) {
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
#endif
	case SYS_epoll_pwait:
		return (int32_t)r[ARG3] < 0;
	case 441:
	case SYS_semtimedop:
		return !r[ARG3];
	case SYS_semop:
		return true;
	case SYS_rt_sigtimedwait:
		return !r[ARG2];
	case SYS_io_getevents:
		return !r[ARG4];
	case 426: /* IORING_ENTER_EXT_ARG brings a timeout */
		return !(r[ARG3] & 8);
	default:
		return false;
	}
}

static bool restarted_before(const struct waits *ws, const struct wait *w)
{
	for (size_t i = 0; i < ws->n; i++)
		if (!memcmp(&ws->at[i], w, sizeof *w))
			return true;
	return false;
}

/* A timeout starts anew when its wait is restarted: looks in quick succession would make it last for ever. So the same wait
 * is not restarted by two looks in a row. */
static bool may_restart(struct look *l, pid_t tid, const uint64_t *r, uint64_t call, uint64_t sp)
{
	struct wait w;
	memset(&w, 0, sizeof w);
	w.tid = tid;
	w.call = call;
	w.sp = sp;
	w.args[0] = r[ARG0];
	w.args[1] = r[ARG1];
	w.args[2] = r[ARG2];
	if (waits_for_ever(call, r) || restarted_before(l->now, &w))
		return true;
	if (restarted_before(&l->h->shared->waits, &w) || l->now->n == sizeof l->now->at / sizeof l->now->at[0])
		return false;
	l->now->at[l->now->n++] = w;
	return true;
}

static void restart_wait(struct look *l, pid_t tid)
{
	const struct arch *a = arch_host();
	uint64_t r[64];
	if (!registers(tid, r, 64) || (int64_t)r[a->reg_result] != -EINTR || (int64_t)r[a->reg_syscall] < 0 ||
	    !restarts(r[a->reg_syscall]) || !may_restart(l, tid, r, r[a->reg_syscall], r[a->reg_sp]))
		return;
	/* -ERESTARTNOHAND (include/linux/errno.h): the kernel repeats the call unless a handler runs. One register. */
	ptrace(PTRACE_POKEUSER, tid, (size_t)a->reg_result * a->word, -514L);
}

void look_restart_waits(struct look *l)
{
	/* On other machines the kernel decides about the restart before the trap (arm64 do_signal). */
	if (l->plan->flags & PLAN_NO_RESTART_FIX || !knows_call())
		return;
	for (size_t i = 0; i < l->ts.n; i++)
		if (l->ts.at[i].state == TRACEE_STOPPED && l->ts.at[i].by_us)
			restart_wait(l, l->ts.at[i].tid);
}
