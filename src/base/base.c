/* Vectors, hash map, cleanup, findings: the small things that every module uses. */
#include "flotsam/base.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

volatile int interrupted;

void cleanup_free(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

void cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

void cleanup_err(struct err **e)
{
	err_free(*e);
}

uint64_t clock_nanoseconds(int clock)
{
	struct timespec t;
	return clock_gettime(clock, &t) ? 0 : (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

double monotonic_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool vec_grow_(void **at, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return true;
	size_t want = *cap ? *cap + *cap / 2 + 8 : 16;
	if (want < need)
		want = need;
	size_t bytes;
	if (__builtin_mul_overflow(want, size, &bytes))
		return false;
	void *p = realloc(*at, bytes);
	if (!p)
		return false;
	*at = p;
	*cap = want;
	return true;
}

static uint64_t hash64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15u;
	return x ^ (x >> 29);
}

static bool map64_grow(struct map64 *m)
{
	struct map64 big = { .cap = m->cap ? m->cap * 2 : 64 };
	big.keys = malloc(big.cap * sizeof *big.keys);
	big.values = malloc(big.cap * sizeof *big.values);
	big.used = calloc(big.cap, 1);
	if (!big.keys || !big.values || !big.used) {
		map64_free(&big);
		return false;
	}
	for (size_t i = 0; i < m->cap; i++)
		if (m->used[i])
			map64_put(&big, m->keys[i], m->values[i]);
	map64_free(m);
	*m = big;
	return true;
}

bool map64_put(struct map64 *m, uint64_t key, uint64_t value)
{
	if (m->n * 4 >= m->cap * 3 && !map64_grow(m))
		return false;
	size_t i = hash64(key) & (m->cap - 1);
	while (m->used[i] && m->keys[i] != key)
		i = (i + 1) & (m->cap - 1);
	m->n += !m->used[i];
	m->used[i] = 1;
	m->keys[i] = key;
	m->values[i] = value;
	return true;
}

bool map64_find(const struct map64 *m, uint64_t key, uint64_t *ret)
{
	if (!m->cap)
		return false;
	size_t i = hash64(key) & (m->cap - 1);
	while (m->used[i]) {
		if (m->keys[i] == key) {
			*ret = m->values[i];
			return true;
		}
		i = (i + 1) & (m->cap - 1);
	}
	return false;
}

void map64_free(struct map64 *m)
{
	free(m->keys);
	free(m->values);
	free(m->used);
	*m = (struct map64){ 0 };
}

static void add_finding(struct findings *f, const struct finding *what, const char *fmt, va_list ap)
{
	char *text = NULL;
	if (f->list.n >= LIMIT_FINDINGS) {
		f->dropped++;
		return;
	}
	if (vasprintf(&text, fmt, ap) < 0)
		return;
	struct finding *slot = vec_push(&f->list);
	if (!slot) {
		free(text);
		return;
	}
	*slot = *what;
	slot->text = text;
}

void findings_add_words(struct findings *f, const struct finding *what, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add_finding(f, what, fmt, ap);
	va_end(ap);
}

void findings_add(struct findings *f, const char *kind, uint64_t address, const char *fmt, ...)
{
	struct finding what = { .kind = kind, .address = address };
	va_list ap;
	va_start(ap, fmt);
	add_finding(f, &what, fmt, ap);
	va_end(ap);
}

void findings_pop(struct findings *f)
{
	free(f->list.at[--f->list.n].text);
}

void findings_free(struct findings *f)
{
	for (size_t i = 0; i < f->list.n; i++)
		free(f->list.at[i].text);
	vec_free(&f->list);
	f->dropped = 0;
}
