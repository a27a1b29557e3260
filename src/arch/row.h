/* What the rows share. */
#ifndef ARCH_ROW_H
#define ARCH_ROW_H
#include "flotsam/arch.h"

#include <elf.h>

extern const struct arch arch_x86_64, arch_i386, arch_aarch64;
#endif
