/* The rows of the command table. */
#ifndef CMD_ROWS_H
#define CMD_ROWS_H
#include "flotsam/cmd.h"
#include "flotsam/query.h"

extern const struct command command_report, command_blocks, command_verify;

/* columns 0: one line */
void report_verdict(const struct report *r, struct out *o, int columns);
/* Of a truncated core a leak list would be wrong; --force asks for it all the same. */
bool report_without_leaks(const struct report *r);
void report_text(const struct arguments *a, const struct report *r, struct out *o);
void report_json(const struct arguments *a, const struct report *r, struct out *o);
/* The keys "target" and "allocator"; those of a finding, into an open object. */
void report_json_identity(struct json *j, const struct session *s);
void report_json_finding(struct json *j, const struct finding *f);
#endif
