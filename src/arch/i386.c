/* i386. Register order: struct user_regs_struct (linux arch/x86/include/asm/user_32.h). */
#include "row.h"

/* DWARF: eax ecx edx ebx esp ebp esi edi eip (System V ABI i386). */
static const int8_t dwarf[] = { 6, 1, 2, 0, 15, 5, 3, 4, 12 };

/* brk, munmap, mprotect, mremap, prctl, mmap2, madvise, getrandom: see x86_64.c */
static const uint16_t heap_calls[] = { 45, 91, 125, 163, 172, 192, 219, 355, 0 };

const struct arch arch_i386 = {
	.name = "i386",
	.elf_machine = EM_386,
	.elf_class = ELFCLASS32,
	.word = 4,
	.address_bits = 32,
	.red_zone = 0,
	.n_gregs = 17,
	.prstatus_reg = 72,
	.prstatus_pid = 24,
	.reg_sp = 15,
	.reg_pc = 12,
	.reg_fp = 5,
	.reg_tp = -1, /* gs base is in the GDT: NT_386_TLS */
	.reg_result = 6,
	.reg_syscall = 11,
	.keeps_call = true,
	.heap_calls = heap_calls,
	.raise_calls = { 270, 175 },
	.call_futex = 240,
	.system_calls = "\x0f\x05\x0f\x34\xcd\x80", /* syscall, sysenter, int 0x80 (Intel SDM vol. 2) */
	.n_system_calls = 3,
	.system_call_bytes = 2,
	.tls_below_tp = true,
	.dtv_slot = 4,	  /* tcbhead_t.dtv, glibc sysdeps/i386/nptl/tls.h */
	.tid_slot = 0x68, /* struct pthread.tid (nptl/descr.h): behind 24 words and a list's two */
	.guard_slot = 24, /* tcbhead_t.pointer_guard */
	.guard_rotate = 9,
	.tpoff_reloc = 14,
	.relative_reloc = 8,
	.dwarf_to_greg = dwarf,
	.n_dwarf = sizeof dwarf,
	.callee_saved = 0x1f8, /* ebx esp ebp esi edi, eip (System V ABI i386, table 2.14) */
};
