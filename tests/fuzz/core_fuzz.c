/* Everything behind `flotsam report CORE`, on a core made of any bytes: no crash, no endless loop, no write out of bounds. */
#include <sys/mman.h>
#include <unistd.h>

#include "flotsam/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int fd = memfd_create("core", MFD_CLOEXEC);
	struct session_options options = { .target = { .force = true }, .graph = { .threads = 1 } };
	struct session *s = NULL;
	struct report *r = NULL;
	char path[32];

	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct err *e = session_open("core", path, &options, &s);
	if (!e) {
		e = query_report(s, &r);
		report_free(r);
	}
	err_free(e);
	session_close(s);
	close(fd);
	return 0;
}
