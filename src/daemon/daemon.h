/* SPDX-License-Identifier: Apache-2.0 */
/* ocfd put together: the composition root and what its parts share.
 *
 *	main.c     arguments           options.c  configuration
 *	daemon.c   start, stop         self.c     what this node says of itself
 *	drain.c    stop without breaking what runs
 *	leave.c    leave the cluster, then stop
 *	rows.c     the table: check, merge, hand on; with own.c, sweep.c, aside.c (rows.h)
 *	verify.c   checks signatures, beside the loop
 *	links.c    drives the mesh core: TLS streams, frames; with links-feed.c, links-views.c
 *	dials.c    what came of dialling
 *	outbox.c   what waits to be sent over a link
 *	probes.c   dials other nodes back, so that they learn whether they can be reached
 *	repair.c   drives the sync core: tables compared with those of other nodes
 *	replica.c  the store as the sync core reads it
 *	requests.c comparisons that people asked for
 *	queries.c  drives the dispatch core: HTTP, links and, queries-bus.c, the bus
 *	ca.c       bans and forgets nodes, where the CA's key is held
 *	bars.c     who is told of that, and what
 *	workers.c  the bus's workers become rows and slots
 *	views.c    what people see: JSON and metrics
 *	invite.c   invitations and joining nodes
 *	tokens.c   the tokens of HTTP
 *	admin.c    who answers which admin request
 *	doctor.c   what `ocf doctor` asks
 *	audit.c    re-sums and re-checks the whole store when asked
 *	work.c     requests that take a while: dump.c, load.c, backup.c, ca.c, leave.c
 *	scrub.c    looks at it all the time, a bit at a time
 *
 * Each part is one struct that its file alone looks into; `struct daemon` holds them all.
 * Everything runs on the loop's thread but the work that verify.c, repair.c, audit.c and
 * scrub.c put on lanes (net/lane.h), and the store's writer, which hands over through
 * loop_post(). */
#ifndef OCF_DAEMON_DAEMON_H
#define OCF_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/places.h"
#include "base/rng.h"
#include "bus/bus.h"
#include "daemon/options.h"
#include "http/api.h"
#include "http/metrics.h"
#include "ident/identity.h"
#include "net/loop.h"
#include "net/tls.h"
#include "store/store.h"
#include "table/catalog.h"

struct audits;
struct bars;
struct ca;
struct invite_book;
struct stream;
struct listener;
struct leave;
struct links;
struct queries;
struct repair;
struct rows;
struct scrub;
struct workers;
struct works;

enum { DAEMON_ADDRESSES_MAX = 8 };

struct daemon {
	const struct config *config;
	const struct places *places;
	struct loop *loop;
	struct identity *identity;
	struct store *store;
	struct catalog *catalog;
	struct metrics *metrics;
	struct tls *tls;
	struct listener *peer_listener;
	struct rows *rows;
	struct bars *bars;
	struct ca *ca;
	struct links *links;
	struct repair *repair;
	struct workers *workers;
	struct bus *bus; /* NULL with bus.server = none */
	struct queries *queries;
	struct api *api;
	struct invite_book *invites;
	struct audits *audits;
	struct works *works;
	struct scrub *scrub;
	struct leave *leave; /* once it was told to leave */
	struct rng rng;

	char *name; /* of this node */
	uint64_t incarnation;
	int addresses_len; /* advertised to other nodes */
	char *addresses[DAEMON_ADDRESSES_MAX];
	bool is_inbound_known; /* and so says its row: */
	bool is_inbound;       /* others can open links to it */
	int homes_len;	       /* and its homes are others than everybody computes: */
	struct id homes[TABLE_HOMES_MAX];
	struct loop_timer *address_timer;
	ms_t started_ms; /* monotonic */
	ms_t started_wall_ms;
	enum bus_state bus_state;
	bool bus_is_embedded;
	char *bus_url; /* where workers connect; "" while not known */
	bool is_ready;
	bool is_run_written; /* run.json says what is now */
	char *run_text;	     /* what it holds */
	bool is_bus_late;    /* the start goes on without the bus */
	bool is_draining;    /* takes no queries of other nodes */
	bool is_leaving;     /* nor of clients: it stops when nothing runs any more */
	bool is_stopping;
	struct loop_timer *ready_timer;
	struct loop_timer *stop_timer;
	struct loop_timer *drain_timer;
	ms_t drain_until;      /* monotonic */
	ms_t drain_idle_since; /* 0: queries run */
	char *fatal;	       /* why the node stops by itself: its last line; or NULL */
	int status;	       /* of the process */
};

/* Run a node until it is told to stop; returns the exit status. What fails is logged. */
int daemon_run(const struct config *config, const struct places *places);
/* The rules that no single option holds: who may use http.listen. For --check-config, which
 * opens nothing but the token file; daemon_run() finds the same. */
int daemon_check(const struct config *config, struct errmsg *err);
/* Read http.token_file again; what is in force stays when it cannot be. */
int daemon_reload_tokens(struct daemon *d, struct errmsg *err);
/* Stop in order; a second call stops at once. `status` is the process's exit status. */
void daemon_stop(struct daemon *d, int status);
/* Write run.json once everything that it names is known. */
void daemon_check_ready(struct daemon *d);

/* ---- drain.c ---- */

/* Take no new queries of other nodes for the workers here, and say so in this node's row;
 * or take them again. This node's own clients are served by other nodes meanwhile. Nothing
 * is remembered over a restart. */
void drain_set(struct daemon *d, bool is_draining);
/* Drain, refuse new queries of clients too, and stop when nothing runs any more, after
 * node.drain_timeout at the latest; at once when nothing runs now. */
void drain_and_stop(struct daemon *d);
void drain_close(struct daemon *d);

/* ---- leave.c ---- */

/* drain.c asks: queries have ended, or `cut` of them are not waited for. True: the node was
 * told to leave, and stops by itself when it has. */
bool leave_drained(struct daemon *d, int cut);
/* The node is told to stop while it drains in order to leave: it drains, stops, and stays a
 * member. False: it was not to leave, or is beyond that. */
bool leave_give_up(struct daemon *d);
void leave_stopping(struct daemon *d); /* whoever waits is told */
void leave_close(struct daemon *d);

/* ---- self.c ---- */

/* Name, addresses and incarnation, from configuration, store and machine. -EINVAL: they say
 * what no row can hold. */
int self_open(struct daemon *d, struct errmsg *err);
void self_close(struct daemon *d);
/* Claim this node's row, as it is now. */
void self_announce(struct daemon *d);
/* From now on, look whether the machine has other addresses: then its row is written anew, and
 * the mesh is told. */
void self_follow_addresses(struct daemon *d);
/* Whether others can open links to this node is now known to be so, or not known any more;
 * its row is to say it. */
void self_found_inbound(struct daemon *d, bool is_known, bool is_inbound);
/* Its row is to name these homes: ids, one behind the other; none: it names none. */
void self_found_homes(struct daemon *d, struct bytes homes);
/* Addresses to dial beside those in the table: configured, and those given at the join
 * (in the store as "seeds", a JSON array). Texts are the caller's to free. */
int self_seeds(struct daemon *d, char *ret_seeds[], int max);
/* One more of the latter, from the next start on; the oldest may give way. */
void self_keep_seed(struct daemon *d, const char *address);

/* ---- rows.c ---- */

struct rows *rows_open(struct daemon *d);
void rows_close(struct rows *rows); /* NULL is allowed */
/* Feed catalog and mesh with the rows of the store; after links_open(). */
void rows_load(struct rows *rows);
/* Encoded rows from a link, to be verified, merged, and handed on unless this node `is_joining`
 * and reads them page by page: whom they come from has sent them to all others long ago.
 * -OCF_EMALFORMED: they cannot be read, and nothing of them was taken. */
int rows_deliver(struct rows *rows, uint64_t link, struct bytes encoded, bool is_joining,
		 uint64_t *ret_len);
/* The payload of a REFRESH; if its value is not held, `link` is asked for the row. */
int rows_deliver_refresh(struct rows *rows, uint64_t link, struct bytes payload);
/* Call fn(arg, number) once all rows that came before are merged and on the disk, or were
 * put aside, refused or dropped; not at all when the node stops before. */
void rows_settle(struct rows *rows, void (*fn)(void *arg, uint64_t number), void *arg,
		 uint64_t number);
/* A row whose signatures were checked elsewhere is merged as one from a link is, and noted in
 * `changed`, which goes to rows_import_end() behind the last. */
enum rows_import_end {
	ROWS_IMPORT_UNCHANGED,
	ROWS_IMPORT_NEW,
	ROWS_IMPORT_ENDED, /* its lease had: nothing is held */
};
/* -OCF_EUNKNOWN: its owner's node row is not held. */
int rows_import(struct rows *rows, const struct row_key *key, const struct row *row,
		struct buf *changed, enum rows_import_end *ret_end);
/* Hand them on, and make them durable. */
void rows_import_end(struct rows *rows, struct bytes changed);
/* What a link that opens is to be told at once: who is banned and forgotten, before any
 * other row; and rows that the root in our HELLO does not count yet, though they were merged
 * and handed on before. */
void rows_greet(struct rows *rows, uint64_t link);
/* A link asks for the node rows of these owners, their ids one behind the other: it gets
 * those that are held. */
void rows_answer(struct rows *rows, uint64_t link, struct bytes owners);
/* store_config.trim */
void rows_trim(struct rows *rows, const struct row_key *key, struct row *row);
uint64_t rows_refused(const struct rows *rows); /* bad signatures and certificates */

/* ---- own.c ---- */

/* This node says so: the row is written, if it does not say this already, durable and
 * handed on soon after, and whatever becomes of it is put right (crdt/owner.h). `kind` is
 * ROW_NODE, with the name "", or ROW_WORKER. */
void rows_claim(struct rows *rows, enum row_kind kind, const char *name,
		struct bytes value);
/* It does not any more: the worker row is removed. */
void rows_unclaim(struct rows *rows, const char *name);
/* Who was to claim a row of a former life has done so: the others are removed. */
void rows_claims_settled(struct rows *rows);
/* This node leaves: its worker rows are removed, and its node row says `value`. Later claims
 * count for nothing. */
void rows_withdraw(struct rows *rows, struct bytes value);
/* That is on the disk, and was handed to the links. */
bool rows_has_withdrawn(const struct rows *rows);
/* Is the worker row claimed, or may it be yet? Its number is not free then. */
bool rows_has_claim(const struct rows *rows, const char *name);
/* The store lost rows that had rotted: those of this node are written again. What is shown of
 * others is as it was read before, until they bring it back. */
void rows_look_again(struct rows *rows);
/* This machine's clock disagrees with those of most links, or not any more. */
void rows_clock_agrees(struct rows *rows, bool is_ok);
/* Why nothing is written under this node's id just now: "" or a sentence. */
const char *rows_why_silent(const struct rows *rows);
uint64_t rows_renewals(const struct rows *rows); /* actors taken since the start */

/* ---- sweep.c ---- */

/* H, up to which this table has forgotten (crdt/lease.h); ms. */
uint64_t rows_horizon(const struct rows *rows);
/* The H of a node over a link whose clock agrees with ours. If it is to be believed it is
 * taken, what it ends is swept, and fn(arg, number) is called once the disk holds that: before
 * this returns where nothing is to be done, and not at all when the node stops before. False:
 * it is not to be believed, and fn is not called. `fn` NULL: nobody waits. */
bool rows_hear_horizon(struct rows *rows, uint64_t theirs,
		       void (*fn)(void *arg, uint64_t number), void *arg,
		       uint64_t number);

/* ---- bars.c ---- */

struct bars *bars_open(struct daemon *d);
void bars_close(struct bars *bars); /* NULL is allowed */
/* Append who banned or forgot the node, when and why, as the end of a sentence about it.
 * False: nobody did. */
bool bars_put_why(const struct daemon *d, const struct id *node, struct buf *out);
/* A ban or forget row changed. */
void bars_changed(struct daemon *d, const struct row_key *key);
/* A link to a node that is banned or forgotten was closed. */
void bars_note_refused(struct bars *bars, const struct id *node, const char *why);
/* The node `by` says that this one is banned or forgotten; and a node does not. */
void bars_note_told(struct bars *bars, const struct id *by, const char *why);
void bars_note_let_in(struct bars *bars);
/* The sentence of the former, or NULL. */
const char *bars_told(const struct bars *bars);

/* ---- ca.c ---- */

struct ca *ca_open(struct daemon *d);
void ca_close(struct ca *ca); /* NULL is allowed */
/* Why it cannot, and which nodes could. */
void ca_refuse_without_key(const struct daemon *d, const char *verb, struct errmsg *err);

/* ---- links.c ---- */

int links_open(struct daemon *d, struct errmsg *err);
/* Say goodbye and close all. */
void links_stop(struct links *links);
void links_close(struct links *links); /* NULL is allowed */
/* Rows that changed here, one or a page of them; they came from `link` (0: our own). */
/* `refresh`: the payload of a REFRESH that says as much, or empty. */
void links_row_changed(struct links *links, uint64_t link, struct bytes row,
		       struct bytes refresh);
void links_root_changed(struct links *links);
/* A node's row changed: where it may be dialled, or that it is gone. */
void links_node_changed(struct links *links, const struct id *node);
/* This node advertises other addresses than before. */
void links_self_changed(struct links *links);
/* A dial of probes.c is over: who answered; zero: nobody. */
void links_probed(struct links *links, uint64_t probe, const struct id *node);
void links_reject(struct links *links, uint64_t link, const char *why);
/* Frames to a link; one that is gone is ignored. */
void links_send_query(struct links *links, uint64_t link, struct bytes frame);
void links_send_sync(struct links *links, uint64_t link, struct bytes frames);
/* A page of rows, to this link alone. */
void links_send_rows(struct links *links, uint64_t link, struct bytes rows);
/* Ask for the node rows of these owners: ids, one behind the other; none is allowed. */
void links_want(struct links *links, uint64_t link, struct bytes owners);
uint64_t links_of_node(const struct links *links, const struct id *node);
/* Links of nodes that pass queries on to this one, to which there is no link; at most `max`. */
int links_relays_to(const struct links *links, const struct id *node, uint64_t *ret_links,
		    int max);
/* Look for one when there is none, or one but `not_by` (a link, 0: any); links_find_way() ends
 * in queries_way_found() and repair_way_found(). */
bool links_may_find_way(const struct links *links, const struct id *node);
void links_find_way(struct links *links, const struct id *node, uint64_t not_by);
/* Queries that this node passes on between others now; and no further ones from now on. */
int links_relaying(const struct links *links);
void links_leave(struct links *links);
/* Append those who are linked to the node by the rings, as for a sentence. */
void links_put_homes(const struct links *links, const struct id *node, struct buf *out);
/* Some link that carries rows; 0 when there is none. */
uint64_t links_any(const struct links *links, struct id *ret_node);
json_t *links_peers_json(const struct links *links);
double links_rtt_ms(const struct links *links, const struct id *node);
/* Since it was last alive: 0 while it is; negative when it was not in this life. */
double links_last_seen_s(const struct links *links, const struct id *node);
int links_up(const struct links *links);
/* Add "dials" and "inbound" of dials.h. */
void links_tell_doctor(const struct links *links, json_t *reply);
/* How many links that carry rows have sent all rows that they were given, of how many. */
int links_rows_sent(const struct links *links, int *ret_links);
/* Do frames of queries still wait, or others that are in a stream already? */
bool links_are_busy(const struct links *links);

/* ---- repair.c ---- */

struct repair *repair_open(struct daemon *d);
void repair_close(struct repair *repair); /* NULL is allowed */
/* Has the table been found equal to that of another node in this life, or taken rows of it?
 */
bool repair_has_compared(const struct repair *repair);
/* What heartbeats tell of our table now. */
uint64_t repair_word(struct daemon *d);
/* A link that may carry rows; the roots of both tables as the two ends told each other. */
void repair_link_up(struct repair *repair, uint64_t link, const struct id *node,
		    const struct store_digest *theirs, const struct store_digest *ours);
void repair_link_down(struct repair *repair, uint64_t link);
void repair_root_heard(struct repair *repair, uint64_t link, uint64_t word);
void repair_message(struct repair *repair, uint64_t link, struct bytes message);
/* Is the table of the link's other end being read page by page? */
bool repair_is_joining(const struct repair *repair, uint64_t link);
void repair_rows(struct repair *repair, uint64_t link, uint64_t len, size_t bytes);
/* Does a comparison go over this link? */
bool repair_uses(const struct repair *repair, uint64_t link);
/* links_find_way() has ended: `link` is 0, or the node's, or of one who passes queries on. */
void repair_way_found(struct repair *repair, const struct id *node, uint64_t link);
/* POST /v1/admin/sync; as api_host.admin. */
int repair_admin(struct daemon *d, const json_t *body, json_t **ret_reply,
		 struct errmsg *err);
json_t *repair_status_json(const struct repair *repair);

/* ---- workers.c ---- */

/* What the configuration says of the bus; texts are borrowed. */
void workers_configure(const struct config *c, struct bus_config *ret);
int workers_open(struct daemon *d, struct errmsg *err);
void workers_close(struct workers *workers); /* NULL is allowed */
/* The number by which dispatch knows the worker ↔ its id on the bus; NULL when gone. */
const char *workers_id(const struct workers *workers, uint64_t number);

/* ---- queries.c ---- */

int queries_open(struct daemon *d);
void queries_close(struct queries *queries); /* NULL is allowed */
/* The host's `arg` is the daemon. */
void queries_fill_host(struct api_host *host);
void queries_worker(struct queries *queries, uint64_t number,
		    const struct bus_worker *worker);
void queries_worker_gone(struct queries *queries, uint64_t number);
void queries_bus_down(struct queries *queries);
void queries_link_down(struct queries *queries, uint64_t link);
/* What links_find_way() found; link 0: nothing. */
void queries_way_found(struct queries *queries, const struct id *node, uint64_t link);
/* Does any query go by the link? */
bool queries_use(const struct queries *queries, uint64_t link);
/* A query frame from a link, and the node behind it; -OCF_EMALFORMED when it cannot be read. */
struct wire_frame;
int queries_frame(struct queries *queries, uint64_t link, const struct id *node,
		  const struct wire_frame *frame);
/* The bus's words about runs. */
void queries_run_head(struct queries *queries, uint64_t run,
		      const struct reply_head *head);
void queries_run_data(struct queries *queries, uint64_t run, struct bytes data,
		      bool is_last);
void queries_run_error(struct queries *queries, uint64_t run,
		       const struct query_error *error, enum bus_outcome outcome);
void queries_run_credit(struct queries *queries, uint64_t run, int parts);
/* Take no more queries of other nodes, or again; see DISPATCH_EVENT_DRAIN. */
void queries_drain(struct queries *queries, bool is_draining);
/* End all of them with an answer that says so. */
void queries_stop(struct queries *queries);
int queries_running(const struct queries *queries); /* of clients and other nodes */
json_t *queries_status_json(const struct queries *queries);

/* ---- views.c ---- */

json_t *views_read(void *daemon, enum api_view view, const struct query_headers *params);
void views_watch(void *daemon, bool is_wanted);
bool views_ready(void *daemon, struct errmsg *why);
int views_connections(void *daemon, void (*fn)(void *fn_arg, struct bytes json),
		      void *fn_arg, struct errmsg *err);
void views_connections_cancel(void *daemon, void *fn_arg);
void views_add_metrics(struct daemon *d);

/* ---- invite.c ---- */

int invite_open(struct daemon *d, struct errmsg *err);
void invite_close(struct daemon *d);
int invite_admin(struct daemon *d, const json_t *body, json_t **ret_reply,
		 struct errmsg *err);
/* A stream that agreed on ocf-join/1. */
void invite_accept(struct daemon *d, struct stream *stream);

/* ---- tokens.c ---- */

int tokens_admin(struct daemon *d, const json_t *body, json_t **ret_reply,
		 struct errmsg *err);

/* ---- doctor.c ---- */

int doctor_admin(struct daemon *d, const json_t *body, json_t **ret_reply,
		 struct errmsg *err);

/* ---- audit.c ---- */

struct audits *audits_open(struct daemon *d);
/* One that runs is cut short, which may take a second for each 200,000 rows. */
void audits_close(struct audits *audits); /* NULL is allowed */
int audits_admin(struct daemon *d, const json_t *body, json_t **ret_reply,
		 struct errmsg *err);

/* ---- work.c, and with it dump.c, load.c, backup.c and ca.c ---- */

struct works *works_open(struct daemon *d);
/* Those under way are dropped; after api_free(), before rows_close(). NULL is allowed. */
void works_close(struct works *works);
/* The api_host's: `daemon` is the daemon. */
int works_start(void *daemon, const char *name, const struct query_headers *params,
		struct bytes body, struct api_work *api, void **ret_token,
		struct errmsg *err);
void works_more(void *token);
void works_cancel(void *token);
/* ---- scrub.c ---- */

struct scrub *scrub_open(struct daemon *d); /* after links_open() */
void scrub_close(struct scrub *scrub);	    /* NULL is allowed */
/* store_config.is_genuine; `arg` is the daemon. */
bool scrub_is_genuine(void *arg, const struct row_key *key, const struct row *row);

/* ---- admin.c ---- */

/* The api_host's: `daemon` is the daemon. */
int admin_run(void *daemon, const char *name, const json_t *body, json_t **ret_reply,
	      struct errmsg *err);

#endif
