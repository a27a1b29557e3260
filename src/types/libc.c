/* When the C library's own types are worth their time: when its data, thread variables or frames point at a block that is not known to
 * be its own (runtime/libc.c): of a locale that it loaded, of a file that it opened. */
#include "typing.h"

#include <sys/mman.h>

struct search { struct types *t; bool found; };

static bool leads_to_block(const struct types_priv *p, uint64_t address)
{
	struct block_place at;
	uint64_t label;
	return blocks_region(p->b, address) && blocks_find(p->b, address, &at) && at.payload == address && block_state_is_used(blocks_state(p->b, at.id)) &&
	       !map64_find(&p->runtime, at.id, &label);
}

static bool on_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct search *s = ctx;
	const struct arch *a = image_arch(s->t->priv->img);
	uint64_t v;
	for (size_t i = align_up(address, a->word) - address; i + a->word <= n && !s->found; i += a->word)
		s->found = span_word((struct span){ data, n }, i, a->word, a->big, &v) && leads_to_block(s->t->priv, v);
	return !s->found;
}

static bool any_in(struct types *t, uint64_t start, uint64_t end)
{
	struct search s = { .t = t };
	image_each_window(t->priv->img, start, end, on_window, &s);
	return s.found;
}

static bool of_module(void *ctx, struct module *m)
{
	struct types *t = ctx;
	const struct picture *p = image_picture(t->priv->img);
	bool found = false;
	for (size_t i = 0; i < m->n_segments && !found; i++)
		found = m->segments[i].prot & PROT_WRITE && any_in(t, m->segments[i].start, m->segments[i].end);
	for (size_t i = 0; i < p->threads.n && m->tls_bytes && !found; i++) {
		uint64_t at;
		found = runtime_thread_variable(t->priv->ms, image_arch(t->priv->img), &p->threads.at[i], m, 0, &at) && any_in(t, at, at + m->tls_bytes);
	}
	return found;
}

static bool of_frame(void *ctx, const struct frame *f)
{
	return !f->cfa || f->cfa < f->sp || any_in(ctx, f->sp, f->cfa);
}

struct libc_types types_libc(struct types *t)
{
	return (struct libc_types){ of_module, of_frame, t };
}
