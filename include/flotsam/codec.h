/* codec: how numbers, strings and lists stand in what flotsam keeps: a census, the notes of a core. flotsam-census(5) has it for
 * people. Nothing is read beyond the end, and after a failure nothing at all. */
#ifndef FLOTSAM_CODEC_H
#define FLOTSAM_CODEC_H

#include "flotsam/base.h"

/* What was written: the caller frees. */
struct codec_bytes { uint8_t *at; size_t n, cap; };

/* Numbers are LEB128, strings a length, the bytes and a NUL. The same function of a part writes it and reads it, so that
 * the two cannot differ. */
struct codec {
	bool writing;
	bool failed;		/* writing: no memory; reading: what stands here cannot be */
	struct codec_bytes out;
	struct span in;
	size_t at;
};
bool codec_bytes(struct codec *k, const void *p, size_t n); /* writing */
void codec_u64(struct codec *k, uint64_t *v);
void codec_i64(struct codec *k, int64_t *v);
void codec_double(struct codec *k, double *v);
void codec_bool(struct codec *k, bool *v);
void codec_string(struct codec *k, const char **v); /* NULL is kept. Read: points into the data */
void codec_text(struct codec *k, char **v);	     /* the same; read: a copy */
void codec_array(struct codec *k, char *v, size_t size); /* a NUL-terminated string in an array */
/* Any unsigned member; a value that does not fit fails. */
#define CODEC_U(k, v)                                                                                                  \
	do {                                                                                                           \
		uint64_t u_ = (uint64_t)(v);                                                                           \
		codec_u64(k, &u_);                                                                                     \
		(v) = (__typeof__(v))u_;                                                                               \
		if ((uint64_t)(v) != u_)                                                                               \
			(k)->failed = true;                                                                            \
	} while (0)
#define CODEC_I(k, v)                                                                                                  \
	do {                                                                                                           \
		int64_t i_ = (int64_t)(v);                                                                             \
		codec_i64(k, &i_);                                                                                     \
		(v) = (__typeof__(v))i_;                                                                               \
		if ((int64_t)(v) != i_)                                                                                \
			(k)->failed = true;                                                                            \
	} while (0)
/* Each element of a vector, which grows with what is read. */
#define CODEC_EACH(k, v, item)                                                                                         \
	for (uint64_t each_n_ = codec_count(k, (v)->n), each_ = 0;                                                     \
	     each_ < each_n_ && codec_item(k, (item) = (k)->writing ? &(v)->at[each_] : vec_push(v)); each_++)
/* Writing, or there is something left of the section: members that came later are behind it. */
bool codec_more(const struct codec *k);
uint64_t codec_count(struct codec *k, uint64_t n);
bool codec_item(struct codec *k, const void *item);

/* Addresses in ascending order, as the way from the last one. */
void codec_range(struct codec *k, uint64_t *last, uint64_t *start, uint64_t *end);
void codec_findings(struct codec *k, struct findings *f); /* read: `kind` points into the data, and may be NULL as `text` may */

#endif
