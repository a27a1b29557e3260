/* What mends it, in the words of one who has seen it before. A name is all that a holder tells of its purpose. */
#include "verdict.h"

#include <ctype.h>

/* Does the word stand in the name where one may begin: "g_cache", "LruCache", "http.cache", but not "logic" for "log". */
static bool has_word(const char *name, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = name; (p = strcasestr(p, word)); p++) {
		bool begins = p == name || !isalpha((unsigned char)p[-1]) || (isupper((unsigned char)*p) && islower((unsigned char)p[-1]));
		const char *end = p + n + (tolower((unsigned char)p[n]) == 's');
		bool ends = !islower((unsigned char)*end) || (*end == 'e' && end[1] == 's');
		if (begins && ends)
			return true;
	}
	return false;
}

const char *fix_of_language(const char *language)
{
	static const struct { const char *language, *fix; } rows[] = {
		{ "CPython", "tracemalloc (python3 -X tracemalloc) tells which lines of Python keep it." },
		{ "V8", "a heap snapshot (node --heapsnapshot-signal=SIGUSR2) tells which objects keep it; --max-old-space-size bounds it." },
		{ "JVM", "jcmd PID GC.heap_info and a heap dump tell what keeps it; -Xmx bounds it." },
		{ "Go", "the heap profile of net/http/pprof tells which lines keep it; GOMEMLIMIT bounds it." },
		{ "Ruby", "ObjectSpace.dump_all tells which objects keep it." },
	};
	for (size_t i = 0; language && i < sizeof rows / sizeof rows[0]; i++)
		if (!strncmp(language, rows[i].language, strlen(rows[i].language)))
			return rows[i].fix;
	return NULL;
}

const char *fix_of_holder(const char *name, const char *language)
{
	static const struct { const char *words[8], *fix; } rows[] = {
		{ { "listener", "subscriber", "observer", "handler", "callback", "hook" },
		  "remove the listener where that which registered it ends; one is added for each request or object, and none is taken away." },
		{ { "timer", "schedule", "interval", "alarm", "deadline" },
		  "cancel the timer, and let go of what it refreshes, where that which armed it ends." },
		{ { "log", "history", "journal", "audit", "trace" }, "keep the last so many, or write them out: a log that is kept in memory grows for ever." },
		{ { "queue", "backlog", "pending", "inbox", "outbox" },
		  "give the queue a bound, and see whether what empties it keeps up: a queue that only grows has a consumer that stands still." },
		{ { "pool", "connection", "conn" },
		  "give each back on every way out, those of errors too; and a bound on idle ones." },
		{ { "cache", "lru", "memo", "page", "table", "map", "session" },
		  "give it a bound: at most so many entries, the least recently used out first (LRU), or a time to live." },
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (int k = 0; k < 8 && rows[i].words[k]; k++)
			if (has_word(name, rows[i].words[k]))
				return rows[i].fix;
	const char *fix = fix_of_language(language);
	return fix ? fix : "bound it, by number or by age, or empty it where what it serves ends.";
}

const char *fix_of_outside(enum rss_cause cause, const char *language)
{
	const char *fix = cause == RSS_OTHER_MAPPINGS ? fix_of_language(language) : NULL;
	if (fix)
		return fix;
	if (cause == RSS_STACKS)
		return "fewer threads, or smaller stacks (pthread_attr_setstacksize(3), ulimit -s); a deep call leaves its pages behind.";
	if (cause == RSS_SHARED_MEMORY)
		return "munmap(2) what is no longer shared, and shm_unlink(3) it: the last of the two gives it back.";
	if (cause == RSS_FILES)
		return "mostly none is needed: pages of files that were only read are dropped when memory is short.";
	return "munmap(2) what is done with: who calls mmap(2) must also give back.";
}

const char *fix_of_descriptors(const struct descriptor_kind *k)
{
	if (!strcmp(k->state, "CLOSE_WAIT"))
		return "close the socket when read(2) returns 0: the peer is gone.";
	if (!strcmp(k->kind, "timerfd") || !strcmp(k->kind, "eventfd") || !strcmp(k->kind, "epoll"))
		return "close it where that which it was made for ends.";
	return "close it on every way out of the function that opens it, those of errors too.";
}
