/* flotsam watch: a process over days. The front runs it: it takes looks, each by a process of its own. */
#include "cmd.h"

const struct command command_watch = {
	.name = "watch",
	.summary = "follow a process, and look when it grows",
	.formats = { "jsonl", "text" },
	.help = "  flotsam watch 4242                          on a terminal, a page: l looks, q quits\n"
		"  flotsam watch 4242 -o growth.jsonl          a line every 10 seconds\n"
		"  flotsam watch --unit nginx --interval 1m    whatever process the service has\n"
		"  flotsam watch ledgerd --look 1h             and a look every hour; restarts are followed\n"
		"  flotsam watch 4242 --growth 50MB/h --level 80%\n",
	.group = GROUP_REPORT,
	.driver = DRIVER_WATCH,
};
