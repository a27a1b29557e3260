/* The reader of cores on cores written by hand: what it says about whole ones is what was written; of cut and hostile ones
 * it says exactly what is missing, and breaks on none. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"
#include "synthetic_elf.h"

#include "flotsam/target.h"

enum { PAGE = 4096 };

static uint8_t heap[5 * PAGE], stack[2 * PAGE], library[PAGE];

/* Addresses that fit both word sizes. */
enum { HEAP_AT = 0x10000000, LIBRARY_AT = 0x20000000, GUARD_AT = 0x2fff0000, STACK_AT = 0x30000000 };
enum { S_HEAP, S_LIBRARY, S_LIBRARY_DATA, S_GUARD, S_STACK, SEGMENTS };

static struct core_plan plan_of(unsigned machine)
{
	struct core_plan p = { .machine = machine, .pid = 4242, .random = STACK_AT + 100, .n_segments = SEGMENTS, .n_threads = 2, .n_names = 2 };
	for (size_t i = 0; i < sizeof heap; i++)
		heap[i] = (uint8_t)(i * 7 + i / PAGE);
	memset(stack, 0x11, sizeof stack);
	p.segments[S_HEAP] = (struct core_segment){ HEAP_AT, sizeof heap, sizeof heap, heap, PF_R | PF_W, 0 };
	p.segments[S_LIBRARY] = (struct core_segment){ LIBRARY_AT, 8 * PAGE, PAGE, library, PF_R | PF_X, 0 };
	p.segments[S_LIBRARY_DATA] = (struct core_segment){ LIBRARY_AT + 8 * PAGE, PAGE, PAGE, library, PF_R | PF_W, 0 };
	p.segments[S_GUARD] = (struct core_segment){ GUARD_AT, PAGE, 0, NULL, 0, 0 };
	p.segments[S_STACK] = (struct core_segment){ STACK_AT, sizeof stack, sizeof stack, stack, PF_R | PF_W, 0 };
	p.names[0] = (struct core_name){ LIBRARY_AT, LIBRARY_AT + 8 * PAGE, 0, "/nowhere/libx.so" };
	p.names[1] = (struct core_name){ LIBRARY_AT + 8 * PAGE, LIBRARY_AT + 9 * PAGE, 7, "/nowhere/libx.so" };
	p.threads[0] = (struct core_thread){ 4242, STACK_AT + PAGE, LIBRARY_AT + 16, 0x12345670, 0 };
	p.threads[1] = (struct core_thread){ 4243, HEAP_AT + PAGE, LIBRARY_AT + 32, 0x12345680, 0 };
	return p;
}

/* Opens bytes as a core. */
static struct err *open_bytes(const struct bytes *b, size_t n, struct target **ret)
{
	char path[32];
	struct target_options o = { 0 };
	int fd = memfd_create("core", MFD_CLOEXEC);
	ck_assert(fd >= 0 && write(fd, b->at, n) == (ssize_t)n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct err *e = target_open("core", path, &o, ret);
	close(fd);
	return e;
}

static uint64_t skipped(const struct picture *p, const char *reason)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < p->skipped.n; i++)
		if (!strcmp(p->skipped.at[i].reason, reason))
			sum += p->skipped.at[i].bytes;
	return sum;
}

static bool found(const struct picture *p, const char *kind)
{
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (!strcmp(p->findings.list.at[i].kind, kind))
			return true;
	return false;
}

/* What every other stage relies on, however bad the core. */
static void check_picture(const struct picture *p)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		volatile uint8_t touch = e->data[0];
		touch = e->data[e->bytes - 1];
		(void)touch;
		ck_assert_uint_gt(e->bytes, 0);
		ck_assert(e->address + e->bytes > e->address);
		if (i)
			ck_assert(e[-1].address + e[-1].bytes <= e->address);
		sum += e->bytes;
	}
	ck_assert_uint_eq(sum, p->read_bytes);
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct mapping *m = &p->maps.at[i];
		ck_assert(m->start < m->end && m->path);
		if (i)
			ck_assert_msg(m[-1].end <= m->start, "mappings overlap at %#llx", (unsigned long long)m->start);
	}
	for (size_t i = 0; i < p->threads.n; i++) {
		volatile uint8_t touch = p->threads.at[i].gregs.n ? p->threads.at[i].gregs.p[p->threads.at[i].gregs.n - 1] : 0;
		(void)touch;
	}
	ck_assert(p->page >= 4096 && !(p->page & (p->page - 1)));
}

/* No crash, and whatever is opened is sound. */
static bool try_bytes(const struct bytes *b, size_t n)
{
	struct target *t;
	struct err *e = open_bytes(b, n, &t);
	if (e) {
		ck_assert(e->text && *e->text);
		err_free(e);
		return false;
	}
	check_picture(&t->picture);
	target_close(t);
	return true;
}

static const unsigned machines[] = { EM_X86_64, EM_386, EM_AARCH64 };

START_TEST(a_whole_core_is_what_was_written)
{
	struct core_plan p = plan_of(machines[_i]);
	struct bytes b;
	struct target *t;
	core_write(&p, &b);
	struct err *e = open_bytes(&b, b.n, &t);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	const struct picture *x = &t->picture;
	check_picture(x);
	ck_assert_int_eq(t->pid, 4242);
	ck_assert_str_eq(t->comm, "synthetic");
	ck_assert_int_eq(t->arch->elf_machine, machines[_i]);
	ck_assert_uint_eq(x->skipped.n, 0);
	ck_assert(!x->truncated);
	ck_assert(!x->at_most);
	ck_assert(x->quiet && !x->have_pages);
	ck_assert_uint_eq(x->findings.list.n, 0);
	ck_assert(x->stopped_seconds < 0);
	ck_assert_uint_eq(x->threads.n, 2);
	for (int i = 0; i < 2; i++) {
		const struct thread *th = &x->threads.at[i];
		ck_assert(th->stopped);
		ck_assert_int_eq(th->tid, p.threads[i].tid);
		ck_assert_uint_eq(arch_reg(t->arch, th->gregs, t->arch->reg_sp), p.threads[i].sp);
		ck_assert_uint_eq(arch_reg(t->arch, th->gregs, t->arch->reg_pc), p.threads[i].pc);
		ck_assert_uint_eq(th->tp, p.threads[i].tp);
	}
	ck_assert_uint_eq(x->maps.n, SEGMENTS);
	for (int i = 0; i < SEGMENTS; i++) {
		const struct mapping *m = &x->maps.at[i];
		ck_assert_uint_eq(m->start, p.segments[i].address);
		ck_assert_uint_eq(m->end, p.segments[i].address + p.segments[i].memory_bytes);
		ck_assert_int_eq(m->prot, (p.segments[i].flags & PF_R ? PROT_R : 0) | (p.segments[i].flags & PF_W ? PROT_W : 0) |
						  (p.segments[i].flags & PF_X ? PROT_X : 0));
	}
	ck_assert_str_eq(x->maps.at[S_HEAP].path, "");
	ck_assert_str_eq(x->maps.at[S_LIBRARY].path, "/nowhere/libx.so");
	ck_assert_uint_eq(x->maps.at[S_LIBRARY_DATA].offset, 7 * PAGE);
	ck_assert_str_eq(x->maps.at[S_STACK].path, "[stack]");
	ck_assert_uint_eq(x->read_bytes, sizeof heap + 2 * PAGE + sizeof stack);
	ck_assert_uint_eq(skipped(x, "not-dumped"), 0); /* a library's own text, and a guard */
	uint8_t some[64];
	ck_assert(target_peek(t, HEAP_AT + 3 * PAGE - 8, some, sizeof some));
	ck_assert_mem_eq(some, heap + 3 * PAGE - 8, sizeof some);
	ck_assert(!target_peek(t, HEAP_AT + sizeof heap - 8, some, sizeof some));
	ck_assert(!target_peek(t, LIBRARY_AT + PAGE, some, 1));
	target_close(t);
	free(b.at);
}
END_TEST

/* gdb writes offsets in NT_FILE as bytes, the kernel as pages. */
START_TEST(offsets_come_in_two_units)
{
	struct core_plan p = plan_of(EM_X86_64);
	struct bytes b;
	struct target *t;
	p.name_unit = 1;
	p.names[1].offset = 0x7000;
	core_write(&p, &b);
	ck_assert_ptr_null(open_bytes(&b, b.n, &t));
	ck_assert_uint_eq(t->picture.maps.at[S_LIBRARY_DATA].offset, 0x7000);
	target_close(t);
	free(b.at);
}
END_TEST

START_TEST(without_auxv_the_first_thread_shows_the_stack)
{
	struct core_plan p = plan_of(machines[_i]);
	struct bytes b;
	struct target *t;
	p.no_auxv = true;
	core_write(&p, &b);
	ck_assert_ptr_null(open_bytes(&b, b.n, &t));
	ck_assert_uint_eq(t->picture.page, 4096);
	ck_assert_uint_eq(t->picture.auxv.n, 0);
	ck_assert_str_eq(t->picture.maps.at[S_STACK].path, "[stack]");
	target_close(t);
	free(b.at);
}
END_TEST

START_TEST(the_page_size_is_the_cores_own)
{
	struct core_plan p = plan_of(EM_AARCH64);
	struct bytes b;
	struct target *t;
	p.page = 65536;
	core_write(&p, &b);
	ck_assert_ptr_null(open_bytes(&b, b.n, &t));
	ck_assert_uint_eq(t->picture.page, 65536);
	target_close(t);
	free(b.at);
}
END_TEST

/* Cut anywhere: refused while headers are missing, then exactly what is behind the cut is counted. */
START_TEST(a_cut_core_counts_what_is_missing)
{
	struct core_plan p = plan_of(machines[_i]);
	struct bytes b;
	struct target *t;
	core_write(&p, &b);
	for (size_t n = 0; n < p.segments[0].offset; n += n < 256 ? 1 : 13)
		try_bytes(&b, n);
	for (size_t n = p.notes_at; n < b.n; n += n < p.segments[0].offset ? 200 : 1777) {
		uint64_t missing = 0, have = 0;
		for (size_t i = 0; i < p.n_segments; i++) {
			const struct core_segment *s = &p.segments[i];
			uint64_t there = n <= s->offset ? 0 : n - s->offset < s->file_bytes ? n - s->offset : s->file_bytes;
			have += there;
			missing += s->file_bytes - there;
		}
		struct err *e = open_bytes(&b, n, &t);
		ck_assert_msg(!e, "cut at %zu: %s", n, e ? e->text : "");
		check_picture(&t->picture);
		ck_assert_uint_eq(t->picture.read_bytes, have);
		ck_assert_uint_eq(skipped(&t->picture, "truncated"), missing);
		ck_assert(t->picture.truncated && t->picture.at_most && found(&t->picture, "truncated"));
		target_close(t);
	}
	free(b.at);
}
END_TEST

/* Left out by coredump_filter or MADV_DONTDUMP: writable memory may hold pointers, a guard and a file's text do not. */
START_TEST(what_was_not_dumped_is_counted)
{
	struct core_plan p = plan_of(EM_X86_64);
	struct bytes b;
	struct target *t;
	p.segments[S_HEAP].file_bytes = 2 * PAGE;
	core_write(&p, &b);
	ck_assert_ptr_null(open_bytes(&b, b.n, &t));
	check_picture(&t->picture);
	ck_assert_uint_eq(skipped(&t->picture, "not-dumped"), 3 * PAGE);
	ck_assert(t->picture.at_most && !t->picture.truncated);
	ck_assert_uint_eq(t->picture.read_bytes, 4 * PAGE + sizeof stack);
	target_close(t);
	free(b.at);
}
END_TEST

/* gdb writes zeroes where it could not read: a stack of them alone is one that is missing. */
START_TEST(a_stack_of_zeroes_is_missing)
{
	struct core_plan p = plan_of(EM_X86_64);
	struct bytes b;
	struct target *t;
	memset(stack, 0, sizeof stack);
	core_write(&p, &b);
	ck_assert_ptr_null(open_bytes(&b, b.n, &t));
	ck_assert(t->picture.at_most && found(&t->picture, "lost-stack"));
	target_close(t);
	free(b.at);
}
END_TEST

/* Segments that claim one address: the first stands, nothing is held twice. */
START_TEST(overlapping_segments)
{
	static const struct { uint64_t address, bytes; } second[] = {
		{ HEAP_AT, 5 * PAGE }, { HEAP_AT + PAGE, PAGE }, { HEAP_AT + 4 * PAGE, 3 * PAGE }, { HEAP_AT - PAGE, 3 * PAGE }, { HEAP_AT + 1, 10 },
	};
	for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
		struct core_plan p = plan_of(EM_X86_64);
		struct bytes b;
		struct target *t;
		uint8_t *bytes = calloc(1, second[i].bytes);
		p.segments[p.n_segments++] = (struct core_segment){ second[i].address, second[i].bytes, second[i].bytes, bytes, PF_R | PF_W, 0 };
		/* A file's name at the end of the second, which tells whether the first is still found. */
		p.names[p.n_names++] = (struct core_name){ HEAP_AT + 3 * PAGE, HEAP_AT + 4 * PAGE, 0, "/nowhere/mapped" };
		core_write(&p, &b);
		struct err *e = open_bytes(&b, b.n, &t);
		ck_assert_msg(!e, "%s", e ? e->text : "");
		check_picture(&t->picture);
		ck_assert(found(&t->picture, "overlap"));
		/* What either of them covers is there, as the first has it. */
		for (uint64_t at = HEAP_AT - PAGE; at < HEAP_AT + 7 * PAGE; at += PAGE / 2) {
			uint8_t byte = 0xee;
			bool first = at >= HEAP_AT && at < HEAP_AT + sizeof heap, other = at - second[i].address < second[i].bytes;
			ck_assert_int_eq(target_peek(t, at, &byte, 1), first || other);
			ck_assert_int_eq(picture_mapping(&t->picture, at) != NULL, first || other);
			if (first && !other)
				ck_assert_uint_eq(byte, heap[at - HEAP_AT]);
			if (other && !first)
				ck_assert_uint_eq(byte, 0);
		}
		target_close(t);
		free(b.at);
		free(bytes);
	}
}
END_TEST

START_TEST(a_segment_of_the_whole_address_space)
{
	for (int i = 0; i < 3; i++) {
		struct core_plan p = plan_of(i == 2 ? EM_386 : EM_X86_64);
		struct bytes b;
		uint64_t huge = i == 2 ? 0xd0000000 : i ? UINT64_MAX - STACK_AT - 8 * PAGE : 1ull << 62;
		p.segments[S_STACK].memory_bytes = huge;
		core_write(&p, &b);
		ck_assert(try_bytes(&b, b.n));
		free(b.at);
	}
}
END_TEST

static struct err *open_written(struct core_plan *p, size_t off, uint64_t v, unsigned width, struct target **ret)
{
	struct bytes b;
	core_write(p, &b);
	bytes_put(&b, off, v, width);
	struct err *e = open_bytes(&b, b.n, ret);
	free(b.at);
	return e;
}

/* A note that lies costs itself and what is behind it in its segment, never the memory. */
START_TEST(hostile_notes_cost_no_memory)
{
	static const uint64_t sizes[] = { 0, 1, 11, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc, 0xffffffff };
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		struct core_plan p = plan_of(machines[_i]);
		struct bytes b;
		core_write(&p, &b); /* for the places */
		free(b.at);
		const size_t places[] = { p.prstatus_at, p.prstatus_at + 4, p.auxv_note_at, p.auxv_note_at + 4, p.file_note_at, p.file_note_at + 4 };
		for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
			struct target *t;
			struct err *e = open_written(&p, places[i], sizes[k], 4, &t);
			ck_assert_msg(!e, "%s", e ? e->text : "");
			check_picture(&t->picture);
			ck_assert_uint_eq(t->picture.read_bytes, sizeof heap + 2 * PAGE + sizeof stack);
			target_close(t);
		}
	}
}
END_TEST

START_TEST(a_note_segment_that_is_not_there)
{
	static const uint64_t values[] = { 0, 1, 1 << 20, 1ull << 40, UINT64_MAX - 3, UINT64_MAX };
	bool is64 = machines[_i] != EM_386;
	unsigned w = is64 ? 8 : 4;
	for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
		struct core_plan p = plan_of(machines[_i]);
		struct bytes b;
		core_write(&p, &b);
		free(b.at);
		const size_t places[] = { p.phdr_at + (is64 ? 8 : 4), p.phdr_at + (is64 ? 32 : 16) }; /* p_offset, p_filesz */
		for (size_t i = 0; i < 2; i++) {
			struct target *t;
			struct err *e = open_written(&p, places[i], values[k], w, &t);
			ck_assert_msg(!e, "%s", e ? e->text : "");
			check_picture(&t->picture);
			ck_assert_uint_eq(t->picture.read_bytes, sizeof heap + 2 * PAGE + sizeof stack);
			target_close(t);
		}
	}
}
END_TEST

START_TEST(hostile_names_of_files)
{
	struct core_plan p = plan_of(EM_X86_64);
	struct bytes b;
	core_write(&p, &b);
	size_t desc = p.file_note_at + 20; /* count, unit, {start, end, offset}... */
	free(b.at);
	static const uint64_t values[] = { 0, 1, 3, 4097, 1ull << 32, 1ull << 61, UINT64_MAX };
	for (size_t k = 0; k < sizeof values / sizeof *values; k++)
		for (size_t off = 0; off < 8 * 8; off += 8) {
			struct target *t;
			struct err *e = open_written(&p, desc + off, values[k], 8, &t);
			ck_assert_msg(!e, "%s", e ? e->text : "");
			check_picture(&t->picture);
			ck_assert_uint_eq(t->picture.read_bytes, sizeof heap + 2 * PAGE + sizeof stack);
			target_close(t);
		}
}
END_TEST

/* More program headers than e_phnum can say: the number stands in section header 0. */
START_TEST(a_number_of_headers_beyond_16_bits)
{
	struct core_plan p = plan_of(machines[_i]);
	bool is64 = machines[_i] != EM_386;
	struct bytes b;
	struct target *t;
	core_write(&p, &b);
	size_t section = b.n;
	bytes_fill(&b, section + (is64 ? 64 : 40), 0);
	bytes_put(&b, is64 ? 40 : 32, section, is64 ? 8 : 4);		    /* e_shoff */
	bytes_put(&b, is64 ? 56 : 44, PN_XNUM, 2);			    /* e_phnum */
	bytes_put(&b, section + (is64 ? 44 : 28), SEGMENTS + 1, 4);	    /* sh_info */
	ck_assert_ptr_null(open_bytes(&b, b.n, &t));
	ck_assert_uint_eq(t->picture.maps.n, SEGMENTS);
	check_picture(&t->picture);
	target_close(t);
	bytes_put(&b, section + (is64 ? 44 : 28), UINT32_MAX, 4);
	ck_assert(!try_bytes(&b, b.n));
	free(b.at);
}
END_TEST

static void refused(const struct bytes *b, enum err_kind kind, const char *word)
{
	struct target *t;
	struct err *e = open_bytes(b, b->n, &t);
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(e->kind, kind);
	ck_assert_msg(strstr(e->text, word), "\"%s\" does not say \"%s\"", e->text, word);
	err_free(e);
}

START_TEST(what_is_no_core_of_ours_is_refused)
{
	struct core_plan p = plan_of(EM_X86_64);
	struct bytes b, none = { 0 }, text = { 0 };
	core_write(&p, &b);
	refused(&none, ERR_BAD_DATA, "empty");
	bytes_add(&text, "#!/bin/sh\nexit 0\n", 17);
	refused(&text, ERR_BAD_DATA, "no ELF core");
	bytes_put(&b, 16, ET_EXEC, 2);
	refused(&b, ERR_BAD_DATA, "program or library");
	bytes_put(&b, 16, ET_DYN, 2);
	refused(&b, ERR_BAD_DATA, "program or library");
	bytes_put(&b, 16, ET_REL, 2);
	refused(&b, ERR_BAD_DATA, "object file");
	bytes_put(&b, 16, ET_CORE, 2);
	bytes_put(&b, 18, EM_RISCV, 2);
	refused(&b, ERR_UNSUPPORTED, "architecture");
	bytes_put(&b, 18, EM_X86_64, 2);
	b.at[EI_CLASS] = ELFCLASS32; /* x32 */
	refused(&b, ERR_UNSUPPORTED, "architecture");
	b.at[EI_CLASS] = 77;
	refused(&b, ERR_UNSUPPORTED, "architecture");
	b.at[EI_CLASS] = ELFCLASS64;
	/* Big endian, in header and machine: s390x writes such. */
	b.at[EI_DATA] = ELFDATA2MSB;
	refused(&b, ERR_BAD_DATA, "no core");
	bytes_put(&b, 16, ET_CORE << 8, 2);
	bytes_put(&b, 18, EM_S390 << 8 | EM_S390 >> 8, 2);
	refused(&b, ERR_UNSUPPORTED, "architecture");
	bytes_put(&b, 18, EM_X86_64 << 8, 2);
	refused(&b, ERR_UNSUPPORTED, "architecture");
	free(b.at);
	free(text.at);
}
END_TEST

START_TEST(no_regular_file_is_refused)
{
	struct target_options o = { 0 };
	struct target *t;
	char fifo[300];
	const char *dir = scratch_directory();
	snprintf(fifo, sizeof fifo, "%s/fifo", dir);
	ck_assert(!mkfifo(fifo, 0600));
	const char *const paths[] = { dir, fifo, "/dev/zero", "/nowhere/core" };
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		struct err *e = target_open("core", paths[i], &o, &t);
		ck_assert_ptr_nonnull(e);
		err_free(e);
	}
}
END_TEST

/* Every byte of headers and notes, set to values that sizes break at. */
START_TEST(each_byte_of_the_headers_damaged)
{
	static const uint8_t values[] = { 0, 0x7f, 0x80, 0xff };
	struct core_plan p = plan_of(machines[_i]);
	struct bytes b;
	core_write(&p, &b);
	unsigned opened = 0, tries = 0;
	for (size_t at = 0; at < p.notes_at + p.notes_bytes; at++) {
		uint8_t old = b.at[at];
		for (size_t k = 0; k < sizeof values; k++, tries++) {
			b.at[at] = values[k];
			opened += try_bytes(&b, b.n);
		}
		b.at[at] = old;
	}
	ck_assert_uint_gt(opened, tries / 2);
	ck_assert_uint_lt(opened, tries);
	free(b.at);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *t = tcase_create("synthetic");
	tcase_add_loop_test(t, a_whole_core_is_what_was_written, 0, 3);
	tcase_add_test(t, offsets_come_in_two_units);
	tcase_add_loop_test(t, without_auxv_the_first_thread_shows_the_stack, 0, 3);
	tcase_add_test(t, the_page_size_is_the_cores_own);
	tcase_add_loop_test(t, a_cut_core_counts_what_is_missing, 0, 3);
	tcase_add_test(t, what_was_not_dumped_is_counted);
	tcase_add_test(t, a_stack_of_zeroes_is_missing);
	tcase_add_test(t, overlapping_segments);
	tcase_add_test(t, a_segment_of_the_whole_address_space);
	tcase_add_loop_test(t, hostile_notes_cost_no_memory, 0, 3);
	tcase_add_loop_test(t, a_note_segment_that_is_not_there, 0, 3);
	tcase_add_test(t, hostile_names_of_files);
	tcase_add_loop_test(t, a_number_of_headers_beyond_16_bits, 0, 3);
	tcase_add_test(t, what_is_no_core_of_ours_is_refused);
	tcase_add_test(t, no_regular_file_is_refused);
	tcase_add_loop_test(t, each_byte_of_the_headers_damaged, 0, 3);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
