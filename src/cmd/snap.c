/* flotsam snap: a look to keep. */
#include "cmd.h"

#include <unistd.h>

static bool is_full(const struct arguments *a)
{
	return a->content && !strcmp(a->content, "full");
}

static bool ends_in_zst(const char *path)
{
	size_t n = strlen(path);
	return n > 4 && !strcmp(path + n - 4, ".zst");
}

static struct err *prepare(struct arguments *a)
{
	if (a->compress && !is_full(a))
		return err_hint(err_new(ERR_USAGE, "a census is not compressed: it is read in place"), "--compress is for --content=full");
	if (is_full(a) && (!a->output || a->prompt))
		return err_hint(err_new(ERR_USAGE, "a core needs a file of its own"), "flotsam snap TARGET --content=full -o FILE");
	if (!a->output && isatty(STDOUT_FILENO))
		return err_hint(err_new(ERR_USAGE, "snap needs a file: a census is no text"), "flotsam snap TARGET -o FILE");
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct codec_bytes b;
	if (is_full(a)) {
		*ret_status = s->target->picture.at_most ? EXIT_PARTIAL : EXIT_REPORT;
		return corefile_write(s, o->fd, a->compress || ends_in_zst(a->output));
	}
	TRY(census_make(s, !a->no_references, &b));
	out_bytes(o, (const char *)b.at, b.n);
	free(b.at);
	*ret_status = s->blocks ? EXIT_REPORT : EXIT_PARTIAL;
	return NULL;
}

const struct command command_snap = {
	.name = "snap",
	.summary = "write a look to a file, to compare and to ask later",
	.formats = { "census" },
	.help = "  flotsam snap 4242 -o now.census      every block, none of its bytes\n"
		"  flotsam report now.census            what it said then, on any machine\n"
		"  flotsam snap 4242 -o core.4242 --content=full   a core, as gdb opens it\n"
		"  flotsam snap 4242 -o core.4242.zst --content=full   the same, compressed by zstd\n"
		"  flotsam diff now.census 4242         what has grown since\n",
	.group = GROUP_REPORT,
	.whole_file = true,
	.prepare = prepare,
	.run = run,
};
