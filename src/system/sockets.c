/* Sockets as /proc/PID/net lists them: net/ipv4/tcp_ipv4.c get_tcp4_sock, udp.c, raw.c, their ipv6 twins; net/unix/af_unix.c
 * unix_seq_show; net/netlink/af_netlink.c; net/packet/af_packet.c. Each table has the inode in a column of its own. */
#include "text.h"

/* include/net/tcp_states.h, from 1. */
static const char *const tcp_states[] = { "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
					  "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV" };

static const struct table {
	const char *name;
	unsigned inode; /* column, from 0 */
	enum { PLAIN, TCP, DATAGRAM, UNIX } kind;
} tables[] = {
	{ "tcp", 9, TCP },	 { "tcp6", 9, TCP },   { "udp", 9, DATAGRAM },	{ "udp6", 9, DATAGRAM }, { "udplite", 9, DATAGRAM },
	{ "udplite6", 9, DATAGRAM }, { "raw", 9, PLAIN }, { "raw6", 9, PLAIN }, { "icmp", 9, PLAIN },	 { "icmp6", 9, PLAIN },
	{ "unix", 6, UNIX },	 { "netlink", 9, PLAIN }, { "packet", 8, PLAIN },
};

static const char *state_of(const struct table *t, char *const *words)
{
	unsigned long v;
	switch (t->kind) {
	case TCP:
		v = strtoul(words[3], NULL, 16);
		return v < sizeof tcp_states / sizeof tcp_states[0] ? tcp_states[v] : "";
	case DATAGRAM: /* 1 is TCP_ESTABLISHED: connect() was called */
		return strtoul(words[3], NULL, 16) == 1 ? "connected" : "unconnected";
	case UNIX: /* flags: 1 << 16 is __SO_ACCEPTCON; state: enum socket_state, 3 is SS_CONNECTED */
		if (strtoul(words[3], NULL, 16) & 1 << 16)
			return "listening";
		return strtoul(words[5], NULL, 16) == 3 ? "connected" : "unconnected";
	case PLAIN:
		break;
	}
	return "";
}

void system_sockets(const char *table, const char *text, system_socket_fn *f, void *ctx)
{
	enum { MOST = 10 };
	const struct table *t = NULL;
	char line[512];
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
		if (!strcmp(tables[i].name, table))
			t = &tables[i];
	for (bool heading = true; t && text_next_line(&text, line, sizeof line); heading = false) {
		char *words[MOST], *save = NULL;
		unsigned n = 0;
		for (char *w = strtok_r(line, " ", &save); w && n < MOST; w = strtok_r(NULL, " ", &save))
			words[n++] = w;
		if (heading || n <= t->inode)
			continue;
		uint64_t inode = strtoull(words[t->inode], NULL, 10);
		if (inode)
			f(ctx, inode, state_of(t, words));
	}
}
