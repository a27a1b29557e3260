/* The analyst's side of a running process. */
#ifndef TARGET_LIVE_H
#define TARGET_LIVE_H

#include "holder.h"
#include "row.h"

struct holder_link { int users; }; /* handles that speak to one holder: the last one sees it end */
struct live {
	struct target target;
	int socket;
	pid_t holder;
	struct holder_link *link;
	uint8_t *data, *tables; /* of the last look, mapped read-only */
	size_t data_n, tables_n;
	char *maps; /* text behind the mappings' paths */
	VEC(struct page_run) devices; /* by VmFlags, sorted */
	bool has_userfaultfd;
	bool shares_pages; /* private ones, with a process that it forked or was forked by */
	struct holder_reply reply;
};

/* live_picture.c. Takes the text over. */
struct err *live_read_maps(struct live *l, char *text, size_t n) MUST_CHECK;
/* Turns the tables of a look into the picture. */
struct err *live_read_tables(struct live *l) MUST_CHECK;

/* Texts taken right before and right after the stop; a word that either shows counts. */
struct kernel_texts {
	char *epoll, *timers;
	size_t timers_n;
};
void live_read_kernel_words(struct live *l, const struct kernel_texts *before, const struct kernel_texts *after);
#endif
