#include "compare.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LINES = 12 };

void fault(struct faults *f, const char *format, ...)
{
	va_list ap;
	if (f->count++ >= MOST_LINES)
		return;
	va_start(ap, format);
	int n = vsnprintf(f->text + f->n, sizeof f->text - f->n - 2, format, ap);
	va_end(ap);
	f->n += n > 0 ? (size_t)n : 0;
	if (f->n >= sizeof f->text - 2)
		f->n = sizeof f->text - 2;
	f->text[f->n++] = '\n';
	f->text[f->n] = 0;
}

const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s ? s : "null";
}

bool among(const char *name, const char *list)
{
	size_t n = strlen(name);
	for (const char *p = list; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (!strncmp(p, name, n) && (p[n] == 0 || p[n] == '|'))
			return true;
	return false;
}

/* What points at a lost block by chance. With words of 4 bytes four letters make an address, and a word that is taken for a
 * mangled pointer may give one: a few blocks, all in all. Else it is the upper half of a stale pointer above an int of 0: the
 * block holds a multiple of 4 GiB. */
static bool by_chance(struct faults *f, const json_t *want, const json_t *got, const char *cls)
{
	if (!among("definite", cls) && !among("indirect", cls))
		return false;
	unsigned long long start = strtoull(text_of(want, "address"), NULL, 16);
	if (!strcmp(text_of(got, "class"), "possible") &&
	    start >> 32 != (start + (unsigned long long)json_integer_value(json_object_get(want, "size"))) >> 32)
		return true;
	return f->chances && among(text_of(got, "class"), "possible|reachable") && f->chances--;
}

static void compare_block(struct faults *f, const json_t *want, const json_t *got, bool core)
{
	const char *address = text_of(want, "address"), *why = text_of(want, "why");
	const char *cls = text_of(want, core && json_object_get(want, "core") ? "core" : "class");
	if (!got) {
		fault(f, "%s (%s): not listed", address, why);
		return;
	}
	const char *state = json_is_true(json_object_get(want, "mmapped")) ? "mmapped" : "used";
	if (strcmp(text_of(got, "state"), state))
		fault(f, "%s (%s): state %s, not %s", address, why, text_of(got, "state"), state);
	/* Without symbols libc's own streams have no name. */
	if (getenv("TRUTH_STRIPPED") && among("runtime", cls) && !strcmp(text_of(got, "class"), "reachable"))
		cls = "reachable";
	if (!among(text_of(got, "class"), cls) && !by_chance(f, want, got, cls))
		fault(f, "%s (%s): %s, not %s", address, why, text_of(got, "class"), cls);
	else if (!strcmp(cls, "reachable") &&
		 json_is_true(json_object_get(got, "stack_only")) != json_is_true(json_object_get(want, "stack_only")))
		fault(f, "%s (%s): stack_only is %s", address, why, json_is_true(json_object_get(got, "stack_only")) ? "true" : "false");
	if (json_integer_value(json_object_get(got, "size")) != json_integer_value(json_object_get(want, "size")))
		fault(f, "%s (%s): size %lld, not %lld", address, why, (long long)json_integer_value(json_object_get(got, "size")),
		      (long long)json_integer_value(json_object_get(want, "size")));
}

enum { MOST_GROUPS = 64 };

void compare_with_truth(struct faults *f, const json_t *truth, const json_t *got, bool core)
{
	json_t *rows = json_object_get(truth, "blocks"), *listed = json_object(), *want, *block;
	unsigned leaders[MOST_GROUPS] = { 0 }, members[MOST_GROUPS] = { 0 };
	size_t i;
	const char *address;
	f->chances = json_integer_value(json_object_get(truth, "word")) == 4 ? 4 + (unsigned)json_array_size(rows) / 50 : 0;
	json_array_foreach(rows, i, want) {
		address = text_of(want, "address");
		block = json_object_get(got, address);
		compare_block(f, want, block, core);
		json_object_set_new(listed, address, json_true());
		json_int_t group = json_integer_value(json_object_get(want, "group"));
		ck_assert_int_lt(group, MOST_GROUPS);
		members[group]++;
		leaders[group] += !strcmp(text_of(block, "class"), "definite");
	}
	for (i = 1; i < MOST_GROUPS; i++)
		if (members[i] && leaders[i] != 1)
			fault(f, "group %zu of %u: %u definite, not 1", i, members[i], leaders[i]);
	void *at;
	json_object_foreach_safe((json_t *)got, at, address, block) {
		if (!json_object_get(listed, address) && among(text_of(block, "class"), "definite|indirect"))
			fault(f, "%s: false leak of %lld bytes, %s, label %s", address, (long long)json_integer_value(json_object_get(block, "size")),
			      text_of(block, "class"), text_of(block, "label"));
	}
	json_decref(listed);
}

void report_faults(const struct faults *f, const char *fixture, const char *kind)
{
	if (f->count)
		ck_abort_msg("%s, %s: %u faults\n%s%s", fixture, kind, f->count, f->text, f->count > MOST_LINES ? "and more\n" : "");
}
