/* x/FMT ADDR: memory, in the form in which gdb shows it. */
#include "desk.h"

#include <ctype.h>
#include <inttypes.h>

enum { MAX_UNITS = 1 << 20, STRING_BYTES = 200 /* gdb's `set print elements` */ };

struct form { /* /16gx */
	uint64_t count;
	char letter;	/* x z d u o t a c f s i */
	unsigned size;	/* bytes of a unit */
};
struct unit_text { struct strbuf text; uint64_t bytes; bool ok; };

struct dump {
	struct session *s;
	struct out *out;
	struct json *json; /* NULL: text */
	struct form f;
	uint64_t at;
};

static struct err *bad_form(const char *word)
{
	return err_hint(err_new(ERR_USAGE, "'%s' is no format", word), "/16gx: a count, a size of b h w g, and one of x z d u o t a c f s i");
}

/* What is not said is as it was the last time. */
static struct err *parse_form(const char *word, unsigned target_word, const struct desk *d, struct form *f)
{
	const char *p = word + (*word == '/');
	char *end;
	bool before = d && d->examined.size;
	*f = (struct form){ .count = 1, .letter = before ? d->examined.letter : 'x' };
	if (isdigit((unsigned char)*p)) {
		f->count = strtoull(p, &end, 10);
		p = end;
	}
	for (; *p; p++) {
		const char *sizes = "bhwg", *s = strchr(sizes, *p);
		if (s)
			f->size = 1u << (s - sizes);
		else if (strchr("xzduotacfsi", *p))
			f->letter = *p;
		else
			return bad_form(word);
	}
	if (!f->count || f->count > MAX_UNITS)
		return err_new(ERR_USAGE, "from 1 to %d units, not %s", MAX_UNITS, word);
	if (f->letter == 's' || f->letter == 'c')
		f->size = 1;
	if (!f->size)
		f->size = f->letter == 'a' ? target_word : before && d->examined.size > 1 ? d->examined.size : f->letter == 'f' ? 8 : target_word;
	return f->letter == 'f' && f->size < 4 ? err_hint(bad_form(word), "floating point takes w or g") : NULL;
}

/* The name that gdb puts behind an address: raw, without a symbol's version. */
static void add_symbol(struct strbuf *t, struct session *s, uint64_t address)
{
	struct symbol sym;
	if (!modules_symbol_at(s->modules, address, &sym))
		return;
	strbuf_puts(t, " <");
	strbuf_add_escaped(t, sym.name, strcspn(sym.name, "@"));
	if (address != sym.address)
		strbuf_printf(t, "+%" PRIu64, address - sym.address);
	strbuf_puts(t, ">");
}

static void add_bits(struct strbuf *t, uint64_t v, unsigned size)
{
	for (unsigned bit = size * 8; bit-- > 0;)
		strbuf_puts(t, v >> bit & 1 ? "1" : "0");
}

static void add_float(struct strbuf *t, uint64_t v, unsigned size)
{
	double d;
	float f;
	uint32_t low = (uint32_t)v;
	memcpy(&d, &v, sizeof d);
	memcpy(&f, &low, sizeof f);
	strbuf_printf(t, "%.*g", size == 4 ? 9 : 17, size == 4 ? (double)f : d);
}

static void add_number(struct strbuf *t, struct session *s, const struct form *f, uint64_t v)
{
	unsigned bits = f->size * 8;
	int64_t with_sign = (int64_t)(v << (64 - bits)) >> (64 - bits);
	switch (f->letter) {
	case 'd':
		strbuf_printf(t, "%" PRId64, with_sign);
		break;
	case 'u':
		strbuf_printf(t, "%" PRIu64, v);
		break;
	case 'o':
		strbuf_printf(t, v ? "0%" PRIo64 : "0", v);
		break;
	case 't':
		add_bits(t, v, f->size);
		break;
	case 'a':
		strbuf_printf(t, "0x%" PRIx64, v);
		add_symbol(t, s, v);
		break;
	case 'c':
		strbuf_printf(t, "%" PRId64 " ", with_sign);
		strbuf_add_char(t, (uint8_t)v);
		break;
	case 'f':
		add_float(t, v, f->size);
		break;
	default:
		strbuf_printf(t, "0x%0*" PRIx64, (int)f->size * 2, v);
	}
}

/* Text up to its NUL; longer text goes on in the next unit. */
static bool read_string(struct dump *d, struct unit_text *u)
{
	uint8_t bytes[STRING_BYTES + 1];
	size_t n = 0;
	while (n < sizeof bytes && image_read(d->s->image, d->at + n, &bytes[n], 1) && bytes[n])
		n++;
	uint8_t last;
	bool more = n > STRING_BYTES, ended = !more && image_read(d->s->image, d->at + n, &last, 1);
	if (!n && !ended)
		return false;
	if (more)
		n = STRING_BYTES;
	strbuf_add_quoted(&u->text, bytes, n, n);
	strbuf_puts(&u->text, more ? "..." : "");
	u->bytes = n + ended;
	return true;
}

static bool read_unit(struct dump *d, struct unit_text *u)
{
	uint8_t raw[8];
	uint64_t v = 0;
	if (d->f.letter == 's')
		return read_string(d, u);
	if (!image_read(d->s->image, d->at, raw, d->f.size))
		return false;
	bool big = image_arch(d->s->image)->big;
	for (unsigned i = 0; i < d->f.size; i++)
		v |= (uint64_t)raw[big ? d->f.size - 1 - i : i] << 8 * i;
	add_number(&u->text, d->s, &d->f, v);
	u->bytes = d->f.size;
	return true;
}

static void begin_line(struct dump *d)
{
	struct strbuf t = { 0 };
	add_symbol(&t, d->s, d->at);
	if (d->json) {
		out_json_object(d->json, NULL);
		out_json_address(d->json, "address", d->at);
		/* " <name+off>" */
		if (t.n)
			out_json_string_n(d->json, "symbol", t.text + 2, t.n - 3);
		else
			out_json_null(d->json, "symbol");
		out_json_array(d->json, "values");
	} else {
		out_printf(d->out, "0x%" PRIx64 "%s:", d->at, t.n ? t.text : "");
	}
	strbuf_free(&t);
}

static void end_line(struct dump *d)
{
	if (d->json) {
		out_json_end_array(d->json);
		out_json_end_object(d->json);
	} else {
		out_puts(d->out, "\n");
	}
}

static void print_unit(struct dump *d, const struct unit_text *u)
{
	if (d->json) {
		out_json_string(d->json, NULL, u->text.n ? u->text.text : "");
	} else {
		out_puts(d->out, "\t");
		out_bytes(d->out, u->text.text, u->text.n);
	}
}

static struct err *dump(struct dump *d)
{
	/* gdb's do_examine(): so many units a line. */
	unsigned wide = d->f.letter == 's' ? 1 : d->f.size == 8 ? 2 : d->f.size == 4 ? 4 : 8;
	struct err *e = NULL;
	for (uint64_t n = 0; n < d->f.count && !e && !d->out->error; n++) {
		struct unit_text u = { 0 };
		if (n % wide == 0)
			begin_line(d);
		if (interrupted)
			e = err_new(ERR_INTERRUPTED, "interrupted");
		else if (read_unit(d, &u))
			print_unit(d, &u);
		else
			e = err_hint(err_new(ERR_FAULT, "0x%" PRIx64 " cannot be read", d->at), "flotsam maps says what is mapped");
		d->at += u.bytes;
		if (e || n + 1 == d->f.count || (n + 1) % wide == 0)
			end_line(d);
		strbuf_free(&u.text);
	}
	return e;
}

/* For an x that goes on. */
static void note(const struct arguments *a, const struct dump *d)
{
	if (!a->desk)
		return;
	a->desk->examined.at = d->at;
	a->desk->examined.count = d->f.count;
	a->desk->examined.letter = d->f.letter;
	a->desk->examined.size = d->f.size;
}

/* The words of disas. */
static struct err *instructions(const struct arguments *a, struct session *s, struct out *o, const struct dump *d, int *ret_status)
{
	struct arguments b = *a;
	char at[24], count[24];
	snprintf(at, sizeof at, "0x%" PRIx64, d->at);
	snprintf(count, sizeof count, "%" PRIu64, d->f.count);
	b.words[0] = at;
	b.words[1] = count;
	b.n_words = 2;
	b.command = &command_disas;
	return command_disas.run(&b, s, o, ret_status);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct dump d = { .s = s, .out = o };
	bool form = a->n_words && (a->n_words > 1 || a->words[0][0] == '/');
	TRY(parse_form(form ? a->words[0] : "/", image_arch(s->image)->word, a->desk, &d.f));
	if (a->n_words > form)
		TRY(cmd_address(a, s, a->words[a->n_words - 1], &d.at));
	else if (a->desk && a->desk->examined.size)
		d.at = a->desk->examined.at;
	else
		return err_hint(err_new(ERR_USAGE, "x needs an address"), "x/16gx ADDR; then x alone goes on");
	if (!a->n_words)
		d.f.count = a->desk->examined.count;
	if (d.f.letter == 'i')
		return instructions(a, s, o, &d, ret_status);
	if (strcmp(a->format, "json")) {
		struct err *e = dump(&d);
		note(a, &d);
		return e;
	}
	struct json j;
	char format[2] = { d.f.letter, '\0' };
	out_json_init(&j, o, true);
	d.json = &j;
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.x/1");
	out_json_address(&j, "address", d.at);
	out_json_string(&j, "format", format);
	out_json_u64(&j, "size", d.f.size);
	out_json_array(&j, "lines");
	struct err *e = dump(&d);
	out_json_end_array(&j);
	out_json_bool(&j, "complete", !e);
	out_json_end_object(&j);
	out_puts(o, "\n");
	note(a, &d);
	return e;
}

const struct command command_x = {
	.name = "x",
	.summary = "memory at an address, as gdb's x shows it",
	.formats = { "text", "json" },
	.help = "  x/16gx 0x5555555592a0       at the prompt; so many units, their size, their form\n"
		"  x                           what stands behind that, in the same form\n"
		"  x/s 3                       the text at item 3\n"
		"  flotsam x 4242 /8ga main    in batch\n\n"
		"Sizes: b h w g (1, 2, 4, 8 bytes). Forms: x z hexadecimal, d signed, u unsigned,\n"
		"o octal, t binary, a address with its symbol, c character, f floating point,\n"
		"s text, i machine code (disas). Without a form: as the last time, at first words\n"
		"in hexadecimal.\n",
	.group = GROUP_BLOCKS,
	.operands = "[/FMT] [ADDR]",
	.max_words = 2,
	.completes = COMPLETES_ADDRESS,
	.run = run,
};
