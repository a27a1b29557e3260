/* A fixture at rest and what flotsam says of it: a sitting of one child, of which a core can be taken. All that is started or
 * written is gone when the test ends. */
#ifndef TEST_ASK_H
#define TEST_ASK_H

#include "process.h"

#include <stdint.h>

extern struct child asked;

/* Starts it, with a variable of the environment that is its own (NULL, or NAME=VALUE), and waits until it rests. Its first
 * object. */
json_t *ask_start(const char *fixture, const char *mode, const char *variable);
/* From here on a core of it, by gdb, is asked. False: there is no gdb. */
bool ask_core(void);
/* flotsam COMMAND TARGET [OPERAND], which has to end well: its JSON; its text, which has to fit 80 columns. */
json_t *ask_json(const char *command, const char *operand);
char *ask_text(const char *command, const char *operand);
/* A line to its standard input; back when it has answered and rests. */
void ask_fixture(const char *line);
extern char ask_target[320]; /* as flotsam is told it */

/* Members that have to be there. */
int64_t number(const json_t *j, const char *key);
const char *word(const json_t *j, const char *key);
uint64_t address(const json_t *j, const char *key);

/* A field of /proc/PID/smaps_rollup in bytes: the pages are counted as it is read. */
int64_t ask_rollup(const char *field);
/* Within 2 % or 1 MiB, whichever is more. */
void close_to(const char *what, int64_t foretold, int64_t real);
#endif
