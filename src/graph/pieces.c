#include "pieces.h"

#include <pthread.h>
#include <unistd.h>

enum { PARALLEL_FROM = 100000, PIECE_BYTES = 4 << 20, PIECE_GROUPS = 2048 };

struct team {
	graph_piece_fn *f;
	void *ctx;
	size_t n, next;
};

static int most_threads(const struct graph *g)
{
	const struct graph_priv *priv = g->priv;
	long n = priv->o.threads > 0 ? priv->o.threads : sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

int graph_thread_count(const struct graph *g)
{
	return g->blocks->n < PARALLEL_FROM ? 1 : most_threads(g);
}

static void *member_main(void *arg)
{
	struct team *t = arg;
	for (size_t i; !interrupted && (i = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED)) < t->n;)
		t->f(t->ctx, i);
	return NULL;
}

void graph_each_piece(const struct graph *g, size_t n, graph_piece_fn *f, void *ctx)
{
	struct team t = { f, ctx, n, 0 };
	pthread_t threads[MAX_THREADS];
	int count = n > 1 ? most_threads(g) : 1, started = 1;
	while (started < count && !pthread_create(&threads[started], NULL, member_main, &t))
		started++;
	member_main(&t);
	for (int i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
}

bool graph_cut_memory(const struct graph *g, struct memory_pieces *ret)
{
	const struct picture *p = image_picture(((const struct graph_priv *)g->priv)->img);
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		if (e->from_file)
			continue;
		ret->bytes += e->bytes;
		for (uint64_t at = 0; at < e->bytes; at += PIECE_BYTES) {
			struct memory_piece *piece = vec_push(&ret->list);
			if (!piece)
				return false;
			*piece = (struct memory_piece){ e->address + at, e->data + at, e->bytes - at < PIECE_BYTES ? e->bytes - at : PIECE_BYTES };
		}
	}
	return true;
}

bool graph_cut_groups(const struct graph *g, struct group_pieces *ret)
{
	for (size_t i = 0; i < g->blocks->n_regions; i++) {
		struct region *r = &g->blocks->regions[i];
		uint64_t from = 0;
		do {
			struct group_piece *piece = vec_push(&ret->list);
			if (!piece)
				return false;
			*piece = (struct group_piece){ r, from, r->n_groups - from < PIECE_GROUPS ? r->n_groups : from + PIECE_GROUPS };
			from = piece->to;
		} while (from < r->n_groups);
	}
	return true;
}
