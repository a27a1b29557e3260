/* What the Tab key offers: commands, options, words of filters, item and thread numbers, symbols, types. */
#include "front.h"

#include <stdio.h>

#include <readline/readline.h>

static struct session *session; /* readline's callbacks take no argument */
static struct desk *desk;
static const struct command *command; /* of the line that is completed; NULL: none yet */
static char behind[32]; /* the word in front of the one that is completed */
static bool first_operand; /* and that is the command */

/* A source tells the candidates that begin with `typed`, one a call, NULL behind the last; *at is where it stands. The text is
 * good until the next call. */
typedef const char *source_fn(const char *typed, size_t *at);

static bool begins(const char *word, const char *typed)
{
	return !strncmp(word, typed, strlen(typed));
}

static const char *commands(const char *typed, size_t *at)
{
	for (const struct command *c; (c = command_get(*at));) {
		++*at;
		if (begins(c->name, typed))
			return c->name;
	}
	return NULL;
}

static const char *options(const char *typed, size_t *at)
{
	static char option[64];
	for (const char *name; command && (name = arguments_option(command, *at));) {
		++*at;
		snprintf(option, sizeof option, "--%s", name);
		if (begins(option, typed))
			return option;
	}
	return NULL;
}

static const char *numbers(const char *typed, size_t *at, size_t first, size_t n)
{
	static char number[24];
	while (*at < n) {
		snprintf(number, sizeof number, "%zu", first + (*at)++);
		if (begins(number, typed))
			return number;
	}
	return NULL;
}

static const char *threads(const char *typed, size_t *at)
{
	return numbers(typed, at, 1, session->target->picture.threads.n);
}

static const char *frames(const char *typed, size_t *at)
{
	return first_operand ? numbers(typed, at, 0, desk_frames(desk)) : threads(typed, at);
}

/* Of what lists have shown; all of them would be no help. Also L1 and H1 of the report. */
static const char *items(const char *typed, size_t *at)
{
	static char rank[24];
	if (*typed != 'L' && *typed != 'H')
		return *typed ? numbers(typed, at, 1, desk_items(desk)) : NULL;
	while (*at < desk_ranks(desk, *typed)) {
		snprintf(rank, sizeof rank, "%c%zu", *typed, ++*at);
		if (begins(rank, typed))
			return rank;
	}
	return NULL;
}

static const char breaks[] = " \t\n|>*+&()";

/* Foreign: what would not be one word, or would show otherwise than it is, cannot be typed. */
static const char *foreign(const char *(*by_prefix)(struct modules *ms, const char *prefix, size_t *cursor), const char *typed, size_t *at)
{
	const char *word = NULL;
	for (bool good = false; !good && *typed && !interrupted && (word = by_prefix(session->modules, typed, at));) {
		struct strbuf shown = { 0 };
		strbuf_add_escaped(&shown, word, strlen(word));
		good = shown.text && !strcmp(shown.text, word) && !word[strcspn(word, breaks)];
		strbuf_free(&shown);
	}
	return word;
}

static const char *symbols(const char *typed, size_t *at)
{
	return foreign(modules_symbol_by_prefix, typed, at);
}

static const char *types(const char *typed, size_t *at)
{
	return foreign(modules_type_by_prefix, typed, at);
}

static const char *sets(const char *typed, size_t *at)
{
	for (const char *name; (name = desk_set_name(desk, *at));) {
		++*at;
		if (begins(name, typed))
			return name;
	}
	return NULL;
}

static const char *filter_words(const char *typed, size_t *at)
{
	static const char *const words[] = { "size>=", "size<=", "size=", "state=", "class=", "label=", "type=", "arena=", "holder=", "text=",
					     "thread=", "older=", "newer=", "address>=", "leaked", "used", "free", "stack_only", "group", "by", "sort", "top", "count", "sum" };
	while (*at < sizeof words / sizeof *words) {
		const char *w = words[(*at)++];
		if (begins(w, typed))
			return w;
	}
	return NULL;
}

static const char *states(const char *typed, size_t *at)
{
	while (*at < BLOCK_STATES) {
		const char *w = block_state_name((enum block_state)(*at)++);
		if (begins(w, typed))
			return w;
	}
	return NULL;
}

static const char *classes(const char *typed, size_t *at)
{
	static const enum block_class all[] = { CLASS_REACHABLE, CLASS_POSSIBLE, CLASS_DEFINITE, CLASS_INDIRECT, CLASS_RUNTIME };
	while (*at < sizeof all / sizeof *all) {
		const char *w = block_class_name(all[(*at)++]);
		if (begins(w, typed))
			return w;
	}
	return NULL;
}

/* What stands behind the sign of a filter. */
static const char *filter_values(const char *typed, size_t *at)
{
	static const struct { const char *key; source_fn *values; } keys[] = {
		{ "state=", states }, { "class=", classes }, { "label=", types }, { "type=", types }, { "holder=", symbols }, { "thread=", threads }, { "older=", items }, { "newer=", items },
	};
	static char whole[320];
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		size_t n = strlen(keys[i].key);
		const char *w = strncmp(typed, keys[i].key, n) ? NULL : keys[i].values(typed + n, at);
		if (w) {
			snprintf(whole, sizeof whole, "%s%s", keys[i].key, w);
			return whole;
		}
	}
	return NULL;
}

static const char *keys(const char *typed, size_t *at)
{
	for (const char *w; (w = command_blocks_key(behind, *at));) {
		++*at;
		if (begins(w, typed))
			return w;
	}
	return NULL;
}

static const char *formats(const char *typed, size_t *at)
{
	while (command && *at < N_FORMATS && command->formats[*at]) {
		const char *w = command->formats[(*at)++];
		if (begins(w, typed))
			return w;
	}
	return NULL;
}

static const char *only_by(const char *typed, size_t *at)
{
	return !(*at)++ && begins("by", typed) ? "by" : NULL;
}

static const char *nothing(const char *typed, size_t *at)
{
	(void)typed, (void)at;
	return NULL;
}

/* What the word in front asks for, whatever the command takes. */
static source_fn *asked_for(void)
{
	static const struct { const char *word; source_fn *source; bool filter; } table[] = {
		{ "--format", formats, false }, { "--state", states, false }, { "--class", classes, false }, { "--top", nothing, false },
		{ "by", keys, true },		{ "sort", keys, true },	      { "group", only_by, true },    { "top", nothing, true },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(behind, table[i].word) && (!table[i].filter || (command && command->completes == COMPLETES_FILTER)))
			return table[i].source;
	return NULL;
}

enum { SOURCES = 3 };
static source_fn *const sources[][SOURCES] = {
	[COMPLETES_NOTHING] = { NULL },
	[COMPLETES_ADDRESS] = { items, symbols },
	[COMPLETES_VALUE] = { items, symbols, types },
	[COMPLETES_FILTER] = { filter_words, filter_values, sets },
	[COMPLETES_COMMAND] = { commands, sets },
	[COMPLETES_THREAD] = { threads },
	[COMPLETES_FRAME] = { frames },
};

static enum completes completes_now;

static char *generate(const char *typed, int state)
{
	static size_t at, source;
	if (!state)
		at = source = 0;
	source_fn *one = typed[0] == '-' ? options : asked_for();
	while (source < SOURCES && !interrupted) {
		source_fn *f = one ? (source ? NULL : one) : sources[completes_now][source];
		const char *w = f ? f(typed, &at) : NULL;
		if (w)
			return strdup(w);
		source++;
		at = 0;
	}
	return NULL;
}

/* By the first word of the line. */
static enum completes completes_behind(const char *first)
{
	for (size_t i = 0; desk_set_name(desk, i); i++)
		if (!strcmp(desk_set_name(desk, i), first)) {
			command = command_by_name("blocks");
			return COMPLETES_FILTER;
		}
	if (command_begins_filter(first))
		first = "blocks";
	struct err *e = command_resolve(first, &command);
	if (e)
		command = NULL;
	err_free(e);
	return command ? command->completes : COMPLETES_NOTHING;
}

/* What the word that begins at `start` may be: the first is a command, the others are what the command takes. */
static char **complete(const char *typed, int start, int end)
{
	char first[64];
	int i = 0, n = 0;
	(void)end;
	rl_attempted_completion_over = 1;
	while (rl_line_buffer[i] == ' ')
		i++;
	completes_now = COMPLETES_COMMAND;
	command = NULL;
	*behind = '\0';
	if (start > i) {
		int to = start, from;
		while (to > 0 && rl_line_buffer[to - 1] == ' ')
			to--;
		for (from = to; from > 0 && rl_line_buffer[from - 1] != ' ';)
			from--;
		snprintf(behind, sizeof behind, "%.*s", to - from, rl_line_buffer + from);
		first_operand = from == i;
		while (rl_line_buffer[i + n] && rl_line_buffer[i + n] != ' ' && n < (int)sizeof first - 1)
			n++;
		snprintf(first, sizeof first, "%.*s", n, rl_line_buffer + i);
		completes_now = completes_behind(first);
	}
	char **found = rl_completion_matches(typed, generate);
	/* A filter goes on behind its sign. */
	size_t k = found && found[0] ? strlen(found[0]) : 0;
	rl_completion_append_character = k && found[0][k - 1] == '=' ? '\0' : ' ';
	return found;
}

void complete_begin(struct session *s, struct desk *d)
{
	session = s;
	desk = d;
	rl_attempted_completion_function = complete;
	rl_completer_word_break_characters = breaks;
}
