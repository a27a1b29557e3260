/* target: a running process or a core dump: bytes, mappings, threads, registers, files. Owns letting go of a live one.
 * All addresses are the target's; all sizes bytes. */
#ifndef FLOTSAM_TARGET_H
#define FLOTSAM_TARGET_H

#include <sys/types.h>

#include "flotsam/arch.h"
#include "flotsam/base.h"
#include "flotsam/system.h"

enum { PROT_R = 1, PROT_W = 2, PROT_X = 4 };

struct mapping {
	uint64_t start, end, offset, inode;
	uint32_t dev_major, dev_minor;
	uint8_t prot; /* PROT_R | PROT_W | PROT_X */
	bool shared;
	bool device;	  /* io/pf mapping or a device file: never read */
	bool deleted;
	const char *path; /* as the kernel prints it, without " (deleted)"; "" when anonymous. Foreign bytes: escape on output */
};

struct thread {
	pid_t tid;
	char comm[16];
	int signal;	     /* of a core: what killed it; 0: none */
	bool stopped;	     /* false: could not be stopped, registers unknown */
	struct span gregs;   /* pr_reg bytes, empty when unknown */
	struct span fpregs;  /* all extended state (xstate where there is, else NT_FPREGSET): scanned as words */
	uint64_t tp;	     /* thread pointer, 0 when unknown */
};

/* A run of bytes that we hold. Extents are sorted by address and do not overlap. */
struct extent {
	uint64_t address, bytes;
	const uint8_t *data;
	bool from_file; /* not dumped: taken from the mapped file, whose identity was checked */
};

enum { PAGE_PRESENT = 1, PAGE_SWAPPED = 2, PAGE_FILE = 4, PAGE_ZERO = 8, PAGE_HUGE = 16 };
/* A run of pages of equal state. Zero pages are present but count for nothing in RSS. */
struct page_run {
	uint64_t start, end;
	uint8_t flags;
};

enum kernel_word_kind { KERNEL_EPOLL, KERNEL_TIMER };
struct kernel_word { /* a word that only the kernel holds, and that may be a pointer */
	uint64_t value;
	enum kernel_word_kind kind;
	int fd; /* epoll descriptor, or timer id */
};

struct skipped { /* memory that was not taken, by reason */
	const char *reason; /* static: "device", "shared-file", "swapped", "not-dumped", "truncated", "unreadable" */
	uint64_t bytes;
	bool may_hold_roots;
};

/* One look. Immutable; owned by the target until the next look or target_close(). */
struct picture {
	const struct arch *arch;
	uint64_t page; /* page size of the target */
	VEC(struct mapping) maps;   /* sorted by start */
	bool listed;		    /* maps are the kernel's own list, with its names; else made of a core's segments */
	VEC(struct thread) threads;
	VEC(struct extent) extents;
	VEC(struct page_run) pages; /* sorted; empty when !have_pages */
	bool have_pages;	    /* residency is known */
	VEC(struct kernel_word) kernel_words;
	VEC(struct skipped) skipped;
	VEC(uint8_t) auxv;	    /* raw */
	uint64_t read_bytes;	    /* taken in the stop */
	uint64_t taken;		    /* nanoseconds since 1970; 0: unknown, of a core that flotsam did not write */
	double stopped_seconds;	    /* sum over all stops of this look; negative: unknown (a core) */
	double copy_seconds;	    /* the part of it that copied */
	int stops;		    /* how often the target was stopped for this look */
	bool quiet;		    /* nobody was inside malloc when the picture was taken, as far as the mutexes and PCs say */
	bool truncated;		    /* a core that ends early */
	bool at_most;		    /* something that could hold roots is missing */
	struct findings findings;
};

struct target_options {
	double max_stop;	 /* seconds; 0: default 5 */
	bool no_restart_fix;
	bool force;
	bool scan_shared;
	bool read_swap;
	const char *spool_dir;	 /* NULL: memory */
	const char *core_exe;	 /* executable named beside a core, or NULL */
	const char *sysroot;	 /* for files named in a core, or NULL */
	/* Called between steps, never while the target is stopped. May be NULL. */
	void (*progress)(void *ctx, const char *text);
	void *progress_ctx;
};

/* What must hold for the heap to be quiet (DESIGN.md 9), found before the stop. */
struct quiet_plan {
	VEC(uint64_t) mutexes;	/* addresses of 32-bit mutex words that are 0 when free */
	VEC(struct page_run) code; /* address ranges of malloc's code */
};

/* What the kernel said of the process just after the look; zeroes where it said nothing. */
struct kernel_account {
	struct process_status status;
	struct cgroup_memory cgroup;
	double uptime;		/* seconds since the target's start; negative: unknown */
};

struct target {
	const struct target_row *row;
	bool live;
	pid_t pid;		/* 0: unknown */
	char comm[16];
	char exe[LIMIT_PATH];	/* "" when unknown */
	const struct arch *arch;
	struct target_options options;
	struct picture picture;	/* of the last look */
	const struct kernel_account *account; /* kept with the picture, of a core that flotsam wrote; NULL: /proc has it */
};

struct target_row {
	const char *name; /* "live", "core" */
	struct err *(*open)(const char *what, const struct target_options *o, struct target **ret);
	/* Another handle on the same process, see target_again(). NULL: there is nothing new to see. */
	struct err *(*again)(struct target *t, struct target **ret);
	/* Mappings, auxv and pid without a stop, into t->picture.maps; threads and extents stay empty. */
	struct err *(*survey)(struct target *t);
	struct err *(*take)(struct target *t, const struct quiet_plan *quiet);
	/* Reads present memory without a stop (live, before the look) or from the core. False when it cannot. */
	bool (*peek)(struct target *t, uint64_t address, void *to, size_t n);
	/* Opens the file behind a mapping, read-only, regular, below the target's root. -1 and errno when it cannot. */
	int (*open_mapped)(struct target *t, const struct mapping *m);
	/* Opens a path below the target's root (debug files). -1 and errno. */
	int (*open_path)(struct target *t, const char *path);
	/* Opens /proc/PID/NAME (smaps, status, cgroup, fdinfo...). -1 and errno; -1/ENOENT for what a core does not hold. With a star for the
	 * number, the links of fd and the wchan of task are listed: "NUMBER\0TEXT\0" for each. */
	int (*open_proc)(struct target *t, const char *name);
	void (*close)(struct target *t);
};

/* `kind` is "live" (what: a pid in decimal) or "core" (what: a path). On success the caller closes *ret. */
struct err *target_open(const char *kind, const char *what, const struct target_options *o, struct target **ret) MUST_CHECK;
struct err *target_survey(struct target *t) MUST_CHECK;
struct err *target_take(struct target *t, const struct quiet_plan *quiet) MUST_CHECK;
bool target_peek(struct target *t, uint64_t address, void *to, size_t n);
int target_open_mapped(struct target *t, const struct mapping *m);
int target_open_path(struct target *t, const char *path);
int target_open_proc(struct target *t, const char *name);
/* A second handle for one more look, while `t` keeps its picture. Each is closed by itself. A core: ERR_UNSUPPORTED. */
struct err *target_again(struct target *t, struct target **ret) MUST_CHECK;
void target_close(struct target *t); /* NULL allowed */
/* The mapping that holds address, or NULL. */
const struct mapping *picture_mapping(const struct picture *p, uint64_t address);
/* Writes what it is given as one zstd frame into fd, which stays the caller's. A frame is whole after compressor_end(). */
struct compressor;
struct err *compressor_open(int fd, struct compressor **ret) MUST_CHECK;
struct err *compressor_put(struct compressor *c, const void *data, size_t n) MUST_CHECK;
struct err *compressor_end(struct compressor *c) MUST_CHECK;
void compressor_free(struct compressor *c); /* NULL allowed */
/* Frees what the picture's vectors hold, not the bytes behind its extents. */
void picture_clear(struct picture *p);

/* Notes that flotsam puts into a core, by the name TARGET_NOTE_NAME: the version, then as below. gdb takes a note of an unknown name
 * for one of the kernel's by its type (bfd/elf.c, elfcore_grok_note): these are no type of the kernel's. */
#define TARGET_NOTE_NAME "FLOTSAM"
enum { TARGET_NOTE_VERSION = 1, TARGET_NOTE_TARGET = 0x464c5401, TARGET_NOTE_MAPS, TARGET_NOTE_PAGES, TARGET_NOTE_KERNEL_WORDS,
       TARGET_NOTE_PROC /* name and text of a file of /proc/PID */, TARGET_NOTES_END };
/* A look without its bytes, coded. What is read points into the data. */
struct codec;
void target_code(struct codec *k, struct target *t, struct kernel_account *a);
void picture_code_maps(struct codec *k, struct picture *p);
void picture_code_pages(struct codec *k, struct picture *p);
void picture_code_kernel_words(struct codec *k, struct picture *p);
/* False: what was read cannot be. */
struct coded_fault { const char *where; uint64_t index; const char *what; };
bool target_coded_well(const struct target *t, struct coded_fault *ret);

#endif
