/* arch: what differs between machines, as data. One file and one row per architecture. */
#ifndef FLOTSAM_ARCH_H
#define FLOTSAM_ARCH_H

#include "flotsam/base.h"

struct arch {
	const char *name;	/* "x86_64", "i386", "aarch64" */
	uint16_t elf_machine;	/* EM_* */
	uint8_t elf_class;	/* ELFCLASS32 or ELFCLASS64 */
	uint8_t word;		/* bytes: 4 or 8 */
	bool big;		/* byte order */
	uint8_t address_bits;	/* user addresses are below 2^this */
	uint16_t red_zone;	/* bytes below SP that may be live */
	uint16_t n_gregs;	/* words in NT_PRSTATUS's pr_reg */
	uint16_t prstatus_reg;	/* offset of pr_reg in NT_PRSTATUS's descriptor */
	uint16_t prstatus_pid;	/* offset of pr_pid there */
	uint16_t reg_sp, reg_pc, reg_fp; /* indexes into pr_reg */
	int16_t reg_tp;		/* thread pointer's index into pr_reg; -1: not there (i386: GDT; aarch64: NT_ARM_TLS) */
	uint16_t reg_result, reg_syscall; /* syscall result, and the syscall number kept beside it (orig_rax) */
	uint16_t low_vectors; /* bytes of the extended state without AVX-512's registers; 0: no such part */
	bool keeps_call;	/* the number is the kernel's own copy, -1 outside of a call; else the register that calls take it from */
	const uint16_t *heap_calls; /* system calls that malloc makes while its structures are being changed, then 0 */
	uint16_t raise_calls[2]; /* in which a thread is when it has raised a signal: tgkill, or, to glibc 2.34, rt_sigprocmask */
	uint16_t call_futex;
	const char *system_calls; /* the instructions that make one, side by side */
	uint8_t n_system_calls, system_call_bytes; /* how many, bytes of each */
	bool signs_returns;	/* the upper bits of a return address may be a signature */
	bool tls_below_tp;	/* TLS variant II (x86): blocks lie below the thread pointer */
	uint16_t dtv_slot;	/* offset from the thread pointer of its dtv pointer */
	uint16_t tid_slot;	/* offset from the thread pointer of the thread's id; 0: unknown */
	uint16_t descriptor_tid, descriptor_robust; /* of struct pthread where that ends at the thread pointer: tid, robust_head */
	int16_t guard_slot;	/* offset from the thread pointer of the pointer guard; -1: not there */
	uint8_t guard_rotate;	/* bits by which PTR_MANGLE rotates left */
	uint16_t tpoff_reloc;	/* R_*_TPOFF: GOT slot of an initial-exec TLS variable */
	uint16_t relative_reloc;/* R_*_RELATIVE */
	/* DWARF register number -> index into pr_reg, -1 where none. */
	const int8_t *dwarf_to_greg;
	uint8_t n_dwarf;
	uint64_t callee_saved;	/* a bit per DWARF register that a call leaves as it was, stack pointer and pc among them */
};

/* NULL when not known. */
const struct arch *arch_find(uint16_t elf_machine, uint8_t elf_class);
const struct arch *arch_host(void);
bool arch_is_heap_call(const struct arch *a, uint64_t call);
/* Word `index` of a general register set (raw pr_reg bytes); 0 when outside. */
uint64_t arch_reg(const struct arch *a, struct span gregs, int index);

#endif
