/* SPDX-License-Identifier: Apache-2.0 */
/* Threads are started when there is work and end when there is none, so that a node whose
 * peers are numeric has none. A look-up holds the loop's letter box, not the loop: it may
 * end after it. */
#include "config.h"

#include "net/resolve.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/event.h"
#include "utlist.h"

struct resolve {
	struct loop *loop;
	char *host;
	char service[8];
	void (*fn)(void *arg, struct addrinfo *list, const char *why);
	void *arg;
	atomic_bool is_cancelled;
	struct addrinfo *list;
	char why[160];
	struct resolve *next;
};

static pthread_mutex_t resolve_lock = PTHREAD_MUTEX_INITIALIZER;
static struct resolve *resolve_queue; /* under the lock */
static int resolve_threads;	      /* under the lock */

static void
resolve_free(struct resolve *r)
{
	if (r->list != NULL)
		freeaddrinfo(r->list);
	loop_drop(r->loop);
	free(r->host);
	free(r);
}

/* On the loop. */
static void
resolve_deliver(void *arg)
{
	struct resolve *r = arg;
	struct addrinfo *list = r->list;

	if (!atomic_load(&r->is_cancelled)) {
		r->list = NULL;
		r->fn(r->arg, list, r->why);
	}
	resolve_free(r);
}

static void
resolve_look_up(struct resolve *r)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
	int rc;

	if (atomic_load(&r->is_cancelled))
		return;
	rc = getaddrinfo(r->host, r->service, &hints, &r->list);
	if (rc == 0)
		return;
	r->list = NULL;
	snprintf(r->why, sizeof(r->why), "the name %.100s has no address: %s", r->host,
		 rc == EAI_SYSTEM ? error_text(-errno) : gai_strerror(rc));
}

static void *
resolve_thread(void *arg)
{
	(void)arg;
	for (;;) {
		struct resolve *r;

		pthread_mutex_lock(&resolve_lock);
		r = resolve_queue;
		if (r == NULL)
			resolve_threads--;
		else
			LL_DELETE(resolve_queue, r);
		pthread_mutex_unlock(&resolve_lock);
		if (r == NULL)
			return NULL;
		resolve_look_up(r);
		if (!loop_try_post(r->loop, resolve_deliver, r))
			resolve_free(r);
	}
}

/* Signals are the loop's business. Under the lock. */
static int
resolve_thread_start(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, resolve_thread, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0)
		resolve_threads++;
	return -rc;
}

struct resolve *
resolve_start(struct loop *loop, const char *host, int port,
	      void (*fn)(void *arg, struct addrinfo *list, const char *why), void *arg)
{
	struct resolve *r = mem_calloc(1, sizeof(*r));
	int rc = 0;

	loop_hold(loop);
	r->loop = loop;
	r->host = mem_strdup(host);
	snprintf(r->service, sizeof(r->service), "%d", port);
	r->fn = fn;
	r->arg = arg;
	pthread_mutex_lock(&resolve_lock);
	if (resolve_threads < RESOLVE_THREADS_MAX)
		rc = resolve_thread_start();
	if (rc == 0 || resolve_threads > 0) {
		LL_APPEND(resolve_queue, r);
		rc = 0;
	}
	pthread_mutex_unlock(&resolve_lock);
	if (rc != 0) {
		snprintf(r->why, sizeof(r->why), "no thread to look up %.100s: %s", host,
			 error_text(rc));
		loop_post(loop, resolve_deliver, r);
	}
	return r;
}

void
resolve_cancel(struct resolve *r)
{
	if (r != NULL)
		atomic_store(&r->is_cancelled, true);
}
