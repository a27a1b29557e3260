/* Groups come from the kinds of each census, so that their number counts and not that of the blocks; blocks are compared by
 * walking two censuses side by side, by address. */
#include "flotsam/diff.h"
#include "flotsam/trend.h"

struct matcher {
	struct diff *d;
	uint32_t *slots;	/* index + 1 of a group, by hash */
	size_t n_slots;		/* a power of two */
};

static uint64_t hash_text(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3u;
	return h ^ h >> 31;
}

static uint64_t hash_of(const char *label, const char *holder, uint64_t size, enum block_class class_of)
{
	uint64_t h = hash_text(hash_text(0xcbf29ce484222325u ^ size, label) * 31, holder) + (uint64_t)class_of;
	h *= 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static bool grow(struct matcher *m)
{
	size_t n = m->n_slots ? m->n_slots * 2 : 1024;
	uint32_t *slots = calloc(n, sizeof *slots);
	if (!slots)
		return false;
	for (size_t i = 0; i < m->d->groups.n; i++) {
		const struct diff_group *g = &m->d->groups.at[i];
		size_t at = hash_of(g->label, g->holder, g->size, g->class_of) & (n - 1);
		while (slots[at])
			at = (at + 1) & (n - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(m->slots);
	m->slots = slots;
	m->n_slots = n;
	return true;
}

/* UINT32_MAX: no memory. */
static uint32_t group_for(struct matcher *m, const char *label, const char *holder, uint64_t size, enum block_class class_of)
{
	struct diff *d = m->d;
	if (d->groups.n * 2 >= m->n_slots && !grow(m))
		return UINT32_MAX;
	size_t at = hash_of(label, holder, size, class_of) & (m->n_slots - 1);
	for (; m->slots[at]; at = (at + 1) & (m->n_slots - 1)) {
		const struct diff_group *g = &d->groups.at[m->slots[at] - 1];
		if (g->size == size && g->class_of == class_of && !strcmp(g->label, label) && !strcmp(g->holder, holder))
			return m->slots[at] - 1;
	}
	struct diff_group *g = vec_push(&d->groups);
	if (!g)
		return UINT32_MAX;
	*g = (struct diff_group){ .label = label, .holder = strdup(holder), .size = size, .class_of = class_of, .looks = calloc(d->n, sizeof *g->looks) };
	if (!g->holder || !g->looks)
		return UINT32_MAX;
	m->slots[at] = (uint32_t)d->groups.n;
	return m->slots[at] - 1;
}

static void add(struct class_sum *to, uint64_t blocks, uint64_t bytes)
{
	to->blocks += blocks;
	to->bytes += blocks * bytes;
}

/* Enters the kinds of one look; of[kind] is its group, UINT32_MAX for what is not used. */
static struct err *enter_kinds(struct matcher *m, size_t look, char *const *holders, uint32_t *of)
{
	struct diff *d = m->d;
	const struct census *c = d->looks[look];
	for (size_t i = 0; i < c->kinds.n; i++) {
		const struct census_kind *k = &c->kinds.at[i];
		enum block_class class_of = (enum block_class)k->class_of;
		uint64_t size = census_usable(c, k);
		of[i] = UINT32_MAX;
		if (!block_state_is_used((enum block_state)k->state))
			continue;
		of[i] = group_for(m, c->labels.at[k->label].name, k->set ? holders[k->set - 1] : "", size, class_of);
		if (of[i] == UINT32_MAX)
			return err_nomem();
		add(&d->groups.at[of[i]].looks[look], k->blocks, size);
		add(&d->classes[look][class_of], k->blocks, size);
		add(&d->used[look], k->blocks, size);
	}
	return NULL;
}

static struct err *enter_look(struct matcher *m, size_t look, uint32_t **ret_of)
{
	const struct census *c = m->d->looks[look];
	char **holders = calloc(c->sets.n + 1, sizeof *holders);
	uint32_t *of = malloc((c->kinds.n + 1) * sizeof *of);
	bool ok = holders && of;
	for (size_t i = 0; ok && i < c->sets.n; i++)
		ok = (holders[i] = census_set_name(c, (uint32_t)i));
	struct err *e = ok ? enter_kinds(m, look, holders, of) : err_nomem();
	for (size_t i = 0; holders && i < c->sets.n; i++)
		free(holders[i]);
	free(holders);
	if (e)
		free(of);
	else
		*ret_of = of;
	return e;
}

struct side { struct census_cursor at; const uint32_t *of; bool more; };

static const struct census_kind *kind_at(const struct side *s)
{
	return &s->at.c->kinds.at[s->at.kind];
}

static void step(struct side *s)
{
	do
		s->more = census_next(&s->at);
	while (s->more && s->of[s->at.kind] == UINT32_MAX);
}

static void is_gone(struct diff *d, struct side *a)
{
	const struct census_kind *k = kind_at(a);
	uint64_t size = census_usable(a->at.c, k);
	add(&d->gone, 1, size);
	add(&d->groups.at[a->of[a->at.kind]].gone, 1, size);
	if (diff_is_leaked((enum block_class)k->class_of))
		add(&d->no_longer_leaked, 1, size);
	step(a);
}

static void is_new(struct diff *d, struct side *b)
{
	const struct census_kind *k = kind_at(b);
	uint64_t size = census_usable(b->at.c, k);
	add(&d->created, 1, size);
	add(&d->groups.at[b->of[b->at.kind]].created, 1, size);
	if (diff_is_leaked((enum block_class)k->class_of))
		add(&d->new_leaked, 1, size);
	step(b);
}

static void survives(struct diff *d, struct side *a, struct side *b)
{
	bool before = diff_is_leaked((enum block_class)kind_at(a)->class_of), now = diff_is_leaked((enum block_class)kind_at(b)->class_of);
	uint64_t size = census_usable(b->at.c, kind_at(b));
	add(&d->survived, 1, size);
	if (before || now)
		add(before && now ? &d->old_leaked : now ? &d->new_leaked : &d->no_longer_leaked, 1, size);
	step(a);
	step(b);
}

static struct err *compare_blocks(struct diff *d, const uint32_t *first, const uint32_t *last)
{
	struct side a = { .of = first }, b = { .of = last };
	census_begin(d->looks[0], &a.at);
	census_begin(d->looks[d->n - 1], &b.at);
	step(&a);
	step(&b);
	for (uint64_t n = 1; a.more || b.more; n++) {
		bool same = a.more && b.more && a.at.chunk == b.at.chunk && kind_at(&a)->chunk_bytes == kind_at(&b)->chunk_bytes;
		if (same)
			survives(d, &a, &b);
		else if (a.more && (!b.more || a.at.chunk <= b.at.chunk))
			is_gone(d, &a);
		else
			is_new(d, &b);
		if (!(n & 0xfffff) && interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	return NULL;
}

/* Of two processes nothing is said of single blocks: groups of leaks that grew are new ones. */
static void judge_leaks_by_group(struct diff *d)
{
	for (size_t i = 0; i < d->groups.n; i++) {
		const struct diff_group *g = &d->groups.at[i];
		if (!diff_is_leaked(g->class_of))
			continue;
		uint64_t before = g->looks[0].blocks, now = g->looks[d->n - 1].blocks, both = before < now ? before : now;
		add(&d->old_leaked, both, g->size);
		add(&d->new_leaked, now - both, g->size);
		add(&d->no_longer_leaked, before - both, g->size);
	}
}

static struct err *judge_groups(struct diff *d)
{
	AUTO_FREE struct sample *s = calloc(d->n, sizeof *s);
	if (!s)
		return err_nomem();
	for (size_t i = 0; i < d->groups.n; i++) {
		struct diff_group *g = &d->groups.at[i];
		g->grew_always = true;
		for (size_t k = 0; k < d->n; k++) {
			s[k] = (struct sample){ d->timed ? (double)(d->looks[k]->look.taken - d->looks[0]->look.taken) / 1e9 : (double)k, (double)g->looks[k].bytes };
			g->grew_always &= !k || g->looks[k].bytes > g->looks[k - 1].bytes;
		}
		g->more_blocks = (int64_t)(g->looks[d->n - 1].blocks - g->looks[0].blocks);
		g->more_bytes = (int64_t)(g->looks[d->n - 1].bytes - g->looks[0].bytes);
		g->slope = trend_slope(s, d->n);
	}
	return NULL;
}

static int by_growth(const void *a, const void *b)
{
	const struct diff_group *x = a, *y = b;
	if (x->more_bytes != y->more_bytes)
		return x->more_bytes > y->more_bytes ? -1 : 1;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	int c = strcmp(x->label, y->label);
	return c ? c : x->class_of != y->class_of ? (x->class_of < y->class_of ? -1 : 1) : strcmp(x->holder, y->holder);
}

static int by_steadiness(const void *a, const void *b)
{
	const struct diff_group *x = a, *y = b;
	if (x->grew_always != y->grew_always)
		return x->grew_always ? -1 : 1;
	if (x->grew_always && (x->slope < y->slope || x->slope > y->slope))
		return x->slope > y->slope ? -1 : 1;
	return by_growth(a, b);
}

static struct err *compare(struct diff *d)
{
	struct matcher m = { .d = d };
	uint32_t *first = NULL, *last = NULL;
	struct err *e = NULL;
	for (size_t i = 0; !e && i < d->n; i++) {
		uint32_t *of = NULL;
		e = enter_look(&m, i, &of);
		if (!i) {
			first = of;
		} else {
			free(last);
			last = of;
		}
	}
	if (!e && d->one_process)
		e = compare_blocks(d, first, last);
	else if (!e)
		judge_leaks_by_group(d);
	if (!e)
		e = judge_groups(d);
	free(first);
	free(last);
	free(m.slots);
	if (!e && d->groups.n)
		qsort(d->groups.at, d->groups.n, sizeof *d->groups.at, d->n > 2 ? by_steadiness : by_growth);
	return e;
}

static bool by_dwarf(const struct census *c)
{
	for (size_t i = 0; i < c->labels.n; i++)
		if (c->labels.at[i].by == BY_DWARF)
			return true;
	return false;
}

struct err *diff_make(const struct census *const *looks, size_t n, struct diff **ret)
{
	struct diff *d = calloc(1, sizeof *d);
	if (!d)
		return err_nomem();
	d->n = n;
	d->looks = looks;
	d->classes = calloc(n, sizeof *d->classes);
	d->used = calloc(n, sizeof *d->used);
	d->one_process = census_same_process(looks[0], looks[n - 1]);
	d->timed = d->walked = true;
	for (size_t i = 0; i < n; i++) {
		d->timed &= looks[i]->timed && looks[i]->look.taken >= looks[0]->look.taken;
		d->walked &= looks[i]->walked;
		d->other_labels |= by_dwarf(looks[i]) != by_dwarf(looks[0]);
		d->at_most |= looks[i]->at_most || looks[i]->truncated;
	}
	struct err *e = d->classes && d->used ? compare(d) : err_nomem();
	if (e) {
		diff_free(d);
		return e;
	}
	*ret = d;
	return NULL;
}

void diff_free(struct diff *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->groups.n; i++) {
		free(d->groups.at[i].holder);
		free(d->groups.at[i].looks);
	}
	vec_free(&d->groups);
	free(d->classes);
	free(d->used);
	free(d);
}
