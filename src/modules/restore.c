/* Modules as somebody else found them: names, places and build-ids, without files. Nothing is asked of them that needs one, but for
 * the symbols that were kept. */
#include "modules.h"

static struct err *add(struct modules *ms, const struct module *from)
{
	struct module **slot = vec_push(&ms->list);
	struct module *m = calloc(1, sizeof *m);
	struct priv *p = calloc(1, sizeof *p);
	struct module_segment *segments = calloc(from->n_segments + 1, sizeof *segments);
	if (!slot || !m || !p || !segments) {
		ms->list.n -= slot != NULL;
		free(m);
		free(p);
		free(segments);
		return err_nomem();
	}
	*p = (struct priv){ .fd = -1, .debug_fd = -1, .alt_fd = -1, .symbols_read = true, .lines_read = true, .dwarf_tried = true,
			    .units_read = true, .named_read = true, .tls_offset_tried = true };
	*m = *from;
	m->priv = p;
	m->file = (struct span){ 0 };
	m->segments = segments;
	if (from->n_segments)
		memcpy(segments, from->segments, from->n_segments * sizeof *segments);
	const char *slash = strrchr(m->path, '/');
	m->name = slash ? slash + 1 : m->path;
	*slot = m;
	return NULL;
}

struct err *modules_restore(struct target *t, struct image *img, const struct module *list, size_t n, struct modules **ret)
{
	struct modules *ms = calloc(1, sizeof *ms);
	if (!ms)
		return err_nomem();
	ms->target = t;
	ms->img = img;
	struct err *e = NULL;
	for (size_t i = 0; i < n && !e; i++)
		e = add(ms, &list[i]);
	if (e) {
		modules_close(ms);
		return e;
	}
	*ret = ms;
	return NULL;
}

struct err *modules_restore_symbol(struct modules *ms, const struct symbol *s)
{
	struct module *m = modules_at(ms, s->address);
	struct raw_symbol *slot = m ? vec_push(&priv_of(m)->symbols) : NULL;
	if (m && !slot)
		return err_nomem();
	if (slot)
		*slot = (struct raw_symbol){ .address = s->address, .size = s->size, .name = s->name,
					     .type = s->is_function ? STT_FUNC : s->is_object ? STT_OBJECT : STT_NOTYPE,
					     .bind = s->is_global ? STB_GLOBAL : STB_LOCAL };
	return NULL;
}
