/* A fixture's account of its blocks (fixtures/src/truth.h) against what flotsam lists. */
#ifndef TEST_COMPARE_H
#define TEST_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What is wrong, a line each; more than a screen helps nobody. */
struct faults { char text[8192]; size_t n; unsigned count, chances; };

void fault(struct faults *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A string member, "null" when there is none. */
const char *text_of(const json_t *j, const char *key);
/* One of "a|b|c". */
bool among(const char *name, const char *list);
/* Each block of `truth` is in `got` (see flotsam_blocks()) with its class, size and state, and nothing else is lost. */
void compare_with_truth(struct faults *f, const json_t *truth, const json_t *got, bool core);
/* Fails the test when there are any. */
void report_faults(const struct faults *f, const char *fixture, const char *kind);
#endif
