/* The rows of the command table. */
#ifndef CMD_ROWS_H
#define CMD_ROWS_H
#include "flotsam/cmd.h"
#include "flotsam/corefile.h"
#include "flotsam/diff.h"
#include "flotsam/modules_code.h"
#include "flotsam/profile.h"
#include "flotsam/query.h"
#include "flotsam/resources.h"
#include "flotsam/verdict.h"

extern const struct command command_report;
extern const struct command command_shell;
extern const struct command command_verify;
extern const struct command command_blocks;
extern const struct command command_objects;
extern const struct command command_arenas;
extern const struct command command_arena;
extern const struct command command_heaps;
extern const struct command command_bins;
extern const struct command command_tcache;
extern const struct command command_chunks;
extern const struct command command_x;
extern const struct command command_disas;
extern const struct command command_trim;
extern const struct command command_map;
extern const struct command command_frag;
extern const struct command command_rss;
extern const struct command command_maps;
extern const struct command command_modules;
extern const struct command command_let;
extern const struct command command_sets;
extern const struct command command_show;
extern const struct command command_find;
extern const struct command command_who;
extern const struct command command_refs;
extern const struct command command_path;
extern const struct command command_paths;
extern const struct command command_why;
extern const struct command command_cycle;
extern const struct command command_retained;
extern const struct command command_tree;
extern const struct command command_refresh;
extern const struct command command_threads;
extern const struct command command_stack;
extern const struct command command_frame;
extern const struct command command_sites;
extern const struct command command_locals;
extern const struct command command_print;
extern const struct command command_containers;
extern const struct command command_help;
extern const struct command command_time;
extern const struct command command_system;
extern const struct command command_buddyinfo;
extern const struct command command_check;
extern const struct command command_resources;
extern const struct command command_diff;
extern const struct command command_snap;
extern const struct command command_watch;
extern const struct command command_type;
extern const struct command command_types;
extern const struct command command_istype;
extern const struct command command_exercise;
extern const struct command command_run;

/* Values of options: "5m" in seconds, "50MB/h" in bytes a second, "80%" as 0.8. */
struct err *cmd_duration(const char *option, const char *value, double *ret) MUST_CHECK;
struct err *cmd_growth(const char *value, double *ret) MUST_CHECK;
struct err *cmd_percent(const char *value, double *ret) MUST_CHECK;

bool cmd_all_digits(const char *s);
/* The process whose comm or executable's name this is, as decimal digits. ERR_NOT_FOUND; ERR_USAGE: there are several. */
struct err *cmd_find_process(const char *name, char ret_pid[16]) MUST_CHECK;
/* The main process of the unit or group that a names. ERR_NOT_FOUND when it has none. */
struct err *cmd_find_member(const struct arguments *a, char ret_pid[16]) MUST_CHECK;
/* What a word names: a process by its number, a file, or a process by its name. */
struct err *cmd_name_look(const char *word, struct look_name *ret) MUST_CHECK;
/* Adds to e which command was meant, perhaps. */
struct err *cmd_like_command(struct err *e, const char *name) MUST_CHECK;

/* A slip of the fingers, no other word. */
bool cmd_resembles(const char *typed, const char *meant);

bool desk_is_set(const struct desk *d, const char *name);
/* The item number of an address, given on first sight. 0: no memory. */
unsigned desk_number(struct desk *d, uint64_t address);
/* What an operand means as an address of the target: 0x7f.., a decimal item number, L1 (the first block of that group), SYMBOL;
 * each with +N or -N behind it, * in front reads the word there. */
struct err *cmd_address(const struct arguments *a, struct session *s, const char *word, uint64_t *ret) MUST_CHECK;
/* The same, as a block: the one that holds the address. ERR_NOT_FOUND when none does. */
struct err *cmd_block(const struct arguments *a, struct session *s, const char *word, block_id *ret) MUST_CHECK;
/* H3, and no symbol. */
bool cmd_is_holder(const struct session *s, const char *word);
/* Of such a word: the set of holders that the line stands for, as graph_set() tells it. */
struct err *cmd_holder_set(const struct arguments *a, struct session *s, const char *word, uint32_t *ret) MUST_CHECK;
/* H3 as the holder's name; any other word as it is. */
struct err *cmd_holder_name(const struct arguments *a, struct session *s, const char *word, const char **ret) MUST_CHECK;
/* An operand that names an arena by its index. */
struct err *cmd_arena(const struct session *s, const char *word, int *ret) MUST_CHECK;
/* Words of a filter: what selector_create() needs to know of the desk. */
struct cmd_names { const struct arguments *a; struct session *s; struct selector_names names; };
void cmd_names_init(struct cmd_names *n, const struct arguments *a, struct session *s);
/* Takes bits over. */
struct err *desk_put_set(struct desk *d, const char *name, uint64_t *bits) MUST_CHECK;
const uint64_t *desk_set(const struct desk *d, const char *name);

/* A list whose text shows an item number first at the prompt. Cells begin behind that number; `address` is what it stands for. */
enum { MAX_COLUMNS = 14, NUMBERED_ROWS = 10000 };
struct listing {
	struct sink sink;
	const struct arguments *a;
	bool numbered;
	struct column columns[MAX_COLUMNS];
	size_t n_columns;
};
void listing_begin(struct listing *l, const struct arguments *a, struct out *o, const char *noun, const struct column *columns, size_t n);
/* For people, unless they want all of it (-v): names are shortened so that lines fit. */
void listing_fit(struct listing *l);
void listing_record(struct listing *l, uint64_t address, const struct cell *cells);
void listing_end(struct listing *l);
bool cmd_is_text(const struct arguments *a);
/* What is in `class`, in words for people; NULL for free blocks. */
const char *cmd_class_of(struct session *s, block_id id);
/* Label of a used block, else NULL. Raw. */
const char *cmd_label_of(struct session *s, block_id id);
/* "g_cache (ledger.cc:88, std::map<Key, Entry>, 3,100,000 items)": a holder, where, and, in full, the container that it is, or that
 * the word lies in when that is not 0; foreign. Caller frees. */
char *cmd_holder_text(struct session *s, uint32_t holder, uint64_t word, bool full);
/* The same in full where it is no longer than that, else without the place: "g_cache: std::map<Key, Entry>, 3,100,000 items". 0: in full. */
char *cmd_holder_line(struct session *s, uint32_t holder, int columns);
/* ".sessions: std::map<int, Session>, 20 items", "local list: ..."; foreign. */
void cmd_add_container(struct strbuf *to, const struct container *c, bool local);
/* What a program gets beside a holder's name: container, member, items. None: three cells of nothing. */
enum { CONTAINER_CELLS = 3, CONTAINER_ROWS = 200 /* the first rows of a list have them: frames of threads are unwound for it */ };
extern const struct column cmd_container_columns[CONTAINER_CELLS];
void cmd_container_cells(struct session *s, uint32_t holder, uint64_t word, struct cell ret[CONTAINER_CELLS]);

/* Takes the numbers L1.. and H1.. of a report that is printed. */
void desk_take_report(struct desk *d, const struct report *r);
/* The heap was walked, or an error that says why not, and *ret_status EXIT_PARTIAL. */
struct err *cmd_need_walk(struct session *s, int *ret_status) MUST_CHECK;

/* The same, and types by DWARF. */
struct err *cmd_need_typing(struct session *s, int *ret_status) MUST_CHECK;
const char *cmd_tier_name(enum type_tier tier); /* NULL: unknown */
/* How much is named, in a sentence; as keys of an open object. */
void coverage_text(const struct typed_rows *r, struct strbuf *to);
void coverage_json(const struct typed_rows *r, struct json *j);
/* What of the program and its libraries has no DWARF: a sentence, or nothing; as a key of an open object. */
void without_dwarf_text(const struct session *s, struct strbuf *to);
void without_dwarf_json(const struct session *s, struct json *j);
/* Blocks that nothing names, in groups; after cmd_need_typing(). */
struct err *unknown_text(const struct arguments *a, struct session *s, struct out *o) MUST_CHECK;
struct err *unknown_json(const struct arguments *a, struct session *s, struct json *j) MUST_CHECK;
/* U3, and no symbol; the address of the group's first block. */
bool cmd_is_unknown(const struct session *s, const char *word);
struct err *cmd_unknown(struct session *s, const char *word, uint64_t *ret) MUST_CHECK;

/* A call that allocates: is it the program's own; the chunk that so many bytes get; "read_all() io.c:88"; an object of JSON. */
bool cmd_site_is_own(const struct allocation_site *site);
uint64_t cmd_chunk_for(const struct session *s, uint64_t bytes, bool mmapped);
void cmd_site_name(struct session *s, const struct allocation_site *site, struct strbuf *to);
void cmd_site_json(struct json *j, struct session *s, const struct allocation_site *site, bool exact);

/* columns 0: one line */
void report_verdict(const struct arguments *a, const struct report *r, const struct verdicts *v, struct out *o, int columns);
void report_text(const struct arguments *a, const struct report *r, const struct verdicts *v, struct out *o);
void report_json(const struct arguments *a, const struct report *r, const struct verdicts *v, struct out *o);
void report_json_write(const struct arguments *a, const struct report *r, const struct verdicts *v, struct json *j);
/* The next step of a verdict as one would type it; raw. */
void verdict_step(struct strbuf *to, const struct arguments *a, const struct verdict *v);
/* The target as a shell takes it. */
void cmd_add_target(struct strbuf *to, const struct arguments *a);
/* The keys "target" and "allocator"; those of a finding, into an open object. */
void report_json_identity(struct json *j, const struct session *s);
void report_json_rss(struct json *j, const struct session *s, const struct rss_table *t);
void report_sparse(struct strbuf *to, const struct sparse_label *x, uint64_t page, bool resident, const struct out *o);
void rss_table_text(const struct session *s, const struct rss_table *t, struct out *o);
void report_json_finding(struct json *j, const struct finding *f);
/* The members, into an open object. */
void resources_json_write(const struct resources *r, struct json *j);
void system_text(const struct arguments *a, const struct machine *m, struct out *o);
void system_json(const struct machine *m, struct out *o);
struct err *report_profile(const struct arguments *a, struct session *s, struct out *o) MUST_CHECK; /* pprof, folded */
void report_prometheus(const struct arguments *a, const struct report *r, struct out *o);
/* Parts of what watch says, for its lines and its page; raw. */
void watch_clock(struct strbuf *to, double at);
void watch_trend_text(struct strbuf *to, const struct trend *t);
void watch_until_text(struct strbuf *to, const struct watch_state *s); /* nothing when there is no saying */
void watch_group_text(struct strbuf *to, const struct watch_group *g);
void watch_look_text(struct strbuf *to, const struct watch_look *l);
struct short_text watch_change(double bytes); /* "+1.20 MiB" */
/* The members, into an open object. */
void diff_json_write(const struct diff *d, struct json *j);
#endif
