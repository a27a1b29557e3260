/* The parsers of /proc texts, on any bytes. The first byte chooses the parser. */
#include "flotsam/system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ignore_word(void *ctx, uint64_t value)
{
	*(uint64_t *)ctx ^= value;
}

static void ignore_socket(void *ctx, uint64_t inode, const char *state)
{
	*(uint64_t *)ctx ^= inode + strlen(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct maps_line line;
	struct process_status status;
	uint64_t number = 0;
	size_t bad = 0;
	char state;

	if (!n)
		return 0;
	const char *text = (const char *)data + 1;
	size_t left = n - 1;
	char *ended = strndup(text, left); /* maps alone are read without a NUL behind them */
	if (!ended)
		abort();
	static const char *const tables[] = { "tcp", "udp6", "unix", "netlink", "packet" };
	switch (data[0] < 250 ? data[0] % 5 : data[0]) {
	case 0:
		while (system_maps_next(&text, &left, &line, &bad))
			if (line.path_n && (line.path < (const char *)data || line.path + line.path_n > (const char *)data + n))
				abort();
		break;
	case 1:
		err_free(system_status(ended, strlen(ended), &status));
		break;
	case 2:
		system_stat(ended, strlen(ended), &state, &number);
		break;
	case 3:
		system_fdinfo_is_epoll(ended, strlen(ended));
		system_fdinfo_epoll(ended, strlen(ended), ignore_word, &number);
		break;
	case 4:
		system_timers(ended, strlen(ended), ignore_word, &number);
		break;
	case 250 ... 254:
		system_sockets(tables[data[0] - 250], ended, ignore_socket, &number);
		break;
	}
	free(ended);
	return 0;
}
