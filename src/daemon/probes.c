/* SPDX-License-Identifier: Apache-2.0 */
/* Dials that only look who is there, for nodes that ask whether others can reach them: up to
 * the end of the TLS handshake, then closed. Which, when and for how long, the mesh core
 * says. */
#include "config.h"

#include "daemon/probes.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"
#include "daemon/daemon.h"
#include "net/stream.h"

struct probe {
	struct probes *probes;
	uint64_t number;
	struct stream *stream;
	struct probe *prev, *next;
};

struct probes {
	struct daemon *d;
	struct probe *list;
};

static void
probe_free(struct probe *p)
{
	DL_DELETE(p->probes->list, p);
	stream_close(p->stream);
	free(p);
}

static void
probe_ended(struct probe *p, const struct id *node)
{
	struct links *links = p->probes->d->links;
	uint64_t number = p->number;

	probe_free(p);
	links_probed(links, number, node);
}

static void
probe_on_open(void *arg)
{
	struct probe *p = arg;
	struct id node = { { 0 } };

	stream_peer_id(p->stream, &node);
	probe_ended(p, &node);
}

static size_t
probe_on_data(void *arg, struct bytes data)
{
	(void)arg;
	return data.len;
}

static void
probe_on_close(void *arg, int reason, const char *why)
{
	(void)reason;
	(void)why;
	probe_ended(arg, &(struct id){ { 0 } });
}

static const struct stream_handler probe_handler = {
	.on_open = probe_on_open,
	.on_data = probe_on_data,
	.on_close = probe_on_close,
};

void
probes_dial(struct probes *probes, uint64_t number, const char *address)
{
	struct probe *p = mem_calloc(1, sizeof(*p));
	struct daemon *d = probes->d;
	struct errmsg err = { "" };

	p->probes = probes;
	p->number = number;
	p->stream = stream_dial(d->loop, address, d->tls, TLS_ALPN_PEER, &probe_handler,
				p, &err);
	DL_APPEND(probes->list, p);
	/* An address that cannot be read is one where nobody is; the core waits for the
	 * others until the time is over. */
	if (p->stream == NULL)
		probe_free(p);
}

void
probes_end(struct probes *probes, uint64_t number)
{
	struct probe *p, *next;

	DL_FOREACH_SAFE (probes->list, p, next) {
		if (number == 0 || p->number == number)
			probe_free(p);
	}
}

struct probes *
probes_open(struct daemon *d)
{
	struct probes *probes = mem_calloc(1, sizeof(*probes));

	probes->d = d;
	return probes;
}

void
probes_close(struct probes *probes)
{
	if (probes == NULL)
		return;
	probes_end(probes, 0);
	free(probes);
}
