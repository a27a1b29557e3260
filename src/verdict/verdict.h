/* Private to verdict. */
#ifndef VERDICT_VERDICT_H
#define VERDICT_VERDICT_H
#include "flotsam/out.h"
#include "flotsam/verdict.h"

/* What mends growth that is held by something of this name; language: of the program's runtime, or NULL. */
const char *fix_of_holder(const char *name, const char *language);
/* What mends a language's own memory. NULL: unknown language. */
const char *fix_of_language(const char *language);
const char *fix_of_outside(enum rss_cause cause, const char *language);
const char *fix_of_descriptors(const struct descriptor_kind *k);
#endif
