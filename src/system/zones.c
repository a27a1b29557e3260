/* Free pages by zone and order: /proc/buddyinfo, zoneinfo and pagetypeinfo (mm/vmstat.c frag_show_print,
 * zoneinfo_show_print, pagetypeinfo_showblockcount_print), and what the kernel computes of them. */
#include "text.h"

/* Of one zone. 16 TiB of single pages, so that the sums below stay within 64 bits. */
static const uint64_t most_blocks = 1ull << 32;

static struct system_zone *zone_of(struct system_zones *z, uint64_t node, const char *name)
{
	enum { MOST = 4096 }; /* 1024 nodes (MAX_NUMNODES of distributions) of up to 6 zones, few of which are populated */
	unsigned index = 0;
	for (size_t i = 0; i < z->list.n; i++) {
		struct system_zone *x = &z->list.at[i];
		if (x->node != node)
			continue;
		if (!strcmp(x->name, name))
			return x;
		index++;
	}
	struct system_zone *x = z->list.n < MOST ? vec_push(&z->list) : NULL;
	if (!x)
		return NULL;
	x->node = (unsigned)node;
	x->index = index;
	x->free = x->min = x->low = x->high = x->managed = UINT64_MAX;
	snprintf(x->name, sizeof x->name, "%s", name);
	return x;
}

/* "Node 0, zone   Normal" and what follows; NULL when the line is another. */
static struct system_zone *zone_line(struct system_zones *z, const char *line, const char **ret_rest)
{
	const char *p = line + 5;
	uint64_t node;
	char name[16];
	int end = 0;
	if (strncmp(line, "Node ", 5) || !text_number(&p, &node) || node > UINT32_MAX || sscanf(p, ", zone %15[^ ,]%n", name, &end) != 1)
		return NULL;
	*ret_rest = p + end;
	return zone_of(z, node, name);
}

static void watermark(struct system_zone *x, const char *line)
{
	static const struct { const char *name; size_t offset; } fields[] = {
		{ "pages free", offsetof(struct system_zone, free) }, { "min", offsetof(struct system_zone, min) },
		{ "low", offsetof(struct system_zone, low) }, { "high", offsetof(struct system_zone, high) },
		{ "managed", offsetof(struct system_zone, managed) },
	};
	const char *p = line + strspn(line, " ");
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		size_t k = strlen(fields[i].name);
		const char *at = p + k;
		/* The lists of each processor have "high:" too, with a colon. */
		if (!strncmp(p, fields[i].name, k) && *at == ' ' && text_number(&at, (uint64_t *)((char *)x + fields[i].offset)))
			return;
	}
	if (strncmp(p, "protection: (", 13))
		return;
	p += 13;
	for (x->n_reserve = 0; x->n_reserve < SYSTEM_ZONES && text_number(&p, &x->reserve[x->n_reserve]); x->n_reserve++)
		p += *p == ',';
}

static void read_zoneinfo(const char *root, struct system_zones *z)
{
	AUTO_FREE char *text = system_read(root, "/proc/zoneinfo", NULL);
	const char *p = text, *rest;
	struct system_zone *x = NULL;
	char line[256];
	while (text_next_line(&p, line, sizeof line)) {
		if (!strncmp(line, "Node ", 5))
			x = zone_line(z, line, &rest);
		else if (x)
			watermark(x, line);
	}
}

static void read_buddyinfo(const char *root, struct system_zones *z)
{
	AUTO_FREE char *text = system_read(root, "/proc/buddyinfo", NULL);
	const char *p = text, *rest;
	char line[512];
	while (text_next_line(&p, line, sizeof line)) {
		struct system_zone *x = zone_line(z, line, &rest);
		uint64_t v;
		if (!x)
			continue;
		for (x->orders = 0; x->orders < SYSTEM_ORDERS && text_number(&rest, &v); x->orders++)
			x->blocks[x->orders] = v < most_blocks ? v : most_blocks;
	}
}

/* The second table, "Number of blocks type Unmovable Movable Reclaimable HighAtomic [CMA] Isolate": pageblocks, by what
 * stands in them. */
static void read_pagetypeinfo(const char *root, struct system_zones *z)
{
	AUTO_FREE char *text = system_read(root, "/proc/pagetypeinfo", NULL);
	const char *p = text ? text_line(text, "Number of blocks type") : NULL, *rest;
	char line[512], types[256];
	uint64_t v;
	if (!p || !text_next_line(&p, types, sizeof types))
		return;
	z->pageblock_pages = text_field(text, "Pages per block");
	while (text_next_line(&p, line, sizeof line)) {
		struct system_zone *x = zone_line(z, line, &rest);
		const char *type = types + strspn(types, " ");
		if (!x)
			continue;
		x->pageblocks = x->pageblocks_unmovable = 0;
		for (; text_number(&rest, &v) && *type; type += strcspn(type, " "), type += strspn(type, " ")) {
			x->pageblocks += v < most_blocks ? v : most_blocks;
			if (!strncmp(type, "Unmovable", 9))
				x->pageblocks_unmovable = v < most_blocks ? v : most_blocks;
		}
	}
}

void system_zones_read(const char *root, struct system_zones *ret)
{
	*ret = (struct system_zones){ .pageblock_pages = UINT64_MAX };
	read_zoneinfo(root, ret); /* first: it alone names the empty zones, whose places `reserve` counts */
	read_buddyinfo(root, ret);
	read_pagetypeinfo(root, ret);
}

/* fill_contig_page_info(), mm/vmstat.c of Linux 6.1 and 6.12. */
struct contiguous { uint64_t pages, blocks, suitable; };

static struct contiguous contiguous(const struct system_zone *z, unsigned order)
{
	struct contiguous c = { 0 };
	for (unsigned i = 0; i < z->orders; i++) {
		c.blocks += z->blocks[i];
		c.pages += z->blocks[i] << i;
		if (i >= order)
			c.suitable += z->blocks[i] << (i - order);
	}
	return c;
}

/* __fragmentation_index(), the same file. */
int system_fragmentation_index(const struct system_zone *z, unsigned order)
{
	struct contiguous c = contiguous(z, order);
	if (!c.blocks)
		return 0;
	if (c.suitable)
		return -1000;
	return 1000 - (int)((1000 + c.pages * 1000 / (1ull << order)) / c.blocks);
}

/* unusable_free_index(), the same file. */
int system_unusable_index(const struct system_zone *z, unsigned order)
{
	struct contiguous c = contiguous(z, order);
	return c.pages ? (int)((c.pages - (c.suitable << order)) * 1000 / c.pages) : 1000;
}

/* __zone_watermark_ok() at the min watermark, mm/page_alloc.c, for a request that may use zones up to `highest`. What is
 * set aside for atomic requests alone (nr_reserved_highatomic) is in no file, and counts as free here. */
bool system_zone_serves(const struct system_zone *z, unsigned order, unsigned highest)
{
	struct contiguous c = contiguous(z, order);
	uint64_t free = z->free != UINT64_MAX ? z->free : c.pages, kept = z->min != UINT64_MAX ? z->min : 0;
	uint64_t reserve = highest < z->n_reserve ? z->reserve[highest] : 0;
	if (__builtin_add_overflow(kept, reserve, &kept) || __builtin_add_overflow(kept, (1ull << order) - 1, &kept))
		return false;
	return z->index <= highest && free > kept && (!order || c.suitable);
}
