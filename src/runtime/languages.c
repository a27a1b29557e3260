/* Language runtimes with memory of their own beside malloc's: which one it is, and which parts of memory are its. Each is told
 * by what it says of itself: headers of its pages, tables for its debuggers, or the addresses that it asks for. */
#include "runtime.h"

const char runtime_cpython_memory[] = "CPython's object memory";

enum { MOST_REGIONS = 1 << 16, MOST_ENTRIES = 8192, NAME_BYTES = 64 };

static uint64_t word_at(const struct finder *f, uint64_t address)
{
	uint64_t v = 0;
	image_word(f->img, address, &v);
	return v;
}

/* Grows the last region where the next one continues it. */
static bool add_region(struct finder *f, uint64_t start, uint64_t end, const char *label)
{
	struct runtime *r = f->r;
	struct runtime_region *last = r->regions.n ? &r->regions.at[r->regions.n - 1] : NULL;
	if (start >= end || r->regions.n >= MOST_REGIONS)
		return true;
	if (last && last->end == start && last->label == label) {
		last->end = end;
		return true;
	}
	struct runtime_region *slot = vec_push(&r->regions);
	if (slot)
		*slot = (struct runtime_region){ start, end, label };
	return slot;
}

static bool is_own(const struct mapping *m)
{
	return !m->inode && !m->shared && !m->device && (!m->path[0] || !strncmp(m->path, "[anon", 5));
}

/* CPython's pools (Objects/obmalloc.c: struct pool_header): {count, freeblock, nextpool, prevpool, arenaindex, szidx, nextoffset,
 * maxnextoffset}. The last is the pool's size less one block of it. Pools have 16 KiB since 3.10, 4 before; blocks count by 16
 * bytes since 3.7, by 8 before and with 32 bits. */
static const struct pool_kind { uint16_t pool; uint8_t unit; } pool_kinds[] = { { 16384, 16 }, { 4096, 16 }, { 4096, 8 } };
enum { POOL_KINDS = sizeof pool_kinds / sizeof pool_kinds[0], SIZE_CLASSES = 64 };

static bool is_pool(const struct image *img, uint64_t at, const struct pool_kind *k, struct runtime_pool *ret)
{
	unsigned w = image_arch(img)->word;
	uint32_t count = 0, index = 0, next = 0, most = 0;
	uint64_t sibling = 0;
	if (!image_u32(img, at, &count) || !image_u32(img, at + 4 * w + 4, &index) || !image_u32(img, at + 4 * w + 8, &next) ||
	    !image_u32(img, at + 4 * w + 12, &most) || index >= SIZE_CLASSES)
		return false;
	uint32_t block = (index + 1) * k->unit, first = (uint32_t)align_up(4 * w + 16, k->unit);
	*ret = (struct runtime_pool){ .address = at, .bytes = k->pool, .block = block, .first = first, .end = next, .used = count };
	image_word(img, at + w, &ret->free);
	image_word(img, at + 2 * w, &sibling);
	return most == k->pool - block && next <= k->pool && count <= k->pool / block && sibling % w == 0 && sibling;
}

bool runtime_cpython_pool(const struct image *img, uint64_t address, struct runtime_pool *ret)
{
	for (size_t i = 0; i < POOL_KINDS; i++)
		if (address % pool_kinds[i].pool == 0 && is_pool(img, address, &pool_kinds[i], ret))
			return ret->end >= ret->first && (ret->end - ret->first) % ret->block == 0;
	return false;
}

/* Pools that were never used are zero, and stand between others or behind them. */
static bool pools_of(struct finder *f, const struct mapping *m, const struct pool_kind *k)
{
	struct runtime_pool pool;
	uint64_t first = 0, end = 0;
	for (uint64_t at = align_up(m->start, k->pool); at + k->pool <= m->end; at += k->pool) {
		if (is_pool(f->img, at, k, &pool)) {
			first = first ? first : at;
			end = at + k->pool;
		} else if (first && word_at(f, at)) {
			if (!add_region(f, first, end, runtime_cpython_memory))
				return false;
			first = 0;
		}
	}
	return !first || add_region(f, first, end, runtime_cpython_memory);
}

static bool cpython(struct finder *f)
{
	bool ok = true;
	for (size_t k = 0; k < POOL_KINDS && !f->r->regions.n; k++)
		for (size_t i = 0; i < f->p->maps.n && ok; i++) {
			const struct mapping *m = &f->p->maps.at[i];
			if (is_own(m) && (m->prot & (PROT_R | PROT_W)) == (PROT_R | PROT_W))
				ok = pools_of(f, m, &pool_kinds[k]);
		}
	return ok;
}

/* V8's pages are aligned to 256 KiB and begin with their size, flags, the heap they belong to, and where their area of objects
 * starts and ends (src/heap/basic-memory-chunk.h of V8 8 to 11). */
enum { V8_PAGE = 256 << 10, V8_HEADER = 8192, V8_MOST = 1 << 30 };

static uint64_t v8_page(const struct finder *f, uint64_t at)
{
	uint64_t size = word_at(f, at), heap = word_at(f, at + 16), start = word_at(f, at + 24), end = word_at(f, at + 32);
	bool ok = size >= V8_HEADER && size <= V8_MOST && size % 4096 == 0 && heap && heap % 8 == 0 && start > at && start - at <= V8_HEADER &&
		  end > start && end - at <= size;
	return ok ? size : 0;
}

static bool v8(struct finder *f)
{
	for (size_t i = 0; i < f->p->maps.n; i++) {
		const struct mapping *m = &f->p->maps.at[i];
		if (!is_own(m) || !(m->prot & PROT_R))
			continue;
		for (uint64_t at = align_up(m->start, V8_PAGE), size; at < m->end; at = align_up(at + (size ? size : 1), V8_PAGE)) {
			size = v8_page(f, at);
			if (size && !add_region(f, at, at + size, "V8's heap"))
				return false;
		}
	}
	return true;
}

/* Where Go asks for its arenas first: 0x00c000000000, and on with 1, 2... above (runtime/malloc.go: mallocinit). */
static bool go(struct finder *f)
{
	bool ok = f->arch->word == 8;
	for (size_t i = 0; i < f->p->maps.n && ok; i++) {
		const struct mapping *m = &f->p->maps.at[i];
		if (is_own(m) && m->prot && (m->start >> 32 & 0xff) == 0xc0 && m->start >> 40 < 0x80)
			ok = add_region(f, m->start, m->end, "Go's heap");
	}
	return ok;
}

/* What libjvm tells debuggers (hotspot/share/runtime/vmStructs.hpp: VMStructEntry), with the table's own layout beside it. */
struct vm_structs { struct finder *f; uint64_t table, stride, type, field, is_static, offset, address; };

static bool exported(struct finder *f, struct module *m, const char *name, uint64_t *ret)
{
	struct symbol s;
	return modules_symbol(f->ms, m, name, &s) && image_word(f->img, s.address, ret);
}

static bool find_structs(struct finder *f, struct vm_structs *v)
{
	v->f = f;
	for (size_t i = 0; i < modules_count(f->ms); i++) {
		struct module *m = modules_get(f->ms, i);
		if (exported(f, m, "gHotSpotVMStructs", &v->table) && exported(f, m, "gHotSpotVMStructEntryArrayStride", &v->stride) &&
		    exported(f, m, "gHotSpotVMStructEntryTypeNameOffset", &v->type) && exported(f, m, "gHotSpotVMStructEntryFieldNameOffset", &v->field) &&
		    exported(f, m, "gHotSpotVMStructEntryIsStaticOffset", &v->is_static) && exported(f, m, "gHotSpotVMStructEntryOffsetOffset", &v->offset) &&
		    exported(f, m, "gHotSpotVMStructEntryAddressOffset", &v->address))
			return v->table && v->stride && v->stride < 4096;
	}
	return false;
}

static bool is_text(const struct finder *f, uint64_t address, const char *text)
{
	char found[NAME_BYTES] = "";
	size_t n = strlen(text) + 1;
	return address && n <= sizeof found && image_read(f->img, address, found, n) && !memcmp(found, text, n);
}

/* A static field's address, or another's offset in its object. */
static bool field(const struct vm_structs *v, const char *type, const char *name, uint64_t *ret)
{
	for (uint64_t n = 0, at = v->table; n < MOST_ENTRIES; n++, at += v->stride) {
		uint64_t of = word_at(v->f, at + v->type);
		uint32_t is_static = 0;
		if (!of)
			return false;
		if (!is_text(v->f, of, type) || !is_text(v->f, word_at(v->f, at + v->field), name))
			continue;
		image_u32(v->f->img, at + v->is_static, &is_static);
		*ret = word_at(v->f, at + (is_static ? v->address : v->offset));
		return !is_static || *ret;
	}
	return false;
}

static bool jvm(struct finder *f)
{
	struct vm_structs v;
	uint64_t heap, reserved, start, words, low, high;
	if (!find_structs(f, &v))
		return true;
	if (field(&v, "CodeCache", "_low_bound", &low) && field(&v, "CodeCache", "_high_bound", &high) &&
	    !add_region(f, word_at(f, low), word_at(f, high), "JVM's code cache"))
		return false;
	if (!field(&v, "Universe", "_collectedHeap", &heap) || !field(&v, "CollectedHeap", "_reserved", &reserved) ||
	    !field(&v, "MemRegion", "_start", &start) || !field(&v, "MemRegion", "_word_size", &words))
		return true;
	uint64_t region = word_at(f, heap) + reserved, from = word_at(f, region + start);
	return add_region(f, from, from + word_at(f, region + words) * f->arch->word, "Java heap");
}

static int compare_regions(const void *a, const void *b)
{
	const struct runtime_region *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static void sort_regions(struct runtime *r)
{
	size_t keep = 0;
	uint64_t reached = 0;
	if (r->regions.n)
		qsort(r->regions.at, r->regions.n, sizeof *r->regions.at, compare_regions);
	for (size_t i = 0; i < r->regions.n; i++) {
		struct runtime_region x = r->regions.at[i];
		x.start = x.start > reached ? x.start : reached;
		if (x.start >= x.end)
			continue;
		reached = x.end;
		r->regions.at[keep++] = x;
	}
	r->regions.n = keep;
}

/* Go's linker leaves this behind whatever is stripped (cmd/link: buildinfo). */
static bool has_build_info(const struct module *m)
{
	static const char mark[] = "\xff Go buildinf:";
	return m->role == MODULE_PROGRAM && m->file.n && memmem(m->file.p, m->file.n, mark, sizeof mark - 1);
}

bool runtime_find_language(struct finder *f)
{
	static const struct {
		const char *symbol, *name;
		bool (*find)(struct finder *f);
	} known[] = {
		{ "Py_GetVersion", "CPython", cpython }, { "JNI_CreateJavaVM", "JVM", jvm }, { "runtime.mheap_", "Go", go },
		{ "_ZN2v87Isolate3NewERKNS0_12CreateParamsE", "V8", v8 }, { "ruby_init", "Ruby", NULL },
	};
	for (size_t i = 0; i < modules_count(f->ms); i++) {
		struct module *m = modules_get(f->ms, i);
		struct symbol s;
		for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
			bool is_go = known[k].find == go && has_build_info(m);
			if (!is_go && (!modules_symbol(f->ms, m, known[k].symbol, &s) || !s.address))
				continue;
			f->r->language = known[k].name;
			if (known[k].find && !known[k].find(f))
				return false;
			sort_regions(f->r);
			return true;
		}
	}
	return true;
}

size_t runtime_region_from(const struct runtime *r, uint64_t address)
{
	size_t lo = 0, hi = r->regions.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->regions.at[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
