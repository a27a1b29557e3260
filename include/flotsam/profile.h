/* profile: used memory as a profile of stacks: a stack is the chain that owns a block, from what holds it to what it is. */
#ifndef FLOTSAM_PROFILE_H
#define FLOTSAM_PROFILE_H

#include "flotsam/session.h"

enum { PROFILE_NONE = UINT32_MAX };
struct profile_frame {	/* a holder, or what blocks are */
	char *name;	/* foreign */
	uint64_t address; /* of a holder; 0: none */
};
struct profile_node {	/* a stack: its innermost frame, and the stack that it stands on */
	uint32_t parent;	/* PROFILE_NONE: the outermost */
	uint32_t frame;
};
struct profile_sample {
	uint32_t node;
	enum block_class class_of;
	enum block_state state;
	int arena;		/* index, or ARENA_MMAP */
	uint64_t blocks, bytes;	/* usable */
};
struct profile {
	VEC(struct profile_frame) frames;
	VEC(struct profile_node) nodes;	/* parents before their children */
	VEC(struct profile_sample) samples;
};
/* Builds the stages that it needs. Of a census without references the chains are short: the holder, the block. */
struct err *profile_make(struct session *s, struct profile **ret) MUST_CHECK;
void profile_free(struct profile *p); /* NULL allowed */

/* profile.proto, gzipped, as pprof reads it. The caller frees. */
struct err *profile_pprof(const struct profile *p, const struct session *s, uint8_t **ret, size_t *ret_n) MUST_CHECK;

#endif
