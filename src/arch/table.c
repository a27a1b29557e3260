/* The architectures that flotsam knows. A new one is a file beside this and a line here. */
#include "row.h"

static const struct arch *const table[] = { &arch_x86_64, &arch_i386, &arch_aarch64 };

const struct arch *arch_find(uint16_t elf_machine, uint8_t elf_class)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (table[i]->elf_machine == elf_machine && table[i]->elf_class == elf_class)
			return table[i];
	return NULL;
}

const struct arch *arch_host(void)
{
#if defined __x86_64__
	return &arch_x86_64;
#elif defined __aarch64__
	return &arch_aarch64;
#elif defined __i386__
	return &arch_i386;
#else
#error "this machine has no row in src/arch"
#endif
}

uint64_t arch_reg(const struct arch *a, struct span gregs, int index)
{
	uint64_t v = 0;
	if (index >= 0)
		span_word(gregs, (size_t)index * a->word, a->word, a->big, &v);
	return v;
}

bool arch_is_heap_call(const struct arch *a, uint64_t call)
{
	for (const uint16_t *c = a->heap_calls; c && *c; c++)
		if (*c == call)
			return true;
	return false;
}
