/* Thread pointers of a core that does not tell them: gdb writes no NT_386_TLS. glibc's thread descriptor keeps its own address
 * as its first and third word (sysdeps/i386/nptl/tls.h: tcb, self) and the thread's id (nptl/descr.h: tid). */
#include "core.h"

enum { TCB_ALIGN = 64 /* nptl/descr.h: TCB_ALIGNMENT */ };

static uint64_t word_at(const struct arch *a, const struct extent *e, uint64_t offset)
{
	uint64_t v = 0;
	span_word((struct span){ e->data, e->bytes }, offset, a->word, a->big, &v);
	return v;
}

static void take_descriptor(struct picture *p, const struct extent *e, uint64_t offset)
{
	uint32_t tid = 0;
	if (!span_u32((struct span){ e->data, e->bytes }, offset + p->arch->tid_slot, p->arch->big, &tid))
		return;
	for (size_t i = 0; i < p->threads.n; i++)
		if (!p->threads.at[i].tp && p->threads.at[i].tid == (pid_t)tid)
			p->threads.at[i].tp = e->address + offset;
}

void core_find_descriptors(struct picture *p)
{
	size_t without = 0;
	for (size_t i = 0; i < p->threads.n; i++)
		without += !p->threads.at[i].tp;
	if (!without || !p->arch->tid_slot)
		return;
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		const struct mapping *m = picture_mapping(p, e->address);
		if (!m || !(m->prot & PROT_W) || m->inode)
			continue;
		for (uint64_t off = align_up(e->address, TCB_ALIGN) - e->address; off < e->bytes; off += TCB_ALIGN)
			if (word_at(p->arch, e, off) == e->address + off && word_at(p->arch, e, off + 2 * p->arch->word) == e->address + off)
				take_descriptor(p, e, off);
	}
}
