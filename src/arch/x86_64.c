/* x86-64, System V ABI. Register order: struct user_regs_struct (linux arch/x86/include/asm/user_64.h). */
#include "row.h"

/* DWARF: rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip (System V ABI AMD64, figure 3.36). */
static const int8_t dwarf[] = { 10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16 };

/* mmap, mprotect, munmap, brk, mremap, madvise, prctl (names of mappings, 2.39), getrandom (the tcache's key, 2.34) */
static const uint16_t heap_calls[] = { 9, 10, 11, 12, 25, 28, 157, 318, 0 };

const struct arch arch_x86_64 = {
	.name = "x86_64",
	.elf_machine = EM_X86_64,
	.elf_class = ELFCLASS64,
	.word = 8,
	.address_bits = 47,
	.red_zone = 128,
	.n_gregs = 27,
	.prstatus_reg = 112,
	.prstatus_pid = 32,
	.reg_sp = 19,
	.reg_pc = 16,
	.reg_fp = 4,
	.reg_tp = 21, /* fs_base */
	.reg_result = 10,
	.reg_syscall = 15,
	.low_vectors = 512 + 64 + 256, /* FXSAVE, header, YMM_Hi128 (Intel SDM vol. 1, 13.4) */
	.keeps_call = true,
	.heap_calls = heap_calls,
	.raise_calls = { 234, 14 },
	.call_futex = 202,
	.system_calls = "\x0f\x05\x0f\x34\xcd\x80", /* syscall, sysenter, int 0x80 (Intel SDM vol. 2) */
	.n_system_calls = 3,
	.system_call_bytes = 2,
	.tls_below_tp = true,
	.dtv_slot = 8,	  /* tcbhead_t.dtv, glibc sysdeps/x86_64/nptl/tls.h */
	.tid_slot = 0x2d0, /* struct pthread.tid (nptl/descr.h): behind tcbhead_t and a list's two words */
	.guard_slot = 48, /* tcbhead_t.pointer_guard */
	.guard_rotate = 17,
	.tpoff_reloc = 18,
	.relative_reloc = 8,
	.dwarf_to_greg = dwarf,
	.n_dwarf = sizeof dwarf,
	.callee_saved = 0x1f0c8, /* rbx rbp rsp r12..r15, rip (System V ABI AMD64, figure 3.4) */
};
