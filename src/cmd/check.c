/* flotsam check: rules on the figures of the report, for builds and alarms. A rule names a figure by its way through the
 * report's JSON, which is shown to this file instead of being written. */
#include "cmd.h"

#include <ctype.h>

enum { LONGEST_NAME = 160 };
enum operator { OP_GREATER, OP_GREATER_EQUAL, OP_LESS, OP_LESS_EQUAL, OP_EQUAL, OP_NOT_EQUAL, N_OPERATORS };
static const char *const operators[N_OPERATORS] = { ">", ">=", "<", "<=", "==", "!=" };

enum outcome { RULE_HELD, RULE_FIRES, RULE_UNDECIDED };
static const char *const outcomes[] = { "held", "fires", "undecided" };

struct rule {
	const char *text;
	char name[LONGEST_NAME];
	enum operator op;
	double number;
	bool percent;
	bool seen, known;	/* the name exists; it has a number */
	double value, whole;	/* whole: what a percentage is of */
	bool whole_known;
	enum outcome outcome;
};

static const char default_rule[] = "reachability.definite.blocks > 0", default_against[] = "new_leaked.blocks > 0";

/* Kilo is 1000, kibi 1024. */
static bool unit_of(const char *word, double *ret_factor, bool *ret_percent)
{
	static const struct { const char *name; double factor; } units[] = {
		{ "", 1 }, { "B", 1 }, { "k", 1e3 }, { "kB", 1e3 }, { "M", 1e6 }, { "MB", 1e6 }, { "G", 1e9 }, { "GB", 1e9 },
		{ "T", 1e12 }, { "TB", 1e12 }, { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 },
	};
	*ret_factor = 1;
	*ret_percent = !strcmp(word, "%");
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (!strcmp(word, units[i].name)) {
			*ret_factor = units[i].factor;
			return true;
		}
	return *ret_percent;
}

static struct err *bad_rule(const char *text, const char *why)
{
	return err_hint(err_new(ERR_USAGE, "--fail-on '%s': %s", text, why), "--fail-on 'reachability.definite.bytes > 1 MiB'");
}

/* The longest operator that stands at p. */
static bool take_operator(const char **p, enum operator *ret)
{
	size_t best = 0;
	for (int i = 0; i < N_OPERATORS; i++) {
		size_t n = strlen(operators[i]);
		if (n > best && !strncmp(*p, operators[i], n)) {
			best = n;
			*ret = (enum operator)i;
		}
	}
	*p += best;
	return best;
}

static struct err *parse_rule(const char *text, struct rule *ret)
{
	struct rule r = { .text = text };
	const char *p = text + strspn(text, " \t");
	size_t n = strcspn(p, " \t<>=!");
	char word[16], *end;
	double factor;
	if (!n || n >= sizeof r.name)
		return bad_rule(text, "no name");
	memcpy(r.name, p, n);
	p += n;
	p += strspn(p, " \t");
	if (!take_operator(&p, &r.op))
		return bad_rule(text, "no >, >=, <, <=, == or != behind the name");
	p += strspn(p, " \t");
	if (!isdigit((unsigned char)*p) || strspn(p, "0123456789.") == 0 || p[1] == 'x')
		return bad_rule(text, "no number behind the operator");
	r.number = strtod(p, &end);
	p = end + strspn(end, " \t");
	snprintf(word, sizeof word, "%s", p);
	word[strcspn(word, " \t")] = '\0';
	if (strlen(word) != strlen(p) || !unit_of(word, &factor, &r.percent))
		return bad_rule(text, "the unit is none of k, M, G, T, KiB, MiB, GiB, TiB, %");
	r.number *= factor;
	*ret = r;
	return NULL;
}

static bool is_step(const struct json_step *s, const char *word, size_t n)
{
	char index[16];
	if (s->key)
		return strlen(s->key) == n && !memcmp(s->key, word, n);
	snprintf(index, sizeof index, "%u", s->index);
	return (strlen(index) == n && !memcmp(index, word, n)) || (n && strlen(s->name) == n && !memcmp(s->name, word, n));
}

/* What is left of the name behind the place that is shown: "" there, ".more" above it; NULL elsewhere. */
static const char *behind(const struct json *j, const char *name)
{
	for (unsigned i = 1; i <= j->depth; i++) {
		name += i > 1;
		size_t n = strcspn(name, ".");
		if (!is_step(&j->steps[i], name, n))
			return NULL;
		name += n;
		if (!*name && i < j->depth)
			return NULL;
	}
	return name;
}

static bool is_at(const struct json *j, const char *name)
{
	const char *rest = behind(j, name);
	return rest && !*rest;
}

/* What is a percentage of this figure a part of? NULL: of nothing. */
static const char *whole_of(const char *name)
{
	const char *last = strrchr(name, '.');
	bool blocks = last && strstr(last, "blocks");
	static const char *const of_heap[] = { "heap.used.", "reachability.", "leaks.", "holders.", "interior_rules." };
	if (!strncmp(name, "rss.cgroup.", 11))
		return "rss.cgroup.limit_bytes";
	if (!strncmp(name, "rss.", 4))
		return "rss.total_bytes";
	for (size_t i = 0; i < sizeof of_heap / sizeof of_heap[0]; i++)
		if (!strncmp(name, of_heap[i], strlen(of_heap[i])))
			return blocks ? "heap.used.blocks" : "heap.used.bytes";
	return NULL;
}

struct watcher { struct rule *rules; size_t n; };

static void watch(void *ctx, const struct json *j, enum json_seen what, double number)
{
	struct watcher *w = ctx;
	bool is_number = what == SEEN_NUMBER || what == SEEN_BOOL || what == SEEN_LENGTH;
	for (size_t i = 0; i < w->n; i++) {
		struct rule *r = &w->rules[i];
		const char *whole = r->percent ? whole_of(r->name) : NULL;
		const char *rest = r->seen ? NULL : behind(j, r->name);
		if (what == SEEN_NULL && rest && *rest) { /* the whole of which it is a part is not known */
			r->seen = true;
		} else if (rest && !*rest) {
			r->seen = is_number || what == SEEN_NULL;
			r->known = is_number;
			r->value = number;
		}
		if (whole && is_number && is_at(j, whole)) {
			r->whole_known = true;
			r->whole = number;
		}
	}
}

/* Lists whose elements come and go: what is not there counts as 0, when it might be there. */
static bool may_be_absent(const char *name)
{
	static const struct { const char *list, *first, *keys; } lists[] = {
		{ "leaks.", "L", " size blocks bytes retained_bytes " },
		{ "holders.", "H", " retained_blocks retained_bytes " },
		{ "heap.states.", NULL, " blocks bytes " },
		{ "interior_rules.", NULL, " blocks " },
		{ "heap.arenas.", "", " system_bytes used_bytes free_bytes top_bytes heaps " },
		{ "heap.pins.", "", " size free_bytes freed_bytes freed_resident_bytes heap_bytes " },
		{ "resources.descriptors.kinds.", "*", " count " },
		{ "verdicts.", NULL, " bytes count " },
	};
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		size_t k = strlen(lists[i].list);
		char element[40], key[40];
		if (strncmp(name, lists[i].list, k) || sscanf(name + k, "%39[^.].%39s", element, key) != 2)
			continue;
		char padded[48];
		snprintf(padded, sizeof padded, " %s ", key);
		const char *digits = element + (lists[i].first && *lists[i].first && element[0] == *lists[i].first);
		bool known = (*digits && !digits[strspn(digits, "0123456789")]) || (lists[i].first && *lists[i].first == '*');
		for (int s = 0; !lists[i].first && i == 2 && s < BLOCK_STATES; s++)
			known |= !strcmp(block_state_name((enum block_state)s), element);
		for (int s = 0; !lists[i].first && i == 3 && s < N_INTERIOR_RULES; s++)
			known |= !strcmp(interior_rule_name((enum interior_rule)s), element);
		known |= !strcmp(lists[i].list, "verdicts.") && verdict_is_kind(element);
		return known && strstr(lists[i].keys, padded);
	}
	return false;
}

static bool holds(enum operator op, double value, double number)
{
	switch (op) {
	case OP_GREATER:
		return value > number;
	case OP_GREATER_EQUAL:
		return value >= number;
	case OP_LESS:
		return value < number;
	case OP_LESS_EQUAL:
		return value <= number;
	case OP_EQUAL:
		return value == number;
	case OP_NOT_EQUAL:
	case N_OPERATORS:
		break;
	}
	return value != number;
}

/* Where memory that may hold pointers was not read, what seems lost may be alive: these figures are then upper bounds. */
static bool is_upper_bound(const char *name)
{
	static const char *const names[] = { "reachability.definite.", "reachability.indirect.", "reachability.possible.", "leaks.",
					     "rss.causes.leaked.", "rss.causes.possible.", "new_leaked.", "old_leaked." };
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!strncmp(name, names[i], strlen(names[i])))
			return true;
	return false;
}

static struct err *decide(struct rule *r, const struct report *report)
{
	if (!r->seen && may_be_absent(r->name))
		r->seen = r->known = true;
	if (!r->seen && !strncmp(r->name, "types.", 6))
		return err_hint(err_new(ERR_USAGE, "--fail-on '%s': what blocks are is not told here", r->text), "flotsam check TARGET --types=all tells it");
	if (!r->seen)
		return err_hint(err_new(ERR_USAGE, "--fail-on '%s': the report has no figure '%s'", r->text, r->name),
				"flotsam report TARGET --format json shows the names; man flotsam-json explains them");
	double limit = r->percent ? r->whole * r->number / 100 : r->number;
	r->outcome = RULE_UNDECIDED;
	/* A group without a limit uses none of it. */
	if (r->percent && r->known && !r->whole_known && !strncmp(r->name, "rss.cgroup.", 11)) {
		r->outcome = holds(r->op, 0, r->number) ? RULE_FIRES : RULE_HELD;
		return NULL;
	}
	if (!r->known || (r->percent && !r->whole_known))
		return NULL;
	bool here = holds(r->op, r->value, limit);
	if (report->at_most && is_upper_bound(r->name) && here != holds(r->op, 0, limit))
		return NULL;
	r->outcome = here ? RULE_FIRES : RULE_HELD;
	return NULL;
}

static struct err *parse_rules(const struct arguments *a, struct rule *to, size_t *ret_n)
{
	*ret_n = a->n_fail_on ? a->n_fail_on : 1;
	for (size_t i = 0; i < *ret_n; i++) {
		TRY(parse_rule(a->n_fail_on ? a->fail_on[i] : a->against ? default_against : default_rule, &to[i]));
		if (to[i].percent && !whole_of(to[i].name))
			return bad_rule(to[i].text, "of what would that be a percentage? Say a number");
	}
	return NULL;
}

static struct err *prepare(struct arguments *a)
{
	struct rule rules[MAX_SCRIPTS];
	struct suppressions s = { 0 };
	size_t n;
	TRY(parse_rules(a, rules, &n));
	if (!a->suppress)
		return NULL;
	if (a->prompt)
		return err_hint(err_new(ERR_USAGE, "the prompt opens no files: --suppress belongs to the command line"), "flotsam check TARGET --suppress FILE");
	TRY(suppressions_read(a->suppress, &s));
	a->suppress_text = TAKE(s.text);
	suppressions_free(&s);
	return NULL;
}

static bool in_bytes(const char *name)
{
	size_t n = strlen(name);
	return n >= 5 && !strcmp(name + n - 5, "bytes");
}

static void value_text(const struct rule *r, char *to, size_t n)
{
	if (!r->known)
		snprintf(to, n, "unknown");
	else if (r->percent && r->whole_known && r->whole > 0)
		snprintf(to, n, "%.1f %%", 100 * r->value / r->whole);
	else if (in_bytes(r->name) && r->value >= 0)
		snprintf(to, n, "%s", text_size((uint64_t)r->value).text);
	else if (r->value >= 0 && r->value == (double)(uint64_t)r->value)
		snprintf(to, n, "%s", text_count((uint64_t)r->value).text);
	else
		snprintf(to, n, "%g", r->value);
}

static void check_text(const struct arguments *a, const struct rule *rules, size_t n, const struct suppressions *s, const struct report *report, struct out *o)
{
	static const enum ink inks[] = { INK_GREEN, INK_RED, INK_YELLOW };
	char value[64];
	for (size_t i = 0; i < n; i++) {
		const struct rule *r = &rules[i];
		if (a->quiet && r->outcome == RULE_HELD)
			continue;
		value_text(r, value, sizeof value);
		out_ink(o, inks[r->outcome]);
		out_printf(o, "%-10s", outcomes[r->outcome]);
		out_ink(o, INK_PLAIN);
		struct strbuf b = { 0 };
		text_add_foreign(&b, r->text, o);
		out_printf(o, " %-44s %s%s\n", b.text ? b.text : "", report->at_most && is_upper_bound(r->name) && r->known ? "at most " : "", value);
		strbuf_free(&b);
	}
	if (a->suppress && !a->quiet)
		out_printf(o, "passed over by %s: %s blocks, %s; %s holders\n", a->suppress, text_count(s->blocks).text, text_size(s->bytes).text,
			   text_count(s->holders).text);
}

static void json_number(struct json *j, const char *key, bool known, double v)
{
	if (!known)
		out_json_null(j, key);
	else if (v >= 0 && v < 0x1p63 && v == (double)(uint64_t)v)
		out_json_u64(j, key, (uint64_t)v);
	else
		out_json_double(j, key, v, 6);
}

static void check_json(const struct rule *rules, size_t n, const struct suppressions *s, const struct report *report, struct out *o)
{
	struct json j;
	uint64_t counts[3] = { 0 };
	for (size_t i = 0; i < n; i++)
		counts[rules[i].outcome]++;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.check/1");
	out_json_string(&j, "version", FLOTSAM_VERSION);
	report_json_identity(&j, report->session);
	for (int i = 0; i < 3; i++)
		out_json_u64(&j, outcomes[i], counts[i]);
	out_json_array(&j, "rules");
	for (size_t i = 0; i < n; i++) {
		const struct rule *r = &rules[i];
		out_json_object(&j, NULL);
		out_json_string(&j, "name", r->name);
		out_json_string(&j, "operator", operators[r->op]);
		json_number(&j, "number", true, r->number);
		out_json_bool(&j, "percent", r->percent);
		json_number(&j, "value", r->known, r->value);
		json_number(&j, "whole", r->whole_known, r->whole);
		out_json_bool(&j, "at_most", report->at_most && is_upper_bound(r->name));
		out_json_string(&j, "verdict", outcomes[r->outcome]);
		out_json_end_object(&j);
	}
	out_json_end_array(&j);
	out_json_object(&j, "suppressed");
	out_json_u64(&j, "blocks", s->blocks);
	out_json_u64(&j, "bytes", s->bytes);
	out_json_u64(&j, "holders", s->holders);
	out_json_end_object(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static const char beside[] = "resources.";

/* What flotsam resources prints, as "resources" beside the report's keys; made when a rule asks for it. */
static struct err *watch_resources(struct session *s, const struct rule *rules, size_t n, struct json *j)
{
	struct resources *r;
	size_t wanted = 0;
	for (size_t i = 0; i < n; i++)
		wanted += !strncmp(rules[i].name, beside, sizeof beside - 1);
	if (!wanted)
		return NULL;
	TRY(query_resources(s, RESOURCES_ALL, &r));
	out_json_object(j, NULL);
	out_json_object(j, "resources");
	resources_json_write(r, j);
	out_json_end_object(j);
	out_json_end_object(j);
	resources_free(r);
	return NULL;
}

/* What flotsam diff prints of the base and this look, beside the report's keys. */
static struct err *watch_difference(const struct arguments *a, struct session *s, bool *at_most, struct json *j)
{
	struct codec_bytes b;
	struct census *now;
	struct diff *d;
	if (!a->against)
		return NULL;
	TRY(census_make(s, false, &b));
	TRY(census_read(b.at, b.n, &now));
	const struct census *const both[] = { a->censuses[0], now };
	struct err *e = diff_make(both, 2, &d);
	if (!e) {
		out_json_object(j, NULL);
		diff_json_write(d, j);
		out_json_end_object(j);
		*at_most |= d->at_most;
		diff_free(d);
	}
	census_free(now);
	return e;
}

static struct err *judge(const struct arguments *a, struct report *r, struct rule *rules, size_t n, struct suppressions *s)
{
	struct json j;
	struct watcher w = { rules, n };
	struct verdicts *v;
	query_suppress(s, r);
	out_json_init(&j, NULL, false);
	j.watch = watch;
	j.watch_ctx = &w;
	TRY(query_verdicts(r, &v));
	report_json_write(a, r, v, &j);
	verdicts_free(v);
	TRY(watch_resources(r->session, rules, n, &j));
	TRY(watch_difference(a, r->session, &r->at_most, &j));
	for (size_t i = 0; i < n; i++)
		TRY(decide(&rules[i], r));
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct rule rules[MAX_SCRIPTS];
	struct suppressions passed = { 0 };
	struct report *r;
	size_t n;
	TRY(parse_rules(a, rules, &n));
	TRY(suppressions_parse(a->suppress_text, a->suppress, &passed));
	struct err *e = query_report(s, &r);
	if (e) {
		suppressions_free(&passed);
		return e;
	}
	e = judge(a, r, rules, n, &passed);
	if (!e) {
		*ret_status = EXIT_REPORT;
		for (size_t i = 0; i < n; i++)
			if (rules[i].outcome == RULE_FIRES || (rules[i].outcome == RULE_UNDECIDED && *ret_status == EXIT_REPORT))
				*ret_status = rules[i].outcome == RULE_FIRES ? EXIT_RULE : EXIT_PARTIAL;
		if (!strcmp(a->format, "json"))
			check_json(rules, n, &passed, r, o);
		else
			check_text(a, rules, n, &passed, r, o);
	}
	suppressions_free(&passed);
	report_free(r);
	return e;
}

const struct command command_check = {
	.name = "check",
	.summary = "exit status 1 when a figure breaks a rule",
	.formats = { "text", "json" },
	.help = "  flotsam check 4242                   nothing may have leaked\n"
		"  flotsam check 4242 --fail-on 'reachability.definite.bytes > 1 MiB'\n"
		"  flotsam check 4242 --fail-on 'rss.cgroup.usage_bytes > 90 %'\n"
		"  flotsam check 4242 --suppress known-leaks.txt\n"
		"  flotsam check 4242 --against base.census --fail-on 'new_leaked.bytes > 0'\n",
	.group = GROUP_REPORT,
	.rules = true,
	.prepare = prepare,
	.on_census = true,
	.run = run,
};
