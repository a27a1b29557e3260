/* aarch64. Register order: struct user_pt_regs (linux arch/arm64/include/uapi/asm/ptrace.h): x0..x30, sp, pc, pstate. */
#include "row.h"

/* DWARF: x0..x30, sp (ABI for the Arm 64-bit Architecture, DWARF). */
static const int8_t dwarf[] = { 0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10, 11, 12, 13, 14, 15,
				16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

/* prctl, brk, munmap, mremap, mmap, mprotect, madvise, getrandom: see x86_64.c */
static const uint16_t heap_calls[] = { 167, 214, 215, 216, 222, 226, 233, 278, 0 };

const struct arch arch_aarch64 = {
	.name = "aarch64",
	.elf_machine = EM_AARCH64,
	.elf_class = ELFCLASS64,
	.word = 8,
	.address_bits = 52,
	.red_zone = 0,
	.n_gregs = 34,
	.prstatus_reg = 112,
	.prstatus_pid = 32,
	.reg_sp = 31,
	.reg_pc = 32,
	.reg_fp = 29,
	.reg_tp = -1, /* NT_ARM_TLS */
	.reg_result = 0,
	.reg_syscall = 8,
	.heap_calls = heap_calls,
	.raise_calls = { 131, 135 },
	.call_futex = 98,
	.system_calls = "\x01\x00\x00\xd4", /* svc #0 (Arm ARM, C6.2) */
	.n_system_calls = 1,
	.system_call_bytes = 4,
	.signs_returns = true,
	.tls_below_tp = false,
	.dtv_slot = 0,	  /* tcbhead_t.dtv, glibc sysdeps/aarch64/nptl/tls.h */
	.descriptor_tid = 0xd0,	   /* nptl/descr.h: behind 24 words and a list's two */
	.descriptor_robust = 0xe0, /* behind tid, a second id and robust_prev */
	.guard_slot = -1, /* __pointer_chk_guard of ld.so */
	.guard_rotate = 0,
	.tpoff_reloc = 1030,
	.relative_reloc = 1027,
	.dwarf_to_greg = dwarf,
	.n_dwarf = sizeof dwarf,
	.callee_saved = 0xfff80000, /* x19..x30, sp (AAPCS64, 6.1.1; x30 as the unwinder restores it) */
};
