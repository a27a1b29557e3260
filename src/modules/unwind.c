/* Stacks by call frame information, through libdwfl with our own files and memory: its finders would open paths as the host
 * sees them. */
#include "guard.h"

#include <sys/mman.h>
#include <unistd.h>

struct walk {
	struct modules *ms;
	const struct thread *t;
	VEC(struct frame) frames;
	VEC(struct frame_registers) registers;
	bool want_registers;
};

static int no_elf(Dwfl_Module *mod, void **user, const char *name, Dwarf_Addr base, char **file, Elf **elf)
{
	(void)mod, (void)user, (void)name, (void)base, (void)file, (void)elf;
	return -1;
}

static int own_debug(Dwfl_Module *mod, void **user, const char *name, Dwarf_Addr base, const char *file, const char *link, GElf_Word crc, char **found)
{
	(void)mod, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)found;
	struct module *m = *user;
	return m && priv_of(m)->debug_fd >= 0 ? dup(priv_of(m)->debug_fd) : -1;
}

static const Dwfl_Callbacks callbacks = { .find_elf = no_elf, .find_debuginfo = own_debug, .section_address = dwfl_offline_section_address };

/* A Dwfl takes its process once: each thread that is asked for is found by number, none is listed. */
static pid_t no_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
	(void)dwfl, (void)arg, (void)thread_arg;
	return 0;
}

static bool this_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread_arg)
{
	(void)dwfl;
	struct modules *ms = arg;
	struct walk *w = ms->walk;
	*thread_arg = w;
	return w && w->t->tid == tid;
}

/* On aarch64 a function may sign its return address: what a saved address has above the bits of an address is the signature
 * (Arm ARM, D8.10; 7 bits of it where addresses have 48). libdwfl of 0.188 hands it on as it is. */
static uint64_t unsigned_address(struct modules *ms, uint64_t v)
{
	static const uint8_t widths[] = { 52, 48, 42, 39 };
	for (size_t i = 0; i < sizeof widths && modules_arch(ms)->signs_returns && v >> widths[sizeof widths - 1]; i++) {
		uint64_t address = v & ((1ull << widths[i]) - 1);
		const struct mapping *m = picture_mapping(image_picture(ms->img), address);
		if (m && m->prot & PROT_X)
			return address;
	}
	return v;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret, void *arg)
{
	(void)dwfl;
	struct modules *ms = arg;
	uint64_t v;
	if (!image_word(ms->img, address, &v))
		return false;
	*ret = unsigned_address(ms, v);
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	struct walk *w = arg;
	const struct arch *a = modules_arch(w->ms);
	Dwarf_Word regs[MAX_DWARF_REGISTERS];
	unsigned n = a->n_dwarf < MAX_DWARF_REGISTERS ? a->n_dwarf : MAX_DWARF_REGISTERS;
	for (unsigned i = 0; i < n; i++)
		regs[i] = unsigned_address(w->ms, arch_reg(a, w->t->gregs, a->dwarf_to_greg[i]));
	dwfl_thread_state_register_pc(thread, arch_reg(a, w->t->gregs, a->reg_pc));
	return dwfl_thread_state_registers(thread, 0, n, regs);
}

static const Dwfl_Thread_Callbacks thread_callbacks = { .next_thread = no_thread, .get_thread = this_thread, .memory_read = memory_read, .set_initial_registers = set_registers };

/* Many threads stand in few functions: each name is kept once. */
const char *modules_function_name(struct modules *ms, const char *symbol)
{
	uint64_t known;
	if (map64_find(&ms->functions, (uintptr_t)symbol, &known))
		return (const char *)(uintptr_t)known;
	char *text = modules_demangle(symbol);
	if (text)
		text[strcspn(text, "@")] = '\0'; /* of a version: read@@GLIBC_2.2.5 */
	const char *name = modules_keep(ms, text);
	map64_put(&ms->functions, (uintptr_t)symbol, (uintptr_t)name);
	return name;
}

/* What a function's CFI says nothing of is as the ABI has it. libdwfl's own list for x86-64 has rax in the place of rbx
 * (elfutils 0.188, backends/x86_64_cfi.c: same_value for register 0, "%rbx"), so it is not trusted there. */
static void keep_registers(struct walk *w, Dwfl_Frame *state)
{
	const struct arch *a = modules_arch(w->ms);
	struct frame_registers *r = vec_push(&w->registers);
	size_t n = w->registers.n;
	/* All registers of what a signal interrupted are in the frame of the trampoline. */
	bool called = n > 1 && !w->frames.at[n - 2].is_signal;
	for (unsigned i = 0; r && i < a->n_dwarf && i < MAX_DWARF_REGISTERS; i++) {
		bool saved = a->callee_saved >> i & 1;
		Dwarf_Word v;
		if (called && !saved)
			continue;
		if (!dwfl_frame_reg(state, i, &v))
			r->value[i] = v;
		else if (called && r[-1].known >> i & 1)
			r->value[i] = r[-1].value[i];
		else
			continue;
		r->known |= 1ull << i;
	}
}

static int on_frame(Dwfl_Frame *state, void *arg)
{
	struct walk *w = arg;
	const struct arch *a = modules_arch(w->ms);
	Dwarf_Addr pc;
	bool activation;
	if (w->frames.n >= LIMIT_FRAMES || !dwfl_frame_pc(state, &pc, &activation))
		return DWARF_CB_ABORT;
	struct frame *f = vec_push(&w->frames);
	if (!f)
		return DWARF_CB_ABORT;
	Dwarf_Word sp = 0;
	for (int i = 0; i < a->n_dwarf; i++)
		if (a->dwarf_to_greg[i] == a->reg_sp && !dwfl_frame_reg(state, (unsigned)i, &sp))
			f->sp = sp;
	f->pc = pc;
	/* A return address may be the first byte behind its function. */
	uint64_t look = pc - !activation;
	struct symbol s;
	f->module = modules_at(w->ms, look);
	if (modules_symbol_at(w->ms, look, &s))
		f->function = modules_function_name(w->ms, s.name);
	/* libdwfl calls both the trampoline and what the signal interrupted activations. */
	f->is_signal = activation && w->frames.n > 1 && !f[-1].is_signal;
	if (w->frames.n > 1) {
		struct frame *inner = f - 1;
		/* The caller's SP is the callee's CFA; a stack that does not grow ends the walk. */
		if (f->sp <= inner->sp) {
			w->frames.n--;
			return DWARF_CB_ABORT;
		}
		inner->cfa = f->sp;
	}
	if (w->want_registers)
		keep_registers(w, state);
	return DWARF_CB_OK;
}

/* The vDSO has no file; libdwfl wants one. */
static int file_of(const struct module *m)
{
	struct priv *p = priv_of(m);
	if (m->have_file)
		return dup(p->fd);
	int fd = p->memory ? memfd_create("vdso", MFD_CLOEXEC) : -1;
	if (fd >= 0 && write(fd, p->memory, p->memory_bytes) != (ssize_t)p->memory_bytes) {
		close(fd);
		return -1;
	}
	return fd;
}

static Dwfl *report_modules(struct modules *ms)
{
	Dwfl *dwfl = dwfl_begin(&callbacks);
	if (!dwfl)
		return NULL;
	dwfl_report_begin(dwfl);
	for (size_t i = 0; i < ms->list.n; i++) {
		struct module *m = ms->list.at[i];
		int fd = file_of(m);
		if (fd < 0)
			continue;
		/* dwfl_report_elf takes the bias for shared objects. */
		Dwfl_Module *mod = dwfl_report_elf(dwfl, m->path, m->path, fd, m->bias, false);
		void **user;
		if (!mod) {
			close(fd);
			continue;
		}
		if (dwfl_module_info(mod, &user, NULL, NULL, NULL, NULL, NULL, NULL))
			*user = m;
	}
	dwfl_report_end(dwfl, NULL, NULL);
	return dwfl;
}

static bool attach(struct modules *ms)
{
	if (ms->dwfl)
		return true;
	Dwfl *dwfl = report_modules(ms);
	Elf *machine = NULL;
	for (size_t i = 0; i < ms->list.n && !machine; i++) {
		modules_read_symbols(ms, ms->list.at[i]);
		machine = priv_of(ms->list.at[i])->elf;
	}
	if (dwfl && machine && dwfl_attach_state(dwfl, machine, 1, &thread_callbacks, ms)) {
		ms->dwfl = dwfl;
		return true;
	}
	if (dwfl)
		dwfl_end(dwfl);
	return false;
}

void modules_detach(struct modules *ms)
{
	if (ms->dwfl)
		dwfl_end(ms->dwfl);
	ms->dwfl = NULL;
}

static void walk_frames(void *ctx)
{
	struct walk *w = ctx;
	if (attach(w->ms))
		dwfl_getthread_frames(w->ms->dwfl, w->t->tid, on_frame, w);
}

size_t modules_unwind_registers(struct modules *ms, const struct thread *t, struct frame **ret, struct frame_registers **ret_registers)
{
	struct walk w = { .ms = ms, .t = t, .want_registers = ret_registers };
	*ret = NULL;
	if (ret_registers)
		*ret_registers = NULL;
	if (!t->gregs.n || !ms->img)
		return 0;
	ms->walk = &w;
	if (!modules_guarded(ms, NULL, walk_frames, &w))
		ms->dwfl = NULL; /* what has come till then counts */
	ms->walk = NULL;
	if (ret_registers && w.registers.n < w.frames.n)
		w.frames.n = w.registers.n; /* no memory */
	*ret = w.frames.at;
	if (ret_registers)
		*ret_registers = w.registers.at;
	return w.frames.n;
}

size_t modules_unwind(struct modules *ms, const struct thread *t, struct frame **ret)
{
	return modules_unwind_registers(ms, t, ret, NULL);
}
