/* The other way round from expand.c: a stream of bytes as one zstd frame. */
#include "flotsam/target.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>

enum { LEVEL = 3, OUT_BYTES = 1 << 17 };

struct compressor {
	int fd;
	ZSTD_CCtx *context;
	uint8_t out[OUT_BYTES];
};

struct err *compressor_open(int fd, struct compressor **ret)
{
	struct compressor *c = calloc(1, sizeof *c);
	if (c)
		c->context = ZSTD_createCCtx();
	if (!c || !c->context) {
		compressor_free(c);
		return err_nomem();
	}
	c->fd = fd;
	/* Neither can fail: both are within the library's bounds. The checksum shows damage when the core is expanded. */
	ZSTD_CCtx_setParameter(c->context, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(c->context, ZSTD_c_checksumFlag, 1);
	*ret = c;
	return NULL;
}

static struct err *write_out(struct compressor *c, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t k = write(c->fd, c->out + at, n - at);
		if (k < 0 && errno == EINTR && !interrupted)
			continue;
		if (k < 0)
			return err_os(errno, "cannot write the compressed core");
		at += (size_t)k;
	}
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static struct err *compress(struct compressor *c, const void *data, size_t n, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { data, n, 0 };
	size_t left;
	do {
		ZSTD_outBuffer out = { c->out, sizeof c->out, 0 };
		left = ZSTD_compressStream2(c->context, &out, &in, how);
		if (ZSTD_isError(left))
			return err_new(ERR_OS, "zstd: %s", ZSTD_getErrorName(left));
		TRY(write_out(c, out.pos));
	} while (how == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return NULL;
}

struct err *compressor_put(struct compressor *c, const void *data, size_t n)
{
	return compress(c, data, n, ZSTD_e_continue);
}

struct err *compressor_end(struct compressor *c)
{
	return compress(c, "", 0, ZSTD_e_end);
}

void compressor_free(struct compressor *c)
{
	if (c)
		ZSTD_freeCCtx(c->context);
	free(c);
}
