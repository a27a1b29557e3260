/* What malloc said when it stopped the program: the message that __libc_message() leaves for debuggers in a page of its own, to
 * which __abort_msg points (sysdeps/posix/libc_fatal.c; include/stdlib.h: struct abort_msg_s, 2.27 to 2.43). A check that fails
 * in time leaves records that contradict nothing, and a wrong argument of free() touches none: then only this tells. */
#include "glibc.h"

enum { MESSAGE_MOST = 512, SIZE_BYTES = 4 };

/* By how a message begins (malloc/malloc.c: malloc_printerr), the longest first among those that begin alike. */
static const struct { const char *begins, *means; } messages[] = {
	{ "free(): double free detected", "free() was given a block that already lies in the thread's cache" },
	{ "double free or corruption (fasttop)", "free() was given the block that was freed last" },
	{ "double free or corruption (top)", "free() was given an address in memory that is not handed out, or a block that was freed" },
	{ "double free or corruption", "free() was given a block that was freed already, or the header behind it was written over" },
	{ "free(): invalid pointer", "free() was given an address that malloc never handed out (inside of a block, on a stack, a variable), "
				     "or the header before the block was written over" },
	{ "free(): invalid size", "free() was given an address that malloc never handed out, or the header before the block was written over" },
	{ "free(): invalid next size", "the header behind the block that is freed was written over, or its own: the block was written beyond its end" },
	{ "free(): corrupted unsorted chunks", "a freed block was written to: the links of the list of free chunks contradict each other" },
	{ "free(): ", "a thread's cache of free blocks was written to, or free() was given what malloc never handed out" },
	{ "munmap_chunk(): invalid pointer", "free() was given an address that malloc never handed out, or the header of a large block was written over" },
	{ "mremap_chunk(): invalid pointer", "the header of a large block was written over" },
	{ "realloc(): invalid next size", "the header behind the block was written over: the block was written beyond its end" },
	{ "realloc(): ", "realloc() was given an address that malloc never handed out, or the header before the block was written over" },
	{ "malloc(): corrupted top size", "the last block of the heap was written beyond its end" },
	{ "malloc(): invalid size (unsorted)", "a header among the free chunks was written over" },
	{ "malloc(): ", "a freed block was written to, or the block before it was written beyond its end" },
	{ "malloc_consolidate(): ", "a small freed block was written to, or the block before it was written beyond its end" },
	{ "corrupted size vs. prev_size", "a block was written beyond its end, into the header of a free chunk or of the one behind it" },
	{ "corrupted double-linked list", "a freed block was written to: the links of a list of free chunks contradict each other" },
	{ "invalid fastbin entry", "a small freed block was written to" },
	{ "tcache_thread_shutdown(): ", "a freed block in a thread's cache was written to" },
	{ "break adjusted to free malloc space", "the end of the heap was written over, or the program lowered the break" },
	{ "Fatal glibc error: malloc", "the end of the heap was written over: the last block was written beyond its end" },
};

static const char *meaning(const char *text)
{
	for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
		if (!strncmp(text, messages[i].begins, strlen(messages[i].begins)))
			return messages[i].means;
	return NULL;
}

/* The page of the message starts with its own size. */
static bool read_message(const struct glibc *g, char text[MESSAGE_MOST])
{
	struct symbol s;
	uint64_t at, page = image_picture(g->img)->page;
	uint32_t bytes;
	if (!modules_symbol(g->ms, g->place.module, "__abort_msg", &s) || !image_word(g->img, s.address, &at) || !at || at % page ||
	    !image_u32(g->img, at, &bytes) || !bytes || bytes % page || !image_string(g->img, at + SIZE_BYTES, text, MESSAGE_MOST))
		return false;
	text[strcspn(text, "\n")] = 0;
	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			return false;
	return true;
}

void glibc_last_words(struct glibc *g)
{
	char text[MESSAGE_MOST];
	const char *means = read_message(g, text) ? meaning(text) : NULL;
	if (means)
		findings_add(&g->alloc->findings, "malloc-abort", 0, "malloc stopped the program: \"%.120s\": %s", text, means);
}
