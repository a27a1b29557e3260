/* The kinds of target. A new one is a file beside this and a line here. */
#include "row.h"

static const struct target_row *const table[] = { &target_live_row, &target_core_row };

struct err *target_open(const char *kind, const char *what, const struct target_options *o, struct target **ret)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (strcmp(table[i]->name, kind) != 0)
			continue;
		struct target *t;
		TRY(table[i]->open(what, o, &t));
		t->row = table[i];
		t->options = *o;
		*ret = t;
		return NULL;
	}
	return err_new(ERR_UNSUPPORTED, "no target is called '%s'", kind);
}
