/* The command line: options are rows, the first word is resolved as the man page says. */
#include "flotsam/cmd.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

enum option_id { O_PID, O_CORE, O_FORMAT, O_OUTPUT, O_TOP, O_QUIET, O_VERBOSE, O_COLOR, O_SHOW, O_CLASS, O_STATE, O_MIN_SIZE, O_MAX_STOP, O_FORCE,
		 O_NO_RESTART, O_SWAP, O_SHARED, O_SPOOL, O_SYSROOT, O_DEBUG_DIR, O_INTERIOR, O_NO_RULE, O_NO_VECTOR, O_TAGGED, O_UNALIGNED,
		 O_THREADS, O_HELP, O_VERSION };

static const struct option_row {
	enum option_id id;
	char letter;
	const char *name, *operand, *help;
} options[] = {
	{ O_PID, 'p', NULL, "PID", "look at this process" },
	{ O_CORE, 'c', NULL, "CORE", "read this core; a program may be named beside it, as gdb takes it" },
	{ O_FORMAT, 0, "format", "FORMAT", "text or json for report; text, jsonl or csv for blocks" },
	{ O_OUTPUT, 'o', NULL, "FILE", "write there instead of to standard output" },
	{ O_TOP, 0, "top", "N", "how many leaks and holders are listed; 0: all" },
	{ O_QUIET, 'q', NULL, NULL, "the verdict alone" },
	{ O_VERBOSE, 'v', NULL, NULL, "arenas, states, timings and all findings too" },
	{ O_COLOR, 0, "color", "WHEN", "auto, always or never; NO_COLOR is honoured" },
	{ O_SHOW, 0, "show-content", NULL, "show text from the target in files and pipes too" },
	{ O_CLASS, 0, "class", "CLASS", "blocks: of this class alone" },
	{ O_STATE, 0, "state", "STATE", "blocks: in this state alone" },
	{ O_MIN_SIZE, 0, "min-size", "BYTES", "blocks: with at least so many usable bytes" },
	{ O_MAX_STOP, 0, "max-stop", "SECONDS", "let the target go after that, whatever happens (5)" },
	{ O_FORCE, 0, "force", NULL, "look even where that is refused for safety" },
	{ O_NO_RESTART, 0, "no-restart-fix", NULL, "do not restart system calls that the stop made return EINTR" },
	{ O_SWAP, 0, "swap", NULL, "read swapped pages however many there are" },
	{ O_SHARED, 0, "scan-shared", NULL, "shared mappings of disk files hold pointers too" },
	{ O_SPOOL, 0, "spool", "DIR", "keep the picture in an unlinked file there, not in memory" },
	{ O_SYSROOT, 0, "sysroot", "DIR", "where the files named in a core are" },
	{ O_DEBUG_DIR, 0, "debug-dir", "DIR", "separate debug files, besides /usr/lib/debug" },
	{ O_INTERIOR, 0, "interior", "RULE", "what a bare interior pointer makes of a block: possible, reachable, ignore" },
	{ O_NO_RULE, 0, "no-rule", "NAME", "switch one interior rule off, by its name in the report" },
	{ O_NO_VECTOR, 0, "no-vector-roots", NULL, "vector registers hold no pointers" },
	{ O_TAGGED, 0, "tagged", NULL, "ignore tags in the high bits of pointers" },
	{ O_UNALIGNED, 0, "unaligned", NULL, "read a pointer at every byte" },
	{ O_THREADS, 0, "threads", "N", "markers that run side by side (as many as processors)" },
	{ O_HELP, 'h', "help", NULL, "this text" },
	{ O_VERSION, 0, "version", NULL, "the version" },
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static struct err *choose(const char *option, const char *value, const char *const *choices, int *ret)
{
	for (int i = 0; choices[i]; i++)
		if (!strcmp(value, choices[i])) {
			*ret = i;
			return NULL;
		}
	struct strbuf s = { 0 };
	for (int i = 0; choices[i]; i++)
		strbuf_printf(&s, i ? ", %s" : "%s", choices[i]);
	struct err *e = err_new(ERR_USAGE, "--%s takes one of %s, not '%s'", option, s.text ? s.text : "", value);
	strbuf_free(&s);
	return e;
}

static struct err *number(const char *option, const char *value, uint64_t *ret)
{
	char *end;
	*ret = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end)
		return err_new(ERR_USAGE, "%s takes a number, not '%s'", option, value);
	return NULL;
}

static struct err *rule_off(const char *value, struct arguments *a)
{
	for (int i = 0; i < N_INTERIOR_RULES; i++)
		if (!strcmp(interior_rule_name((enum interior_rule)i), value)) {
			a->session.graph.rules_off |= 1u << i;
			return NULL;
		}
	return err_new(ERR_USAGE, "no interior rule is called '%s'", value);
}

static const char *const colors[] = { "auto", "always", "never", NULL };
static const char *const interiors[] = { "possible", "reachable", "ignore", NULL };
static const char *const classes[] = { "reachable", "possible", "definite", "indirect", "runtime", NULL };

static struct err *apply(struct arguments *a, enum option_id id, const char *value)
{
	struct session_options *s = &a->session;
	uint64_t n = 0;
	int choice = 0;
	char *end;
	switch (id) {
	case O_PID:
		TRY(number("-p", value, &n));
		a->kind = "live";
		a->target = value;
		break;
	case O_CORE:
		a->kind = "core";
		if (a->target && !s->target.core_exe)
			s->target.core_exe = a->target;
		a->target = value;
		break;
	case O_FORMAT:
		a->format = value;
		break;
	case O_OUTPUT:
		a->output = value;
		break;
	case O_TOP:
		TRY(number("--top", value, &n));
		a->top = n > UINT32_MAX ? 0 : (unsigned)n;
		break;
	case O_QUIET:
		a->quiet = true;
		break;
	case O_VERBOSE:
		a->verbose = true;
		break;
	case O_COLOR:
		TRY(choose("color", value, colors, &choice));
		a->color = colors[choice];
		break;
	case O_SHOW:
		a->show_content = true;
		break;
	case O_CLASS:
		TRY(choose("class", value, classes, &choice));
		a->class = classes[choice];
		break;
	case O_STATE:
		a->state = value;
		break;
	case O_MIN_SIZE:
		TRY(number("--min-size", value, &a->min_size));
		break;
	case O_MAX_STOP:
		s->target.max_stop = strtod(value, &end);
		if (end == value || *end || !(s->target.max_stop > 0) || s->target.max_stop > 3600)
			return err_new(ERR_USAGE, "--max-stop takes seconds above 0, not '%s'", value);
		break;
	case O_FORCE:
		s->target.force = true;
		break;
	case O_NO_RESTART:
		s->target.no_restart_fix = true;
		break;
	case O_SWAP:
		s->target.read_swap = true;
		break;
	case O_SHARED:
		s->target.scan_shared = true;
		break;
	case O_SPOOL:
		s->target.spool_dir = value;
		break;
	case O_SYSROOT:
		s->target.sysroot = value;
		break;
	case O_DEBUG_DIR:
		s->modules.debug_dir = value;
		break;
	case O_INTERIOR:
		TRY(choose("interior", value, interiors, &choice));
		s->graph.interior = (enum interior_policy)choice;
		break;
	case O_NO_RULE:
		return rule_off(value, a);
	case O_NO_VECTOR:
		s->graph.no_vector_roots = true;
		break;
	case O_TAGGED:
		s->graph.tagged = true;
		break;
	case O_UNALIGNED:
		s->graph.unaligned = true;
		break;
	case O_THREADS:
		TRY(number("--threads", value, &n));
		s->graph.threads = n > 64 ? 64 : (int)n;
		break;
	case O_HELP:
		a->help = true;
		break;
	case O_VERSION:
		a->version = true;
		break;
	}
	return NULL;
}

static bool all_digits(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isdigit((unsigned char)*p))
			return false;
	return *s;
}

/* Processes whose comm or executable's name this is. */
static struct err *find_by_name(struct arguments *a, const char *name)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;
	static char only[16];
	while (d && (e = readdir(d))) {
		char path[300], comm[64] = "", exe[LIMIT_PATH] = "";
		if (!all_digits(e->d_name) || atoi(e->d_name) == getpid())
			continue;
		snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
		AUTO_FILE FILE *f = fopen(path, "re");
		if (!f || !fgets(comm, sizeof comm, f))
			continue;
		comm[strcspn(comm, "\n")] = '\0';
		snprintf(path, sizeof path, "/proc/%s/exe", e->d_name);
		ssize_t k = readlink(path, exe, sizeof exe - 1);
		exe[k > 0 ? k : 0] = '\0';
		const char *base = strrchr(exe, '/');
		if (strcmp(comm, name) && (!base || strcmp(base + 1, name)))
			continue;
		n++;
		snprintf(only, sizeof only, "%.15s", e->d_name);
		strbuf_printf(&a->matches, "%s%8s  ", n > 1 ? "\n" : "", e->d_name);
		strbuf_add_escaped(&a->matches, exe, strlen(exe));
	}
	if (d)
		closedir(d);
	if (!n)
		return err_hint(err_new(ERR_NOT_FOUND, "no command, process or file is called '%s'", name), "flotsam --help");
	if (n > 1)
		return err_hint(err_new(ERR_USAGE, "%d processes are called '%s': say which", n, name), "%s", a->matches.text ? a->matches.text : "");
	a->kind = "live";
	a->target = only;
	return NULL;
}

static struct err *take_target(struct arguments *a, const char *word)
{
	struct stat st;
	if (a->target) {
		/* EXE -c CORE and -c CORE EXE, as gdb; EXE CORE too. */
		if (a->kind && !strcmp(a->kind, "core") && !a->session.target.core_exe) {
			a->session.target.core_exe = word;
			return NULL;
		}
		return err_hint(err_new(ERR_USAGE, "one target at a time: '%s' and '%s'", a->target, word), "flotsam --help");
	}
	a->target = word;
	if (all_digits(word))
		a->kind = "live";
	else if (strchr(word, '/') || !stat(word, &st))
		a->kind = "core";
	return NULL;
}

static const struct option_row *find_option(const char *word, const char **ret_value)
{
	*ret_value = NULL;
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option_row *o = &options[i];
		if (word[1] != '-') {
			if (o->letter != word[1])
				continue;
			*ret_value = o->operand && word[2] ? word + 2 : NULL;
			return o->operand || !word[2] ? o : NULL;
		}
		size_t n = o->name ? strlen(o->name) : 0;
		if (!n || strncmp(word + 2, o->name, n) || (word[2 + n] && word[2 + n] != '='))
			continue;
		*ret_value = word[2 + n] == '=' ? word + 2 + n + 1 : NULL;
		return o;
	}
	return NULL;
}

static struct err *parse_option(int argc, char **argv, int *i, struct arguments *ret)
{
	const char *word = argv[*i], *value;
	const struct option_row *o = find_option(word, &value);
	if (!o)
		return err_hint(err_new(ERR_USAGE, "unknown option '%s'", word), "flotsam --help");
	if (o->operand && !value) {
		if (*i + 1 >= argc)
			return err_new(ERR_USAGE, "%s needs %s", word, o->operand);
		value = argv[++*i];
	} else if (!o->operand && value) {
		return err_new(ERR_USAGE, "--%s takes no value", o->name);
	}
	return apply(ret, o->id, value);
}

static struct err *check(struct arguments *a)
{
	bool known = false;
	if (a->help || a->version)
		return NULL;
	if (!a->target)
		return err_hint(err_new(ERR_USAGE, "which process or core?"), "flotsam -p PID   |   flotsam CORE   |   flotsam --help");
	if (!a->kind)
		TRY(find_by_name(a, a->target));
	if (!a->format)
		a->format = a->command->formats[0];
	for (int i = 0; a->command->formats[i]; i++)
		known |= !strcmp(a->command->formats[i], a->format);
	if (!known)
		return err_new(ERR_USAGE, "'%s' is no format of %s", a->format, a->command->name);
	if (a->state) {
		known = false;
		for (int i = 0; i < BLOCK_STATES; i++)
			known |= !strcmp(block_state_name((enum block_state)i), a->state);
		if (!known)
			return err_new(ERR_USAGE, "'%s' is no state of a block", a->state);
	}
	return NULL;
}

struct err *arguments_parse(int argc, char **argv, struct arguments *ret)
{
	*ret = (struct arguments){ .color = "auto", .top = 10 };
	bool operands_only = false;
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		if (!operands_only && !strcmp(word, "--")) {
			operands_only = true;
		} else if (!operands_only && word[0] == '-' && word[1]) {
			TRY(parse_option(argc, argv, &i, ret));
		} else if (!ret->command && !ret->target && command_find(word)) {
			ret->command = command_find(word);
		} else if (!ret->command && !ret->target && !strcmp(word, "help")) {
			ret->help = true;
		} else if (ret->help && !ret->command && command_find(word)) {
			ret->command = command_find(word);
		} else {
			TRY(take_target(ret, word));
		}
	}
	if (!ret->command && !ret->help)
		ret->command = command_get(0);
	return check(ret);
}

void arguments_deinit(struct arguments *a)
{
	strbuf_free(&a->matches);
}

static void print_options(struct out *o)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		char left[64] = "";
		int n = 0;
		if (options[i].letter)
			n = snprintf(left, sizeof left, "-%c%s", options[i].letter, options[i].name ? ", " : "");
		if (options[i].name)
			n += snprintf(left + n, sizeof left - (size_t)n, "--%s", options[i].name);
		if (options[i].operand)
			snprintf(left + n, sizeof left - (size_t)n, options[i].name ? "=%s" : " %s", options[i].operand);
		out_printf(o, "  %-22s %s\n", left, options[i].help);
	}
}

void help_print(struct out *o, const struct command *c)
{
	if (c) {
		out_printf(o, "flotsam %s TARGET: %s\n\n%s", c->name, c->summary, c->help);
		return;
	}
	out_puts(o, "flotsam looks into a running process or a core dump and says what its heap is made of:\n"
		    "what has leaked, who holds the rest, why RSS is what it is. It only reads.\n\n"
		    "usage: flotsam [-p] PID | CORE | NAME        the report\n"
		    "       flotsam COMMAND TARGET [OPTIONS]\n\ncommands:\n");
	for (size_t i = 0; command_get(i); i++)
		out_printf(o, "  %-22s %s\n", command_get(i)->name, command_get(i)->summary);
	out_puts(o, "\noptions:\n");
	print_options(o);
	out_puts(o, "\nexit status: 0 done, 2 usage, 3 cannot attach or read, 4 partial, 130/143 interrupted.\n"
		    "man flotsam has examples and says what is done to your process.\n");
}
