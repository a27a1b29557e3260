/* out: sinks. Commands emit typed records; text, JSON lines and CSV are rows of one table. Also the JSON stream writer,
 * colour, escaping. Knows no heap. */
#ifndef FLOTSAM_OUT_H
#define FLOTSAM_OUT_H

#include "flotsam/base.h"

/* A buffered output with a sticky error: writing to a closed pipe sets `error` (errno) and drops the rest. */
struct out {
	int fd;
	int error;
	bool color;	 /* escape sequences allowed */
	bool unicode;	 /* UTF-8 locale */
	int width;	 /* columns of the terminal, 80 when none */
	char *buffer;
	size_t n;
	/* Called once, when the first flush has more lines than page_lines: may put another fd in place. NULL: never. */
	void (*page)(struct out *o);
	void *page_ctx;
	unsigned page_lines;
};
void out_init(struct out *o, int fd, const char *color /* "auto", "always", "never" */);
void out_deinit(struct out *o); /* flushes; does not close fd */
void out_flush(struct out *o);
void out_bytes(struct out *o, const char *p, size_t n);
void out_puts(struct out *o, const char *s);
void out_printf(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum ink { INK_PLAIN, INK_RED, INK_YELLOW, INK_GREEN, INK_DIM, INK_BOLD, INK_BLUE, INK_MAGENTA, INK_CYAN };
void out_ink(struct out *o, enum ink ink); /* nothing when !color */

/* A page of its own on a terminal: its other screen, keys as they are typed and unseen, nothing that wraps. There is one at a time.
 * The terminal is put back by screen_close(), by each signal that ends the program, and after SIGKILL by a small process that
 * lives as long; a stop (Ctrl-Z) puts it back until the program goes on. */
bool screen_possible(int in, int out); /* both are terminals that can be driven */
struct err *screen_open(int in, int out) MUST_CHECK;
void screen_close(void); /* from a signal handler, too; nothing when there is none, or in a child of the one who opened it */
/* False: the size is not known, and 24 by 80 are assumed. */
bool screen_size(int *ret_rows, int *ret_columns);
bool screen_changed(void); /* since it was last asked: another size, or all of it must be drawn anew */

/* JSON as a stream, at full speed. Nesting is the caller's; commas and escaping are the writer's. Bytes that are no UTF-8
 * become U+FFFD. */
struct json;
enum json_seen { SEEN_NUMBER, SEEN_BOOL, SEEN_STRING, SEEN_NULL, SEEN_LENGTH /* at the end of an array: its elements */ };
/* Of the way from the top to a value: a key, or in an array (key NULL) an index and the element's first string, which names it. */
struct json_step {
	const char *key;
	unsigned index, next;
	char name[32];
};
typedef void json_watch_fn(void *ctx, const struct json *j, enum json_seen what, double number);
struct json {
	struct out *out;
	unsigned depth;
	bool comma[64];
	bool pretty;
	/* Set, nothing is written: each value is shown, and how to get there is in steps[1..depth]. */
	json_watch_fn *watch;
	void *watch_ctx;
	struct json_step steps[64];
};
void out_json_init(struct json *j, struct out *o, bool pretty);
void out_json_object(struct json *j, const char *key); /* key NULL at top level or in an array */
void out_json_end_object(struct json *j);
void out_json_array(struct json *j, const char *key);
void out_json_end_array(struct json *j);
void out_json_string(struct json *j, const char *key, const char *value); /* NULL value: null */
void out_json_string_n(struct json *j, const char *key, const char *value, size_t n);
void out_json_u64(struct json *j, const char *key, uint64_t v);
void out_json_known(struct json *j, const char *key, uint64_t v); /* UNKNOWN: null */
void out_json_i64(struct json *j, const char *key, int64_t v);
void out_json_double(struct json *j, const char *key, double v, int digits);
void out_json_bool(struct json *j, const char *key, bool v);
void out_json_null(struct json *j, const char *key);
void out_json_address(struct json *j, const char *key, uint64_t v); /* "0x7f12..." */

/* A list of equal records. Column descriptors give text header, JSON key and CSV name. */
enum cell_type { CELL_TEXT, CELL_COUNT, CELL_BYTES, CELL_ADDRESS, CELL_BOOL, CELL_INT_OR_TEXT, CELL_ID /* the same, without marks between thousands */ };
struct column {
	const char *key, *header, *doc;
	enum cell_type type;
	int width; /* in text; 0: by type */
};
struct cell {
	const char *text; /* CELL_TEXT: NULL is unknown; CELL_INT_OR_TEXT, CELL_ID: non-NULL wins */
	uint64_t number; /* of a count or size: UINT64_MAX is unknown */
};
struct sink;
struct sink_row {
	const char *name, *suffix;
	void (*begin)(struct sink *s);
	void (*record)(struct sink *s, const struct cell *cells);
	void (*end)(struct sink *s);
};
struct sink {
	const struct sink_row *row;
	struct out *out;
	const struct column *columns;
	size_t n_columns;
	int last_width;	/* a text in the last column has no more columns; 0: as many as it needs */
	uint64_t records;
	const char *noun; /* what a record is, in the last line of jsonl: "blocks" unless set */
};
const struct sink_row *sink_find(const char *name); /* "text", "json", "jsonl", "csv"; NULL when none */
void sink_begin(struct sink *s, const struct sink_row *row, struct out *o, const struct column *columns, size_t n);
/* For people: the last column ends where the line does; texts in front of it give way until it has `wanted` columns. `columns` are those
 * of the sink. */
void sink_fit(struct sink *s, struct column *columns, int wanted);
void sink_record(struct sink *s, const struct cell *cells);
void sink_end(struct sink *s);

/* Foreign text. It never drives the terminal: it is escaped, and plain ASCII where the locale has no UTF-8. */
void text_add_foreign(struct strbuf *to, const char *text, const struct out *o);
/* Makes a name no longer than that, at least 4: first without std::, then without what templates are made of, last without its middle. */
void text_elide(char *text, int columns);
void text_without_std(char *text);
/* Exactly `width` columns: filled with blanks, or cut and marked "..". */
void out_cell(struct out *o, const char *text, int width);

/* Words broken into lines, those after the first indented as far as the lead is long. columns 0: one line. */
struct paragraph {
	struct out *out;
	int indent, columns, at;
	bool begun;	/* a word stands on this line */
};
void paragraph_begin(struct paragraph *p, struct out *o, const char *lead, int columns);
void paragraph_add(struct paragraph *p, const char *text); /* foreign bytes allowed; words are parted by blanks */
void paragraph_ink(struct paragraph *p, enum ink ink);
void paragraph_end(struct paragraph *p);

/* One unit for a whole table, from its largest figure: "64.0 MiB" and more are told in MiB, less in KiB. */
struct unit {
	const char *name;
	uint64_t bytes;
};
struct unit unit_for(uint64_t largest);

/* Figures as people read them. */
struct short_text { char text[32]; };
struct short_text text_in(struct unit u, uint64_t bytes); /* "1,897.2"; "<0.1" for a little that is not nothing */
struct short_text text_size(uint64_t bytes);  /* "2.31 GiB" */
struct short_text text_percent(uint64_t part, uint64_t whole); /* "12.7", "<0.1" */
struct short_text text_count(uint64_t n);     /* "31,204" */
struct short_text text_count_short(uint64_t n); /* "18.4M" */
struct short_text text_duration(double seconds); /* "3d04h", "12m07s", "41s" */
struct short_text text_elapsed(double seconds);	 /* "2.31 s", "45 ms", "0.8 ms" */

#endif
