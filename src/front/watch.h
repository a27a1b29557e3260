/* What the files of watch share. */
#ifndef FRONT_WATCH_H
#define FRONT_WATCH_H
#include "flotsam/watch.h"
#include "front.h"

enum watch_how { WATCH_LOG /* a line of JSON an event */, WATCH_WORDS /* a line for people */, WATCH_PAGE };

struct watch {
	const struct arguments *a;
	struct progress *p;
	struct out *o;
	struct out line;	/* what is said is built here first: no descriptor is behind it */
	enum watch_how how;
	struct look_name target;
	struct watch_state state;
	struct watch_rules rules;
	struct watch_rules_state rules_state;
	struct watch_rollup_due rollup_due;
	int first, last;	/* censuses of the first and of the last look at this program; -1: none */
	int result, metrics;	/* nameless memory for what a look says */
	double started, last_look;
	bool gone, quit;
	struct watch_view view;
	char alarm[16], note[512];
	char *body;		/* of the view */
};

/* Takes a look, and says what it found or why there is none. */
void watch_take_look(struct watch *w, const char *why);
/* An event on the page. */
void watch_page_event(struct watch *w, const struct watch_event *e);
void watch_page_draw(struct watch *w);
/* Keys that were typed, and another size of the terminal. */
void watch_page_input(struct watch *w, bool readable);
#endif
