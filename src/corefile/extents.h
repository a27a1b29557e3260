/* The bytes that go into a core: those of the picture, and what a debugger cannot do without. */
#ifndef COREFILE_EXTENTS_H
#define COREFILE_EXTENTS_H

#include "flotsam/session.h"

struct core_extents {
	VEC(struct extent) list; /* sorted by address, apart */
	VEC(uint8_t *) own;	 /* buffers of those that are nobody else's */
};
struct err *core_extents_make(const struct session *s, struct core_extents *ret) MUST_CHECK; /* to be freed even after an error */
void core_extents_free(struct core_extents *x);
#endif
