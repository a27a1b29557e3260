/* Where a core goes: a file with holes, or a stream that is compressed. Bytes come in order. */
#ifndef COREFILE_STREAM_H
#define COREFILE_STREAM_H

#include "flotsam/target.h"

struct stream {
	int fd;
	struct compressor *z; /* NULL: as it is */
	uint64_t at;	      /* the end of what was given so far */
};

struct err *corefile_stream_open(struct stream *k, int fd, bool compressed) MUST_CHECK;
/* `at` is not below the end of what was given before; what lies between is zeros. */
struct err *corefile_stream_put(struct stream *k, const void *data, size_t n, uint64_t at) MUST_CHECK;
/* The core has so many bytes. */
struct err *corefile_stream_end(struct stream *k, uint64_t bytes) MUST_CHECK;
void corefile_stream_close(struct stream *k);
#endif
