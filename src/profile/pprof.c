/* profile.proto (github.com/google/pprof, proto/profile.proto) by hand: it is numbers and strings, a tag in front of each. A frame is
 * a location of one function; a holder's has its address. */
#include "flotsam/codec.h"
#include "flotsam/profile.h"

#include <time.h>
#include <zlib.h>

struct writer {
	const struct profile *p;
	const struct session *s;
	struct codec out, inner, innermost;
	VEC(char *) strings;	/* the first is "" */
};

/* Field numbers. */
enum { P_SAMPLE_TYPE = 1, P_SAMPLE, P_MAPPING, P_LOCATION, P_FUNCTION, P_STRING, P_TIME = 9, P_DEFAULT_TYPE = 14 };
enum { V_TYPE = 1, V_UNIT };
enum { S_LOCATION = 1, S_VALUE, S_LABEL };
enum { T_KEY = 1, T_STRING, T_NUMBER };
enum { M_ID = 1, M_START, M_LIMIT, M_OFFSET, M_FILE, M_BUILD_ID, M_HAS_FUNCTIONS, M_HAS_FILES, M_HAS_LINES, M_HAS_INLINES };
enum { L_ID = 1, L_MAPPING, L_ADDRESS, L_LINE };
enum { N_FUNCTION = 1 };
enum { F_ID = 1, F_NAME, F_SYSTEM_NAME };
enum { WIRE_NUMBER = 0, WIRE_BYTES = 2 };

/* Its numbers are LEB128, as codec's are. */
static void varint(struct codec *b, uint64_t v)
{
	codec_u64(b, &v);
}

static void number(struct codec *b, unsigned field, uint64_t v)
{
	if (!v)
		return; /* as proto3 has it */
	varint(b, field << 3 | WIRE_NUMBER);
	varint(b, v);
}

static void text(struct codec *b, unsigned field, const void *p, size_t n)
{
	varint(b, field << 3 | WIRE_BYTES);
	varint(b, n);
	if (n)
		codec_bytes(b, p, n);
}

/* Ends a message that was gathered aside. */
static void message(struct codec *to, unsigned field, struct codec *from)
{
	text(to, field, from->out.at, from->out.n);
	to->failed |= from->failed;
	from->out.n = 0;
}

/* Its place in the table of strings; foreign bytes become \xHH. */
static uint64_t string(struct writer *w, const char *s)
{
	struct strbuf b = { 0 };
	char **slot = vec_push(&w->strings);
	strbuf_add_escaped(&b, s, strlen(s));
	if (slot)
		*slot = b.text ? b.text : strdup("");
	else
		strbuf_free(&b);
	w->out.failed |= !slot || b.failed || !*slot;
	return w->strings.n - 1;
}

static void types(struct writer *w, uint64_t *ret_default)
{
	static const char *const names[][2] = { { "inuse_objects", "count" }, { "inuse_space", "bytes" } };
	for (int i = 0; i < 2; i++) {
		uint64_t name = string(w, names[i][0]);
		number(&w->inner, V_TYPE, name);
		number(&w->inner, V_UNIT, string(w, names[i][1]));
		message(&w->out, P_SAMPLE_TYPE, &w->inner);
		*ret_default = name;
	}
}

static void tag(struct writer *w, uint64_t key, uint64_t value)
{
	number(&w->innermost, T_KEY, key);
	number(&w->innermost, T_STRING, value);
	message(&w->inner, S_LABEL, &w->innermost);
}

static void samples(struct writer *w)
{
	const struct profile *p = w->p;
	uint64_t class_key = string(w, "class"), state_key = string(w, "state"), arena_key = string(w, "arena"), mmap = string(w, "mmap");
	uint64_t classes[CLASS_RUNTIME + 1] = { 0 }, states[BLOCK_STATES] = { 0 };
	VEC(uint64_t) arenas = { 0 };
	for (enum block_class c = CLASS_REACHABLE; c <= CLASS_RUNTIME; c++)
		classes[c] = string(w, block_class_name(c));
	for (enum block_state s = BLOCK_USED; s <= BLOCK_MMAPPED; s++)
		states[s] = string(w, block_state_name(s));
	for (size_t i = 0; i < w->s->alloc->arenas.n; i++) {
		char index[24];
		snprintf(index, sizeof index, "%zu", i);
		uint64_t *slot = vec_push(&arenas);
		if (slot)
			*slot = string(w, index);
		w->out.failed |= !slot;
	}
	for (size_t i = 0; i < p->samples.n && !w->out.failed; i++) {
		const struct profile_sample *x = &p->samples.at[i];
		for (uint32_t n = x->node; n != PROFILE_NONE; n = p->nodes.at[n].parent)
			number(&w->inner, S_LOCATION, (uint64_t)p->nodes.at[n].frame + 1);
		number(&w->inner, S_VALUE, x->blocks);
		varint(&w->inner, S_VALUE << 3 | WIRE_NUMBER); /* a value of 0 stands in its place */
		varint(&w->inner, x->bytes);
		if (classes[x->class_of])
			tag(w, class_key, classes[x->class_of]);
		tag(w, state_key, states[x->state]);
		tag(w, arena_key, x->arena == ARENA_MMAP ? mmap : arenas.at[x->arena]);
		message(&w->out, P_SAMPLE, &w->inner);
	}
	vec_free(&arenas);
}

static void mapping(struct writer *w, const struct module *m, uint64_t id)
{
	char build_id[2 * sizeof m->build_id + 1] = "";
	for (unsigned i = 0; i < m->build_id_n; i++)
		snprintf(build_id + 2 * i, 3, "%02x", m->build_id[i]);
	number(&w->inner, M_ID, id);
	number(&w->inner, M_START, m->start);
	number(&w->inner, M_LIMIT, m->end);
	number(&w->inner, M_OFFSET, m->n_segments ? m->segments[0].file_offset : 0);
	number(&w->inner, M_FILE, string(w, m->path));
	number(&w->inner, M_BUILD_ID, string(w, build_id));
	/* All names are there: pprof need not look for any. */
	for (unsigned f = M_HAS_FUNCTIONS; f <= M_HAS_INLINES; f++)
		number(&w->inner, f, 1);
	message(&w->out, P_MAPPING, &w->inner);
}

/* The program comes first: pprof names the profile after that. Its place in the list of modules is its number less one. */
static void mappings(struct writer *w)
{
	size_t n = modules_count(w->s->modules);
	struct module *program = modules_by_role(w->s->modules, MODULE_PROGRAM);
	for (int first = 1; first >= 0; first--)
		for (size_t i = 0; i < n; i++) {
			struct module *m = modules_get(w->s->modules, i);
			if ((m == program) == first)
				mapping(w, m, i + 1);
		}
}

static uint64_t mapping_of(const struct writer *w, uint64_t address)
{
	size_t n = modules_count(w->s->modules);
	struct module *m = address ? modules_at(w->s->modules, address) : NULL;
	for (size_t i = 0; i < n && m; i++)
		if (modules_get(w->s->modules, i) == m)
			return i + 1;
	return 0;
}

static void frames(struct writer *w)
{
	const struct profile *p = w->p;
	for (size_t i = 0; i < p->frames.n && !w->out.failed; i++) {
		const struct profile_frame *f = &p->frames.at[i];
		uint64_t map = mapping_of(w, f->address);
		number(&w->inner, L_ID, i + 1);
		number(&w->inner, L_MAPPING, map);
		number(&w->inner, L_ADDRESS, map ? f->address : 0);
		number(&w->innermost, N_FUNCTION, i + 1);
		message(&w->inner, L_LINE, &w->innermost);
		message(&w->out, P_LOCATION, &w->inner);
		uint64_t name = string(w, f->name);
		number(&w->inner, F_ID, i + 1);
		number(&w->inner, F_NAME, name);
		number(&w->inner, F_SYSTEM_NAME, name);
		message(&w->out, P_FUNCTION, &w->inner);
	}
}

static struct err *compress_all(const struct codec_bytes *from, uint8_t **ret, size_t *ret_n)
{
	enum { GZIP = 15 + 16, MEMORY = 8 }; /* the largest window, with gzip's header; zlib.h's default */
	z_stream z = { 0 };
	if (from->n > UINT32_MAX)
		return err_new(ERR_LIMIT, "a profile of more than 4 GiB");
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_nomem();
	size_t most = deflateBound(&z, from->n);
	uint8_t *to = malloc(most);
	z.next_in = from->at;
	z.avail_in = (uInt)from->n;
	z.next_out = to;
	z.avail_out = (uInt)most;
	bool ok = to && most <= UINT32_MAX && deflate(&z, Z_FINISH) == Z_STREAM_END;
	*ret_n = z.total_out;
	deflateEnd(&z);
	if (!ok) {
		free(to);
		return err_nomem();
	}
	*ret = to;
	return NULL;
}

struct err *profile_pprof(const struct profile *p, const struct session *s, uint8_t **ret, size_t *ret_n)
{
	struct writer w = { .p = p, .s = s, .out.writing = true, .inner.writing = true, .innermost.writing = true };
	uint64_t default_type = 0, taken = s->target->picture.taken;
	string(&w, "");
	types(&w, &default_type);
	samples(&w);
	mappings(&w);
	frames(&w);
	for (size_t i = 0; i < w.strings.n; i++)
		text(&w.out, P_STRING, w.strings.at[i] ? w.strings.at[i] : "", w.strings.at[i] ? strlen(w.strings.at[i]) : 0);
	number(&w.out, P_TIME, taken ? taken : clock_nanoseconds(CLOCK_REALTIME));
	number(&w.out, P_DEFAULT_TYPE, default_type);
	struct err *e = w.out.failed ? err_nomem() : compress_all(&w.out.out, ret, ret_n);
	for (size_t i = 0; i < w.strings.n; i++)
		free(w.strings.at[i]);
	vec_free(&w.strings);
	free(w.out.out.at);
	free(w.inner.out.at);
	free(w.innermost.out.at);
	return e;
}
