/* Every object of CPython says its type: ob_type leads to a PyTypeObject, which has a name. Those of this interpreter are told
 * from other words by the type of their type, which leads to PyType_Type. Nothing of the target runs.
 *
 * Offsets are for 64 bits and the builds that people have: with the GIL and without Py_TRACE_REFS. Such objects begin with
 * {ob_refcnt, ob_type} (Include/object.h: PyObject), and PyType_Type is an object of its own type, which is looked at first. */
#include "cpython.h"

/* What differs between versions. Sources: Include/cpython/object.h (PyHeapTypeObject: its size is PyType_Type's tp_basicsize, and
 * no two of these versions have the same), Include/object.h (Py_TPFLAGS_*), Include/internal/pycore_object.h
 * (_PyType_PreHeaderSize), Objects/dict-common.h to 3.10 and Include/internal/pycore_dict.h since (struct _dictkeysobject),
 * Include/cpython/unicodeobject.h (PyASCIIObject), of the tags named. */
static const struct layout {
	const char *tag;	/* of CPython's repository, the one that was read */
	uint32_t version;	/* PY_VERSION_HEX's upper half */
	uint16_t type_bytes;	/* sizeof(PyHeapTypeObject) */
	uint16_t pre_header;	/* of tp_flags: any of these puts two words before PyGC_Head */
	uint8_t text;		/* sizeof(PyASCIIObject): where the characters of an ASCII str stand */
	bool log2_keys;		/* struct _dictkeysobject has dk_log2_size, and two kinds of entries */
	uint8_t values;		/* so far in front of an object with a managed dict is the pointer to its values, or 0 */
} layouts[] = {
	{ "v3.9.18", 0x0309, 880, 0, 48, false, 0 },
	{ "v3.10.13", 0x030a, 888, 0, 48, false, 0 },
	{ "v3.11.7", 0x030b, 904, 1 << 4, 48, true, 32 },	    /* Py_TPFLAGS_MANAGED_DICT; _PyObject_ValuesPointer */
	{ "v3.12.1", 0x030c, 920, 1 << 3 | 1 << 4, 40, true, 24 }, /* Py_TPFLAGS_PREHEADER; _PyObject_DictOrValuesPointer */
	{ "v3.13.0", 0x030d, 928, 1 << 3 | 1 << 4, 40, true, 0 },  /* values are part of the object */
};

/* The same in all of them: Include/cpython/object.h (struct _typeobject), Include/object.h. */
enum {
	WORD = 8, OB_TYPE = 8, OB_SIZE = 16, TP_NAME = 24, TP_BASICSIZE = 32, TP_ITEMSIZE = 40, TP_FLAGS = 168, TP_DICT = 264,
	FLAG_INLINE_VALUES = 1 << 2, FLAG_MANAGED_DICT = 1 << 4, FLAG_HEAP = 1 << 9, FLAG_READY = 1 << 12, FLAG_GC = 1 << 14, FLAG_LIST = 1 << 25, FLAG_TUPLE = 1 << 26, FLAG_BYTES = 1 << 27, FLAG_STR = 1 << 28,
	FLAG_DICT = 1 << 29, GC_HEAD = 16, PRE_HEADER = 16, /* PyGC_Head, two pointers before it */
	MA_KEYS = 32, /* PyDictObject */
	STR_LENGTH = 16, STR_STATE = 32, STR_COMPACT = 1 << 5, STR_COMPACT_ASCII = STR_COMPACT | 1 << 6, /* PyASCIIObject: interned:2, kind:3, compact:1, ascii:1 */
};
#define IMMORTAL_LEAST UINT64_C(0xc0000000)
#define FLAG_TYPE (UINT64_C(1) << 31)

enum {
	NAME_BYTES = 200, MOST_TYPES = 1 << 20, MOST_METATYPES = 16, MOST_KEYS = 4096, RECENT = 4096, HEAD_BYTES = 128,
	MOST_BASIC = 1 << 20, /* no struct of an extension is larger */
	MAPPED_LEAST = 1 << 16, MOST_REFERENCES = 1 << 28,
	SLACK = 64,	      /* what an allocator may give beyond the request */
	DEBUG_HEAD = 16,      /* Objects/obmalloc.c: _PyMem_DebugRawAlloc puts {size, id, 7 bytes of 0xfd} before the bytes */
};

struct python_type {
	uint64_t address, flags;
	uint32_t basic, item, before; /* before: bytes of a block in front of the object */
	size_t kind;
	uint32_t rows;	/* of part_rows, a bit each */
};

struct cpython {
	struct image *img;
	struct modules *ms;
	const struct layout *layout;
	uint64_t type_type;
	uint64_t module_key;	/* the str "__module__" that was found last; 0: none */
	VEC(struct python_type) types;
	VEC(struct tag *) kinds;
	struct map64 by_address; /* of a type -> index */
	struct map64 by_name;	 /* hash of a name -> index of a kind */
	struct { uint64_t address; uint32_t type; /* index + 1; 0: no type */ } recent[RECENT];
	bool nomem;
};

static uint64_t word_at(const struct cpython *c, uint64_t address)
{
	uint64_t v = 0;
	image_word(c->img, address, &v);
	return v;
}

/* An ASCII str, as names of modules and attributes are. */
static bool ascii_text(const struct cpython *c, uint64_t str, char *to, size_t max)
{
	uint32_t state = 0;
	uint64_t length = 0;
	if (!image_word(c->img, str + STR_LENGTH, &length) || !image_u32(c->img, str + STR_STATE, &state) || length >= max ||
	    (state & STR_COMPACT_ASCII) != STR_COMPACT_ASCII || !image_read(c->img, str + c->layout->text, to, length))
		return false;
	to[length] = 0;
	return strlen(to) == length;
}

struct entries { uint64_t at, n; unsigned stride, key; };

static bool entries_of(const struct cpython *c, uint64_t keys, struct entries *ret)
{
	uint64_t indices, index_bytes;
	if (c->layout->log2_keys) {
		uint32_t logs = 0;
		if (!image_u32(c->img, keys + WORD, &logs) || (logs >> 8 & 0xff) > 40)
			return false;
		indices = 4 * WORD, index_bytes = UINT64_C(1) << (logs >> 8 & 0xff);
		bool general = !(logs >> 16 & 0xff); /* DICT_KEYS_GENERAL: with the hash in front */
		*ret = (struct entries){ .n = word_at(c, keys + 3 * WORD), .stride = general ? 3 * WORD : 2 * WORD, .key = general ? WORD : 0 };
	} else {
		uint64_t size = word_at(c, keys + WORD); /* DK_IXSIZE */
		if (!size || size >> 40)
			return false;
		indices = 5 * WORD, index_bytes = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= UINT32_MAX ? 4 : 8);
		*ret = (struct entries){ .n = word_at(c, keys + 4 * WORD), .stride = 3 * WORD, .key = WORD };
	}
	ret->at = keys + indices + index_bytes;
	if (ret->n > MOST_KEYS)
		ret->n = MOST_KEYS;
	return true;
}

/* What a type's dict says under "__module__"; type_module() in Objects/typeobject.c. */
static bool module_of(struct cpython *c, uint64_t type, char *to, size_t max)
{
	static const char wanted[] = "__module__";
	char key[sizeof wanted];
	struct entries e;
	uint64_t dict = word_at(c, type + TP_DICT);
	if (!dict || !(word_at(c, word_at(c, dict + OB_TYPE) + TP_FLAGS) & FLAG_DICT) || !entries_of(c, word_at(c, dict + MA_KEYS), &e))
		return false;
	for (uint64_t i = 0; i < e.n; i++) {
		uint64_t at = e.at + i * e.stride + e.key, str = word_at(c, at);
		if (!str || (str != c->module_key && (!ascii_text(c, str, key, sizeof key) || strcmp(key, wanted))))
			continue;
		c->module_key = str;
		return ascii_text(c, word_at(c, at + WORD), to, max);
	}
	return false;
}

/* FNV-1a, and the next where that is another name's. */
static size_t kind_of(struct cpython *c, const char *name, const char *module)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325), index;
	for (const char *p = name; *p; p++)
		hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	for (; map64_find(&c->by_name, hash, &index); hash++)
		if (!strcmp(c->kinds.at[index]->name, name))
			return index;
	struct tag *tag = calloc(1, sizeof *tag), **slot = vec_push(&c->kinds);
	if (tag && slot) {
		*tag = (struct tag){ .name = strdup(name), .module = module ? strdup(module) : NULL, .index = (uint32_t)c->kinds.n - 1 };
		*slot = tag;
	}
	if (!tag || !slot || !tag->name || (module && !tag->module) || !map64_put(&c->by_name, hash, c->kinds.n - 1)) {
		c->nomem = true;
		if (!slot)
			free(tag);
		else if (!tag)
			c->kinds.n--;
		return SIZE_MAX;
	}
	return c->kinds.n - 1;
}

/* tp_name: of a static type and of one that C made "module.name", or the name alone of a builtin; of a class of Python's the name. */
static size_t name_type(struct cpython *c, uint64_t type, uint64_t flags)
{
	char name[NAME_BYTES], module[NAME_BYTES], both[2 * NAME_BYTES + 1];
	uint64_t text = word_at(c, type + TP_NAME);
	if (!image_string(c->img, text, name, sizeof name)) {
		if (!image_read(c->img, text, name, sizeof name - 1))
			return SIZE_MAX;
		name[sizeof name - 1] = 0;
	}
	const char *dot = strrchr(name, '.'), *last = name;
	bool known = true, heap = flags & FLAG_HEAP && module_of(c, type, module, sizeof module);
	size_t n = heap ? strlen(module) : dot ? (size_t)(dot - name) : 0;
	if (!heap && dot)
		snprintf(module, sizeof module, "%.*s", (int)n, name);
	else if (!heap && !(flags & FLAG_HEAP))
		strcpy(module, "builtins");
	else
		known = heap;
	/* A class may be called with dots of its own. */
	if (n && known && !strncmp(name, module, n) && name[n] == '.')
		last = name + n + 1;
	if (!*last)
		last = "(no name)";
	bool plain = !known || !strcmp(module, "builtins");
	snprintf(both, sizeof both, "%s%s%s", plain ? "" : module, plain ? "" : ".", last);
	return kind_of(c, both, known ? module : NULL);
}

/* The type of a type is a subclass of type, and the last of that chain is type itself. */
static bool leads_to_type(const struct cpython *c, uint64_t type)
{
	for (int i = 0; i < MOST_METATYPES; i++) {
		uint64_t meta = word_at(c, type + OB_TYPE);
		if (meta == c->type_type)
			return true;
		if (!meta || meta % WORD || !(word_at(c, meta + TP_FLAGS) & FLAG_TYPE))
			return false;
		type = meta;
	}
	return false;
}

/* What objects have beside themselves: pointers at these offsets, the same in all versions (Include/cpython/listobject.h,
 * dictobject.h, setobject.h, bytearrayobject.h; Modules/arraymodule.c; of numpy 1.24 ndarraytypes.h: PyArrayObject_fields). */
static const struct part_row {
	const char *type;	/* by name; NULL: all that have the flag */
	uint32_t flag;
	uint8_t at;
	const char *what;
	uint8_t owns_at;	/* u32 there, of which this bit says that the memory is the object's own; 0: it is always */
	uint32_t owns;
} part_rows[] = {
	{ NULL, FLAG_LIST, 24, "list items", 0, 0 },
	{ NULL, FLAG_DICT, MA_KEYS, "dict keys", 0, 0 },
	{ NULL, FLAG_DICT, 40, "dict values", 0, 0 },
	{ "set", 0, 40, "set table", 0, 0 },
	{ "frozenset", 0, 40, "set table", 0, 0 },
	{ "bytearray", 0, 32, "bytearray bytes", 0, 0 },
	{ "array.array", 0, 24, "array items", 0, 0 },
	{ "numpy.ndarray", 0, 16, "numpy array", 64, 4 }, /* NPY_ARRAY_OWNDATA; others are views */
};

static uint32_t rows_of(const char *name, uint64_t flags)
{
	uint32_t rows = 0;
	for (size_t i = 0; i < sizeof part_rows / sizeof part_rows[0]; i++)
		if (part_rows[i].type ? !strcmp(part_rows[i].type, name) : (flags & part_rows[i].flag) != 0)
			rows |= 1u << i;
	return rows;
}

/* Index + 1 of a type that was not seen before; 0: it is none. */
static uint32_t judge(struct cpython *c, uint64_t type)
{
	uint64_t flags = 0, basic = word_at(c, type + TP_BASICSIZE), item = word_at(c, type + TP_ITEMSIZE);
	if (!image_word(c->img, type + TP_FLAGS, &flags) || !(flags & FLAG_READY) || basic < 2 * WORD || basic > MOST_BASIC || item > MOST_BASIC ||
	    !word_at(c, type) || !leads_to_type(c, type) || c->types.n >= MOST_TYPES)
		return 0;
	size_t kind = name_type(c, type, flags);
	struct python_type *t = kind == SIZE_MAX ? NULL : vec_push(&c->types);
	if (!t || !map64_put(&c->by_address, type, c->types.n - 1)) {
		c->nomem |= kind != SIZE_MAX;
		return 0;
	}
	unsigned before = (flags & FLAG_GC ? GC_HEAD : 0) + (flags & c->layout->pre_header ? PRE_HEADER : 0);
	*t = (struct python_type){ .address = type, .flags = flags, .basic = (uint32_t)basic, .item = (uint32_t)item, .before = before, .kind = kind,
				   .rows = rows_of(c->kinds.at[kind]->name, flags) };
	return (uint32_t)c->types.n;
}

static const struct python_type *type_at(struct cpython *c, uint64_t address)
{
	size_t slot = (address >> 4 ^ address >> 16) % RECENT;
	uint64_t index;
	if (!address || address % WORD)
		return NULL;
	if (c->recent[slot].address != address) {
		uint32_t found = map64_find(&c->by_address, address, &index) ? (uint32_t)index + 1 : judge(c, address);
		c->recent[slot].address = address;
		c->recent[slot].type = found;
	}
	return c->recent[slot].type ? &c->types.at[c->recent[slot].type - 1] : NULL;
}

/* No object has so many references as a pointer or four letters make. Immortal ones have 2^32 - 1, or a little less where an
 * extension for an older version counted on (3.12, 3.13: Include/object.h, _Py_IMMORTAL_REFCNT). */
static bool counts(const struct cpython *c, uint64_t references)
{
	const uint8_t *p;
	if (references >= MOST_REFERENCES)
		return references >= IMMORTAL_LEAST && references <= UINT32_MAX;
	return references && (references < MAPPED_LEAST || !image_window(c->img, references, &p));
}

/* PyGC_Head (Include/internal/pycore_gc.h): {_gc_next, _gc_prev}, zero but for two flags in the latter when the collector does not
 * have the object. During a collection the former has a flag too, and the latter is no pointer (Modules/gcmodule.c). */
static bool collects(const struct cpython *c, struct span head, unsigned object)
{
	uint64_t next, prev;
	const uint8_t *p;
	if (!span_u64(head, object - GC_HEAD, false, &next) || !span_u64(head, object - GC_HEAD + WORD, false, &prev))
		return false;
	next &= ~UINT64_C(1);
	return next ? next % WORD == 0 && image_window(c->img, next, &p) : prev <= 3;
}

/* A compact str is shorter than tp_basicsize says, or longer by its characters, which have 1, 2 or 4 bytes. */
static bool str_fits(const struct cpython *c, struct span head, unsigned before, uint64_t basic, uint64_t bytes)
{
	uint64_t length = 0;
	uint32_t state = 0;
	if (!span_u64(head, before + STR_LENGTH, false, &length) || !span_u32(head, before + STR_STATE, false, &state))
		return false;
	unsigned kind = state >> 2 & 7;
	if (!(state & STR_COMPACT))
		return bytes >= before + basic;
	return (kind == 1 || kind == 2 || kind == 4) && bytes >= before + c->layout->text && length <= (bytes - before - c->layout->text) / kind;
}

/* The object's own bytes fit its block, and where their number is known fill it. */
static bool fits(const struct cpython *c, const struct python_type *t, struct span head, uint64_t bytes)
{
	uint64_t need = (uint64_t)t->before + t->basic, items = 0;
	if (t->flags & FLAG_STR)
		return str_fits(c, head, t->before, t->basic, bytes);
	if (bytes < need)
		return false;
	if (!t->item)
		return bytes - need <= SLACK || t->flags & FLAG_INLINE_VALUES;
	/* Of other types with items ob_size may be something else: a sign too (int), a pointer (generators in 3.11). */
	return !(t->flags & (FLAG_TUPLE | FLAG_BYTES)) || (span_u64(head, t->before + OB_SIZE, false, &items) && items <= (bytes - need) / t->item);
}

static bool object_in(struct cpython *c, struct span head, uint64_t address, uint64_t bytes, struct cpython_found *ret)
{
	for (unsigned before = 0; before <= GC_HEAD + PRE_HEADER && before + 2 * WORD <= bytes; before += 16) {
		uint64_t references, type;
		if (!span_u64(head, before, false, &references) || !span_u64(head, before + OB_TYPE, false, &type) || !counts(c, references))
			continue;
		const struct python_type *t = type_at(c, type);
		if (!t || t->before != before || (t->flags & FLAG_GC && !collects(c, head, before)) || !fits(c, t, head, bytes))
			continue;
		*ret = (struct cpython_found){ .tag = c->kinds.at[t->kind], .object = address + before, .rows = t->rows,
					       .managed = t->flags & FLAG_MANAGED_DICT && before > GC_HEAD };
		return true;
	}
	return false;
}

/* What PYTHONMALLOC=debug puts around a block: how many bytes there are inside, UINT64_MAX without. */
static uint64_t inside_debug(struct span head)
{
	static const uint8_t forbidden[7] = { 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd };
	uint64_t bytes = 0;
	/* The size stands there with its highest byte first (write_size_t). */
	if (head.n < DEBUG_HEAD || !span_u64(head, 0, true, &bytes) || memcmp(head.p + 9, forbidden, sizeof forbidden))
		return UINT64_MAX;
	return head.p[8] == 'o' || head.p[8] == 'm' || head.p[8] == 'r' ? bytes : UINT64_MAX;
}

/* A block too large for pools comes from the raw allocator, which has the same around it once more. */
bool cpython_find(struct cpython *c, struct span head, uint64_t address, uint64_t bytes, struct cpython_found *ret)
{
	for (int i = 0; i < 2; i++) {
		uint64_t inside = inside_debug(head);
		if (inside == UINT64_MAX)
			break;
		if (bytes < DEBUG_HEAD || inside > bytes - DEBUG_HEAD)
			return false;
		head = span_sub(head, DEBUG_HEAD, head.n - DEBUG_HEAD);
		address += DEBUG_HEAD;
		bytes = inside;
	}
	return object_in(c, head, address, bytes, ret);
}

bool cpython_object(struct cpython *c, uint64_t address, uint64_t bytes, struct cpython_found *ret)
{
	uint8_t head[HEAD_BYTES];
	size_t n = bytes < sizeof head ? (size_t)bytes : sizeof head;
	return image_read(c->img, address, head, n) && cpython_find(c, (struct span){ head, n }, address, bytes, ret);
}

/* Py_Version since 3.11; before, an API that is new in each (Doc/c-api/gcsupport.rst). 0: older than all of these. */
static uint32_t version_of(const struct cpython *c, struct module *m)
{
	struct symbol s;
	uint64_t version = 0;
	if (modules_symbol(c->ms, m, "Py_Version", &s) && image_word(c->img, s.address, &version))
		return (uint32_t)(version >> 16 & 0xffff);
	return modules_symbol(c->ms, m, "PyGC_IsEnabled", &s) ? 0x030a : modules_symbol(c->ms, m, "PyObject_GC_IsTracked", &s) ? 0x0309 : 0;
}

static const char *find_layout(struct cpython *c)
{
	struct symbol s = { 0 };
	struct module *m = NULL;
	for (size_t i = 0; i < modules_count(c->ms) && !m; i++)
		if (modules_symbol(c->ms, modules_get(c->ms, i), "PyType_Type", &s) && s.address)
			m = modules_get(c->ms, i);
	if (!m)
		return "no module of it exports PyType_Type";
	uint32_t version = version_of(c, m);
	c->type_type = s.address;
	for (size_t i = 0; i < sizeof layouts / sizeof layouts[0] && !c->layout; i++)
		if (layouts[i].version == version)
			c->layout = &layouts[i];
	if (!c->layout)
		return "its version is none from 3.9 to 3.13";
	if (word_at(c, s.address + OB_TYPE) != s.address || word_at(c, s.address + TP_BASICSIZE) != c->layout->type_bytes)
		return "its objects are laid out as by no usual build of its version: one without the GIL, perhaps";
	return NULL;
}

unsigned cpython_version(const struct cpython *c)
{
	return c->layout->version;
}

bool cpython_failed(const struct cpython *c)
{
	return c->nomem;
}

struct err *cpython_open(struct image *img, struct modules *ms, const struct runtime *rt, struct cpython **ret, const char **ret_why)
{
	const char *why = "the target is no CPython";
	*ret = NULL;
	if (rt->language && !strcmp(rt->language, "CPython") && image_arch(img)->word == WORD && !image_arch(img)->big) {
		struct cpython *c = calloc(1, sizeof *c);
		if (!c)
			return err_nomem();
		c->img = img;
		c->ms = ms;
		why = find_layout(c);
		if (why)
			cpython_close(c);
		else
			*ret = c;
	} else if (rt->language && !strcmp(rt->language, "CPython")) {
		why = "only layouts of 64 bits are known";
	}
	if (ret_why)
		*ret_why = why;
	return NULL;
}

void cpython_parts(const struct cpython *c, const struct cpython_found *f, cpython_part_fn *part, void *ctx)
{
	uint64_t references = 0, to;
	uint32_t flags;
	for (size_t i = 0; i < sizeof part_rows / sizeof part_rows[0]; i++) {
		if (!(f->rows >> i & 1) || !image_word(c->img, f->object + part_rows[i].at, &to) || !to)
			continue;
		if (part_rows[i].owns && (!image_u32(c->img, f->object + part_rows[i].owns_at, &flags) || !(flags & part_rows[i].owns)))
			continue;
		/* Keys that several dicts share are nobody's (dk_refcnt). */
		if (part_rows[i].at == MA_KEYS && part_rows[i].flag == FLAG_DICT && (!image_word(c->img, to, &references) || references != 1))
			continue;
		part(ctx, part_rows[i].what, to);
	}
	/* In 3.12 the lowest bit tells values from a dict. */
	if (f->managed && c->layout->values && image_word(c->img, f->object - c->layout->values, &to) && to && (c->layout->values == 32 || to & 1))
		part(ctx, "instance values", to & ~UINT64_C(1));
}

void cpython_close(struct cpython *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->kinds.n; i++) {
		free(c->kinds.at[i]->name);
		free(c->kinds.at[i]->module);
		free(c->kinds.at[i]);
	}
	vec_free(&c->kinds);
	vec_free(&c->types);
	map64_free(&c->by_address);
	map64_free(&c->by_name);
	free(c);
}
