/* Copying present pages by process_vm_readv, or through mem where pages are shared with a forked process: two readers into
 * memory that is there already; each takes the next few megabytes until nothing is left. The data file is compact, so that the
 * destination of any sequence of extents is one piece. */
#include "look.h"

#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIECE = 4 << 20, MAX_IOV = 512 };

struct piece {
	uint64_t to, bytes; /* offset in the data file */
	struct iovec from[MAX_IOV];
	int n;
};

/* The next piece that nobody has; false at the end. */
static bool next_piece(struct look *l, struct piece *p)
{
	p->n = 0;
	p->bytes = 0;
	pthread_mutex_lock(&l->lock);
	while (!l->h->shared->abort && l->extent < l->pages.extents_n && p->n < MAX_IOV && p->bytes < PIECE) {
		const struct table_extent *e = &l->pages.extents[l->extent];
		uint64_t n = e->bytes - l->in;
		n = n < PIECE - p->bytes ? n : PIECE - p->bytes;
		if (!p->n)
			p->to = e->offset + l->in;
		p->from[p->n++] = (struct iovec){ (void *)(uintptr_t)(e->address + l->in), n };
		p->bytes += n;
		l->in += n;
		if (l->in == e->bytes) {
			l->extent++;
			l->in = 0;
		}
	}
	pthread_mutex_unlock(&l->lock);
	return p->n;
}

/* What the fast way refuses: PROT_NONE memory of a private mapping can be read through mem. What neither reads is noted,
 * page by page. Returns how many bytes it dealt with. */
static uint64_t read_hard(struct look *l, uint64_t address, uint64_t n, uint8_t *to)
{
	uint64_t page = l->pages.page;
	n = n < 1u << 20 ? n : 1u << 20;
	ssize_t got = l->pages.mem_fd < 0 ? -1 : pread(l->pages.mem_fd, to, n, (off_t)address);
	if (got >= (ssize_t)page)
		return align_down((uint64_t)got, page);
	uint64_t slot = __atomic_fetch_add(&l->bad_n, 1, __ATOMIC_RELAXED);
	if (slot < LOOK_MAX_BAD)
		l->bad[slot] = address;
	return page;
}

static void copy_piece(struct look *l, struct piece *p)
{
	for (int i = 0; p->bytes;) {
		struct iovec to = { l->data + p->to, p->bytes };
		ssize_t n;
		if (l->plan->flags & PLAN_GENTLE)
			n = pages_read(l->pages.mem_fd, l->copy_from, to.iov_base, p->from[i].iov_len, (uintptr_t)p->from[i].iov_base);
		else
			n = process_vm_readv(l->copy_from, &to, 1, p->from + i, (unsigned long)(p->n - i), 0);
		/* A hole ends the call early; go on behind it. A page that came in part is taken again as a whole. */
		uint64_t got = n > 0 ? align_down((uint64_t)n, l->pages.page) : 0;
		bool stuck = !got;
		while (p->bytes) {
			if (stuck)
				got = read_hard(l, (uintptr_t)p->from[i].iov_base, p->from[i].iov_len, l->data + p->to);
			stuck = false;
			uint64_t step = got < p->from[i].iov_len ? got : p->from[i].iov_len;
			p->from[i].iov_base = (uint8_t *)p->from[i].iov_base + step;
			p->from[i].iov_len -= step;
			p->to += step;
			p->bytes -= step;
			got -= step;
			i += !p->from[i].iov_len;
			if (!got)
				break;
		}
	}
}

static void *reader_main(void *arg)
{
	struct look *l = arg;
	struct piece p;
	memset(&p, 0, sizeof p);
	for (;;) {
		while (sem_wait(&l->start))
			;
		if (l->quit)
			return NULL;
		while (next_piece(l, &p))
			copy_piece(l, &p);
		sem_post(&l->done);
	}
}

int look_start_readers(struct look *l)
{
	int n = 0;
	sem_init(&l->start, 0, 0);
	sem_init(&l->done, 0, 0);
	pthread_mutex_init(&l->lock, NULL);
	while (n < LOOK_READERS && !pthread_create(&l->readers[n], NULL, reader_main, l))
		n++;
	return n;
}

void look_copy(struct look *l)
{
	double start = monotonic_seconds();
	l->extent = 0;
	l->in = 0;
	for (size_t i = 0; i < l->ts.n; i++)
		if (l->ts.at[i].state == TRACEE_STOPPED)
			l->copy_from = l->ts.at[i].tid;
	for (int i = 0; i < LOOK_READERS; i++)
		sem_post(&l->start);
	for (int i = 0; i < LOOK_READERS; i++)
		while (sem_wait(&l->done))
			;
	l->copying = monotonic_seconds() - start;
}
