/* The answer as a whole. */
#include "resources.h"

bool resources_record(const char **at, const char *end, uint64_t *ret_number, const char **ret_text)
{
	const char *number = *at, *middle = number < end ? memchr(number, '\0', (size_t)(end - number)) : NULL;
	const char *text = middle ? middle + 1 : end, *last = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
	if (!last)
		return false;
	*ret_number = strtoull(number, NULL, 10);
	*ret_text = text;
	*at = last + 1;
	return true;
}

struct err *query_resources(struct session *s, unsigned parts, struct resources **ret)
{
	struct resources *r = calloc(1, sizeof *r);
	if (!r)
		return err_nomem();
	r->session = s;
	r->timers = r->mapping_limit = UNKNOWN;
	/* The walk knows which mappings are blocks of malloc's. */
	struct err *e = session_walk(s);
	if (!e && parts & RESOURCES_DESCRIPTORS)
		e = resources_descriptors(r);
	if (!e && parts & RESOURCES_THREADS)
		e = resources_places(r);
	if (!e && parts & RESOURCES_MAPPINGS)
		e = resources_mappings(r);
	if (e) {
		resources_free(r);
		return e;
	}
	*ret = r;
	return NULL;
}

void resources_free(struct resources *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->files.n; i++)
		free(r->files.at[i].path);
	for (size_t i = 0; i < r->odd.n; i++)
		free(r->odd.at[i].path);
	vec_free(&r->kinds);
	vec_free(&r->files);
	vec_free(&r->places);
	vec_free(&r->odd);
	free(r);
}
