/* The rows of the command table. */
#ifndef CMD_ROWS_H
#define CMD_ROWS_H
#include "flotsam/cmd.h"
#include "flotsam/query.h"

extern const struct command command_report, command_blocks;

void report_text(const struct arguments *a, const struct report *r, struct out *o);
void report_json(const struct arguments *a, const struct report *r, struct out *o);
#endif
