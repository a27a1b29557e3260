/* Compressed cores (systemd-coredump writes .zst, older ones .xz), expanded as a stream into an unlinked file, with holes
 * where there are zeroes. A stream that ends early gives what it has: the core reader sees that it is truncated. */
#include "core.h"
#include "flotsam/system.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

enum { PIECE = 1 << 20, HOLE = 4096 };

struct expansion {
	int from, to;
	uint64_t at, most;
	uint8_t in[PIECE], out[PIECE];
};

/* Zero pages are left as holes. */
static struct err *put(struct expansion *x, const uint8_t *p, size_t n)
{
	static const uint8_t zero[HOLE];
	while (n) {
		size_t k = n < HOLE ? n : HOLE;
		if (x->at + k > x->most)
			return err_new(ERR_LIMIT, "the expanded core is larger than the %.1f GiB that there is room for", (double)x->most / (1 << 30));
		if (memcmp(p, zero, k) && pwrite(x->to, p, k, (off_t)x->at) != (ssize_t)k)
			return err_os(errno, "cannot write the expanded core");
		x->at += k;
		p += k;
		n -= k;
	}
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static struct err *expand_zstd(struct expansion *x)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	struct err *e = d ? NULL : err_nomem();
	ssize_t n;
	while (!e && (n = read(x->from, x->in, sizeof x->in)) > 0) {
		ZSTD_inBuffer in = { x->in, (size_t)n, 0 };
		while (!e && in.pos < in.size) {
			ZSTD_outBuffer out = { x->out, sizeof x->out, 0 };
			size_t r = ZSTD_decompressStream(d, &out, &in);
			if (ZSTD_isError(r))
				e = err_new(ERR_BAD_DATA, "damaged zstd stream: %s", ZSTD_getErrorName(r));
			else
				e = put(x, x->out, out.pos);
		}
	}
	ZSTD_freeDStream(d);
	return e;
}

static struct err *expand_xz(struct expansion *x)
{
	lzma_stream s = LZMA_STREAM_INIT;
	struct err *e = lzma_stream_decoder(&s, 256 << 20, LZMA_CONCATENATED) == LZMA_OK ? NULL : err_nomem();
	lzma_ret r = LZMA_OK;
	lzma_action action = LZMA_RUN;
	while (!e && r == LZMA_OK) {
		if (!s.avail_in && action == LZMA_RUN) {
			ssize_t n = read(x->from, x->in, sizeof x->in);
			s.next_in = x->in;
			s.avail_in = n > 0 ? (size_t)n : 0;
			action = n > 0 ? LZMA_RUN : LZMA_FINISH;
		}
		s.next_out = x->out;
		s.avail_out = sizeof x->out;
		r = lzma_code(&s, action);
		/* LZMA_BUF_ERROR at the end: the stream is cut. */
		if (r != LZMA_OK && r != LZMA_STREAM_END && r != LZMA_BUF_ERROR)
			e = err_new(ERR_BAD_DATA, "damaged xz stream");
		else
			e = put(x, x->out, sizeof x->out - s.avail_out);
	}
	lzma_end(&s);
	return e;
}

static int open_unlinked(const char *dir)
{
	return open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* On disk where a temporary directory takes it, else in memory. */
static struct err *open_destination(struct expansion *x)
{
	const char *tmp = secure_getenv("TMPDIR"), *what, *dirs[] = { tmp && *tmp ? tmp : "/var/tmp", "/tmp" };
	struct statvfs v;
	for (int i = 0; i < 2; i++) {
		x->to = open_unlinked(dirs[i]);
		if (x->to >= 0 && !fstatvfs(x->to, &v)) {
			x->most = (uint64_t)v.f_bavail * v.f_frsize / 2;
			return NULL;
		}
	}
	x->to = memfd_create("core", MFD_CLOEXEC);
	x->most = system_room("", &what) / 2;
	return x->to < 0 ? err_os(errno, "no place to expand the core to") : NULL;
}

struct err *core_expand(int *fd)
{
	static const uint8_t zstd_magic[] = { 0x28, 0xb5, 0x2f, 0xfd }, xz_magic[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	uint8_t magic[6] = { 0 };
	if (pread(*fd, magic, sizeof magic, 0) < 4)
		return NULL;
	bool zstd = !memcmp(magic, zstd_magic, sizeof zstd_magic), xz = !memcmp(magic, xz_magic, sizeof xz_magic);
	if (!zstd && !xz)
		return NULL;
	AUTO_FREE struct expansion *x = calloc(1, sizeof *x);
	if (!x)
		return err_nomem();
	x->from = *fd;
	x->to = -1;
	struct err *e = open_destination(x);
	if (!e)
		e = zstd ? expand_zstd(x) : expand_xz(x);
	if (!e && ftruncate(x->to, (off_t)x->at))
		e = err_os(errno, "cannot write the expanded core");
	if (e) {
		if (x->to >= 0)
			close(x->to);
		return e;
	}
	close(*fd);
	*fd = x->to;
	return NULL;
}
