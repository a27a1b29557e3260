/* base: what every other module stands on. No knowledge of processes, heaps or files.
 *
 * Errors. A function that can fail returns `struct err *`: NULL means done. An *error* means "I cannot answer"; a
 * broken heap or an unreadable page is a *finding*, part of the answer (see struct finding). The caller owns the error
 * and frees it with err_free(), or hands it up. Only the front prints. */
#ifndef FLOTSAM_BASE_H
#define FLOTSAM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define FLOTSAM_VERSION "0.1.0"

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err_kind {
	ERR_NOMEM = 1,	 /* no memory of our own */
	ERR_OS,		 /* a system call refused; `os` holds errno */
	ERR_FAULT,	 /* an address of the target that cannot be read; `address` */
	ERR_BAD_DATA,	 /* a file or structure that is not what it claims to be */
	ERR_NOT_FOUND,	 /* no such process, symbol, file */
	ERR_UNSUPPORTED, /* a known case that is not handled */
	ERR_LIMIT,	 /* a limit of ours was reached, see limits below */
	ERR_INTERRUPTED, /* the user asked to stop */
	ERR_USAGE,	 /* the command line is wrong */
	ERR_REFUSED,	 /* a permission gate; `text` names it, `hint` opens it */
};

struct err {
	enum err_kind kind;
	int os;		  /* errno, 0 when none */
	uint64_t address; /* of the target, 0 when none */
	char *text;	  /* lower case, no full stop: what was tried, what refused. Never NULL */
	char *hint;	  /* the one command or step that helps, or NULL. May hold several lines */
};

struct err *err_new(enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
/* As err_new with ERR_OS; ": strerror(os)" is added. */
struct err *err_os(int os, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
/* Adds a hint and returns e. Takes e over; e may be NULL. */
struct err *err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
/* A static object: out of memory must not allocate. */
struct err *err_nomem(void) MUST_CHECK;
void err_free(struct err *e); /* NULL allowed */

/* Hands an error up. */
#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		struct err *try_err_ = (call);                                                                         \
		if (try_err_)                                                                                          \
			return try_err_;                                                                               \
	} while (0)

/* Cleanup of locals at the end of their scope. */
#define CLEANUP(f) __attribute__((cleanup(f)))
void cleanup_free(void *pointer_to_pointer);
void cleanup_fd(int *fd);
void cleanup_file(FILE **f);
void cleanup_err(struct err **e);
#define AUTO_FREE CLEANUP(cleanup_free)
#define AUTO_FD CLEANUP(cleanup_fd)
#define AUTO_FILE CLEANUP(cleanup_file)
#define AUTO_ERR CLEANUP(cleanup_err)
/* Takes the value out of an AUTO_ local, so that it survives the scope. */
#define TAKE(p)                                                                                                        \
	({                                                                                                             \
		__typeof__(p) take_ = (p);                                                                             \
		(p) = NULL;                                                                                            \
		take_;                                                                                                 \
	})

/* Growing array: VEC(struct x) v = {0}; vec_push(&v) gives a zeroed slot, or NULL without memory. */
#define VEC(T)                                                                                                         \
	struct {                                                                                                       \
		T *at;                                                                                                 \
		size_t n, cap;                                                                                         \
	}
bool vec_grow_(void **at, size_t *cap, size_t need, size_t size);
#define vec_push(v)                                                                                                    \
	(vec_grow_((void **)&(v)->at, &(v)->cap, (v)->n + 1, sizeof *(v)->at)                                          \
		 ? (memset(&(v)->at[(v)->n], 0, sizeof *(v)->at), &(v)->at[(v)->n++])                                  \
		 : NULL)
#define vec_reserve(v, more) vec_grow_((void **)&(v)->at, &(v)->cap, (v)->n + (more), sizeof *(v)->at)
#define vec_free(v) (free((v)->at), (v)->at = NULL, (v)->n = (v)->cap = 0)

/* As qsort_r(), of millions, and equal ones keep their order: it looks at `interrupted` every few milliseconds, and then leaves
 * what is of no use. */
typedef int sort_compare_fn(const void *a, const void *b, void *ctx);
void sort_many(void *at, size_t n, size_t size, sort_compare_fn *compare, void *ctx);

/* Bytes of the valid UTF-8 character at p, of n >= 1; 0: none. */
size_t utf8_character(const uint8_t *p, size_t n, uint32_t *ret);
bool utf8_drives_terminal(uint32_t c); /* C0, DEL, C1, and what turns the direction of text */
/* Text that grows. Append never fails visibly: after an allocation failure `failed` is set and text stays cut. */
struct strbuf {
	char *text; /* NUL-terminated once anything was added, else NULL */
	size_t n, cap;
	bool failed;
};
void strbuf_add(struct strbuf *s, const char *bytes, size_t n);
void strbuf_puts(struct strbuf *s, const char *text);
void strbuf_printf(struct strbuf *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Adds n foreign bytes so that no terminal, page or log can be driven by them: printable ASCII and valid UTF-8 without
 * control characters stay, all else becomes \xHH. */
void strbuf_add_escaped(struct strbuf *s, const char *bytes, size_t n);
/* Adds n foreign bytes as gdb writes a string: "abc\n", '\000' <repeats 12 times>. Stops once max bytes are written; returns
 * how many were. */
size_t strbuf_add_quoted(struct strbuf *s, const uint8_t *p, size_t n, size_t max);
void strbuf_add_char(struct strbuf *s, uint8_t c); /* 'a', '\n', '\303' */
void strbuf_free(struct strbuf *s);

/* A number of bytes as people write it: 4096, 0x1000, 64k, 1M, 2GiB (1,024s). False when it is none. */
bool text_to_bytes(const char *text, uint64_t *ret);

/* u64 -> u64 hash map, open addressing. Zero-initialise. */
struct map64 {
	uint64_t *keys, *values;
	uint8_t *used;
	size_t n, cap;
};
bool map64_put(struct map64 *m, uint64_t key, uint64_t value); /* false: no memory */
bool map64_find(const struct map64 *m, uint64_t key, uint64_t *ret);
void map64_free(struct map64 *m);

/* A checked view of foreign bytes: every read says whether it was inside. */
struct span {
	const uint8_t *p;
	size_t n;
};
bool span_u8(struct span s, size_t off, uint8_t *ret);
bool span_u16(struct span s, size_t off, bool big, uint16_t *ret);
bool span_u32(struct span s, size_t off, bool big, uint32_t *ret);
bool span_u64(struct span s, size_t off, bool big, uint64_t *ret);
/* `word` is 4 or 8. */
bool span_word(struct span s, size_t off, unsigned word, bool big, uint64_t *ret);
struct span span_sub(struct span s, size_t off, size_t n); /* empty when outside */
/* Length of the NUL-terminated string at off, or -1 when it does not end inside. */
ptrdiff_t span_strlen(struct span s, size_t off);

/* A fact about the target that the user should know; addresses are the target's. */
struct finding {
	const char *kind; /* static word with dashes: "bad-size" */
	uint64_t address; /* 0 when none */
	char *text;	  /* owned by the list */
	uint64_t expected, found; /* the word that should stand there, and the one that does */
	bool has_expected, has_found;
	uint64_t neighbour;	  /* payload of the block that probably wrote beyond its end; 0: none */
};
struct findings {
	VEC(struct finding) list;
	size_t dropped; /* beyond LIMIT_FINDINGS */
};
void findings_add(struct findings *f, const char *kind, uint64_t address, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same with the structured part: kind, address, expected, found and neighbour of `what`. */
void findings_add_words(struct findings *f, const struct finding *what, const char *fmt, ...) PRINTF_LIKE(3, 4);
void findings_pop(struct findings *f); /* takes the last one back; the list must not be empty */
void findings_free(struct findings *f);

/* A figure that was not computed. */
#define UNKNOWN UINT64_MAX

static inline bool is_power_of_two(uint64_t x) { return x && !(x & (x - 1)); }
static inline uint64_t align_down(uint64_t x, uint64_t a) { return x & ~(a - 1); }
static inline uint64_t align_up(uint64_t x, uint64_t a) { return (x + a - 1) & ~(a - 1); }
/* __builtin_popcountll without the popcnt instruction, which old x86-64 lacks, is a call. */
static inline unsigned bits_set(uint64_t x)
{
	x -= x >> 1 & 0x5555555555555555u;
	x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
	return (unsigned)(((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}
double monotonic_seconds(void);
uint64_t clock_nanoseconds(int clock); /* CLOCK_REALTIME: since 1970; 0: not known */

/* A message and a descriptor (-1: none) over a socket between two processes of ours. */
bool socket_send(int to, const void *data, size_t n, int fd);
ssize_t socket_receive(int from, void *data, size_t n, int *ret_fd);

/* Set by the front's signal handlers (SIGINT, SIGTERM); long loops look at it and return ERR_INTERRUPTED. */
extern volatile int interrupted;

/* Limits: bounds on what a hostile target or file can make us do. */
enum {
	LIMIT_FINDINGS = 10000,
	LIMIT_MAPPINGS = 4 << 20,
	LIMIT_THREADS = 1 << 20,
	LIMIT_ARENAS = 1 << 14,
	LIMIT_FRAMES = 512,
	LIMIT_MODULES = 1 << 14,
	LIMIT_GROUPS = 1 << 14,
	LIMIT_NAME_BYTES = 512 << 20, /* of all names made of what files say: each entry of a small one may repeat a long name */
	LIMIT_PATH = 4096,
};

#endif
