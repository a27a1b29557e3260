/* What the commands of one sitting share: item numbers, the ranks of the last report, named sets. */
#include "desk.h"

#include <ctype.h>

struct desk *desk_create(void)
{
	return calloc(1, sizeof(struct desk));
}

static void forget_ranks(struct desk *d)
{
	for (size_t i = 0; i < d->holders.n; i++)
		free(d->holders.at[i].name);
	vec_free(&d->holders);
	vec_free(&d->leaks);
	d->ranked = false;
}

static void forget_sets(struct desk *d)
{
	for (size_t i = 0; i < d->sets.n; i++) {
		free(d->sets.at[i].name);
		free(d->sets.at[i].bits);
	}
	vec_free(&d->sets);
}

void desk_renew(struct desk *d)
{
	/* Ids are of one picture: sets go, addresses and names stay. */
	forget_sets(d);
	for (size_t i = 0; i < d->holders.n; i++)
		d->holders.at[i].set = 0;
	d->thread = d->frame = d->frames = 0;
}

void desk_destroy(struct desk *d)
{
	if (!d)
		return;
	desk_renew(d);
	forget_ranks(d);
	vec_free(&d->items);
	map64_free(&d->number_of);
	free(d);
}

unsigned desk_items(const struct desk *d)
{
	return (unsigned)d->items.n;
}

unsigned desk_number(struct desk *d, uint64_t address)
{
	uint64_t n;
	if (map64_find(&d->number_of, address, &n))
		return (unsigned)n;
	uint64_t *slot = d->items.n < UINT32_MAX ? vec_push(&d->items) : NULL;
	if (!slot || !map64_put(&d->number_of, address, d->items.n)) {
		d->items.n -= slot != NULL;
		return 0;
	}
	*slot = address;
	return (unsigned)d->items.n;
}

unsigned desk_frames(const struct desk *d)
{
	return d->frames;
}

unsigned desk_ranks(const struct desk *d, char letter)
{
	return (unsigned)(letter == 'H' ? d->holders.n : d->leaks.n);
}

bool desk_is_set(const struct desk *d, const char *name)
{
	for (size_t i = 0; i < d->sets.n; i++)
		if (!strcmp(d->sets.at[i].name, name))
			return true;
	return false;
}

const char *desk_set_name(const struct desk *d, size_t i)
{
	return i < d->sets.n ? d->sets.at[i].name : NULL;
}

void desk_take_report(struct desk *d, const struct report *r)
{
	if (!d)
		return;
	forget_ranks(d);
	for (size_t i = 0; i < r->leaks.n; i++) {
		uint64_t *slot = vec_push(&d->leaks);
		if (slot)
			*slot = r->leaks.at[i].n_samples ? r->leaks.at[i].sample[0] : 0;
	}
	for (size_t i = 0; i < r->holders.n; i++) {
		struct ranked_holder *slot = vec_push(&d->holders);
		if (slot)
			*slot = (struct ranked_holder){ strdup(r->holders.at[i].name), r->holders.at[i].set };
	}
	d->ranked = true;
}

static struct err *need_ranks(struct desk *d, struct session *s)
{
	struct report *r;
	if (d->ranked)
		return NULL;
	TRY(query_report(s, &r));
	desk_take_report(d, r);
	report_free(r);
	return NULL;
}

bool cmd_is_holder(const struct session *s, const char *word)
{
	struct symbol sym;
	return toupper((unsigned char)*word) == 'H' && isdigit((unsigned char)word[1]) && strspn(word + 1, "0123456789") == strlen(word + 1) &&
	       !modules_find_symbol(s->modules, word, &sym);
}

static struct err *ranked_holder(const struct arguments *a, struct session *s, const char *word, const struct ranked_holder **ret)
{
	unsigned long n = strtoul(word + 1, NULL, 10);
	TRY(need_ranks(a->desk, s));
	if (!n || n > a->desk->holders.n || !a->desk->holders.at[n - 1].name)
		return err_hint(err_new(ERR_USAGE, "there is no %s: the holders end with H%zu", word, a->desk->holders.n), "report --top 0");
	*ret = &a->desk->holders.at[n - 1];
	return NULL;
}

struct err *cmd_holder_name(const struct arguments *a, struct session *s, const char *word, const char **ret)
{
	const struct ranked_holder *h;
	*ret = word;
	if (!cmd_is_holder(s, word))
		return NULL;
	TRY(ranked_holder(a, s, word, &h));
	*ret = h->name;
	return NULL;
}

struct err *cmd_holder_set(const struct arguments *a, struct session *s, const char *word, uint32_t *ret)
{
	const struct ranked_holder *h;
	TRY(ranked_holder(a, s, word, &h));
	TRY(session_holders(s));
	*ret = h->set;
	/* Of another picture: who is called so now, and keeps something. */
	for (uint32_t i = 0; !*ret && i < s->graph->sets.n; i++) {
		AUTO_FREE char *name = query_set_name(s->graph, i);
		if (s->graph->sets.at[i].blocks && name && !strcmp(name, h->name))
			*ret = i + 1;
	}
	return *ret ? NULL : err_hint(err_new(ERR_NOT_FOUND, "%s, %s, keeps nothing in this picture", word, h->name), "report");
}

/* H3, where a variable is meant: the address of the root itself. */
static struct err *holder_address(const struct arguments *a, struct session *s, const char *word, uint64_t *ret)
{
	const char *name;
	uint32_t set;
	TRY(cmd_holder_name(a, s, word, &name));
	TRY(cmd_holder_set(a, s, word, &set));
	*ret = s->graph->holders.at[s->graph->sets.at[set - 1].holders[0]].address;
	return *ret ? NULL : err_hint(err_new(ERR_NOT_FOUND, "%s, %s, has no address", word, name), "tree %s lists what it keeps", word);
}

static struct err *leak_sample(const struct arguments *a, struct session *s, const char *word, unsigned long n, uint64_t *ret)
{
	TRY(need_ranks(a->desk, s));
	if (!a->desk->leaks.n)
		return err_hint(err_new(ERR_USAGE, "there is no %s: nothing has leaked", word), "H1 is what keeps most: tree H1");
	if (!n || n > a->desk->leaks.n)
		return err_hint(err_new(ERR_USAGE, "there is no %s: the groups of leaks end with L%zu", word, a->desk->leaks.n), "report --top 0");
	*ret = a->desk->leaks.at[n - 1];
	return NULL;
}

/* The part before + or -. */
static struct err *base_address(const struct arguments *a, struct session *s, const char *word, uint64_t *ret)
{
	char *end;
	if (word[0] == '0' && tolower((unsigned char)word[1]) == 'x') {
		*ret = strtoull(word, &end, 16);
		return *end || !word[2] ? err_new(ERR_USAGE, "'%s' is no address", word) : NULL;
	}
	if (isdigit((unsigned char)*word)) {
		unsigned long n = strtoul(word, &end, 10);
		if (*end)
			return err_hint(err_new(ERR_USAGE, "'%s' is no address", word), "addresses begin with 0x");
		if (!n || n > a->desk->items.n)
			return err_hint(err_new(ERR_USAGE, "there is no item %lu yet", n), "lists number what they show; addresses begin with 0x");
		*ret = a->desk->items.at[n - 1];
		return NULL;
	}
	if (toupper((unsigned char)*word) == 'L' && isdigit((unsigned char)word[1])) {
		unsigned long n = strtoul(word + 1, &end, 10);
		if (!*end)
			return leak_sample(a, s, word, n, ret);
	}
	struct symbol sym;
	if (modules_find_symbol(s->modules, word, &sym)) {
		*ret = sym.address;
		return NULL;
	}
	if (cmd_is_holder(s, word))
		return holder_address(a, s, word, ret);
	if (cmd_is_unknown(s, word))
		return cmd_unknown(s, word, ret);
	return err_hint(err_new(ERR_NOT_FOUND, "no symbol is called '%s'", word), "an operand is 0xADDRESS, an item number, L1, H1, U1, or SYMBOL[+N]");
}

struct err *cmd_address(const struct arguments *a, struct session *s, const char *word, uint64_t *ret)
{
	char base[512];
	uint64_t offset = 0;
	unsigned reads = 0;
	for (; *word == '*'; word++)
		reads++;
	const char *sign = strpbrk(word + (*word != '\0'), "+-");
	if (strlen(word) >= sizeof base)
		return err_new(ERR_USAGE, "an operand of %zu bytes", strlen(word));
	snprintf(base, sizeof base, "%.*s", sign ? (int)(sign - word) : (int)strlen(word), word);
	if (sign && !text_to_bytes(sign + 1, &offset))
		return err_new(ERR_USAGE, "'%s' is no offset", sign);
	TRY(base_address(a, s, base, ret));
	*ret += sign && *sign == '-' ? 0 - offset : offset;
	for (; reads; reads--)
		if (!image_word(s->image, *ret, ret))
			return err_new(ERR_FAULT, "0x%llx cannot be read", (unsigned long long)*ret);
	return NULL;
}

struct err *cmd_block(const struct arguments *a, struct session *s, const char *word, block_id *ret)
{
	uint64_t address;
	const char *name;
	if (cmd_is_holder(s, word)) {
		TRY(cmd_holder_name(a, s, word, &name));
		return err_hint(err_new(ERR_USAGE, "%s is %s: a root, which nothing keeps, and no block", word, name),
				"tree %s lists what it keeps, retained %s how much that is, blocks %s each", word, word, word);
	}
	TRY(cmd_address(a, s, word, &address));
	*ret = blocks_at(s->blocks, address);
	if (*ret == BLOCK_NONE)
		return err_hint(err_new(ERR_NOT_FOUND, "no block of the heap is at 0x%llx", (unsigned long long)address), "maps 0x%llx says what is",
				(unsigned long long)address);
	return NULL;
}

struct err *cmd_need_walk(struct session *s, int *ret_status)
{
	TRY(session_walk(s));
	if (s->blocks)
		return NULL;
	*ret_status = EXIT_PARTIAL;
	return err_hint(err_new(ERR_UNSUPPORTED, "%s", s->alloc->findings.list.n ? s->alloc->findings.list.at[0].text : "the heap was not walked"),
			"flotsam report says what can be said");
}
