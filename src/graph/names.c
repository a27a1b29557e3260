/* The name and rank of every root word: the object that holds it. */
#include "packed.h"

#include <inttypes.h>
#include <stdarg.h>

struct stack_frames { struct frame *at; size_t n; bool done; };
struct namer {
	struct graph *g;
	struct graph_priv *priv;
	const struct picture *p;
	struct map64 by_key; /* key -> holder index */
	struct stack_frames *frames; /* by thread */
	uint64_t cached_start, cached_end; /* the object that the last words belonged to */
	uint32_t cached_holder;
	bool nomem;
};

enum key_space { KEY_ADDRESS, KEY_FRAME, KEY_REGISTERS, KEY_KERNEL, KEY_TLS, KEY_REGION, KEY_HALF };

static uint32_t holder_for(struct namer *n, uint64_t key, enum key_space space, struct holder h)
{
	uint64_t index;
	key = key * 8;
	if (map64_find(&n->by_key, key + space, &index)) {
		free(h.name);
		free(h.where);
		return (uint32_t)index;
	}
	/* Who names it when all is asked again shall not find a name whose line was not looked up to the end. */
	key += interrupted ? KEY_HALF : space;
	struct holder *slot = h.name ? vec_push(&n->g->holders) : NULL;
	if (!slot || !map64_put(&n->by_key, key, n->g->holders.n - 1)) {
		n->nomem = true;
		free(h.name);
		free(h.where);
		return 0;
	}
	*slot = h;
	return (uint32_t)n->g->holders.n - 1;
}

static char *format(const char *fmt, ...) PRINTF_LIKE(1, 2);
static char *format(const char *fmt, ...)
{
	char *text;
	va_list ap;
	va_start(ap, fmt);
	int k = vasprintf(&text, fmt, ap);
	va_end(ap);
	return k < 0 ? NULL : text;
}

static bool belongs_to_libc(const struct module *m)
{
	return m->role == MODULE_LIBC || m->role == MODULE_LDSO || m->role == MODULE_LIBPTHREAD || m->role == MODULE_LIBSTDCXX;
}

static uint32_t name_module_word(struct namer *n, struct module *m, uint64_t from)
{
	struct symbol s;
	struct source_line line = { 0 };
	struct holder h = { .rank = RANK_GLOBAL, .kind = HOLDER_GLOBAL, .address = from };
	if (belongs_to_libc(m)) {
		h.rank = RANK_LIBC;
		h.kind = HOLDER_LIBC;
	}
	if (modules_symbol_at(n->priv->ms, from, &s) && s.is_object) {
		h.address = s.address;
		n->cached_start = s.address;
		n->cached_end = s.address + s.size;
		h.name = modules_demangle(s.name);
		/* Where libc declares its own is of no use to anybody, and its DWARF is large. */
		if (h.kind != HOLDER_LIBC && modules_data_line(n->priv->ms, s.address, &line) && line.file)
			h.where = format("%s:%d", line.file, line.line);
		else
			h.where = format("%s", m->name);
		return holder_for(n, s.address, KEY_ADDRESS, h);
	}
	/* No symbol: the module's writable data is one holder, told by an address that a disassembler can find. */
	h.name = format("%s data", m->name);
	h.where = format("%s+0x%" PRIx64, m->name, from - m->start);
	return holder_for(n, m->start, KEY_ADDRESS, h);
}

/* The thread variable at this address: every module with a static TLS block is asked. False: it lies in none. */
static bool name_thread_variable(struct namer *n, uint64_t tp, uint64_t from, uint32_t *ret)
{
	struct holder h = { .rank = RANK_TLS, .kind = HOLDER_TLS, .address = from };
	for (size_t i = 0; tp && i < modules_count(n->priv->ms); i++) {
		struct module *m = modules_get(n->priv->ms, i);
		uint64_t offset;
		struct symbol s;
		if (!runtime_tls_offset(n->priv->ms, image_arch(n->priv->img), m, &offset))
			continue;
		uint64_t in = from - (tp + offset);
		if (in >= m->tls_bytes)
			continue;
		if (belongs_to_libc(m)) {
			h.rank = RANK_LIBC;
			h.kind = HOLDER_LIBC;
		}
		if (modules_tls_symbol_at(n->priv->ms, m, in, &s)) {
			h.name = modules_demangle(s.name);
			h.where = format("thread variable, %s", m->name);
			*ret = holder_for(n, (uint64_t)i << 32 | s.address, KEY_TLS, h);
			return true;
		}
		h.name = format("%s thread data", m->name);
		*ret = holder_for(n, (uint64_t)i << 32 | UINT32_MAX, KEY_TLS, h);
		return true;
	}
	return false;
}

static uint32_t name_tls_word(struct namer *n, const struct runtime_extent *e, uint64_t from)
{
	uint32_t holder;
	if (name_thread_variable(n, e->thread >= 0 ? n->p->threads.at[e->thread].tp : 0, from, &holder))
		return holder;
	/* The thread's descriptor belongs to libc. */
	struct holder h = { .rank = RANK_LIBC, .kind = HOLDER_LIBC, .address = from, .name = format("thread descriptors") };
	return holder_for(n, UINT32_MAX, KEY_TLS, h);
}

/* All memory that a language's runtime manages alike is one holder: of a thousand arenas of CPython's none tells more than
 * another. */
static uint32_t name_region_word(struct namer *n, const struct runtime_region *r)
{
	struct holder h = { .rank = RANK_MAPPING, .kind = HOLDER_MAPPING, .address = r->start, .name = format("%s", r->label) };
	n->cached_start = r->start;
	n->cached_end = r->end;
	return holder_for(n, (uintptr_t)r->label, KEY_REGION, h);
}

static uint32_t name_mapping_word(struct namer *n, uint64_t from)
{
	const struct runtime *rt = n->priv->rt;
	const struct mapping *m = picture_mapping(n->p, from);
	/* ld.so makes the main thread's block in a mapping beside its own data (elf/rtld.c, init_tls). */
	uint64_t tp = n->p->threads.n ? n->p->threads.at[0].tp : 0;
	uint32_t holder;
	if (m && tp >= m->start && tp < m->end && name_thread_variable(n, tp, from, &holder))
		return holder;
	size_t next = runtime_region_from(rt, from);
	const struct runtime_region *r = next < rt->regions.n ? &rt->regions.at[next] : NULL;
	if (r && from >= r->start)
		return name_region_word(n, r);
	struct holder h = { .rank = RANK_MAPPING, .kind = HOLDER_MAPPING, .address = m ? m->start : from };
	if (m) {
		n->cached_start = next && rt->regions.at[next - 1].end > m->start ? rt->regions.at[next - 1].end : m->start;
		n->cached_end = r && r->start < m->end ? r->start : m->end;
	}
	h.name = m && m->path[0] ? format("%s", m->path) : format("anonymous mapping");
	h.where = format("0x%" PRIx64, h.address);
	return holder_for(n, h.address, KEY_ADDRESS, h);
}

static uint32_t name_memory_word(struct namer *n, uint64_t from)
{
	if (from >= n->cached_start && from < n->cached_end)
		return n->cached_holder;
	struct module *m = modules_at(n->priv->ms, from);
	const struct runtime_extent *e = runtime_extent_at(n->priv->rt, from);
	uint32_t holder;
	n->cached_end = n->cached_start = 0;
	if (e && e->kind == EXTENT_TLS)
		return name_tls_word(n, e, from);
	holder = m ? name_module_word(n, m, from) : name_mapping_word(n, from);
	n->cached_holder = holder;
	/* A mapping may hold pieces that are named otherwise. */
	if ((!m && n->priv->rt->extents.n) || interrupted)
		n->cached_end = n->cached_start;
	return holder;
}

static const struct frame *frame_of(struct namer *n, uint32_t thread, uint64_t from, size_t *ret_index)
{
	struct stack_frames *f = &n->frames[thread];
	if (!f->done) {
		free(f->at);
		f->n = modules_unwind(n->priv->ms, &n->p->threads.at[thread], &f->at);
		f->done = !interrupted;
	}
	for (size_t i = 0; i < f->n; i++)
		if (f->at[i].cfa && from < f->at[i].cfa) {
			*ret_index = i;
			return &f->at[i];
		}
	return NULL;
}

static char *thread_name(struct namer *n, uint32_t thread)
{
	const struct thread *t = &n->p->threads.at[thread];
	return t->comm[0] ? format("thread %d \"%.*s\"", (int)t->tid, (int)sizeof t->comm, t->comm) : format("thread %d", (int)t->tid);
}

static uint32_t name_stack_word(struct namer *n, const struct root_word *w)
{
	struct holder h = { .rank = RANK_FRAME, .kind = HOLDER_FRAME, .address = w->from, .name = thread_name(n, w->thread) };
	size_t index = LIMIT_FRAMES;
	const struct frame *f = frame_of(n, w->thread, w->from, &index);
	h.where = f && f->function ? format("stack, %s()", f->function) : format("stack");
	return holder_for(n, (uint64_t)w->thread << 16 | index, KEY_FRAME, h);
}

static uint32_t name_word(struct namer *n, const struct root_word *w)
{
	struct holder h = { 0 };
	switch ((enum root_kind)w->kind) {
	case ROOT_MEMORY:
		return name_memory_word(n, w->from);
	case ROOT_STACK:
		return name_stack_word(n, w);
	case ROOT_REGISTER:
		h = (struct holder){ .rank = RANK_REGISTER, .kind = HOLDER_REGISTER, .name = thread_name(n, w->thread), .where = strdup("registers") };
		return holder_for(n, w->thread, KEY_REGISTERS, h);
	case ROOT_KERNEL:
		break;
	}
	const struct kernel_word *k = &n->p->kernel_words.at[w->thread];
	h = (struct holder){ .rank = RANK_MAPPING, .kind = HOLDER_KERNEL };
	h.name = k->kind == KERNEL_EPOLL ? format("epoll descriptor %d", k->fd) : format("POSIX timer");
	return holder_for(n, (uint64_t)k->kind << 32 | (uint32_t)(k->kind == KERNEL_EPOLL ? k->fd : 0), KEY_KERNEL, h);
}

/* Kept with the graph: names that are asked for later join those that are there. */
static struct namer *namer_of(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	struct namer *n = priv->namer;
	if (n)
		return n;
	n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	*n = (struct namer){ .g = g, .priv = priv, .p = image_picture(priv->img) };
	n->frames = calloc(n->p->threads.n + 1, sizeof *n->frames);
	if (!n->frames) {
		free(n);
		return NULL;
	}
	return priv->namer = n;
}

void graph_namer_free(struct namer *n, size_t n_threads)
{
	if (!n)
		return;
	for (size_t i = 0; i < n_threads; i++)
		free(n->frames[i].at);
	free(n->frames);
	map64_free(&n->by_key);
	free(n);
}

struct err *graph_name_root(struct graph *g, const struct root_word *w, uint32_t *ret_holder)
{
	if (((struct graph_priv *)g->priv)->packed)
		return packed_name_root(g, w, ret_holder);
	struct namer *n = namer_of(g);
	if (!n)
		return err_nomem();
	*ret_holder = name_word(n, w);
	return n->nomem ? err_nomem() : NULL;
}

struct err *graph_name_words(struct graph *g, struct named_word *named)
{
	struct graph_priv *priv = g->priv;
	if (priv->packed) {
		packed_name_words(g, named);
		return NULL;
	}
	struct namer *n = namer_of(g);
	if (!n)
		return err_nomem();
	for (size_t i = 0; i < priv->words.n && !n->nomem && !interrupted; i++) {
		uint32_t holder = name_word(n, &priv->words.at[i]);
		if (!n->nomem)
			named[i] = (struct named_word){ holder, g->holders.at[holder].rank, i };
	}
	return n->nomem ? err_nomem() : NULL;
}
