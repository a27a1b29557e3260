/* The auxiliary vector, where /proc/PID/auxv is closed (mode 0400: another user needs CAP_DAC_READ_SEARCH): the kernel wrote it
 * on the first stack, behind the environment (fs/binfmt_elf.c, create_elf_tables), and nothing changes it there. */
#include "row.h"

#include <elf.h>

enum { PIECE = 32768, MOST = 4 << 20, MOST_TAG = 63 };

static bool pair_at(const struct arch *a, struct span s, size_t at, uint64_t *tag, uint64_t *value)
{
	return span_word(s, at, a->word, a->big, tag) && span_word(s, at + a->word, a->word, a->big, value);
}

/* The vector around a pair of AT_PAGESZ: back to what is no tag (the environment's end), on to AT_NULL. Both neighbours that
 * every kernel writes beside it must be there. */
static bool take_around(const struct arch *a, struct span s, size_t at, struct span *ret)
{
	uint64_t tag, value;
	size_t step = 2 * a->word, from = at, to = at;
	bool headers = false, entry = false;
	while (from >= step && pair_at(a, s, from - step, &tag, &value) && tag && tag <= MOST_TAG)
		from -= step;
	for (to = from; pair_at(a, s, to, &tag, &value); to += step) {
		headers |= tag == AT_PHDR && value;
		entry |= tag == AT_ENTRY && value;
		if (tag == AT_NULL) {
			*ret = span_sub(s, from, to + step - from);
			return headers && entry;
		}
	}
	return false;
}

static bool find_in(const struct arch *a, struct span s, uint64_t page, struct span *ret)
{
	uint64_t tag, value;
	for (size_t at = 0; pair_at(a, s, at, &tag, &value); at += a->word)
		if (tag == AT_PAGESZ && value == page && take_around(a, s, at, ret))
			return true;
	return false;
}

struct err *auxv_from_stack(struct target *t)
{
	struct picture *p = &t->picture;
	const struct mapping *m = NULL;
	struct span found;
	for (size_t i = 0; i < p->maps.n && !m; i++)
		if (!strcmp(p->maps.at[i].path, "[stack]"))
			m = &p->maps.at[i];
	AUTO_FREE uint8_t *piece = malloc(PIECE);
	if (!piece)
		return err_nomem();
	/* From the top down: the strings of arguments and environment lie above it. Pieces overlap by half. */
	for (uint64_t end = m ? m->end : 0; m && end >= m->start + PIECE && m->end - end < MOST; end -= PIECE / 2) {
		if (!target_peek(t, end - PIECE, piece, PIECE) || !find_in(t->arch, (struct span){ piece, PIECE }, p->page, &found))
			continue;
		if (!vec_reserve(&p->auxv, found.n))
			return err_nomem();
		memcpy(p->auxv.at, found.p, found.n);
		p->auxv.n = found.n;
		break;
	}
	return NULL;
}
