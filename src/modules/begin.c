/* Opens a file for libdw. It inflates all compressed sections of the file before it returns (elfutils 0.188,
 * libdw/dwarf_begin_elf.c, check_section), which nothing can interrupt: so a thread does that, with a handle of its own. When
 * Ctrl-C comes it is left to its work, and the next who asks for the module's DWARF waits for it. */
#include "begin.h"
#include "guard.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

struct beginning {
	pthread_t thread;
	int fd;		/* -1: memory */
	char *memory;
	size_t memory_bytes;
	Dwarf *dwarf;	/* NULL: it has none */
	bool crashed;
};

static void begin(void *ctx)
{
	struct beginning *b = ctx;
	Elf *elf = b->fd >= 0 ? elf_begin(b->fd, ELF_C_READ_MMAP, NULL) : elf_memory(b->memory, b->memory_bytes);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		b->dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	if (!b->dwarf)
		elf_end(elf);
}

static void *begin_main(void *ctx)
{
	struct beginning *b = ctx;
	b->crashed = !guard_call(begin, b);
	return NULL;
}

/* Signals are for the thread that waits; but a fault comes to the one that makes it. */
static bool start(struct beginning *b)
{
	sigset_t all, before;
	guard_install();
	sigfillset(&all);
	guard_except_faults(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool started = !pthread_create(&b->thread, NULL, begin_main, b);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

static struct beginning *create(const struct priv *p, int fd)
{
	struct beginning *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	*b = (struct beginning){ .fd = fd, .memory = p->memory, .memory_bytes = p->memory_bytes };
	if (start(b))
		return b;
	free(b);
	return NULL;
}

/* Few milliseconds, or until Ctrl-C. */
static bool wait_for(struct beginning *b)
{
	enum { LOOK_AGAIN_NS = 20 * 1000 * 1000 };
	for (;;) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_AGAIN_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		int os = pthread_clockjoin_np(b->thread, NULL, CLOCK_MONOTONIC, &until);
		if (!os || interrupted)
			return !os;
	}
}

enum begun begin_dwarf(struct priv *p, int fd, Dwarf **ret)
{
	struct beginning here = { .fd = fd, .memory = p->memory, .memory_bytes = p->memory_bytes };
	*ret = NULL;
	if (!p->beginning && !(p->beginning = create(p, fd))) { /* no thread is to be had */
		begin_main(&here);
	} else if (!wait_for(p->beginning)) {
		return BEGUN_LATER;
	} else {
		here = *p->beginning;
		free(p->beginning);
		p->beginning = NULL;
	}
	if (here.crashed)
		return BEGUN_CRASHED;
	*ret = here.dwarf;
	return BEGUN;
}

static void end(Dwarf *dwarf)
{
	Elf *elf = dwarf ? dwarf_getelf(dwarf) : NULL;
	dwarf_end(dwarf);
	elf_end(elf);
}

void begin_end(struct priv *p)
{
	if (p->beginning) {
		pthread_join(p->beginning->thread, NULL);
		if (!p->beginning->crashed)
			end(p->beginning->dwarf);
		free(p->beginning);
	}
	end(p->dwarf);
	end(p->alt);
}
