/* let, sets: named sets of blocks. */
#include "desk.h"

#include <ctype.h>

const uint64_t *desk_set(const struct desk *d, const char *name)
{
	for (size_t i = 0; i < d->sets.n; i++)
		if (!strcmp(d->sets.at[i].name, name))
			return d->sets.at[i].bits;
	return NULL;
}

struct err *desk_put_set(struct desk *d, const char *name, uint64_t *bits)
{
	for (size_t i = 0; i < d->sets.n; i++)
		if (!strcmp(d->sets.at[i].name, name)) {
			free(d->sets.at[i].bits);
			d->sets.at[i].bits = bits;
			return NULL;
		}
	struct named_set *slot = vec_push(&d->sets);
	char *copy = strdup(name);
	if (!slot || !copy) {
		d->sets.n -= slot != NULL;
		free(copy);
		free(bits);
		return err_nomem();
	}
	*slot = (struct named_set){ copy, bits };
	return NULL;
}

static struct err *check_name(const char *name)
{
	bool good = isalpha((unsigned char)*name) || *name == '_';
	for (const char *p = name; *p; p++)
		good &= isalnum((unsigned char)*p) || *p == '_';
	if (!good)
		return err_new(ERR_USAGE, "'%s' is no name for a set: letters, digits and _", name);
	if (command_by_name(name) || selector_is_verb(name))
		return err_new(ERR_USAGE, "'%s' is a command already", name);
	return NULL;
}

static void let_json(struct out *o, const char *name, const struct class_sum *sum)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.let/1");
	out_json_string(&j, "name", name);
	out_json_u64(&j, "blocks", sum->blocks);
	out_json_u64(&j, "bytes", sum->bytes);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *let(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct selector *which;
	struct cmd_names names;
	struct block_cursor c;
	struct class_sum sum = { 0 };
	unsigned taken;
	const char *name = a->words[0];
	if (a->n_words < 3 || strcmp(a->words[1], "="))
		return err_hint(err_new(ERR_USAGE, "let NAME = FILTER"), "let big = size>=1M");
	TRY(check_name(name));
	TRY(cmd_need_walk(s, ret_status));
	cmd_names_init(&names, a, s);
	TRY(selector_create(s, &names.names, a->words + 2, a->n_words - 2, &which, &taken));
	AUTO_FREE uint64_t *bits = calloc(s->blocks->n / 64 + 1ul, sizeof *bits);
	for (blocks_begin(s->blocks, &c); bits && blocks_next(&c) && !interrupted;)
		if (selector_match(which, &c)) {
			bits[c.id / 64] |= 1ul << c.id % 64;
			sum.blocks++;
			sum.bytes += c.usable;
		}
	selector_free(which);
	if (!bits)
		return err_nomem();
	if (interrupted)
		return err_new(ERR_INTERRUPTED, "interrupted");
	if (taken + 2 < a->n_words)
		return err_new(ERR_USAGE, "a set is made of a filter alone, not of '%s'", a->words[taken + 2]);
	TRY(desk_put_set(a->desk, name, TAKE(bits)));
	if (!strcmp(a->format, "json"))
		let_json(o, name, &sum);
	else
		out_printf(o, "%s: %s block%s, %s\n", name, text_count(sum.blocks).text, sum.blocks == 1 ? "" : "s", text_size(sum.bytes).text);
	*ret_status = EXIT_REPORT;
	return NULL;
}

static const struct column columns[] = {
	{ "name", "SET", "its name", CELL_TEXT, 20 },
	{ "blocks", "BLOCKS", "blocks", CELL_COUNT, 0 },
	{ "bytes", "BYTES", "usable bytes", CELL_BYTES, 14 },
};

static struct err *sets(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct sink k;
	if (cmd_is_text(a) && !a->desk->sets.n) {
		out_puts(o, "no set has a name yet: let NAME = FILTER gives one\n");
		return NULL;
	}
	sink_begin(&k, sink_find(a->format), o, columns, 3);
	k.noun = "sets";
	for (size_t i = 0; i < a->desk->sets.n; i++) {
		const struct named_set *set = &a->desk->sets.at[i];
		struct class_sum sum = { 0 };
		struct block_cursor c;
		for (blocks_begin(s->blocks, &c); blocks_next(&c) && !interrupted;)
			if (set->bits[c.id / 64] >> c.id % 64 & 1) {
				sum.blocks++;
				sum.bytes += c.usable;
			}
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		struct cell cells[] = { { .text = set->name }, { .number = sum.blocks }, { .number = sum.bytes } };
		sink_record(&k, cells);
	}
	sink_end(&k);
	*ret_status = EXIT_REPORT;
	return NULL;
}

const struct command command_let = {
	.name = "let",
	.summary = "give a set of blocks a name",
	.formats = { "text", "json" },
	.help = "  let big = size>=1M\n"
		"  let mine = big & leaked - text~cache\n"
		"  big & leaked              lists it; also: blocks big group by label\n",
	.group = GROUP_BLOCKS,
	.target = TARGET_SITTING,
	.on_census = true,
	.operands = "NAME = FILTER",
	.min_words = 1,
	.max_words = MAX_WORDS,
	.completes = COMPLETES_FILTER,
	.run = let,
};

const struct command command_sets = {
	.name = "sets",
	.summary = "the sets that have a name",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  sets\n",
	.group = GROUP_BLOCKS,
	.target = TARGET_SITTING,
	.on_census = true,
	.run = sets,
};
