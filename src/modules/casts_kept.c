/* What the code of a file says of casts, from one look to the next: reading it takes longer than all else that is asked of types. What
 * is kept is called by names: numbers of types are a run's own. A name that this run does not know, a struct that is declared only in
 * one of the two, a file of another size or one that is damaged: then the code is read again. */
#include "casts.h"

#include "flotsam/codec.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* VERSION goes up when the form changes, and when other casts are found in the same code. */
enum { VERSION = 3, HEAD = 24, MOST_KEPT = 64 << 20, MOST_KEPT_TYPES = 1 << 20 };
static const char magic[8] = "flcasts";

enum how { HOW_SIMPLE /* by what it is made of */, HOW_NAMED, HOW_ENTRY /* nameless: by where it stands in DWARF */ };
enum section { SECTION_INFO, SECTION_TYPES, SECTION_ALT };
struct kept_type { /* 0 is void; else the index + 1 */
	const char *name;
	const char *module;	/* HOW_ENTRY: its build-id */
	uint64_t size, count, entry;
	uint32_t target, line;
	uint8_t kind, how, section;
};
struct kept_node { uint8_t kind; bool deep; uint32_t type; uint64_t number; };

struct kept {
	const char *id;
	uint64_t file_bytes, machine, functions, decoded, code_bytes;
	uint32_t variables;
	bool cut;
	VEC(struct kept_type) types;
	VEC(struct kept_node) nodes; /* from 1 on */
	VEC(struct flow) flows;
	VEC(struct use) sinks, sources;
};

static void free_kept(struct kept *x)
{
	vec_free(&x->types);
	vec_free(&x->nodes);
	vec_free(&x->flows);
	vec_free(&x->sinks);
	vec_free(&x->sources);
}

/* Its form */

static void code_types(struct codec *k, struct kept *x)
{
	struct kept_type *t;
	CODEC_EACH(k, &x->types, t) {
		CODEC_U(k, t->kind);
		CODEC_U(k, t->how);
		codec_string(k, &t->name);
		codec_u64(k, &t->size);
		CODEC_U(k, t->target);
		codec_u64(k, &t->count);
		CODEC_U(k, t->line);
		codec_string(k, &t->module);
		CODEC_U(k, t->section);
		codec_u64(k, &t->entry);
		k->failed |= x->types.n > MOST_KEPT_TYPES;
	}
}

static void code_graph(struct codec *k, struct kept *x)
{
	struct kept_node *n;
	struct flow *f;
	CODEC_EACH(k, &x->nodes, n) {
		CODEC_U(k, n->kind);
		codec_bool(k, &n->deep);
		CODEC_U(k, n->type);
		codec_u64(k, &n->number);
		k->failed |= x->nodes.n > CASTS_NODES;
	}
	CODEC_EACH(k, &x->flows, f) {
		CODEC_U(k, f->from);
		CODEC_U(k, f->to);
		k->failed |= x->flows.n > CASTS_FLOWS;
	}
}

#define CODE_USES(k, v)                                                                                                \
	do {                                                                                                           \
		struct use *u;                                                                                         \
		CODEC_EACH(k, v, u) {                                                                                  \
			CODEC_U(k, u->node);                                                                           \
			CODEC_U(k, u->type);                                                                           \
			codec_u64(k, &u->places);                                                                      \
			(k)->failed |= (v)->n > CASTS_USES;                                                            \
		}                                                                                                      \
	} while (0)

static void code_kept(struct codec *k, struct kept *x)
{
	codec_string(k, &x->id);
	codec_u64(k, &x->file_bytes);
	codec_u64(k, &x->machine);
	codec_u64(k, &x->functions);
	codec_u64(k, &x->decoded);
	codec_u64(k, &x->code_bytes);
	CODEC_U(k, x->variables);
	codec_bool(k, &x->cut);
	code_types(k, x);
	code_graph(k, x);
	CODE_USES(k, &x->sinks);
	CODE_USES(k, &x->sources);
}

/* FNV-1a: against a disk's faults, not against anybody's wish. */
static uint64_t sum_of(const uint8_t *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

static void put_u64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* By which it is kept, and which it says. */

struct name { char id[2 * sizeof((struct module *)0)->build_id + 1], file[2 * sizeof((struct module *)0)->build_id + 16]; };

static void build_id(const struct module *m, char *to, size_t room)
{
	*to = '\0';
	for (size_t i = 0; i < m->build_id_n && 2 * i + 2 < room; i++)
		snprintf(to + 2 * i, 3, "%02x", m->build_id[i]);
}

static bool name_of(const struct module *m, struct name *ret)
{
	build_id(m, ret->id, sizeof ret->id);
	snprintf(ret->file, sizeof ret->file, "%s-%d", ret->id, VERSION);
	return m->build_id_n >= 8;
}

/* Keeping */

struct writer {
	struct miner *m;
	struct kept x;
	struct map64 index;	/* type -> its index + 1 */
	VEC(char *) ids;
	bool lost;		/* something has no name that would stand for it */
};

static const char *id_of_module(struct writer *w, uint32_t module)
{
	const struct module *m = w->m->ms->list.at[module];
	char **slot = m->build_id_n ? vec_push(&w->ids) : NULL;
	char id[sizeof((struct name *)0)->id];
	build_id(m, id, sizeof id);
	if (slot)
		*slot = strdup(id);
	return slot ? *slot : NULL;
}

/* Of type units before DWARF 5 entries count from the start of another section. */
static enum section section_of(const struct writer *w, const struct unread *u)
{
	uint8_t unit = 0;
	Dwarf_Half version = 0;
	Dwarf_Die die = u->die;
	Dwarf *alt = priv_of(w->m->ms->list.at[u->module])->alt;
	if (alt && dwarf_cu_getdwarf(die.cu) == alt)
		return SECTION_ALT;
	if (!dwarf_cu_info(die.cu, &version, &unit, NULL, NULL, NULL, NULL, NULL) && version < 5 && unit == DW_UT_type)
		return SECTION_TYPES;
	return SECTION_INFO;
}

static void describe(struct writer *w, uint32_t id, struct kept_type *to)
{
	const struct type *t = table_type(w->m->r->t, id);
	const struct unread *u = reader_entry(w->m->r, id);
	*to = (struct kept_type){ .name = t->name, .size = t->size, .count = t->count, .line = t->line, .kind = t->kind, .how = HOW_SIMPLE };
	if (!u)
		return;
	to->how = reader_find(w->m->r, t->kind, t->name, t->size, t->line) == id ? HOW_NAMED : HOW_ENTRY;
	if (to->how == HOW_NAMED)
		return;
	to->module = id_of_module(w, u->module);
	to->entry = dwarf_dieoffset((Dwarf_Die *)&u->die);
	to->section = section_of(w, u);
	w->lost |= !to->module;
}

/* From what it is made of outwards. A target is older than what points at it, so that there is an end. */
static uint32_t type_index(struct writer *w, uint32_t id)
{
	uint32_t chain[MAX_LINKS], n = 0;
	uint64_t index = 0;
	while (id && !map64_find(&w->index, id, &index)) {
		if (n == MAX_LINKS) {
			w->lost = true;
			return 0;
		}
		chain[n++] = id;
		id = table_type(w->m->r->t, id)->target;
	}
	index = id ? index : 0;
	while (n--) {
		struct kept_type *t = vec_push(&w->x.types);
		w->lost |= !t;
		if (!t)
			return 0;
		describe(w, chain[n], t);
		t->target = (uint32_t)index;
		index = w->x.types.n;
		w->lost |= !map64_put(&w->index, chain[n], index);
	}
	return (uint32_t)index;
}

static void write_node(struct writer *w, uint64_t key)
{
	struct kept_node *n = vec_push(&w->x.nodes);
	uint64_t what = node_what(key);
	w->lost |= !n;
	if (!n)
		return;
	*n = (struct kept_node){ .kind = node_kind(key), .deep = node_is_deep(key), .number = what };
	if (n->kind == NODE_FIELD) {
		n->type = type_index(w, (uint32_t)(what >> 32));
		n->number = (uint32_t)what;
	} else if (n->kind == NODE_INCOMPLETE) {
		n->type = type_index(w, (uint32_t)what);
		n->number = 0;
	} else if (n->kind == NODE_VARIABLE) {
		n->number = what - w->m->r->m->bias;
	}
}

static void write_graph(struct writer *w)
{
	const struct cast_part *p = &w->m->part;
	for (size_t i = 1; i < p->nodes.n && !w->lost; i++)
		write_node(w, p->nodes.at[i]);
	for (size_t i = 0; i < p->flows.n && !w->lost; i++) {
		struct flow *f = vec_push(&w->x.flows);
		w->lost |= !f;
		if (f)
			*f = p->flows.at[i];
	}
	w->lost = w->lost || !part_list_uses(&p->sinks, &w->x.sinks.at, &w->x.sinks.n) || !part_list_uses(&p->sources, &w->x.sources.at, &w->x.sources.n);
	for (size_t i = 0; i < w->x.sinks.n && !w->lost; i++)
		w->x.sinks.at[i].type = type_index(w, w->x.sinks.at[i].type);
	for (size_t i = 0; i < w->x.sources.n && !w->lost; i++)
		w->x.sources.at[i].type = type_index(w, w->x.sources.at[i].type);
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
	for (ssize_t k; n; p += k, n -= (size_t)k) {
		k = write(fd, p, n);
		if (k < 0 && errno == EINTR && !interrupted)
			k = 0;
		else if (k < 0)
			return false;
	}
	return true;
}

static void hand_over(const struct modules_options *o, const char *name, struct codec *k)
{
	AUTO_FD int fd = memfd_create("flotsam-casts", MFD_CLOEXEC);
	if (k->failed || k->out.n > MOST_KEPT || fd < 0)
		return;
	put_u64(k->out.at + 8, k->out.n - HEAD);
	put_u64(k->out.at + 16, sum_of(k->out.at + HEAD, k->out.n - HEAD));
	if (write_all(fd, k->out.at, k->out.n))
		o->keep(o->keep_ctx, name, fd);
}

/* What another user's file says is for looks at that file: its build-id may be that of a file which everybody runs. */
static bool is_trusted(int fd)
{
	struct stat st;
	return fd < 0 || (!fstat(fd, &st) && (!st.st_uid || st.st_uid == geteuid()));
}

static void free_writer(struct writer *w)
{
	for (size_t i = 0; i < w->ids.n; i++)
		free(w->ids.at[i]);
	vec_free(&w->ids);
	map64_free(&w->index);
	free_kept(&w->x);
}

void miner_keep(struct miner *m, size_t decoded, uint64_t code_bytes, bool cut)
{
	static const uint8_t room[HEAD - sizeof magic];
	struct name name;
	struct codec k = { .writing = true };
	struct writer w = { .m = m, .x = { .file_bytes = m->r->m->file.n, .machine = m->machine->elf_machine, .functions = m->functions.n,
					   .decoded = decoded, .code_bytes = code_bytes, .variables = m->variables, .cut = cut } };
	const struct priv *p = priv_of(m->r->m);
	if (!m->ms->o.keep || !name_of(m->r->m, &name) || !is_trusted(p->fd) || !is_trusted(p->debug_fd) || !is_trusted(p->alt_fd))
		return;
	w.x.id = name.id;
	write_graph(&w);
	if (!w.lost) {
		codec_bytes(&k, magic, sizeof magic);
		codec_bytes(&k, room, sizeof room);
		code_kept(&k, &w.x);
		hand_over(&m->ms->o, name.file, &k);
	}
	free(k.out.at);
	free_writer(&w);
}

/* Recalling: what is read here may be anything */

static uint8_t *read_file(int fd, size_t *ret_n)
{
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < HEAD || st.st_size > MOST_KEPT)
		return NULL;
	size_t n = (size_t)st.st_size, have = 0;
	uint8_t *p = malloc(n);
	for (ssize_t k = 1; p && have < n && k > 0 && !interrupted; have += k > 0 ? (size_t)k : 0)
		k = pread(fd, p + have, n - have, (off_t)have);
	if (have < n) {
		free(p);
		return NULL;
	}
	*ret_n = n;
	return p;
}

static bool is_whole(const uint8_t *p, size_t n)
{
	struct span s = { p, n };
	uint64_t length, sum;
	return span_u64(s, 8, false, &length) && span_u64(s, 16, false, &sum) && !memcmp(p, magic, sizeof magic) && length == n - HEAD &&
	       sum == sum_of(p + HEAD, n - HEAD);
}

struct entry_job { struct type_reader *r; const struct kept_type *t; uint32_t id; };

static void read_entry(void *ctx)
{
	struct entry_job *j = ctx;
	const struct priv *p = priv_of(j->r->m);
	Dwarf *dw = j->t->section == SECTION_ALT ? p->alt : p->dwarf;
	Dwarf_Die die;
	if (!dw || !(j->t->section == SECTION_TYPES ? dwarf_offdie_types(dw, j->t->entry, &die) : dwarf_offdie(dw, j->t->entry, &die)))
		return;
	int tag = dwarf_tag(&die);
	if (tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type)
		j->id = reader_resolve(j->r, &die);
}

static uint32_t find_entry(struct miner *m, const struct kept_type *t)
{
	struct entry_job job = { m->r, t, 0 };
	char id[sizeof((struct name *)0)->id];
	for (size_t i = 0; i < m->ms->list.n; i++) {
		struct module *at = m->ms->list.at[i];
		build_id(at, id, sizeof id);
		if (!t->module || !*id || strcmp(id, t->module) || !modules_dwarf(m->ms, at))
			continue;
		m->r->module = (uint32_t)i;
		m->r->m = at;
		modules_guarded(m->ms, at, read_entry, &job);
		break;
	}
	const struct type *found = table_type(m->r->t, job.id);
	return found->kind == t->kind && found->size == t->size && found->line == t->line ? job.id : 0;
}

static uint32_t find_simple(struct miner *m, const struct kept_type *t, uint32_t target)
{
	switch (t->kind) {
	case TYPE_POINTER:
		return t->size == m->r->t->word ? reader_simple(m->r, TYPE_POINTER, target, 0, t->size, NULL) : 0;
	case TYPE_ARRAY:
		return reader_simple(m->r, TYPE_ARRAY, target, t->count, t->size, NULL);
	case TYPE_CODE:
		return reader_simple(m->r, TYPE_CODE, 0, 0, 0, NULL);
	case TYPE_CHAR:
	case TYPE_NUMBER:
		return t->name && t->size ? reader_simple(m->r, t->kind, 0, 0, t->size, t->name) : 0;
	case TYPE_INCOMPLETE: /* here, too */
		return t->name && !type_table_find(m->r->t, t->name) ? reader_simple(m->r, TYPE_INCOMPLETE, 0, 0, 0, t->name) : 0;
	default:
		return 0;
	}
}

/* An array's size is what its elements say. */
static bool is_sound(const struct miner *m, const struct kept_type *t, uint32_t target)
{
	uint64_t size;
	return t->kind != TYPE_ARRAY || (!__builtin_mul_overflow(table_type(m->r->t, target)->size, t->count, &size) && size == t->size);
}

/* The types of this run; ids[0] is void. */
static bool find_types(struct miner *m, const struct kept *x, uint32_t *ids)
{
	for (size_t i = 0; i < x->types.n && !m->nomem && !interrupted; i++) {
		const struct kept_type *t = &x->types.at[i];
		if (t->target > i)
			return false;
		uint32_t target = ids[t->target], id = 0;
		if (t->how == HOW_NAMED)
			id = reader_find(m->r, t->kind, t->name, t->size, t->line);
		else if (t->how == HOW_ENTRY)
			id = find_entry(m, t);
		else if (t->how == HOW_SIMPLE && is_sound(m, t, target))
			id = find_simple(m, t, target);
		if (!id)
			return false;
		ids[i + 1] = id;
	}
	m->nomem |= m->r->nomem;
	AUTO_ERR struct err *e = m->nomem || interrupted ? NULL : reader_finish(m->r);
	return !e && !m->nomem && !interrupted;
}

static bool recall_node(struct miner *m, const struct kept *x, const struct kept_node *n, const uint32_t *ids)
{
	uint64_t what = n->number, most = UINT64_MAX;
	if (n->type > x->types.n || n->kind >= N_NODE_KINDS)
		return false;
	const struct type *t = table_type(m->r->t, ids[n->type]);
	if (n->kind == NODE_FIELD) {
		if (!type_is_struct(t) || n->number > UINT32_MAX)
			return false;
		what = (uint64_t)ids[n->type] << 32 | n->number;
	} else if (n->kind == NODE_INCOMPLETE) {
		if (t->kind != TYPE_INCOMPLETE)
			return false;
		what = ids[n->type];
	} else if (n->kind == NODE_VARIABLE) {
		what += m->r->m->bias;
	} else {
		most = n->kind == NODE_LOCAL ? (uint64_t)x->variables + 1 : n->kind == NODE_PARAMETER ? x->functions * CASTS_ARGUMENTS : x->functions;
	}
	/* Each once, so that the next has the next number. */
	size_t before = m->part.nodes.n;
	return n->number < most && part_node(m, &m->part, node_key(n->kind, n->deep, what)) && m->part.nodes.n == before + (before ? 1 : 2);
}

static bool recall_uses(struct miner *m, const struct kept *x, const struct use *list, size_t n, const uint32_t *ids, struct map64 *to)
{
	for (size_t i = 0; i < n && !m->nomem; i++) {
		const struct use *u = &list[i];
		if (!u->node || u->node > x->nodes.n || u->type > x->types.n)
			return false;
		enum pointee p = pointee_of(m->r->t, ids[u->type]);
		if (p != POINTEE_COMPLETE && p != POINTEE_CHAR)
			return false;
		part_use(m, to, u->node, ids[u->type], u->places);
	}
	return true;
}

static bool recall_graph(struct miner *m, const struct kept *x, const uint32_t *ids)
{
	for (size_t i = 0; i < x->nodes.n && !m->nomem; i++)
		if (!recall_node(m, x, &x->nodes.at[i], ids))
			return false;
	for (size_t i = 0; i < x->flows.n && !m->nomem; i++) {
		const struct flow *f = &x->flows.at[i];
		if (f->from > x->nodes.n || f->to > x->nodes.n)
			return false;
		part_flow(m, &m->part, f->from, f->to);
	}
	return recall_uses(m, x, x->sinks.at, x->sinks.n, ids, &m->part.sinks) && recall_uses(m, x, x->sources.at, x->sources.n, ids, &m->part.sources);
}

static bool recall(struct miner *m, const struct name *name, struct span data, struct kept *x)
{
	struct codec k = { .in = { data.p + HEAD, data.n - HEAD } };
	const struct module *module = m->r->m;
	if (!is_whole(data.p, data.n))
		return false;
	code_kept(&k, x);
	if (k.failed || k.at != k.in.n || !x->id || strcmp(x->id, name->id) || x->file_bytes != module->file.n || x->machine != m->machine->elf_machine ||
	    x->functions > CASTS_FUNCTIONS || x->variables == UINT32_MAX)
		return false;
	AUTO_FREE uint32_t *ids = calloc(x->types.n + 1, sizeof *ids);
	if (!ids || !find_types(m, x, ids))
		return false;
	m->r->m = (struct module *)module;
	return recall_graph(m, x, ids) && !m->nomem;
}

bool miner_recall(struct miner *m, uint32_t *ret_variables, size_t *ret_functions)
{
	const struct modules_options *o = &m->ms->o;
	struct name name;
	struct kept x = { 0 };
	size_t n = 0;
	if (!o->recall || !name_of(m->r->m, &name))
		return false;
	AUTO_FD int fd = o->recall(o->keep_ctx, name.file);
	AUTO_FREE uint8_t *p = fd < 0 ? NULL : read_file(fd, &n);
	bool ok = p && recall(m, &name, (struct span){ p, n }, &x);
	if (ok) {
		m->result->functions += x.decoded;
		m->result->code_bytes += x.code_bytes;
		m->result->cut |= x.cut;
		*ret_variables = x.variables;
		*ret_functions = x.functions;
	} else {
		part_free(&m->part);
	}
	free_kept(&x);
	return ok;
}
