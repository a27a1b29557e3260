/* Allocators that are known by name: by a function that only they define, and by the version that each leaves in its file. */
#include "row.h"

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* "1.2.3" at p, of at most 15 bytes, into to; its length. */
static size_t take_version(const uint8_t *p, const uint8_t *end, char to[16])
{
	size_t n = 0;
	while (p + n < end && n < 15 && (is_digit(p[n]) || (p[n] == '.' && n && is_digit(p[n - 1]))))
		n++;
	while (n && p[n - 1] == '.')
		n--;
	memcpy(to, p, n);
	to[n] = '\0';
	return n;
}

static void behind_text(const struct module *m, const char *head, char to[16])
{
	const uint8_t *end = m->file.p + m->file.n;
	for (const uint8_t *p = m->file.p; p && (p = memmem(p, (size_t)(end - p), head, strlen(head)));) {
		p += strlen(head);
		if (take_version(p, end, to) > 2)
			return;
	}
}

/* "5.3.0-0-g54eaed1d...": JEMALLOC_VERSION (jemalloc.h), from git describe. */
static void jemalloc_version(struct modules *ms, struct module *m, char to[16])
{
	const uint8_t *end = m->file.p + m->file.n;
	(void)ms;
	for (const uint8_t *p = m->file.p; p && (p = memmem(p, (size_t)(end - p), "-g", 2)); p += 2) {
		const uint8_t *start = p;
		while (start > m->file.p && (is_digit(start[-1]) || start[-1] == '.' || start[-1] == '-') && p - start < 24)
			start--;
		size_t n = take_version(start, p, to);
		if (n >= 5 && start > m->file.p && !start[-1] && start[n] == '-')
			return;
	}
	to[0] = '\0';
}

static void gperftools_version(struct modules *ms, struct module *m, char to[16])
{
	(void)ms;
	behind_text(m, "gperftools ", to);
}

/* int mi_version(void) { return MI_MALLOC_VERSION; }: "mov imm32, eax" or "mov w0, #imm16" is all there is. 209 is 2.0.9,
 * 30201 would be 3.2.1 (mimalloc.h). */
static void mimalloc_version(struct modules *ms, struct module *m, char to[16])
{
	static const uint8_t landing[] = { 0xf3, 0x0f, 0x1e };
	struct symbol s;
	uint32_t word = 0, n = 0;
	if (!modules_symbol(ms, m, "mi_version", &s))
		return;
	for (size_t i = 0; i < m->n_segments; i++) {
		const struct module_segment *g = &m->segments[i];
		if (s.address < g->start || s.address >= g->file_end)
			continue;
		struct span code = span_sub(m->file, g->file_offset + (s.address - g->start), 16);
		size_t at = code.n == 16 && !memcmp(code.p, landing, sizeof landing) ? 4 : 0;
		if (code.n == 16 && code.p[at] == 0xb8)
			span_u32(code, at + 1, false, &n);
		else if (span_u32(code, 0, false, &word) && (word & 0xffe0001f) == 0x52800000)
			n = word >> 5 & 0xffff;
	}
	if (n >= 100 && n < 1000)
		snprintf(to, 16, "%u.%u.%u", n / 100, n / 10 % 10, n % 10);
	else if (n >= 10000 && n < 1000000)
		snprintf(to, 16, "%u.%u.%u", n / 10000, n / 100 % 100, n % 100);
}

static const struct {
	const char *symbol, *name;
	void (*version)(struct modules *ms, struct module *m, char to[16]);
} known[] = {
	/* A sanitizer's runtime is built on parts of others: first. */
	{ "__asan_init", "AddressSanitizer", NULL },
	{ "__hwasan_init", "HWAddressSanitizer", NULL },
	{ "__msan_init", "MemorySanitizer", NULL },
	{ "__tsan_init", "ThreadSanitizer", NULL },
	{ "__lsan_init", "LeakSanitizer", NULL },
	{ "mallctl", "jemalloc", jemalloc_version },
	{ "je_mallctl", "jemalloc", jemalloc_version },
	{ "_rjem_mallctl", "jemalloc", jemalloc_version },
	{ "MallocExtension_ReleaseFreeMemory", "tcmalloc (gperftools)", gperftools_version },
	{ "tc_malloc", "tcmalloc (gperftools)", gperftools_version },
	{ "MallocExtension_Internal_GetStats", "tcmalloc (Google)", NULL },
	{ "mi_malloc", "mimalloc", mimalloc_version },
	{ "rpmalloc", "rpmalloc", NULL },
	{ "scalable_malloc", "TBB malloc", NULL },
	{ "snmalloc_alloc", "snmalloc", NULL },
};

static bool holds(const struct module *m, const char *text, size_t n)
{
	return m->file.n && memmem(m->file.p, m->file.n, text, n);
}

/* musl: mallocng is its malloc since 1.2.1 (its WHATSNEW), unless configured otherwise; a symbol of its own settles it. In a
 * static program that is stripped strerror's table is left, if it has that. */
static const char *musl(struct modules *ms, struct module *m, char version[16])
{
	static const char banner[] = "musl libc (", errors[] = "No error information\0Illegal byte sequence";
	struct symbol s;
	unsigned major = 0, minor = 0, patch = 0;
	bool loader = m->role == MODULE_LDSO && holds(m, banner, sizeof banner - 1);
	bool ng = modules_symbol(ms, m, "__malloc_context", &s), old = modules_symbol(ms, m, "__bin_chunk", &s);
	bool is_static = m->role == MODULE_PROGRAM && !modules_by_role(ms, MODULE_LDSO) && (modules_symbol(ms, m, "__libc_malloc_impl", &s) || holds(m, errors, sizeof errors - 1));
	if (!loader && !is_static)
		return NULL;
	/* The dynamic linker's banner is "Version %s", and the number a string of its own. */
	const uint8_t *end = m->file.p + m->file.n;
	for (const uint8_t *p = m->file.p; loader && p && !version[0] && (p = memmem(p, (size_t)(end - p), "\0001.", 3)); p++)
		if (take_version(p + 1, end, version) < 5 || (p[1 + strlen(version)] && p[1 + strlen(version)] != '-'))
			version[0] = '\0';
	sscanf(version, "%u.%u.%u", &major, &minor, &patch);
	unsigned n = major * 10000 + minor * 100 + patch;
	return ng ? "musl mallocng" : old ? "musl oldmalloc" : n >= 10201 ? "musl mallocng" : n ? "musl oldmalloc" : "musl";
}

const char *alloc_known_in(struct modules *ms, struct module *m, char version[16])
{
	struct symbol s;
	version[0] = '\0';
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (!modules_symbol(ms, m, known[i].symbol, &s) || !s.is_function || !s.address)
			continue;
		if (known[i].version)
			known[i].version(ms, m, version);
		return known[i].name;
	}
	return musl(ms, m, version);
}
