/* Names by ELF and DWARF, from a module whose file is any bytes: a core says that the file is mapped, and holds its first page, so
 * that the build-id agrees. All that asks a file for names is called. No crash, no endless loop. */
#include "scratch.h"
#include "synthetic_elf.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flotsam/session.h"
#include "flotsam/modules_code.h"
#include "flotsam/modules_values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { PAGE = 4096, PAGES = 6, MOST_FILE = 1 << 20 };
static const uint64_t base = 0x7ffff7000000, stack = 0x7ffffffd0000;

static bool enough(void *ctx, const struct instruction *i)
{
	(void)i;
	return --*(int *)ctx > 0;
}

static void no_use(void *ctx, enum code_use use, uint64_t address)
{
	(void)ctx;
	(void)use;
	(void)address;
}

static void ask_address(struct modules *ms, uint64_t at)
{
	struct symbol symbol;
	struct source_line line;
	struct function f;
	struct running running[MAX_INLINED];
	modules_symbol_at(ms, at, &symbol);
	modules_data_line(ms, at, &line);
	modules_code_line(ms, at, &line);
	modules_running(ms, at, running);
	modules_vtable_class(ms, at);
	modules_looks_like_vtable(ms, at);
	modules_slot_name(ms, at);
	free(modules_code_name(ms, at));
	if (modules_function_at(ms, at, &f) && f.end - f.start < PAGE) {
		int most = 64;
		err_free(modules_disassemble(ms, f.start, f.end, enough, &most));
		err_free(modules_code_uses(ms, f.start, f.end, no_use, NULL));
	}
}

static void ask_values(struct modules *ms, const struct thread *t)
{
	static const char *const types[] = { "struct shape", "union word", "ns::session", "struct point [2]", "char *" };
	static const char *const names[] = { "g_shape", "g_shape.corner[1].x", "*g_session", "counter", "list" };
	struct values v = { 0 };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		err_free(modules_object(ms, types[i], base + 64, &v));
		values_free(&v);
		v = (struct values){ 0 };
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		err_free(modules_variable(ms, NULL, names[i], &v));
		values_free(&v);
		v = (struct values){ 0 };
	}
	struct frame *frames;
	struct frame_registers *registers;
	size_t n = modules_unwind_registers(ms, t, &frames, &registers);
	for (unsigned i = 0; i < n && i < 4; i++) {
		struct value_place at = { .thread = t, .frames = frames, .registers = registers, .n_frames = n, .frame = i };
		err_free(modules_locals(ms, &at, &v));
		values_free(&v);
		v = (struct values){ 0 };
	}
	free(frames);
	free(registers);
}

static bool thread_variable(const void *ctx, const struct thread *t, struct module *m, uint64_t offset, uint64_t *ret)
{
	(void)ctx, (void)t, (void)m;
	*ret = stack + offset % PAGE;
	return true;
}

static void ask_types(struct modules *ms)
{
	struct type_table *t;
	struct typed_roots roots = { 0 };
	struct err *e = modules_typed_roots(ms, thread_variable, NULL, &roots);
	if (!e)
		e = modules_type_table(ms, &t);
	for (uint32_t id = 0; !e && id < t->types.n; id++) {
		struct strbuf text = { 0 };
		const struct type *at = table_type(t, id);
		type_table_name(t, id, &text);
		type_table_path(t, id, at->size / 2, &text);
		type_table_path(t, id, UINT32_MAX, &text);
		for (uint32_t i = 0; i < at->n_leaves; i++)
			if (t->leaves.at[at->first_leaf + i].target >= t->types.n)
				abort();
		strbuf_free(&text);
	}
	typed_roots_free(&roots);
	err_free(e);
}

static void ask(struct session *s)
{
	const struct allocation_sites *sites;
	uint64_t value;
	struct symbol symbol;
	for (size_t i = 0; i < modules_count(s->modules); i++) {
		struct module *m = modules_get(s->modules, i);
		modules_read_names(s->modules, m);
		modules_symbol(s->modules, m, "area", &symbol);
		modules_tls_symbol_at(s->modules, m, 0, &symbol);
		modules_tls_offset(s->modules, m, &value);
		modules_bound(s->modules, m, "malloc", &value);
		modules_member(s->modules, m, base, "shape", "name", &value);
	}
	for (uint64_t at = base; at < base + PAGES * PAGE; at += 61)
		ask_address(s->modules, at);
	modules_find_symbol(s->modules, "ns::pick", &symbol);
	for (size_t i = 0; i < s->target->picture.threads.n; i++)
		ask_values(s->modules, &s->target->picture.threads.at[i]);
	err_free(modules_allocation_sites(s->modules, &sites));
	ask_types(s->modules);
}

static bool write_all(int fd, const void *p, size_t n)
{
	return ftruncate(fd, 0) == 0 && pwrite(fd, p, n, 0) == (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char library[300], path[32];
	uint8_t mapped[PAGES * PAGE] = { 0 }, deep[2 * PAGE] = { 0 };
	struct bytes core = { 0 };
	struct session_options options = { .target = { .force = true }, .graph = { .threads = 1 } };
	struct session *s = NULL;
	if (n > MOST_FILE)
		return 0;
	memcpy(mapped, data, n < sizeof mapped ? n : sizeof mapped);
	struct core_plan p = { .machine = EM_X86_64, .pid = 4242, .n_segments = 2, .n_names = 1, .n_threads = 1 };
	p.segments[0] = (struct core_segment){ base, sizeof mapped, sizeof mapped, mapped, PF_R | PF_X, 0 };
	p.segments[1] = (struct core_segment){ stack, sizeof deep, sizeof deep, deep, PF_R | PF_W, 0 };
	p.names[0] = (struct core_name){ base, base + sizeof mapped, 0, library };
	p.threads[0] = (struct core_thread){ 4242, stack + PAGE, base + 0x1010, stack + 2 * PAGE - 256, 0 };
	for (size_t i = PAGE; i < sizeof deep; i += 8) /* what could be return addresses */
		memcpy(deep + i, &(uint64_t){ base + 0x1000 + i % 256 }, 8);
	snprintf(library, sizeof library, "%s/library-XXXXXX", scratch_directory());
	int fd = mkstemp(library), core_fd = memfd_create("core", MFD_CLOEXEC);
	core_write(&p, &core);
	if (fd < 0 || core_fd < 0 || !write_all(fd, data, n) || !write_all(core_fd, core.at, core.n))
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", core_fd);
	struct err *e = session_open("core", path, &options, &s);
	if (!e)
		ask(s);
	err_free(e);
	session_close(s);
	free(core.at);
	close(fd);
	close(core_fd);
	unlink(library);
	return 0;
}
