/* From bytes to a census. Nothing of the file is believed: not its sizes, its indexes, its order, nor that it is one. */
#include "census.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

bool census_is(const void *data, size_t n)
{
	return n >= sizeof census_magic && !memcmp(data, census_magic, sizeof census_magic);
}

int census_open(const char *path)
{
	char magic[sizeof census_magic];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic && census_is(magic, sizeof magic))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static struct err *damaged(const char *where, const char *what)
{
	return err_hint(err_new(ERR_BAD_DATA, "the census is damaged: %s: %s", where, what), "flotsam snap PID -o FILE writes a new one");
}

/* Length and checksum of each section; those that this version does not know are passed over. */
static struct err *find_sections(struct span all, struct span *to)
{
	uint32_t version, n, crc, table_crc;
	uint64_t bytes;
	bool seen[N_SECTIONS] = { false };
	if (!census_is(all.p, all.n) || all.n < HEAD_BYTES)
		return err_new(ERR_BAD_DATA, "this is no census");
	span_u32(all, 8, false, &version);
	span_u32(all, 12, false, &n);
	span_u64(all, 16, false, &bytes);
	span_u32(all, 24, false, &table_crc);
	span_u32(all, HEAD_CRC, false, &crc);
	if (version != CENSUS_VERSION)
		return err_new(ERR_UNSUPPORTED, "a census of version %" PRIu32 ": this flotsam reads version %d", version, CENSUS_VERSION);
	if (crc != census_crc(all.p, HEAD_CRC))
		return damaged("head", "its checksum is another");
	if (bytes != all.n)
		return err_hint(err_new(ERR_BAD_DATA, "the census is damaged: it has %zu bytes and should have %" PRIu64, all.n, bytes),
				"flotsam snap PID -o FILE writes a new one");
	struct span table = span_sub(all, HEAD_BYTES, (size_t)n * ENTRY_BYTES);
	if (n < FIRST_SECTIONS || n > 1024 || !table.n || table_crc != census_crc(table.p, table.n))
		return damaged("table of sections", "its checksum is another");
	for (uint32_t i = 0; i < n; i++) {
		uint32_t id;
		uint64_t at, size;
		span_u32(table, i * ENTRY_BYTES, false, &id);
		span_u32(table, i * ENTRY_BYTES + 4, false, &crc);
		span_u64(table, i * ENTRY_BYTES + 8, false, &at);
		span_u64(table, i * ENTRY_BYTES + 16, false, &size);
		if (!id || id > N_SECTIONS)
			continue;
		const char *name = census_sections[id - 1];
		if (at > all.n || size > all.n - at || seen[id - 1])
			return damaged(name, "it is not within the file, once");
		if (crc != census_crc(all.p + at, size))
			return damaged(name, "its checksum is another");
		seen[id - 1] = true;
		to[id - 1] = (struct span){ all.p + at, size };
	}
	for (int i = 0; i < FIRST_SECTIONS; i++)
		if (!seen[i])
			return damaged(census_sections[i], "it is missing");
	return NULL;
}

static struct err *decode(struct census *c, const struct span *sections)
{
	struct session_parts *p = c->parts;
	struct codec k[N_SECTIONS] = { 0 };
	for (int i = 0; i < N_SECTIONS; i++)
		k[i].in = sections[i];
	census_code_look(&k[SECTION_LOOK], c);
	target_code(&k[SECTION_TARGET], &p->target, &p->account);
	picture_code_maps(&k[SECTION_MAPS], &p->target.picture);
	picture_code_pages(&k[SECTION_PAGES], &p->target.picture);
	census_code_modules(&k[SECTION_MODULES], p);
	census_code_runtime(&k[SECTION_RUNTIME], p);
	census_code_alloc(&k[SECTION_ALLOC], p, c);
	census_code_graph(&k[SECTION_GRAPH], p, c);
	census_code_labels(&k[SECTION_LABELS], c);
	census_code_holders(&k[SECTION_HOLDERS], c);
	census_code_kinds(&k[SECTION_KINDS], c);
	census_code_symbols(&k[SECTION_SYMBOLS], p);
	for (int i = 0; i < N_SECTIONS; i++)
		if (k[i].failed)
			return damaged(census_sections[i], "it holds what cannot be, or ends early");
	c->blocks = sections[SECTION_BLOCKS];
	c->leaders = sections[SECTION_LEADERS];
	c->references = sections[SECTION_REFERENCES];
	return NULL;
}

static void publish(struct census *c)
{
	struct session_parts *p = c->parts;
	c->pid = p->target.pid;
	c->comm = p->target.comm;
	c->exe = p->target.exe;
	c->arch = p->target.arch;
	c->header = p->alloc.facts.header;
	c->granule = p->alloc.facts.granule;
	c->mmap_tail = p->alloc.facts.mmap_tail;
	c->walked = p->alloc.facts.walked;
	c->timed = (c->look.kind && !strcmp(c->look.kind, "live")) || p->target.picture.taken;
	c->at_most = p->target.picture.at_most;
	c->truncated = p->target.picture.truncated;
	c->segments = p->alloc.segments.at;
	c->n_segments = p->alloc.segments.n;
}

struct err *census_read(uint8_t *data, size_t n, struct census **ret)
{
	struct span sections[N_SECTIONS] = { { 0 } };
	struct census *c = calloc(1, sizeof *c);
	if (!c || !(c->parts = calloc(1, sizeof *c->parts))) {
		free(c);
		free(data);
		return err_nomem();
	}
	c->data = data;
	c->n = n;
	struct err *e = find_sections((struct span){ data, n }, sections);
	if (!e)
		e = decode(c, sections);
	if (!e) {
		publish(c);
		e = census_judge(c);
	}
	if (e) {
		census_free(c);
		return e;
	}
	*ret = c;
	return NULL;
}

struct err *census_load(int fd, const char *name, struct census **ret)
{
	struct stat st;
	if (fstat(fd, &st))
		return err_os(errno, "cannot read %s", name);
	const char *what;
	uint64_t size = st.st_size > 0 ? (uint64_t)st.st_size : 0, room = system_room("", &what);
	if (size > room / 2)
		return err_new(ERR_LIMIT, "%s has %" PRIu64 " MiB, and %s leaves %" PRIu64 " MiB", name, size >> 20, what, room >> 20);
	uint8_t *data = malloc(size + 1);
	if (!data)
		return err_nomem();
	size_t n = 0;
	for (ssize_t k = 1; n < size && k; n += (size_t)k) {
		k = pread(fd, data + n, size - n, (off_t)n);
		if (k < 0) {
			int os = errno;
			free(data);
			return err_os(os, "cannot read %s", name);
		}
	}
	return census_read(data, n, ret);
}

void session_parts_free(struct session_parts *p)
{
	if (!p)
		return;
	struct alloc *a = &p->alloc;
	picture_clear(&p->target.picture);
	vec_free(&a->arenas);
	vec_free(&a->segments);
	vec_free(&a->state_extents);
	vec_free(&a->tcaches);
	vec_free(&a->lists);
	findings_free(&a->findings);
	vec_free(&p->runtime.extents);
	vec_free(&p->runtime.threads);
	vec_free(&p->runtime.dead_threads);
	vec_free(&p->runtime.regions);
	for (size_t i = 0; i < p->modules.n; i++)
		vec_free(&p->modules.at[i].segments);
	vec_free(&p->modules);
	vec_free(&p->symbols);
	free(p);
}

void census_free(struct census *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->labels.n; i++)
		free(c->labels.at[i].name);
	for (size_t i = 0; i < c->holders.n; i++) {
		free(c->holders.at[i].name);
		free(c->holders.at[i].where);
	}
	vec_free(&c->labels);
	vec_free(&c->holders);
	vec_free(&c->sets);
	vec_free(&c->kinds);
	vec_free(&c->counts);
	session_parts_free(c->parts);
	free(c->data);
	free(c);
}

void census_begin(const struct census *c, struct census_cursor *to)
{
	*to = (struct census_cursor){ .c = c, .segment = SIZE_MAX };
}

/* The index that stands at `at`; moves on. False at the end. */
static bool take_index(struct census_cursor *t, uint32_t *ret)
{
	const uint8_t *p = t->c->blocks.p + t->at;
	size_t left = t->c->blocks.n - t->at;
	if (!left)
		return false;
	if (p[0] < ONE_BYTE) {
		*ret = p[0];
		t->at++;
	} else if (p[0] < ONE_BYTE + TWO_BYTES && left >= 2) {
		*ret = ONE_BYTE + ((uint32_t)(p[0] - ONE_BYTE) << 8 | p[1]);
		t->at += 2;
	} else if (p[0] < UINT8_MAX && left >= 3) {
		*ret = SECOND + ((uint32_t)(p[0] - ONE_BYTE - TWO_BYTES) << 16 | (uint32_t)p[2] << 8 | p[1]);
		t->at += 3;
	} else if (p[0] == UINT8_MAX && left >= 5) {
		*ret = p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 24;
		t->at += 5;
	} else {
		return false;
	}
	return *ret < t->c->kinds.n;
}

bool census_next(struct census_cursor *t)
{
	const struct census *c = t->c;
	while (!t->left) {
		if (++t->segment >= c->n_segments)
			return false;
		t->left = c->counts.at[t->segment];
		t->next = c->segments[t->segment].start;
	}
	if (!take_index(t, &t->kind))
		return false;
	t->id = t->given++;
	t->chunk = t->next;
	t->next += c->kinds.at[t->kind].chunk_bytes;
	t->left--;
	return true;
}

uint64_t census_usable(const struct census *c, const struct census_kind *k)
{
	unsigned w = c->header / 2;
	if (k->state != BLOCK_MMAPPED)
		return k->chunk_bytes - w;
	return k->chunk_bytes - (c->mmap_tail ? 3 : 2) * w; /* see alloc_usable() */
}

static void add_holder(struct strbuf *s, const struct holder *h)
{
	bool of_thread = h->kind == HOLDER_FRAME || h->kind == HOLDER_REGISTER;
	const char *name = h->name;
	if (of_thread && !strncmp(name, "thread ", 7)) {
		name += 7 + strspn(name + 7, "0123456789");
		strbuf_puts(s, "thread");
	}
	strbuf_puts(s, name);
	if (of_thread && h->where)
		strbuf_printf(s, ", %s", h->where);
}

char *census_set_name(const struct census *c, uint32_t set)
{
	const struct holder_set *x = &c->sets.at[set];
	struct strbuf s = { 0 };
	for (int i = 0; i < (x->n > 3 ? 3 : x->n); i++) {
		if (i)
			strbuf_puts(&s, " + ");
		add_holder(&s, &c->holders.at[x->holders[i]]);
	}
	if (x->n > 3)
		strbuf_puts(&s, " and more");
	return s.text ? s.text : strdup("");
}

bool census_same_process(const struct census *a, const struct census *b)
{
	return a->pid && a->pid == b->pid && a->look.instance && a->look.instance == b->look.instance && a->arch == b->arch;
}
