#include "text.h"

#include <ctype.h>

const char *text_line(const char *text, const char *key)
{
	size_t k = strlen(key);
	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, k))
			return p + k;
	}
	return NULL;
}

bool text_next_line(const char **p, char *to, size_t n)
{
	if (!*p || !**p)
		return false;
	size_t length = strcspn(*p, "\n"), kept = length < n ? length : n - 1;
	memcpy(to, *p, kept);
	to[kept] = '\0';
	*p += length + ((*p)[length] == '\n');
	return true;
}

bool text_number(const char **p, uint64_t *ret)
{
	const char *at = *p;
	uint64_t v = 0;
	while (*at == ' ' || *at == '\t')
		at++;
	if (!isdigit((unsigned char)*at))
		return false;
	for (; isdigit((unsigned char)*at); at++)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (unsigned)(*at - '0'), &v))
			return false;
	*p = at;
	*ret = v;
	return true;
}

uint64_t text_field(const char *text, const char *key)
{
	size_t k = strlen(key);
	uint64_t v;
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL) {
		if (strncmp(p, key, k) || !p[k] || !strchr(" \t:", p[k]))
			continue;
		const char *at = p + k + 1;
		return text_number(&at, &v) ? v : UINT64_MAX;
	}
	return UINT64_MAX;
}

uint64_t text_number_in(const char *root, const char *path)
{
	AUTO_FREE char *text = system_read(root, path, NULL);
	const char *p = text;
	uint64_t v;
	return text && text_number(&p, &v) ? v : UINT64_MAX;
}
