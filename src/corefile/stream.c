#include "stream.h"

#include <errno.h>
#include <unistd.h>

struct err *corefile_stream_open(struct stream *k, int fd, bool compressed)
{
	*k = (struct stream){ .fd = fd };
	return compressed ? compressor_open(fd, &k->z) : NULL;
}

static struct err *write_at(int fd, const void *data, size_t n, uint64_t at)
{
	const char *p = data;
	for (ssize_t k; n; p += k, at += (uint64_t)k, n -= (size_t)k) {
		k = pwrite(fd, p, n, (off_t)at);
		if (k < 0 && errno == EINTR && !interrupted)
			k = 0;
		else if (k < 0)
			return err_os(errno, "cannot write the core");
	}
	return NULL;
}

static struct err *put_zeros(struct stream *k, uint64_t to)
{
	static const uint8_t zeros[1 << 16];
	while (k->at < to) {
		size_t n = to - k->at < sizeof zeros ? (size_t)(to - k->at) : sizeof zeros;
		TRY(compressor_put(k->z, zeros, n));
		k->at += n;
	}
	return NULL;
}

struct err *corefile_stream_put(struct stream *k, const void *data, size_t n, uint64_t at)
{
	if (k->z) {
		TRY(put_zeros(k, at));
		TRY(compressor_put(k->z, data, n));
	} else {
		TRY(write_at(k->fd, data, n, at));
	}
	k->at = at + n;
	return NULL;
}

struct err *corefile_stream_end(struct stream *k, uint64_t bytes)
{
	if (k->z) {
		TRY(put_zeros(k, bytes));
		return compressor_end(k->z);
	}
	return ftruncate(k->fd, (off_t)bytes) ? err_os(errno, "cannot write the core") : NULL;
}

void corefile_stream_close(struct stream *k)
{
	compressor_free(k->z);
	k->z = NULL;
}
