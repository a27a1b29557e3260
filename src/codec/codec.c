/* Numbers and strings, written and read by the same calls. Nothing is read beyond the section, and after a failure nothing at all. */
#include "flotsam/codec.h"

bool codec_bytes(struct codec *k, const void *p, size_t n)
{
	if (k->failed || !vec_grow_((void **)&k->out.at, &k->out.cap, k->out.n + n, 1)) {
		k->failed = true;
		return false;
	}
	if (n)
		memcpy(k->out.at + k->out.n, p, n);
	k->out.n += n;
	return true;
}

static void put(struct codec *k, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		b[n++] = (uint8_t)(v | 0x80);
	b[n++] = (uint8_t)v;
	codec_bytes(k, b, n);
}

static uint64_t get(struct codec *k)
{
	uint64_t v = 0;
	for (unsigned shift = 0; !k->failed; shift += 7) {
		uint8_t b;
		if (!span_u8(k->in, k->at, &b) || shift > 63 || (shift == 63 && b > 1))
			break;
		k->at++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return v;
	}
	k->failed = true;
	return 0;
}

void codec_u64(struct codec *k, uint64_t *v)
{
	if (k->writing)
		put(k, *v);
	else
		*v = get(k);
}

void codec_i64(struct codec *k, int64_t *v)
{
	uint64_t u = ((uint64_t)*v << 1) ^ (uint64_t)(*v >> 63);
	codec_u64(k, &u);
	*v = (int64_t)(u >> 1 ^ (0 - (u & 1)));
}

void codec_double(struct codec *k, double *v)
{
	uint64_t bits;
	memcpy(&bits, v, sizeof bits);
	/* The exponent's end first: round numbers are short. */
	bits = __builtin_bswap64(bits);
	codec_u64(k, &bits);
	bits = __builtin_bswap64(bits);
	memcpy(v, &bits, sizeof bits);
	if (!k->writing && (*v != *v || *v > 1e300 || *v < -1e300))
		k->failed = true;
}

void codec_bool(struct codec *k, bool *v)
{
	uint64_t u = *v;
	codec_u64(k, &u);
	if (u > 1)
		k->failed = true;
	*v = u;
}

void codec_string(struct codec *k, const char **v)
{
	if (k->writing) {
		size_t n = *v ? strlen(*v) : 0;
		put(k, *v ? n + 1 : 0);
		if (*v)
			codec_bytes(k, *v, n + 1);
		return;
	}
	uint64_t n = get(k);
	*v = NULL;
	if (k->failed || !n)
		return;
	const char *p = (const char *)k->in.p + k->at;
	if (n > k->in.n - k->at || p[n - 1] || memchr(p, '\0', n - 1)) {
		k->failed = true;
		return;
	}
	k->at += n;
	*v = p;
}

void codec_text(struct codec *k, char **v)
{
	const char *p = *v;
	codec_string(k, &p);
	if (k->writing)
		return;
	*v = p ? strdup(p) : NULL;
	if (p && !*v)
		k->failed = true;
}

void codec_array(struct codec *k, char *v, size_t size)
{
	const char *p = v;
	codec_string(k, &p);
	if (k->writing)
		return;
	if (!p || strlen(p) >= size)
		k->failed = true;
	else
		memcpy(v, p, strlen(p) + 1);
}

bool codec_more(const struct codec *k)
{
	return k->writing || (!k->failed && k->at < k->in.n);
}

uint64_t codec_count(struct codec *k, uint64_t n)
{
	codec_u64(k, &n);
	return k->failed ? 0 : n;
}

bool codec_item(struct codec *k, const void *item)
{
	k->failed |= !item;
	return !k->failed;
}

void codec_range(struct codec *k, uint64_t *last, uint64_t *start, uint64_t *end)
{
	uint64_t gap = *start - *last, bytes = *end - *start;
	codec_u64(k, &gap);
	codec_u64(k, &bytes);
	*start = *last + gap;
	*end = *start + bytes;
	if (*start < *last || *end <= *start)
		k->failed = true;
	*last = *end;
}

void codec_findings(struct codec *k, struct findings *f)
{
	struct finding *x;
	CODEC_EACH(k, &f->list, x) {
		codec_string(k, &x->kind);
		codec_u64(k, &x->address);
		codec_text(k, &x->text);
		codec_u64(k, &x->expected);
		codec_u64(k, &x->found);
		codec_bool(k, &x->has_expected);
		codec_bool(k, &x->has_found);
		codec_u64(k, &x->neighbour);
	}
	CODEC_U(k, f->dropped);
}
