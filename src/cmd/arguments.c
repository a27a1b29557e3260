/* The command line: options are rows, the first word is resolved as the man page says. */
#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum option_id { O_PID, O_CORE, O_FORMAT, O_OUTPUT, O_TOP, O_QUIET, O_VERBOSE, O_COLOR, O_SHOW, O_CLASS, O_STATE, O_MIN_SIZE, O_MAX_STOP, O_FORCE,
		 O_NO_RESTART, O_SWAP, O_SHARED, O_SPOOL, O_SYSROOT, O_DEBUG_DIR, O_DEBUGINFOD, O_ARENA_FROM, O_INTERIOR, O_NO_RULE, O_NO_VECTOR, O_TAGGED, O_UNALIGNED,
		 O_THREADS, O_TYPES, O_ISTYPE, O_GUESS, O_ROOT, O_FAIL_ON, O_SUPPRESS, O_AGAINST, O_CONTENT, O_COMPRESS, O_NO_REFERENCES, O_INTERVAL, O_LOOK, O_GROWTH, O_LEVEL, O_HOLD, O_COUNT, O_METRICS, O_UNIT, O_CGROUP, O_MAIN, O_RUN, O_ROUNDS, O_PER, O_EXECUTE, O_SCRIPT, O_ONLY, O_HELP, O_VERSION };

enum option_group { G_OUTPUT, G_BLOCKS, G_CHECK, G_TIME, G_LOOK, G_RULES, G_OTHER };
static const char *const group_names[] = { "output", "the list of blocks (flotsam blocks)", "flotsam check", "flotsam watch, flotsam exercise", "the look", "what counts as a pointer", "other" };

static const struct option_row {
	enum option_id id;
	enum option_group group;
	char letter;
	const char *name, *operand, *help;
} options[] = {
	{ O_FORMAT, G_OUTPUT, 0, "format", "FORMAT", "text, json; lists: also jsonl, csv" },
	{ O_OUTPUT, G_OUTPUT, 'o', NULL, "FILE", "write there instead of to standard output" },
	{ O_TOP, G_OUTPUT, 0, "top", "N", "list so many leaks and holders (10); 0: all" },
	{ O_QUIET, G_OUTPUT, 'q', NULL, NULL, "the verdict alone, on one line" },
	{ O_VERBOSE, G_OUTPUT, 'v', NULL, NULL, "arenas, states, addresses, timings and all findings too;\nlists: names in full" },
	{ O_COLOR, G_OUTPUT, 0, "color", "WHEN", "auto, always or never; NO_COLOR is honoured" },
	{ O_TYPES, G_OUTPUT, 0, "types", "HOW", "labels by: vtable; all: DWARF too; auto (default): all\nwhere that takes below a second" },
	{ O_ISTYPE, G_OUTPUT, 0, "istype", "ADDR=TYPE", "--types=all, and the block there is of that type" },
	{ O_GUESS, G_OUTPUT, 0, "guess", NULL, "--types=all, and by shape and size alone, marked ?" },
	{ O_SHOW, G_OUTPUT, 0, "show-content", NULL, "show the target's text in files and pipes too" },
	{ O_CLASS, G_BLOCKS, 0, "class", "CLASS", "definite, indirect, possible, reachable or runtime alone" },
	{ O_STATE, G_BLOCKS, 0, "state", "STATE", "in this state alone: used, mmapped, tcache, top, ..." },
	{ O_MIN_SIZE, G_BLOCKS, 0, "min-size", "BYTES", "with at least so many usable bytes" },
	{ O_FAIL_ON, G_CHECK, 0, "fail-on", "RULE", "exit status 1 when it holds: 'NAME OP NUMBER[UNIT]'" },
	{ O_SUPPRESS, G_CHECK, 0, "suppress", "FILE", "leaks and holders to pass over: leak:PATTERN a line" },
	{ O_AGAINST, G_CHECK, 0, "against", "BASE", "compare with this process, core or census too:\nnew_leaked.bytes, more_bytes, ..." },
	{ O_INTERVAL, G_TIME, 0, "interval", "TIME", "between two samples (10s)" },
	{ O_LOOK, G_TIME, 0, "look", "TIME", "look at the heap so often (only when a rule fires)" },
	{ O_GROWTH, G_TIME, 0, "growth", "BYTES/h", "rule: grows faster, such as 50MB/h" },
	{ O_LEVEL, G_TIME, 0, "level", "N%", "rule: above so much of the limit" },
	{ O_HOLD, G_TIME, 0, "hold", "TIME", "the level must hold so long (5m)" },
	{ O_COUNT, G_TIME, 0, "count", "N", "end after N samples" },
	{ O_METRICS, G_TIME, 0, "prometheus", "FILE", "write the metrics of each look there" },
	{ O_UNIT, G_TIME, 0, "unit", "NAME", "watch a unit of systemd's, whatever process it has" },
	{ O_CGROUP, G_TIME, 0, "cgroup", "PATH", "watch what runs in this control group" },
	{ O_MAIN, G_TIME, 0, "main", "WHICH", "of its processes the oldest (default) or largest" },
	{ O_RUN, G_TIME, 0, "run", "COMMAND", "exercise: what drives the target, by the shell" },
	{ O_ROUNDS, G_TIME, 0, "rounds", "N", "exercise: how often (10)" },
	{ O_PER, G_TIME, 0, "per", "N", "exercise: requests that one run makes (1)" },
	{ O_CONTENT, G_OUTPUT, 0, "content", "WHAT", "flotsam snap: none, or full: a core" },
	{ O_COMPRESS, G_OUTPUT, 0, "compress", "HOW", "flotsam snap --content=full: zstd" },
	{ O_NO_REFERENCES, G_OUTPUT, 0, "no-references", NULL, "flotsam snap: who points at what is left out" },
	{ O_PID, G_LOOK, 'p', NULL, "PID", "look at this process" },
	{ O_CORE, G_LOOK, 'c', NULL, "CORE", "read this core; its program may stand beside it" },
	{ O_MAX_STOP, G_LOOK, 0, "max-stop", "SECONDS", "let the target go after that, whatever happens (5)" },
	{ O_FORCE, G_LOOK, 0, "force", NULL, "look even where that is refused for safety" },
	{ O_NO_RESTART, G_LOOK, 0, "no-restart-fix", NULL, "leave system calls alone that the stop interrupted" },
	{ O_SWAP, G_LOOK, 0, "swap", NULL, "read swapped pages however many there are" },
	{ O_SHARED, G_LOOK, 0, "scan-shared", NULL, "shared mappings of disk files hold pointers too" },
	{ O_SPOOL, G_LOOK, 0, "spool", "DIR", "keep the picture in an unlinked file there" },
	{ O_SYSROOT, G_LOOK, 0, "sysroot", "DIR", "where the files named in a core are" },
	{ O_ROOT, G_LOOK, 0, "root", "DIR", "flotsam system: read a saved /proc and /sys there" },
	{ O_DEBUG_DIR, G_LOOK, 0, "debug-dir", "DIR", "separate debug files, besides /usr/lib/debug" },
	{ O_DEBUGINFOD, G_LOOK, 0, "debuginfod", NULL, "ask the servers of $DEBUGINFOD_URLS for the others" },
	{ O_ARENA_FROM, G_LOOK, 0, "arena-from", "WAY", "find malloc's state by this alone: symbols, file,\nlive, code or heap" },
	{ O_INTERIOR, G_RULES, 0, "interior", "RULE", "a block with inner pointers alone is: possible,\nreachable, or lost (ignore)" },
	{ O_NO_RULE, G_RULES, 0, "no-rule", "NAME", "switch one interior rule off, by its name in -v" },
	{ O_NO_VECTOR, G_RULES, 0, "no-vector-roots", NULL, "vector registers hold no pointers" },
	{ O_TAGGED, G_RULES, 0, "tagged", NULL, "ignore tags in the high bits of pointers" },
	{ O_UNALIGNED, G_RULES, 0, "unaligned", NULL, "read a pointer at every byte" },
	{ O_THREADS, G_OTHER, 0, "threads", "N", "mark with so many threads (one a processor)" },
	{ O_EXECUTE, G_OTHER, 'e', NULL, "COMMAND", "flotsam shell: run this command of the prompt" },
	{ O_SCRIPT, G_OTHER, 'x', NULL, "FILE", "flotsam shell: run the commands in this file" },
	{ O_ONLY, G_OTHER, 0, "only", NULL, "flotsam stack: the blocks that stacks alone keep" },
	{ O_HELP, G_OTHER, 'h', "help", NULL, "this text; of a command: flotsam help COMMAND" },
	{ O_VERSION, G_OTHER, 0, "version", NULL, "the version" },
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

static struct err *unknown_option(const char *word)
{
	char name[32];
	snprintf(name, sizeof name, "%.31s", word + (word[1] == '-' ? 2 : 1));
	name[strcspn(name, "=")] = '\0';
	struct err *e = err_new(ERR_USAGE, "unknown option '%s'", word);
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (options[i].name && cmd_resembles(name, options[i].name))
			return err_hint(e, "did you mean --%s?", options[i].name);
	return err_hint(e, "flotsam --help");
}

static struct err *number(const char *option, const char *value, uint64_t *ret)
{
	char *end;
	errno = 0;
	*ret = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno)
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
	struct strbuf names = { 0 };
	for (int i = 0; i < N_INTERIOR_RULES; i++)
		strbuf_printf(&names, i ? ", %s" : "%s", interior_rule_name((enum interior_rule)i));
	struct err *e = err_hint(err_new(ERR_USAGE, "no interior rule is called '%s'", value), "there are: %s", names.text ? names.text : "");
	strbuf_free(&names);
	return e;
}

static const char *const colors[] = { "auto", "always", "never", NULL };
static const char *const arena_sources[] = { "symbols", "file", "live", "code", "heap", NULL };
static const char *const contents[] = { "none", "full", NULL };
static const char *const compressions[] = { "zstd", NULL };
static const char *const mains[] = { "oldest", "largest", NULL };
static const char *const type_ways[] = { "vtable", "all", "auto", NULL };
static const char *const interiors[] = { "possible", "reachable", "ignore", NULL };
static const char *const classes[] = { "reachable", "possible", "definite", "indirect", "runtime", NULL };

struct err *cmd_like_command(struct err *e, const char *name)
{
	for (size_t i = 0; command_get(i); i++)
		if (cmd_resembles(name, command_get(i)->name))
			return err_hint(e, "did you mean flotsam %s?", command_get(i)->name);
	return err_hint(e, "flotsam --help");
}

static struct err *two_targets(const struct arguments *a, const char *word)
{
	return cmd_like_command(err_new(ERR_USAGE, "one target at a time: '%s' and '%s'", a->target, word), a->target);
}

static struct err *take_operand(struct arguments *a, const char *word)
{
	if (a->n_words >= MAX_WORDS)
		return err_new(ERR_LIMIT, "more than %d words", MAX_WORDS);
	a->words[a->n_words++] = word;
	return NULL;
}

static struct err *apply(struct arguments *a, enum option_id id, const char *value)
{
	struct session_options *s = &a->session;
	uint64_t n = 0;
	int choice = 0;
	char *end;
	switch (id) {
	case O_PID:
		TRY(number("-p", value, &n));
		if (a->target)
			return two_targets(a, value);
		a->kind = "live";
		a->target = value;
		break;
	case O_CORE:
		/* EXE -c CORE, as gdb takes it; the word was taken for a core itself until here. */
		if (s->target.core_exe || (a->kind && strcmp(a->kind, "core")) || a->core_named)
			return two_targets(a, value);
		a->kind = "core";
		a->core_named = true;
		s->target.core_exe = a->target;
		a->target = value;
		break;
	case O_FORMAT:
		a->format = value;
		a->named_format = true;
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
	case O_DEBUGINFOD:
		a->debuginfod = true;
		break;
	case O_ARENA_FROM:
		TRY(choose("arena-from", value, arena_sources, &choice));
		s->alloc.from = (enum alloc_source)(ALLOC_FROM_SYMBOLS + choice);
		break;
	case O_TYPES:
		TRY(choose("types", value, type_ways, &choice));
		s->types = (enum types_wanted)choice;
		break;
	case O_ISTYPE:
		if (a->prompt)
			return err_hint(err_new(ERR_USAGE, "--istype is for command lines"), "istype ADDR TYPE");
		if (s->n_said == MAX_SAID)
			return err_new(ERR_LIMIT, "more than %d times --istype", MAX_SAID);
		s->said[s->n_said++] = value;
		s->types = TYPES_ALL;
		break;
	case O_GUESS:
		s->guess = true;
		s->types = TYPES_ALL;
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
	case O_ROOT:
		a->root = value;
		break;
	case O_FAIL_ON:
		if (a->n_fail_on >= MAX_SCRIPTS)
			return err_new(ERR_LIMIT, "more than %d times --fail-on", MAX_SCRIPTS);
		a->fail_on[a->n_fail_on++] = value;
		break;
	case O_SUPPRESS:
		a->suppress = value;
		break;
	case O_AGAINST:
		a->against = value;
		break;
	case O_INTERVAL:
		return cmd_duration("interval", value, &a->interval);
	case O_LOOK:
		return cmd_duration("look", value, &a->look_every);
	case O_HOLD:
		return cmd_duration("hold", value, &a->hold);
	case O_GROWTH:
		return cmd_growth(value, &a->growth);
	case O_LEVEL:
		return cmd_percent(value, &a->level);
	case O_COUNT:
		return number("--count", value, &a->count);
	case O_METRICS:
		a->metrics = value;
		break;
	case O_UNIT:
		a->unit = value;
		break;
	case O_CGROUP:
		a->cgroup = value;
		break;
	case O_MAIN:
		TRY(choose("main", value, mains, &choice));
		a->main_process = mains[choice];
		break;
	case O_RUN:
		a->command_line = value;
		break;
	case O_ROUNDS:
		return number("--rounds", value, &a->rounds);
	case O_PER:
		return number("--per", value, &a->per);
	case O_CONTENT:
		TRY(choose("content", value, contents, &choice));
		a->content = contents[choice];
		break;
	case O_COMPRESS:
		TRY(choose("compress", value, compressions, &choice));
		a->compress = compressions[choice];
		break;
	case O_NO_REFERENCES:
		a->no_references = true;
		break;
	case O_EXECUTE:
		if (a->n_execute >= MAX_SCRIPTS)
			return err_new(ERR_LIMIT, "more than %d times -e", MAX_SCRIPTS);
		a->execute[a->n_execute++] = value;
		break;
	case O_SCRIPT:
		a->script = value;
		break;
	case O_ONLY:
		return take_operand(a, "only");
	case O_HELP:
		a->help = true;
		break;
	case O_VERSION:
		a->version = true;
		break;
	}
	return NULL;
}

static struct err *take_target(struct arguments *a, const char *word)
{
	struct stat st;
	bool operands = a->command && a->command->max_words;
	/* CORE EXE: operands are no paths, but find looks for any text. */
	bool program = a->kind && !strcmp(a->kind, "core") && !a->session.target.core_exe && !a->n_words && strchr(word, '/') && !stat(word, &st);
	if (a->target && operands && (!program || a->command->completes == COMPLETES_NOTHING))
		return take_operand(a, word);
	if (a->target) {
		/* -c CORE EXE, as gdb takes it, and CORE EXE. */
		if (a->kind && !strcmp(a->kind, "core") && !a->session.target.core_exe) {
			a->session.target.core_exe = word;
			return NULL;
		}
		return two_targets(a, word);
	}
	a->target = word;
	if (cmd_all_digits(word))
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
		return unknown_option(word);
	if (o->operand && !value) {
		if (*i + 1 >= argc)
			return err_new(ERR_USAGE, "%s needs %s", word, o->operand);
		value = argv[++*i];
	} else if (!o->operand && value) {
		return err_new(ERR_USAGE, "--%s takes no value", o->name);
	}
	return apply(ret, o->id, value);
}

static struct err *no_such(const char *what, const char *value, const struct strbuf *names)
{
	return err_hint(err_new(ERR_USAGE, "'%s' is no %s", value, what), "there are: %s", names->text ? names->text : "");
}

static struct err *check_format(struct arguments *a)
{
	struct strbuf names = { 0 };
	struct err *e = NULL;
	bool known = !a->format;
	for (int i = 0; i < N_FORMATS && a->command->formats[i]; i++) {
		strbuf_printf(&names, i ? ", %s" : "%s", a->command->formats[i]);
		known |= a->format && !strcmp(a->command->formats[i], a->format);
	}
	if (!known) {
		char what[64];
		snprintf(what, sizeof what, "format of %s", a->command->name);
		e = no_such(what, a->format, &names);
	}
	if (!a->format)
		a->format = a->command->formats[0];
	strbuf_free(&names);
	return e;
}

static struct err *check_state(const struct arguments *a)
{
	struct strbuf names = { 0 };
	bool known = !a->state;
	for (int i = 0; i < BLOCK_STATES; i++) {
		const char *name = block_state_name((enum block_state)i);
		strbuf_printf(&names, i ? ", %s" : "%s", name);
		known |= a->state && !strcmp(name, a->state);
	}
	struct err *e = known ? NULL : no_such("state of a block", a->state, &names);
	strbuf_free(&names);
	return e;
}

static void take_top(struct arguments *a)
{
	unsigned n = a->n_words;
	if (!a->command->top_words || n < 2 || strcmp(a->words[n - 2], "top") || !cmd_all_digits(a->words[n - 1]))
		return;
	a->top = (unsigned)strtoul(a->words[n - 1], NULL, 10);
	a->n_words -= 2;
}

static struct err *check_words(const struct arguments *a)
{
	const struct command *c = a->command;
	if (a->n_words > c->max_words)
		return err_hint(err_new(ERR_USAGE, "%s: one word too many: '%s'", c->name, a->words[c->max_words]), "help %s", c->name);
	if (a->n_words < c->min_words)
		return err_hint(err_new(ERR_USAGE, "%s needs %s", c->name, c->operands ? c->operands : "an operand"), "help %s", c->name);
	return NULL;
}

/* A target that is named by its unit or its group. */
static struct err *check_followed(struct arguments *a)
{
	if (!a->unit && !a->cgroup && !a->main_process)
		return NULL;
	if (a->command->driver != DRIVER_WATCH)
		return err_hint(err_new(ERR_USAGE, "%s takes none of --unit, --cgroup, --main", a->command->name), "flotsam watch takes them");
	if (!a->unit && !a->cgroup)
		return err_hint(err_new(ERR_USAGE, "--main chooses among the processes of a unit or a group"), "flotsam watch --unit NAME --main largest");
	if (a->target || (a->unit && a->cgroup))
		return err_new(ERR_USAGE, "a process, a --unit or a --cgroup: one of them");
	TRY(cmd_find_member(a, a->found));
	a->kind = "live";
	a->target = a->found;
	return NULL;
}

/* For a command that looks at no target: a process, or none, on this machine or on a saved one. */
static struct err *check_unseen(const struct arguments *a)
{
	if (a->root && a->command->target != TARGET_UNSEEN)
		return err_hint(err_new(ERR_USAGE, "%s takes no --root", a->command->name), "flotsam system --root DIR");
	if (a->command->target != TARGET_UNSEEN || a->prompt || !a->target)
		return NULL;
	if (a->kind && strcmp(a->kind, "live"))
		return err_new(ERR_USAGE, "%s takes a process or nothing, no core", a->command->name);
	return a->root && !a->kind ? err_new(ERR_USAGE, "with --root a process is named by its number, not '%s'", a->target) : NULL;
}

/* Labels that are kept, compared or matched must not change because a heap has grown past the limit of auto. */
static bool labels_must_last(const struct arguments *a)
{
	static const char *const formats[] = { "census", "pprof", "folded", "prometheus" };
	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
		if (!strcmp(a->format, formats[i]))
			return true;
	return a->command->driver != DRIVER_NONE || a->command->rules || a->command->target == TARGET_MANY;
}

/* Options of commands that look over time, given to another. */
static struct err *check_time(const struct arguments *a)
{
	enum driver d = a->command->driver;
	bool watch = a->interval > 0 || a->look_every > 0 || a->hold > 0 || a->growth > 0 || a->level > 0 || a->count || a->metrics;
	bool exercise = a->command_line || a->rounds || a->per;
	if (exercise && d != DRIVER_EXERCISE)
		return err_hint(err_new(ERR_USAGE, "%s drives nothing", a->command->name), "flotsam exercise takes --run, --rounds, --per");
	if (watch && d != DRIVER_WATCH)
		return err_hint(err_new(ERR_USAGE, "%s does not watch", a->command->name), "flotsam watch takes --interval, --look, --growth, --level, --hold, --count, --prometheus, --unit");
	if (d != DRIVER_NONE && a->prompt)
		return err_hint(err_new(ERR_USAGE, "%s takes looks of its own, which a sitting cannot", a->command->name), "flotsam %s PID", a->command->name);
	if (d != DRIVER_NONE && a->kind && strcmp(a->kind, "live"))
		return err_new(ERR_USAGE, "%s takes a process: a core does not change", a->command->name);
	return NULL;
}

static struct err *name_looks(struct arguments *a)
{
	if (a->prompt)
		return err_hint(err_new(ERR_USAGE, "%s takes looks of its own, which a sitting cannot", a->command->name), "flotsam %s A B", a->command->name);
	if (a->n_words + 1 > MAX_LOOKS)
		return err_new(ERR_LIMIT, "more than %d looks", MAX_LOOKS);
	TRY(cmd_name_look(a->target, &a->looks[0]));
	for (unsigned i = 0; i < a->n_words; i++)
		TRY(cmd_name_look(a->words[i], &a->looks[i + 1]));
	a->n_looks = a->n_words + 1;
	return NULL;
}

/* A file may be a census: then the command must need no more than that. */
static struct err *check_census(struct arguments *a)
{
	if (a->kind && !strcmp(a->kind, "core") && !a->prompt) {
		AUTO_FD int fd = census_open(a->target);
		if (fd >= 0)
			a->kind = "census";
	}
	if (!a->kind || strcmp(a->kind, "census") || a->command->on_census)
		return NULL;
	struct strbuf names = { 0 };
	for (size_t i = 0; command_get(i); i++)
		if (command_get(i)->on_census)
			strbuf_printf(&names, names.n ? ", %s" : "%s", command_get(i)->name);
	struct err *e = err_new(ERR_USAGE, "%s needs the memory itself, of which a census holds nothing", a->command->name);
	e = err_hint(e, "a process or a core has it; a census answers %s", names.text ? names.text : "");
	strbuf_free(&names);
	return e;
}

static struct err *check(struct arguments *a)
{
	if (a->help || a->version)
		return NULL;
	if (a->command->target == TARGET_SITTING && !a->prompt)
		return err_hint(err_new(ERR_USAGE, "%s is a command of the prompt", a->command->name), "flotsam shell TARGET -e '%s ...'", a->command->name);
	TRY(check_followed(a));
	if (!a->target && (a->command->target == TARGET_ONE || a->command->target == TARGET_MANY))
		return err_hint(err_new(ERR_USAGE, "which process or core?"), "flotsam PID   |   flotsam NAME   |   flotsam CORE   |   flotsam --help");
	TRY(check_unseen(a));
	take_top(a);
	TRY(check_words(a));
	TRY(check_format(a));
	if (a->session.types == TYPES_AUTO && labels_must_last(a))
		a->session.types = TYPES_VTABLE;
	TRY(check_state(a));
	if ((a->n_execute || a->script) && strcmp(a->command->name, "shell"))
		return err_hint(err_new(ERR_USAGE, "-e and -x belong to shell"), "flotsam shell TARGET -e 'COMMAND'");
	if (!a->command->filters && (a->class || a->state || a->min_size))
		return err_hint(err_new(ERR_USAGE, "%s takes none of --class, --state, --min-size", a->command->name), "flotsam blocks takes them");
	if (!a->command->rules && (a->n_fail_on || a->suppress))
		return err_hint(err_new(ERR_USAGE, "%s takes neither --fail-on nor --suppress", a->command->name), "flotsam check takes them");
	if (a->against && (!a->command->rules || a->prompt))
		return err_hint(err_new(ERR_USAGE, "--against belongs to check, on the command line"), "flotsam check TARGET --against BASE");
	if (a->against) {
		TRY(cmd_name_look(a->against, &a->looks[0]));
		a->n_looks = 1;
	}
	if ((a->content || a->compress || a->no_references) && strcmp(a->command->name, "snap"))
		return err_hint(err_new(ERR_USAGE, "%s takes no --%s", a->command->name,
					a->content ? "content" : a->compress ? "compress" : "no-references"), "flotsam snap takes it");
	if (a->command->target == TARGET_MANY)
		return name_looks(a);
	TRY(check_census(a));
	TRY(check_time(a));
	if (!a->kind && a->target) {
		a->by_name = a->target;
		TRY(cmd_find_process(a->target, a->found));
		a->kind = "live";
		a->target = a->found;
	}
	return a->command->prepare ? a->command->prepare(a) : NULL;
}

/* The word behind `help`. */
static struct err *help_of(struct arguments *a, const char *word)
{
	a->command = command_by_name(word);
	if (a->command)
		return NULL;
	struct strbuf names = { 0 };
	for (size_t i = 0; command_get(i); i++)
		strbuf_printf(&names, i ? ", %s" : "%s", command_get(i)->name);
	struct err *e = no_such("command", word, &names);
	strbuf_free(&names);
	return e;
}

struct err *arguments_parse(int argc, char **argv, struct arguments *ret)
{
	*ret = (struct arguments){ .color = "auto", .top = 10, .session.types = TYPES_AUTO };
	bool operands_only = false;
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		if (ret->command && ret->command->driver == DRIVER_RUN && (!strcmp(word, "--") ? argv[i + 1] != NULL : word[0] != '-')) {
			ret->run_words = argv + i + !strcmp(word, "--");
			break;
		}
		if (!operands_only && !strcmp(word, "--")) {
			operands_only = true;
		} else if (!operands_only && word[0] == '-' && word[1]) {
			TRY(parse_option(argc, argv, &i, ret));
		} else if (!ret->command && (!ret->target || (ret->kind && !strcmp(ret->kind, "live"))) && command_by_name(word) &&
			   command_by_name(word)->target != TARGET_SITTING) {
			ret->command = command_by_name(word);
		} else if (!ret->command && !ret->target && !strcmp(word, "help")) {
			ret->help = true;
		} else if (ret->help && !ret->command && !ret->target) {
			TRY(help_of(ret, word));
		} else {
			TRY(take_target(ret, word));
		}
	}
	ret->defaulted = !ret->command && !ret->help;
	if (ret->defaulted)
		ret->command = command_get(0);
	return check(ret);
}

struct err *arguments_parse_line(int n, char **words, const struct arguments *base, struct arguments *ret)
{
	*ret = (struct arguments){ .color = base->color, .top = base->top, .show_content = base->show_content, .verbose = base->verbose,
				   .session = base->session, .kind = base->kind, .target = base->target, .output = base->output, .prompt = true, .desk = base->desk };
	bool operands_only = false;
	/* A line that starts with a set's name, or with a word of a filter, asks for those blocks. */
	bool set = (base->desk && desk_is_set(base->desk, words[0])) || command_begins_filter(words[0]);
	if (set)
		ret->command = &command_blocks;
	else
		TRY(command_resolve(words[0], &ret->command));
	for (int i = !set; i < n; i++) {
		const char *word = words[i];
		if (!operands_only && !strcmp(word, "--"))
			operands_only = true;
		else if (!operands_only && word[0] == '-' && word[1] && !isdigit((unsigned char)word[1]))
			TRY(parse_option(n, words, &i, ret));
		else
			TRY(take_operand(ret, word));
	}
	return check(ret);
}

/* What the look was taken with is settled by then. */
static bool at_prompt(const struct option_row *o, const struct command *c)
{
	switch (o->group) {
	case G_OUTPUT:
		return o->id != O_CONTENT || c->whole_file;
	case G_BLOCKS:
		return c->filters;
	case G_CHECK:
		return c->rules && o->id != O_AGAINST;
	case G_OTHER:
		return o->id == O_HELP || (o->id == O_ONLY && !strcmp(c->name, "stack"));
	case G_TIME:
	case G_LOOK:
	case G_RULES:
		break;
	}
	return false;
}

const char *arguments_option(const struct command *c, size_t i)
{
	for (size_t k = 0; k < N_OPTIONS; k++)
		if (options[k].name && at_prompt(&options[k], c) && !i--)
			return options[k].name;
	return NULL;
}

static void print_option(struct out *o, const struct option_row *row)
{
	char left[64] = "";
	int n = 0;
	if (row->letter)
		n = snprintf(left, sizeof left, "-%c%s", row->letter, row->name ? ", " : "");
	if (row->name)
		n += snprintf(left + n, sizeof left - (size_t)n, "--%s", row->name);
	if (row->operand)
		snprintf(left + n, sizeof left - (size_t)n, row->name ? "=%s" : " %s", row->operand);
	const char *line_end = strchr(row->help, '\n');
	out_printf(o, "  %-20s %.*s\n", left, line_end ? (int)(line_end - row->help) : (int)strlen(row->help), row->help);
	if (line_end)
		out_printf(o, "  %-20s %s\n", "", line_end + 1);
}

static void print_options(struct out *o, const struct command *c)
{
	for (enum option_group g = G_OUTPUT; g <= G_OTHER; g++) {
		if (c && ((g == G_BLOCKS && !c->filters) || (g == G_CHECK && !c->rules) || (g == G_TIME && !c->driver)))
			continue;
		out_printf(o, "\n%s:\n", group_names[g]);
		for (size_t i = 0; i < N_OPTIONS; i++)
			if (options[i].group == g)
				print_option(o, &options[i]);
	}
}

static const char *target_word(const struct command *c)
{
	switch (c->target) {
	case TARGET_OPTIONAL:
		return "[TARGET]";
	case TARGET_UNSEEN:
		return "[PID]";
	case TARGET_ONE:
	case TARGET_MANY:
	case TARGET_SITTING:
		break;
	}
	return "TARGET";
}

void help_print(struct out *o, const struct command *c)
{
	if (c && c->driver == DRIVER_RUN) {
		out_printf(o, "flotsam %s [OPTIONS] -- PROGRAM [ARGUMENT...]\n%s\n\n%s", c->name, c->summary, c->help);
	} else if (c && c->target == TARGET_SITTING) {
		out_printf(o, "%s%s%s, at the prompt: flotsam shell TARGET\n%s\n\n%s", c->name, c->operands ? " " : "", c->operands ? c->operands : "",
			   c->summary, c->help);
	} else if (c) {
		out_printf(o, "flotsam %s %s%s%s [OPTIONS]\n%s\n\n%s", c->name, target_word(c), c->operands ? " " : "", c->operands ? c->operands : "",
			   c->summary, c->help);
	} else {
		out_puts(o, "flotsam looks into a running process or a core dump and says what has leaked,\n"
			    "who holds the rest, and why RSS is what it is. It only reads.\n\n"
			    "  flotsam [-p] PID | NAME | CORE    the report\n"
			    "  flotsam COMMAND TARGET [OPTIONS]\n");
		for (int g = 0; g < N_GROUPS; g++) {
			out_printf(o, "\n%s:\n", command_group_name((enum command_group)g));
			for (size_t i = 0; command_get(i); i++)
				if (command_get(i)->group == (enum command_group)g)
					out_printf(o, "  %-10s %s\n", command_get(i)->name, command_get(i)->summary);
		}
	}
	print_options(o, c);
	out_puts(o, "\nexit status: 0 done, 1 damage or a broken rule, 2 usage, 3 cannot attach or\n"
		    "read, 4 partial, 130 and 143 interrupted. `man flotsam` has examples, and says\n"
		    "what is done to your process.\n");
}
