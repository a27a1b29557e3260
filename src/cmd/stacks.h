/* What the commands for threads, stacks and values share. */
#ifndef CMD_STACKS_H
#define CMD_STACKS_H
#include "cmd.h"

/* A thread by its number or tid; NULL: the one chosen, else the first. */
struct err *cmd_thread(const struct arguments *a, struct session *s, const char *word, unsigned *ret) MUST_CHECK;
/* The stack of the thread that words[1] names, and the line that words[0] names, or those chosen. The caller frees *ret. */
struct err *cmd_frame(const struct arguments *a, struct session *s, struct stack **ret, unsigned *ret_line) MUST_CHECK;
/* A line as people read it: "parse() at frames.c:51", "poll in libc.so.6", "frames+0x1234". */
void cmd_place(struct strbuf *t, struct session *s, const struct stack *st, const struct stack_line *l);
/* thread 2, tid 23002 "io-2", waiting */
void cmd_thread_title(struct strbuf *t, struct session *s, unsigned thread);
/* The keys of a line, into an open object. */
void cmd_line_json(struct json *j, const struct stack *st, unsigned line);
/* The keys thread, tid, name, state. */
void cmd_thread_json(struct json *j, const struct session *s, unsigned thread);
/* The blocks that the line's frame holds; nothing for a line that was inlined, or without the walk. */
struct err *cmd_held_text(const struct arguments *a, struct session *s, struct out *o, const struct stack *st, unsigned line) MUST_CHECK;
struct err *cmd_held_json(struct session *s, struct json *j, const struct stack *st, unsigned line) MUST_CHECK;

void cmd_values_text(const struct arguments *a, struct session *s, struct out *o, const struct values *v);
/* The keys "values" and "complete". */
void cmd_values_json(struct session *s, struct json *j, const struct values *v);

#endif
