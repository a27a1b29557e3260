/* Names that are longer than there is room for: what is inside of templates goes first, then the middle. */
#include "flotsam/out.h"

enum { LONGEST = 4096, LAST_LEAST = 14, TEXT_LEAST = 10, FEW = 3 };

static bool is_name(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Everybody knows where vectors live. */
void text_without_std(char *text)
{
	static const char std[] = "std::";
	char *to = text, *from = text;
	while (*from)
		if ((to == text || !(is_name(to[-1]) || to[-1] == ':')) && !strncmp(from, std, strlen(std)))
			from += strlen(std);
		else
			*to++ = *from++;
	*to = 0;
}

/* The innermost arguments that say anything, of a template or a function: from behind '<' to its '>'. */
static unsigned deepest(const char *text, size_t *ret_from, size_t *ret_to)
{
	size_t open[64];
	unsigned depth = 0, most = 0;
	for (size_t i = 0; text[i]; i++) {
		bool opens = text[i] == '<' || (text[i] == '(' && i && is_name(text[i - 1]));
		bool closes = text[i] == '>' ? i && text[i - 1] != '-' : text[i] == ')';
		if (opens && depth < sizeof open / sizeof *open) {
			open[depth++] = i + 1;
		} else if (closes && depth && (text[open[depth - 1] - 1] == '(') == (text[i] == ')')) {
			size_t from = open[--depth];
			if (depth + 1 >= most && i - from > 2) {
				most = depth + 1;
				*ret_from = from;
				*ret_to = i;
			}
		}
	}
	return most;
}

/* Both ends of text stay, and no character of several bytes is parted. */
static void cut_middle(char *text, size_t n, size_t columns)
{
	size_t front = columns > 2 ? (columns - 2) / 2 : 0, back = n - (columns > 2 ? columns - 2 - front : 0);
	while (front && ((unsigned char)text[front] & 0xc0) == 0x80)
		front--;
	while (back < n && ((unsigned char)text[back] & 0xc0) == 0x80)
		back++;
	memmove(text + front + 2, text + back, n - back + 1);
	memcpy(text + front, "..", 2);
}

void text_elide(char *text, int columns)
{
	size_t n = strlen(text), room = columns > 4 ? (size_t)columns : 4, from, to;
	if (n <= room)
		return;
	if (n > LONGEST)
		cut_middle(text, n, LONGEST);
	text_without_std(text);
	unsigned depth;
	while ((n = strlen(text)) > room && (depth = deepest(text, &from, &to))) {
		/* Of the outermost, the first of them stay. */
		size_t much = n - room + 2;
		if (depth == 1 && to - from >= much + FEW)
			for (from = to - much; ((unsigned char)text[from] & 0xc0) == 0x80;)
				from--;
		memmove(text + from + 2, text + to, n - to + 1);
		memcpy(text + from, "..", 2);
	}
	if (n > room)
		cut_middle(text, n, room);
}

static int width_of(const struct column *c)
{
	return c->width ? c->width : c->type == CELL_ADDRESS ? 14 : c->type == CELL_TEXT ? 10 : 12;
}

void sink_fit(struct sink *s, struct column *columns, int wanted)
{
	int left = s->out->width;
	if (!s->n_columns)
		return;
	for (size_t i = 0; i + 1 < s->n_columns; i++)
		left -= width_of(&columns[i]) + 2;
	/* Texts in front give way, the widest first. */
	while (left < wanted) {
		struct column *widest = NULL;
		for (size_t i = 0; i + 1 < s->n_columns; i++)
			if (columns[i].type == CELL_TEXT && width_of(&columns[i]) > TEXT_LEAST && (!widest || width_of(&columns[i]) > width_of(widest)))
				widest = &columns[i];
		if (!widest)
			break;
		widest->width = width_of(widest) - 1;
		left++;
	}
	s->last_width = left > LAST_LEAST ? left : LAST_LEAST;
}
