/* Preloaded: notes each allocation's size and the return addresses above it, in the file that $RECORD_FILE names. Addresses are written
 * with all bits turned around and nothing of the account stays in memory, so that it keeps no block alive. It stands in the slots by
 * which other files call malloc and its like, and leaves them on SIGUSR1: what looks then finds a program on glibc's malloc. */
#include "record.h"

#include <elf.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file = -1;
static _Thread_local int inside;

static void __attribute__((noinline)) note(int freed, uintptr_t p, size_t bytes)
{
	struct record r = { .word = (uint64_t)freed << 63 | bytes, .hidden = ~(uint64_t)p };
	void *frames[RECORD_FRAMES + 2];
	int saved = errno;
	if (file < 0 || !p || inside)
		return;
	inside = 1;
	/* Without this function and the one that was called. */
	int n = freed ? 0 : backtrace(frames, RECORD_FRAMES + 2);
	for (int i = 2; i < n; i++)
		r.frames[i - 2] = (uint64_t)(uintptr_t)frames[i];
	if (write(file, &r, sizeof r) != sizeof r)
		abort();
	memset(frames, 0, sizeof frames);
	memset(&r, 0, sizeof r);
	inside = 0;
	errno = saved;
}

static void *record_malloc(size_t n)
{
	void *p = malloc(n);
	note(0, (uintptr_t)p, n);
	return p;
}

static void *record_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);
	note(0, (uintptr_t)p, n * size);
	return p;
}

static void *record_realloc(void *old, size_t n)
{
	note(1, (uintptr_t)old, 0);
	void *p = realloc(old, n);
	note(0, (uintptr_t)p, n);
	return p;
}

static void record_free(void *p)
{
	note(1, (uintptr_t)p, 0);
	free(p);
}

static void *record_memalign(size_t align, size_t n)
{
	void *p = memalign(align, n);
	note(0, (uintptr_t)p, n);
	return p;
}

static int record_posix_memalign(void **to, size_t align, size_t n)
{
	int e = posix_memalign(to, align, n);
	note(0, e ? 0 : (uintptr_t)*to, n);
	return e;
}

static char *record_strdup(const char *s)
{
	char *p = strdup(s);
	note(0, (uintptr_t)p, p ? strlen(p) + 1 : 0);
	return p;
}

static const struct { const char *name; void *instead; } table[] = {
	{ "malloc", (void *)record_malloc }, { "calloc", (void *)record_calloc }, { "realloc", (void *)record_realloc }, { "free", (void *)record_free },
	{ "memalign", (void *)record_memalign }, { "aligned_alloc", (void *)record_memalign }, { "posix_memalign", (void *)record_posix_memalign },
	{ "strdup", (void *)record_strdup },
};

static struct { void **slot; void *old, *mine; } patched[1024];
static unsigned n_patched;

static void patch(void **slot, void *with)
{
	uintptr_t page = (uintptr_t)slot & ~(uintptr_t)4095;
	if (n_patched == sizeof patched / sizeof patched[0] || mprotect((void *)page, 4096, PROT_READ | PROT_WRITE))
		return;
	patched[n_patched].slot = slot;
	patched[n_patched].old = *slot;
	patched[n_patched++].mine = with;
	*slot = with;
}

static void patch_relocations(uintptr_t base, const Elf64_Rela *r, size_t n, const Elf64_Sym *symbols, const char *names)
{
	for (size_t i = 0; i < n; i++) {
		unsigned type = ELF64_R_TYPE(r[i].r_info);
		const char *name = names + symbols[ELF64_R_SYM(r[i].r_info)].st_name;
		for (size_t k = 0; (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT || type == R_X86_64_64) && k < sizeof table / sizeof table[0]; k++)
			if (!strcmp(name, table[k].name))
				patch((void **)(base + r[i].r_offset), table[k].instead);
	}
}

/* All but the loader, libc and this file. */
static int patch_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	const char *names = NULL;
	const Elf64_Sym *symbols = NULL;
	const Elf64_Rela *jumps = NULL, *others = NULL;
	size_t n_jumps = 0, n_others = 0;
	(void)size, (void)ctx;
	if (strstr(info->dlpi_name, "recorder.so") || strstr(info->dlpi_name, "libc.so") || strstr(info->dlpi_name, "ld-linux") ||
	    strstr(info->dlpi_name, "vdso") || strstr(info->dlpi_name, "libgcc"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		for (const Elf64_Dyn *d = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr); d->d_tag != DT_NULL; d++) {
			/* The loader has added the base already (elf/get-dynamic-info.h), but for the vDSO. */
			const void *at = (const void *)d->d_un.d_ptr;
			if (d->d_tag == DT_STRTAB)
				names = at;
			else if (d->d_tag == DT_SYMTAB)
				symbols = at;
			else if (d->d_tag == DT_JMPREL)
				jumps = at;
			else if (d->d_tag == DT_PLTRELSZ)
				n_jumps = d->d_un.d_val / sizeof *jumps;
			else if (d->d_tag == DT_RELA)
				others = at;
			else if (d->d_tag == DT_RELASZ)
				n_others = d->d_un.d_val / sizeof *others;
		}
	}
	if (names && symbols) {
		patch_relocations(info->dlpi_addr, jumps, jumps ? n_jumps : 0, symbols, names);
		patch_relocations(info->dlpi_addr, others, others ? n_others : 0, symbols, names);
	}
	return 0;
}

static void leave(int sig)
{
	(void)sig;
	for (unsigned i = 0; i < n_patched; i++)
		*patched[i].slot = patched[i].old;
	memset(patched, 0, sizeof patched);
	n_patched = 0;
}

static void __attribute__((constructor)) start(void)
{
	void *warm[4];
	const char *path = getenv("RECORD_FILE");
	struct sigaction a = { .sa_handler = leave, .sa_flags = SA_RESTART };
	file = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600) : -1;
	/* The first call loads libgcc, which allocates. */
	backtrace(warm, 4);
	if (file < 0 || sigaction(SIGUSR1, &a, NULL))
		abort();
	/* What says that it is ready is to be seen at once; and what it starts in its turn is not recorded. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	unsetenv("LD_PRELOAD");
	unsetenv("RECORD_FILE");
	dl_iterate_phdr(patch_object, NULL);
}
