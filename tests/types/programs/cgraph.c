/* Graphs with subgraphs, nodes, edges, records bound to them and attributes. */
#include "config.h"
#include <cgraph/cgraph.h>

#include <stdio.h>
#include <unistd.h>

typedef struct { Agrec_t h; double x, y; Agnode_t *next; } place_t;
typedef struct { Agrec_t h; Agnode_t *from, *to; int weight, rank, order; long length; } path_t;

/* The parser is left out. */
Agraph_t *agread(void *from, Agdisc_t *disc)
{
	(void)from, (void)disc;
	return NULL;
}

void agsetfile(char *name)
{
	(void)name;
}

static Agraph_t *graphs[3];

static Agraph_t *make(int k)
{
	char name[64];
	Agraph_t *g = agopen("g", k % 2 ? Agdirected : Agundirected, NULL), *part = NULL;
	Agnode_t *last = NULL;
	agattr(g, AGNODE, "color", "black");
	agattr(g, AGEDGE, "label", "");
	for (int i = 0; i < 4000; i++) {
		snprintf(name, sizeof name, "node number %d", i);
		Agnode_t *n = agnode(g, name, 1);
		place_t *p = agbindrec(n, "place_t", sizeof *p, 1);
		p->x = i;
		p->next = last;
		if (i % 200 == 0) {
			snprintf(name, sizeof name, "cluster%d", i);
			part = agsubg(g, name, 1);
		}
		agsubnode(part, n, 1);
		for (Agnode_t *to = last; to; to = to == last && i % 3 == 0 && i > 1 ? ((place_t *)aggetrec(to, "place_t", 0))->next : NULL) {
			Agedge_t *e = agedge(g, n, to, NULL, 1);
			path_t *path = agbindrec(e, "path_t", sizeof *path, 1);
			path->from = n;
			path->to = to;
			if (i % 4 == 0)
				agset(e, "label", name);
		}
		if (i % 5 == 0)
			agset(n, "color", "red");
		last = n;
	}
	return g;
}

int main(void)
{
	char byte;
	for (int k = 0; k < 3; k++)
		graphs[k] = make(k);
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	for (int k = 0; k < 3; k++)
		agclose(graphs[k]);
	return 0;
}
