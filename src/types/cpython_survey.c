/* Every object of CPython: in malloc's blocks and in the pools of the interpreter (Objects/obmalloc.c), with the memory that it has
 * beside itself. */
#include "cpython.h"

enum { POOL_LEAST = 4096, POOL_MOST = 16384, BLOCK_LEAST = 8, POOL_BITS = POOL_MOST / BLOCK_LEAST, PIECE = 4096 };

struct walk {
	struct cpython *c;
	struct image *img;
	const struct blocks *b;
	const struct runtime *rt;
	struct objects *o;
	cpython_each_fn *each;
	void *ctx;
	uint8_t bytes[POOL_MOST];
	uint64_t free[POOL_BITS / 64];
};

static struct err *walk_malloc(struct walk *v)
{
	struct block_cursor at;
	struct cpython_found f;
	for (blocks_begin(v->b, &at); blocks_next(&at);) {
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (!block_state_is_used(at.state))
			continue;
		v->o->malloc_blocks++;
		v->o->malloc_bytes += at.usable;
		if (cpython_object(v->c, at.payload, at.usable, &f) && !v->each(v->ctx, &f, at.payload, at.usable, false))
			return err_nomem();
	}
	return NULL;
}

/* Follows the pool's list of free blocks. False: it leaves the pool, or goes in a circle. */
static bool mark_free(struct walk *v, const struct runtime_pool *p, uint64_t *ret_n)
{
	memset(v->free, 0, sizeof v->free);
	*ret_n = 0;
	for (uint64_t at = p->free; at; ++*ret_n) {
		uint64_t off = at - p->address, i;
		if (off < p->first || off >= p->end || (off - p->first) % p->block)
			return false;
		i = (off - p->first) / p->block;
		if (v->free[i / 64] >> i % 64 & 1)
			return false;
		v->free[i / 64] |= UINT64_C(1) << i % 64;
		if (!span_u64((struct span){ v->bytes, p->end }, off, false, &at))
			return false;
	}
	return true;
}

/* A bit for each page that is not there. The last block that was given out may reach into one that was never touched. */
static unsigned read_pool(struct walk *v, const struct runtime_pool *p)
{
	unsigned absent = 0;
	for (uint32_t off = 0; off < p->end; off += PIECE) {
		uint32_t n = p->end - off < PIECE ? p->end - off : PIECE;
		if (image_read(v->img, p->address + off, v->bytes + off, n))
			continue;
		memset(v->bytes + off, 0, n);
		absent |= 1u << off / PIECE;
	}
	return absent;
}

static struct err *walk_pool(struct walk *v, const struct runtime_pool *p)
{
	uint64_t given = (p->end - p->first) / p->block, n_free;
	struct cpython_found f;
	v->o->pools++;
	v->o->pool_bytes += p->bytes;
	unsigned absent = read_pool(v, p);
	bool unread = false;
	if (!mark_free(v, p, &n_free) || n_free + p->used != given)
		v->o->pools_damaged++;
	for (uint64_t i = 0; i < given; i++) {
		uint64_t off = p->first + i * p->block;
		if (v->free[i / 64] >> i % 64 & 1)
			continue;
		unread |= absent >> off / PIECE & 1;
		v->o->pool_blocks++;
		v->o->pool_used_bytes += p->block;
		if (cpython_find(v->c, (struct span){ v->bytes + off, p->block }, p->address + off, p->block, &f) &&
		    !v->each(v->ctx, &f, p->address + off, p->block, true))
			return err_nomem();
	}
	v->o->pools_unread += unread;
	return NULL;
}

static struct err *walk_pools(struct walk *v)
{
	for (size_t i = 0; i < v->rt->regions.n; i++) {
		const struct runtime_region *r = &v->rt->regions.at[i];
		struct runtime_pool pool;
		if (strcmp(r->label, runtime_cpython_memory) != 0)
			continue;
		for (uint64_t at = r->start; at < r->end;) {
			if (interrupted)
				return err_new(ERR_INTERRUPTED, "interrupted");
			bool is = runtime_cpython_pool(v->img, at, &pool);
			if (is && pool.used)
				TRY(walk_pool(v, &pool));
			at += is ? pool.bytes : POOL_LEAST;
		}
	}
	return NULL;
}

struct err *cpython_each(struct cpython *c, struct image *img, const struct blocks *b, const struct runtime *rt, struct objects *o, cpython_each_fn *each, void *ctx)
{
	struct walk *v = calloc(1, sizeof *v);
	if (!v)
		return err_nomem();
	*v = (struct walk){ .c = c, .img = img, .b = b, .rt = rt, .o = o, .each = each, .ctx = ctx };
	struct err *e = b ? walk_malloc(v) : NULL;
	if (!e)
		e = walk_pools(v);
	free(v);
	return !e && cpython_failed(c) ? err_nomem() : e;
}

/* The block of a pool that holds an address. */
static bool pool_block(const struct image *img, const struct runtime *rt, uint64_t address, struct runtime_pool *ret_pool, uint64_t *ret_block)
{
	struct runtime_pool p;
	size_t i = runtime_region_from(rt, address);
	if (i >= rt->regions.n || rt->regions.at[i].start > address || strcmp(rt->regions.at[i].label, runtime_cpython_memory) != 0)
		return false;
	if (!runtime_cpython_pool(img, align_down(address, POOL_MOST), &p) || address - p.address >= p.bytes)
		if (!runtime_cpython_pool(img, align_down(address, POOL_LEAST), &p))
			return false;
	if (address < p.address + p.first || address >= p.address + p.end)
		return false;
	*ret_block = address - (address - p.address - p.first) % p.block;
	*ret_pool = p;
	return true;
}

const char *cpython_pooled(struct cpython *c, const struct image *img, const struct runtime *rt, uint64_t address, uint64_t *ret_block)
{
	struct runtime_pool p;
	struct cpython_found f;
	uint64_t free;
	if (!pool_block(img, rt, address, &p, ret_block))
		return NULL;
	free = p.free;
	for (int i = 0; free && i < POOL_BITS; i++)
		if (free == *ret_block || !image_word(img, free, &free))
			return NULL;
	return cpython_object(c, *ret_block, p.block, &f) ? f.tag->name : NULL;
}

struct owner { /* of parts */
	struct cpython *c;
	struct image *img;
	const struct blocks *b;
	const struct runtime *rt;
	uint64_t bytes;		/* of those found so far */
	struct map64 *map;	/* block id -> name of the part; NULL: bytes are asked for */
	bool nomem;
};

/* What an object of its own holds (a set's small table, values that stand in the instance) is no part of another. */
static void take_part(void *ctx, const char *what, uint64_t address)
{
	struct owner *w = ctx;
	struct cpython_found f;
	struct runtime_pool pool = { 0 };
	uint64_t block, bytes, old;
	block_id id = w->b ? blocks_at(w->b, address) : BLOCK_NONE;
	if (id != BLOCK_NONE) {
		block = blocks_payload(w->b, id);
		bytes = blocks_usable(w->b, id);
		if (!block_state_is_used(blocks_state(w->b, id)))
			return;
	} else {
		if (w->map || !pool_block(w->img, w->rt, address, &pool, &block))
			return;
		bytes = pool.block;
	}
	if (cpython_object(w->c, block, bytes, &f))
		return;
	w->bytes += bytes;
	if (w->map && !map64_find(w->map, id, &old))
		w->nomem |= !map64_put(w->map, id, (uintptr_t)what);
}

static bool map_parts(void *ctx, const struct cpython_found *f, uint64_t block, uint64_t bytes, bool in_pool)
{
	struct owner *w = ctx;
	(void)block, (void)bytes, (void)in_pool;
	cpython_parts(w->c, f, take_part, w);
	return !w->nomem;
}

struct err *cpython_find_parts(struct cpython *c, struct image *img, const struct blocks *b, const struct runtime *rt, struct map64 *ret)
{
	struct objects figures = { 0 };
	struct owner w = { .c = c, .img = img, .b = b, .rt = rt, .map = ret };
	return cpython_each(c, img, b, rt, &figures, map_parts, &w);
}

/* The survey. */

struct survey {
	struct objects *o;
	struct owner owner;
	VEC(struct tag *) tags; /* parallel to the types */
};

/* The types that were found so far have a slot each, by the index of their tag. */
static bool count(void *ctx, const struct cpython_found *f, uint64_t block, uint64_t bytes, bool in_pool)
{
	struct survey *v = ctx;
	while (v->o->types.n <= f->tag->index)
		if (!vec_push(&v->o->types) || !vec_push(&v->tags))
			return false;
	struct object_type *t = &v->o->types.at[f->tag->index];
	v->tags.at[f->tag->index] = f->tag;
	v->owner.bytes = 0;
	cpython_parts(v->owner.c, f, take_part, &v->owner);
	t->part_bytes += v->owner.bytes;
	*(in_pool ? &t->in_pools : &t->in_malloc) += 1;
	*(in_pool ? &t->pool_bytes : &t->malloc_bytes) += bytes;
	if (!t->sample)
		t->sample = block;
	return true;
}

static uint64_t bytes_of(const struct object_type *t)
{
	return t->malloc_bytes + t->pool_bytes + t->part_bytes;
}

static int compare_types(const void *a, const void *b)
{
	const struct object_type *x = a, *y = b;
	if (bytes_of(x) != bytes_of(y))
		return bytes_of(x) < bytes_of(y) ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* Names move from the tags to the table; types without an object go. */
static void take_names(struct survey *v)
{
	size_t keep = 0;
	for (size_t i = 0; i < v->o->types.n; i++) {
		struct object_type t = v->o->types.at[i];
		if (!t.sample)
			continue;
		t.name = TAKE(v->tags.at[i]->name);
		t.module = TAKE(v->tags.at[i]->module);
		v->o->types.at[keep++] = t;
	}
	v->o->types.n = keep;
	if (keep)
		qsort(v->o->types.at, keep, sizeof *v->o->types.at, compare_types);
}

struct err *types_objects(const struct blocks *b, struct image *img, struct modules *ms, const struct runtime *rt, struct objects **ret)
{
	struct cpython *c = NULL;
	struct objects *o = calloc(1, sizeof *o);
	struct err *e = o ? cpython_open(img, ms, rt, &c, &o->unknown) : err_nomem();
	if (!e && c) {
		struct survey v = { .o = o, .owner = { .c = c, .img = img, .b = b, .rt = rt } };
		o->version_major = cpython_version(c) >> 8;
		o->version_minor = cpython_version(c) & 0xff;
		e = cpython_each(c, img, b, rt, o, count, &v);
		take_names(&v);
		vec_free(&v.tags);
	}
	cpython_close(c);
	if (e)
		types_objects_free(o);
	else
		*ret = o;
	return e;
}

void types_objects_free(struct objects *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->types.n; i++) {
		free(o->types.at[i].name);
		free(o->types.at[i].module);
	}
	vec_free(&o->types);
	free(o);
}
