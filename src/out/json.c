/* JSON as a stream (RFC 8259). Bytes that are no UTF-8 become U+FFFD. */
#include "flotsam/out.h"

#include <math.h>

void out_json_init(struct json *j, struct out *o, bool pretty)
{
	*j = (struct json){ .out = o, .pretty = pretty };
}

static void indent(struct json *j)
{
	if (!j->pretty)
		return;
	out_puts(j->out, "\n");
	for (unsigned i = 0; i < j->depth; i++)
		out_puts(j->out, "  ");
}

static void text(struct json *j, const char *value, size_t n)
{
	const uint8_t *p = (const uint8_t *)value;
	out_bytes(j->out, "\"", 1);
	for (size_t i = 0; i < n;) {
		size_t plain = i;
		while (plain < n && p[plain] >= 0x20 && p[plain] < 0x7f && p[plain] != '"' && p[plain] != '\\')
			plain++;
		if (plain > i) {
			out_bytes(j->out, value + i, plain - i);
			i = plain;
			continue;
		}
		if (p[i] == '"' || p[i] == '\\') {
			out_printf(j->out, "\\%c", p[i++]);
		} else {
			uint32_t c;
			size_t k = utf8_character(p + i, n - i, &c);
			if (k && utf8_drives_terminal(c))
				out_printf(j->out, "\\u%04x", c);
			else
				out_bytes(j->out, k ? value + i : "\xef\xbf\xbd", k ? k : 3);
			i += k ? k : 1;
		}
	}
	out_bytes(j->out, "\"", 1);
}

/* Takes the step to a value; its parent in an array may get its name. */
static void step(struct json *j, const char *key)
{
	struct json_step *s = &j->steps[j->depth];
	s->key = key;
	s->index = key ? 0 : s->next++;
	s->name[0] = '\0';
}

static bool watched(struct json *j, const char *key, enum json_seen what, double number)
{
	if (!j->watch)
		return false;
	step(j, key);
	j->watch(j->watch_ctx, j, what, number);
	return true;
}

static void name_element(struct json *j, const char *value)
{
	struct json_step *above = j->depth ? &j->steps[j->depth - 1] : NULL;
	if (above && !above->key && !above->name[0])
		snprintf(above->name, sizeof above->name, "%s", value);
}

static void lead(struct json *j, const char *key)
{
	if (j->comma[j->depth])
		out_bytes(j->out, ",", 1);
	if (j->depth)
		indent(j);
	j->comma[j->depth] = true;
	if (key) {
		text(j, key, strlen(key));
		out_puts(j->out, j->pretty ? ": " : ":");
	}
}

static void open_with(struct json *j, const char *key, const char *bracket)
{
	if (j->watch) {
		step(j, key);
	} else {
		lead(j, key);
		out_puts(j->out, bracket);
	}
	if (j->depth + 1 < sizeof j->comma)
		j->depth++;
	j->comma[j->depth] = false;
	j->steps[j->depth].next = 0;
}

static void close_with(struct json *j, const char *bracket)
{
	bool any = j->comma[j->depth];
	if (j->depth)
		j->depth--;
	if (j->watch)
		return;
	if (any)
		indent(j);
	out_puts(j->out, bracket);
}

void out_json_object(struct json *j, const char *key)
{
	open_with(j, key, "{");
}

void out_json_end_object(struct json *j)
{
	close_with(j, "}");
}

void out_json_array(struct json *j, const char *key)
{
	open_with(j, key, "[");
}

void out_json_end_array(struct json *j)
{
	if (j->watch) {
		unsigned n = j->steps[j->depth].next;
		j->steps[j->depth].key = "length";
		j->watch(j->watch_ctx, j, SEEN_LENGTH, n);
	}
	close_with(j, "]");
}

void out_json_string_n(struct json *j, const char *key, const char *value, size_t n)
{
	if (watched(j, key, SEEN_STRING, 0))
		return;
	lead(j, key);
	text(j, value, n);
}

void out_json_string(struct json *j, const char *key, const char *value)
{
	if (value && watched(j, key, SEEN_STRING, 0))
		name_element(j, value);
	else if (value)
		out_json_string_n(j, key, value, strlen(value));
	else
		out_json_null(j, key);
}

void out_json_u64(struct json *j, const char *key, uint64_t v)
{
	if (watched(j, key, SEEN_NUMBER, (double)v))
		return;
	lead(j, key);
	out_printf(j->out, "%llu", (unsigned long long)v);
}

void out_json_known(struct json *j, const char *key, uint64_t v)
{
	if (v == UNKNOWN)
		out_json_null(j, key);
	else
		out_json_u64(j, key, v);
}

void out_json_i64(struct json *j, const char *key, int64_t v)
{
	if (watched(j, key, SEEN_NUMBER, (double)v))
		return;
	lead(j, key);
	out_printf(j->out, "%lld", (long long)v);
}

void out_json_double(struct json *j, const char *key, double v, int digits)
{
	if (!isfinite(v)) {
		out_json_null(j, key); /* JSON has no other word for it */
		return;
	}
	if (watched(j, key, SEEN_NUMBER, v))
		return;
	lead(j, key);
	out_printf(j->out, "%.*f", digits, v);
}

void out_json_bool(struct json *j, const char *key, bool v)
{
	if (watched(j, key, SEEN_BOOL, v))
		return;
	lead(j, key);
	out_puts(j->out, v ? "true" : "false");
}

void out_json_null(struct json *j, const char *key)
{
	if (watched(j, key, SEEN_NULL, 0))
		return;
	lead(j, key);
	out_puts(j->out, "null");
}

void out_json_address(struct json *j, const char *key, uint64_t v)
{
	if (watched(j, key, SEEN_STRING, 0))
		return;
	lead(j, key);
	out_printf(j->out, "\"0x%llx\"", (unsigned long long)v);
}
