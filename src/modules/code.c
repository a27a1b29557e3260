/* Code and its names: where functions begin and end, what a PLT's stub leads to, and the text of instructions. */
#include "code.h"
#include "guard.h"

#include <stdlib.h>

enum { MAX_FUNCTIONS = 4 << 20, MAX_SLOTS = 4 << 20, MAX_STUB_SECTIONS = 16 };

static int compare_ranges(const void *a, const void *b)
{
	const struct code_range *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end > y->end ? -1 : x->end < y->end; /* the longer one first: it stays */
}

static int compare_slots(const void *a, const void *b)
{
	const struct code_slot *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

static bool is_code(const struct module *m, uint64_t address)
{
	for (size_t i = 0; i < m->n_segments; i++)
		if (m->segments[i].prot & PROT_X && address >= m->segments[i].start && address < m->segments[i].end)
			return true;
	return false;
}

static void add_function(struct module *m, struct code *c, uint64_t start, uint64_t size)
{
	struct code_range *r = size && start + size > start && c->functions.n < MAX_FUNCTIONS && is_code(m, start) ? vec_push(&c->functions) : NULL;
	if (r)
		*r = (struct code_range){ start, start + size };
}

static bool file_u32(const struct module *m, uint64_t address, uint32_t *ret)
{
	for (size_t i = 0; i < m->n_segments; i++) {
		const struct module_segment *s = &m->segments[i];
		if (address >= s->start && address < s->file_end)
			return span_u32(m->file, s->file_offset + (address - s->start), false, ret);
	}
	return false;
}

/* .eh_frame_hdr's table for binary search (LSB Core, 10.6.2): pairs of function and FDE, both relative to its start. An FDE's
 * pc_range is its fourth word where pointers are pcrel sdata4, which all three machines use. */
static void functions_of_frames(struct module *m, struct code *c, uint64_t hdr)
{
	uint32_t head, n, start, fde, bytes;
	if (!file_u32(m, hdr, &head) || head >> 24 != 0x3b || (head >> 16 & 0xff) != 0x03 || !file_u32(m, hdr + 8, &n))
		return;
	for (uint32_t i = 0; i < n && i < MAX_FUNCTIONS; i++) {
		if (!file_u32(m, hdr + 12 + 8 * (uint64_t)i, &start) || !file_u32(m, hdr + 16 + 8 * (uint64_t)i, &fde) ||
		    !file_u32(m, hdr + (uint64_t)(int64_t)(int32_t)fde + 12, &bytes))
			return;
		add_function(m, c, hdr + (uint64_t)(int64_t)(int32_t)start, bytes);
	}
}

static void read_frames(struct module *m, struct code *c)
{
	struct priv *p = priv_of(m);
	size_t n = 0;
	if (!p->elf || elf_getphdrnum(p->elf, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;
		if (gelf_getphdr(p->elf, (int)i, &ph) && ph.p_type == PT_GNU_EH_FRAME)
			functions_of_frames(m, c, ph.p_vaddr + m->bias);
	}
}

static void add_slots(struct module *m, struct code *c, const GElf_Shdr *sh, Elf_Data *data)
{
	struct priv *p = priv_of(m);
	Elf_Scn *table = elf_getscn(p->elf, sh->sh_link);
	Elf_Data *symbols = table ? elf_getdata(table, NULL) : NULL;
	GElf_Shdr names;
	if (!symbols || !gelf_getshdr(table, &names))
		return;
	for (size_t i = 0; i < data->d_size / sh->sh_entsize && c->slots.n < MAX_SLOTS; i++) {
		GElf_Rela r = { 0 };
		GElf_Rel rel;
		GElf_Sym sym;
		if (sh->sh_type == SHT_RELA ? !gelf_getrela(data, (int)i, &r) : !gelf_getrel(data, (int)i, &rel))
			return;
		if (sh->sh_type == SHT_REL) {
			r.r_offset = rel.r_offset;
			r.r_info = rel.r_info;
		}
		if (r.r_addend || !GELF_R_SYM(r.r_info) || !gelf_getsym(symbols, (int)GELF_R_SYM(r.r_info), &sym) ||
		    GELF_ST_TYPE(sym.st_info) == STT_TLS)
			continue;
		const char *name = elf_strptr(p->elf, names.sh_link, sym.st_name);
		struct code_slot *s = name && *name ? vec_push(&c->slots) : NULL;
		if (s)
			*s = (struct code_slot){ r.r_offset + m->bias, name };
	}
}

static void add_text(struct code *c, uint64_t start, uint64_t end, bool stubs)
{
	struct code_range *r = end > start ? vec_push(&c->text) : NULL, *plt = r && stubs && c->plt.n < MAX_STUB_SECTIONS ? vec_push(&c->plt) : NULL;
	if (r)
		*r = (struct code_range){ start, end };
	if (plt)
		*plt = *r;
}

/* The part of a section that lies in executable segments: a segment may hold data besides, more than code. */
static void add_section(struct module *m, struct code *c, const GElf_Shdr *sh, const char *name)
{
	bool stubs = name && (!strncmp(name, ".plt", 4) || !strncmp(name, ".iplt", 5));
	uint64_t start = sh->sh_addr + m->bias, end = start + sh->sh_size;
	for (size_t i = 0; i < m->n_segments && end > start; i++) {
		const struct module_segment *g = &m->segments[i];
		if (g->prot & PROT_X && start < g->file_end && end > g->start)
			add_text(c, start > g->start ? start : g->start, end < g->file_end ? end : g->file_end, stubs);
	}
}

/* Sections of a forged file may lie over each other. */
static void settle_text(struct module *m, struct code *c)
{
	size_t keep = 0;
	c->by_sections = c->text.n;
	for (size_t i = 0; !c->by_sections && i < m->n_segments; i++)
		if (m->segments[i].prot & PROT_X)
			add_text(c, m->segments[i].start, m->segments[i].file_end, false);
	if (c->text.n)
		qsort(c->text.at, c->text.n, sizeof *c->text.at, compare_ranges);
	for (size_t i = 0; i < c->text.n; i++) {
		struct code_range *r = &c->text.at[i], *last = keep ? &c->text.at[keep - 1] : NULL;
		if (last && r->start <= last->end)
			last->end = r->end > last->end ? r->end : last->end;
		else
			c->text.at[keep++] = *r;
	}
	c->text.n = keep;
}

static void read_sections(struct module *m, struct code *c)
{
	struct priv *p = priv_of(m);
	Elf_Scn *scn = NULL;
	size_t names = 0;
	bool named = p->elf && !elf_getshdrstrndx(p->elf, &names);
	while (p->elf && (scn = elf_nextscn(p->elf, scn))) {
		GElf_Shdr sh;
		Elf_Data *data;
		if (!gelf_getshdr(scn, &sh))
			continue;
		if (sh.sh_type == SHT_PROGBITS && sh.sh_flags & SHF_EXECINSTR && sh.sh_flags & SHF_ALLOC)
			add_section(m, c, &sh, named ? elf_strptr(p->elf, names, sh.sh_name) : NULL);
		if (!sh.sh_entsize || !(sh.sh_type == SHT_RELA || sh.sh_type == SHT_REL || sh.sh_type == SHT_DYNAMIC) || !(data = elf_getdata(scn, NULL)))
			continue;
		if (sh.sh_type == SHT_RELA || sh.sh_type == SHT_REL)
			add_slots(m, c, &sh, data);
		for (size_t i = 0; sh.sh_type == SHT_DYNAMIC && i < data->d_size / sh.sh_entsize; i++) {
			GElf_Dyn d;
			if (gelf_getdyn(data, (int)i, &d) && d.d_tag == DT_PLTGOT)
				c->got = d.d_un.d_ptr + m->bias;
		}
	}
}

static void read_file(void *ctx)
{
	struct module *m = ctx;
	read_frames(m, priv_of(m)->code);
	read_sections(m, priv_of(m)->code);
}

struct code *code_of(struct modules *ms, struct module *m)
{
	struct priv *p = priv_of(m);
	if (p->code)
		return p->code;
	struct code *c = p->code = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	modules_read_symbols(ms, m);
	for (size_t i = 0; i < p->symbols.n; i++)
		if (p->symbols.at[i].type == STT_FUNC || p->symbols.at[i].type == STT_GNU_IFUNC)
			add_function(m, c, p->symbols.at[i].address, p->symbols.at[i].size);
	modules_guarded(ms, m, read_file, m);
	settle_text(m, c);
	if (c->functions.n)
		qsort(c->functions.at, c->functions.n, sizeof *c->functions.at, compare_ranges);
	size_t keep = 0;
	for (size_t i = 0; i < c->functions.n; i++)
		if (!keep || c->functions.at[i].start != c->functions.at[keep - 1].start)
			c->functions.at[keep++] = c->functions.at[i];
	c->functions.n = keep;
	if (c->slots.n)
		qsort(c->slots.at, c->slots.n, sizeof *c->slots.at, compare_slots);
	return c;
}

void code_free(struct code *c)
{
	if (!c)
		return;
	vec_free(&c->functions);
	vec_free(&c->slots);
	vec_free(&c->text);
	vec_free(&c->plt);
	free(c);
}

bool modules_function_at(struct modules *ms, uint64_t address, struct function *ret)
{
	struct module *m = modules_at(ms, address);
	struct code *c = m ? code_of(ms, m) : NULL;
	size_t lo = 0, hi = c ? c->functions.n : 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (c->functions.at[mid].start <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* Parts of hand-written functions nest: a few steps back are enough. */
	for (size_t k = 0; lo && k < 8; k++, lo--) {
		const struct code_range *r = &c->functions.at[lo - 1];
		struct symbol s;
		if (address >= r->end)
			continue;
		*ret = (struct function){ .start = r->start, .end = r->end, .module = m };
		if (modules_symbol_at(ms, address, &s) && s.is_function)
			ret->name = s.name;
		return true;
	}
	return false;
}

static struct span file_bytes(const struct module *m, uint64_t address, uint64_t end)
{
	for (size_t i = 0; i < m->n_segments; i++) {
		const struct module_segment *s = &m->segments[i];
		if (address < s->start || address >= s->file_end)
			continue;
		uint64_t off = s->file_offset + (address - s->start), n = (end < s->file_end ? end : s->file_end) - address;
		return off < m->file.n ? (struct span){ m->file.p + off, n < m->file.n - off ? n : m->file.n - off } : (struct span){ 0 };
	}
	return (struct span){ 0 };
}

static struct span image_bytes(struct modules *ms, uint64_t address, uint64_t end)
{
	struct span s = { 0 };
	s.n = ms->img ? image_window(ms->img, address, &s.p) : 0;
	if (s.n > end - address)
		s.n = end - address;
	return s;
}

struct span code_bytes(struct modules *ms, uint64_t address, uint64_t end)
{
	const struct module *m = modules_at(ms, address);
	struct span s = m && m->have_file ? file_bytes(m, address, end) : (struct span){ 0 };
	return s.n ? s : image_bytes(ms, address, end);
}

struct err *code_decoder(struct modules *ms, csh *ret)
{
	static const struct {
		uint16_t machine;
		cs_arch arch;
		cs_mode mode;
	} rows[] = { { EM_X86_64, CS_ARCH_X86, CS_MODE_64 }, { EM_386, CS_ARCH_X86, CS_MODE_32 }, { EM_AARCH64, CS_ARCH_ARM64, CS_MODE_ARM } };
	const struct arch *a = modules_arch(ms);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rows[i].machine != a->elf_machine)
			continue;
		cs_err e = cs_open(rows[i].arch, rows[i].mode, ret);
		if (e == CS_ERR_MEM)
			return err_nomem();
		if (e != CS_ERR_OK)
			return err_new(ERR_UNSUPPORTED, "capstone was built without a decoder for %s", a->name);
		cs_option(*ret, CS_OPT_DETAIL, CS_OPT_ON);
		cs_option(*ret, CS_OPT_SKIPDATA, CS_OPT_ON);
		return NULL;
	}
	return err_new(ERR_UNSUPPORTED, "no decoder for %s", a->name);
}

static bool is_x86(const struct modules *ms)
{
	return modules_arch(ms)->elf_machine != EM_AARCH64;
}

/* The target of a call or jump, or the memory of a pc-relative operand. */
static void take_x86(struct instruction *i, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;
	for (int k = 0; k < x->op_count; k++) {
		const cs_x86_op *op = &x->operands[k];
		bool absolute = op->type == X86_OP_MEM && op->mem.base == X86_REG_INVALID && op->mem.index == X86_REG_INVALID &&
				op->mem.segment == X86_REG_INVALID;
		if (op->type == X86_OP_IMM && (i->calls || i->jumps))
			i->target = (uint64_t)op->imm;
		else if (op->type == X86_OP_MEM && op->mem.base == X86_REG_RIP)
			i->target = in->address + in->size + (uint64_t)op->mem.disp;
		else if (absolute)
			i->target = (uint32_t)op->mem.disp;
		else
			continue;
		i->through = op->type == X86_OP_MEM && (i->calls || i->jumps);
	}
}

static void take_arm(struct instruction *i, const cs_insn *in)
{
	const cs_arm64 *a = &in->detail->arm64;
	/* The target is the last operand: tbz has a bit number before it. */
	if ((i->calls || i->jumps || in->id == ARM64_INS_ADRP || in->id == ARM64_INS_ADR) && a->op_count &&
	    a->operands[a->op_count - 1].type == ARM64_OP_IMM)
		i->target = (uint64_t)a->operands[a->op_count - 1].imm;
}

static void take(const struct modules *ms, csh h, struct instruction *i, const cs_insn *in)
{
	*i = (struct instruction){ .address = in->address, .size = (uint8_t)(in->size < 16 ? in->size : 16), .decoded = in->id != 0 };
	memcpy(i->bytes, in->bytes, i->size);
	snprintf(i->mnemonic, sizeof i->mnemonic, "%s", in->mnemonic);
	snprintf(i->operands, sizeof i->operands, "%s", in->op_str);
	if (!i->decoded) /* SKIPDATA leaves no details */
		return;
	/* A bl is a jump to capstone as well. */
	i->calls = cs_insn_group(h, in, CS_GRP_CALL) || in->id == (is_x86(ms) ? (unsigned)X86_INS_CALL : (unsigned)ARM64_INS_BL);
	i->jumps = !i->calls && cs_insn_group(h, in, CS_GRP_JUMP);
	if (is_x86(ms))
		take_x86(i, in);
	else
		take_arm(i, in);
	if (modules_arch(ms)->word == 4)
		i->target = (uint32_t)i->target;
}

struct err *modules_disassemble(struct modules *ms, uint64_t start, uint64_t end, modules_instruction_fn *f, void *ctx)
{
	csh h;
	struct err *e = NULL;
	TRY(code_decoder(ms, &h));
	cs_insn *in = cs_malloc(h);
	bool more = in != NULL;
	if (!in)
		e = err_nomem();
	for (uint64_t at = start; more && !e && at < end;) {
		struct span s = image_bytes(ms, at, end);
		if (!s.n)
			s = code_bytes(ms, at, end);
		if (!s.n) {
			e = err_new(ERR_FAULT, "the code at 0x%llx cannot be read", (unsigned long long)at);
			break;
		}
		uint64_t from = at;
		/* An instruction may lie across two windows; its first bytes then are no instruction, and are shown as bytes. */
		while (more && !interrupted && cs_disasm_iter(h, &s.p, &s.n, &at, in)) {
			struct instruction i;
			take(ms, h, &i, in);
			more = f(ctx, &i);
		}
		if (interrupted)
			e = err_new(ERR_INTERRUPTED, "interrupted");
		if (at == from)
			break;
	}
	if (in)
		cs_free(in, 1);
	cs_close(&h);
	return e;
}

struct stub {
	const struct modules *ms;
	const struct code *code;
	uint64_t page;	/* aarch64: what adrp put into x16 */
	uint64_t slot;
	int left;
};

static bool x86_stub(struct stub *s, const struct instruction *i)
{
	const char *ebx = strstr(i->operands, "[ebx + ");
	if (!i->jumps)
		return true;
	if (i->through)
		s->slot = i->target;
	else if (ebx && s->code->got) /* -fPIC on i386: the GOT is in %ebx */
		s->slot = (uint32_t)(s->code->got + strtoull(ebx + 7, NULL, 0));
	return false;
}

/* adrp x16, PAGE; ldr x17, [x16, #OFFSET]; ... br x17 (ELF for the Arm 64-bit architecture) */
static bool arm_stub(struct stub *s, const struct instruction *i)
{
	const char *offset = strstr(i->operands, ", #");
	if (!strcmp(i->mnemonic, "adrp"))
		s->page = i->target;
	else if (!strcmp(i->mnemonic, "ldr") && s->page && strstr(i->operands, "[x16"))
		s->slot = s->page + (offset ? strtoull(offset + 3, NULL, 0) : 0);
	return !s->slot && !i->calls && !i->jumps;
}

static bool on_stub(void *ctx, const struct instruction *i)
{
	struct stub *s = ctx;
	if (!i->decoded || !s->left--)
		return false;
	return is_x86(s->ms) ? x86_stub(s, i) : arm_stub(s, i);
}

bool code_stub_slot(struct modules *ms, uint64_t address, uint64_t *ret_slot)
{
	struct module *m = modules_at(ms, address);
	if (!m || !is_code(m, address))
		return false;
	struct stub s = { .ms = ms, .code = code_of(ms, m), .left = 4 };
	struct err *e = s.code ? modules_disassemble(ms, address, address + 24, on_stub, &s) : NULL;
	err_free(e);
	*ret_slot = s.slot;
	return s.slot;
}

const char *modules_slot_name(struct modules *ms, uint64_t slot)
{
	struct module *m = modules_at(ms, slot);
	struct code *c = m ? code_of(ms, m) : NULL;
	struct code_slot key = { .address = slot }, *found;
	struct symbol s;
	uint64_t value;
	found = c && c->slots.n ? bsearch(&key, c->slots.at, c->slots.n, sizeof key, compare_slots) : NULL;
	if (found)
		return found->name;
	return modules_word(ms, slot, &value) && modules_symbol_at(ms, value, &s) && s.address == value && s.is_function ? s.name : NULL;
}

char *modules_code_name(struct modules *ms, uint64_t address)
{
	struct symbol s;
	struct strbuf t = { 0 };
	uint64_t slot;
	const char *name = NULL;
	if (modules_symbol_at(ms, address, &s)) {
		strbuf_puts(&t, s.name);
		if (address != s.address)
			strbuf_printf(&t, "+0x%llx", (unsigned long long)(address - s.address));
	} else if ((name = modules_slot_name(ms, address))) {
		strbuf_printf(&t, "%s@got", name);
	} else if (code_stub_slot(ms, address, &slot) && (name = modules_slot_name(ms, slot))) {
		strbuf_printf(&t, "%s@plt", name);
	}
	return t.text;
}

struct code_op *code_add_op(struct code_ops *to, const cs_insn *in)
{
	struct code_op *op = vec_push(&to->list);
	if (op)
		*op = (struct code_op){ .address = in->address, .size = (uint8_t)in->size, .dst = -1, .src = -1, .other = -1, .jumps_to = -1 };
	return op;
}

/* i386 code learns its own address from "mov (%esp), %reg; ret" (gcc: __x86.get_pc_thunk.REG). */
static void take_thunk(struct modules *ms, struct code_op *op)
{
	uint8_t b[4];
	struct span s = op->target ? code_bytes(ms, op->target, op->target + 4) : (struct span){ 0 };
	if (s.n < 4)
		return;
	memcpy(b, s.p, 4);
	if (b[0] == 0x8b && (b[1] & 0xc7) == 0x04 && b[2] == 0x24 && b[3] == 0xc3)
		op->dst = (int8_t)(b[1] >> 3 & 7);
}

static bool take_ops(const struct modules *ms, csh h, const cs_insn *in, struct code_ops *to)
{
	const struct arch *a = modules_arch(ms);
	return a->elf_machine == EM_AARCH64 ? code_take_arm64(h, in, to) : code_take_x86(h, in, a->word, to);
}

/* The registers that ops leave alone; none when they call, or go on elsewhere. */
static uint32_t left_alone(const struct code_op *op, size_t n, const struct function *f)
{
	uint32_t changed = 0;
	for (size_t i = 0; i < n; i++, op++) {
		if (op->flow == FLOW_CALL || ((op->flow == FLOW_JUMP || op->flow == FLOW_BRANCH) && (op->target < f->start || op->target >= f->end)))
			return 0;
		changed |= op->spoils | (op->dst >= 0 ? 1u << op->dst : 0);
	}
	return ~changed;
}

/* Callers of a small function may go on with what they left in registers that it does not touch (gcc's -fipa-ra). */
static uint32_t kept_by(struct modules *ms, csh h, cs_insn *in, uint64_t function, struct code_ops *scratch)
{
	enum { SMALL = 128 };
	struct function f;
	size_t first = scratch->list.n;
	uint64_t at = function;
	if (!modules_function_at(ms, function, &f) || f.start != function || f.end - f.start > SMALL)
		return 0;
	struct span s = code_bytes(ms, at, f.end);
	bool whole = s.n == f.end - f.start;
	while (whole && s.n)
		whole = cs_disasm_iter(h, &s.p, &s.n, &at, in) && in->id && take_ops(ms, h, in, scratch);
	uint32_t keeps = whole ? left_alone(scratch->list.at + first, scratch->list.n - first, &f) : 0;
	scratch->list.n = first;
	return keeps;
}

static uint32_t remember_kept(struct modules *ms, csh h, cs_insn *in, uint64_t function, struct code_ops *ops)
{
	size_t k = function / 4 % CODE_CALLEES;
	if (!function || modules_arch(ms)->word < 8) /* i386 passes nothing in registers */
		return 0;
	if (ops->callees[k].address != function) {
		ops->callees[k].keeps = kept_by(ms, h, in, function, ops);
		ops->callees[k].address = function;
	}
	return ops->callees[k].keeps;
}

struct err *code_ops(struct modules *ms, csh h, uint64_t start, uint64_t end, struct code_ops *ret)
{
	bool is_386 = modules_arch(ms)->elf_machine == EM_386;
	cs_insn *in = cs_malloc(h);
	bool ok = in != NULL;
	ret->list.n = 0;
	for (uint64_t at = start; ok && at < end;) {
		struct span s = code_bytes(ms, at, end);
		uint64_t from = at;
		while (ok && s.n && cs_disasm_iter(h, &s.p, &s.n, &at, in)) {
			size_t n = ret->list.n;
			if (in->id == 0) /* no instruction: data between functions */
				continue;
			ok = take_ops(ms, h, in, ret);
			if (!ok || ret->list.at[n].flow != FLOW_CALL)
				continue;
			if (is_386)
				take_thunk(ms, &ret->list.at[n]);
			uint32_t keeps = remember_kept(ms, h, in, ret->list.at[n].target, ret);
			ret->list.at[n].keeps = keeps;
		}
		if (at == from)
			break;
	}
	if (in)
		cs_free(in, 1);
	return ok ? NULL : err_nomem();
}
