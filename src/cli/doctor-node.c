/* SPDX-License-Identifier: Apache-2.0 */
/* Judges what the running node says of itself: its clock, its store, its table, its version. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/output.h"

enum {
	/* Beyond this a link carries no rows (mesh.h, MESH_CLOCK_SKEW_MS). */
	NODE_SKEW_MS_MAX = 5 * MS_MINUTE,
	/* More than a loaded machine and a far link make of two clocks that agree. */
	NODE_SKEW_MS_SEEN = 30 * MS_SECOND,
	/* Rows that wait for the disk: a second or two of all that a node can merge. */
	NODE_PENDING_HIGH = 10000,
	/* Tables are compared with a random node at the latest after so many of
	 * `sync.interval` (sync.h); twice that, and a while, is too long. */
	NODE_SYNC_INTERVALS = 2 * 8,
};

/* ---- clock ---- */

struct skews {
	int links;	 /* that told their clock */
	int apart;	 /* by more than NODE_SKEW_MS_SEEN */
	int rowless;	 /* carry no rows for it */
	double furthest; /* ms, theirs less ours */
	const char *node;
};

static struct skews
node_skews(const json_t *facts)
{
	const json_t *peers = output_member(facts, "node.reply.peers"), *peer;
	struct skews s = { .node = "" };
	size_t i;

	json_array_foreach((json_t *)peers, i, peer)
	{
		const json_t *skew = output_member(peer, "clock_skew_ms");
		double ms = json_number_value(skew);

		if (strcmp(doctor_text(peer, "state"), "up") != 0 ||
		    !json_is_number(skew))
			continue;
		s.links++;
		s.apart += fabs(ms) > NODE_SKEW_MS_SEEN;
		s.rowless += doctor_is(peer, "rowless");
		if (s.node[0] == '\0' || fabs(ms) > fabs(s.furthest)) {
			s.furthest = ms;
			s.node = doctor_text(peer, "name");
		}
	}
	return s;
}

static char *
node_set_clock(void)
{
	return mem_strdup(
		"on the machine whose clock is wrong: timedatectl set-ntp true, "
		"or install chrony (`date` on both shows which one it is)");
}

void
doctor_judge_clock(struct doctor *d, const json_t *facts)
{
	const char *silent = doctor_text(facts, "node.reply.status.node.silent");
	struct skews s = node_skews(facts);
	const char *way = s.furthest > 0 ? "ahead of" : "behind";
	char span[FORMAT_SIZE];

	format_span(fabs(s.furthest) / MS_SECOND, span);
	if (silent[0] != '\0')
		doctor_say(
			d, DOCTOR_PROBLEM,
			strstr(silent, "clock") != NULL
				? mem_strdup("here: timedatectl set-ntp true, or install "
					     "chrony")
				: mem_printf("see %s", doctor_log(facts)),
			"%s: this node writes nothing; the clock of %s is %s %s ours",
			silent, s.node, span, way);
	else if (s.rowless > 0)
		doctor_say(
			d, DOCTOR_PROBLEM, node_set_clock(),
			"no rows are exchanged over %d of %d links: the clock of %s is "
			"%s %s ours",
			s.rowless, s.links, s.node, span, way);
	else if (s.apart > 0)
		doctor_say(d, DOCTOR_WARNING, node_set_clock(),
			   "the clock of %s is %s %s ours; from 5 min on no rows are "
			   "exchanged",
			   s.node, span, way);
	else if (json_is_false(output_member(facts, "system.is_clock_kept")))
		doctor_say(d, DOCTOR_WARNING,
			   mem_strdup("timedatectl set-ntp true, or install chrony"),
			   "no time service keeps this machine's clock%s",
			   s.links > 0 ? "; it agrees with those of the linked nodes "
					 "still"
				       : "");
	else if (s.links == 0)
		doctor_say(d, DOCTOR_OK, NULL,
			   "no node is linked whose clock it could be compared with");
	else
		doctor_say(d, DOCTOR_OK, NULL,
			   "it agrees with that of %d linked %s, to within %s", s.links,
			   s.links == 1 ? "node" : "nodes", span);
}

/* ---- store ---- */

void
doctor_judge_store(struct doctor *d, const json_t *facts)
{
	const json_t *store = output_member(facts, "node.reply.store");
	const char *error = doctor_text(store, "error");
	double pending = doctor_number(store, "pending_rows", 0);
	double faults = doctor_number(store, "faults", 0);
	double damaged = doctor_number(store, "damaged", 0);
	char size[FORMAT_SIZE];
	size_t before = json_array_size(d->findings);

	format_bytes((int64_t)doctor_number(store, "bytes", 0), size);
	/* A full one is the disk's. */
	if (error[0] != '\0' && strcmp(error, error_text(-ENOSPC)) != 0 &&
	    strcmp(error, error_text(-EDQUOT)) != 0)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_printf("see %s and dmesg; mend or replace the disk, then "
				      "ocf-sync restore, or join again",
				      doctor_log(facts)),
			   "the store cannot be written: %s", error);
	if (faults > 0 || damaged > 0)
		doctor_say(
			d, DOCTOR_WARNING,
			mem_strdup("look at the disk (smartctl -a) and the memory; make "
				   "a backup (ocf backup FILE); stop ocfd and run "
				   "ocf-sync verify --repair"),
			"the disk or the memory of this machine changes what is stored: "
			"%.0f faults and %.0f damaged rows were found since ocfd "
			"started, %.0f put right",
			faults, damaged, doctor_number(store, "repaired", 0));
	if (pending > NODE_PENDING_HIGH)
		doctor_say(d, DOCTOR_WARNING,
			   mem_strdup("what else writes to that disk? (iotop -o)"),
			   "%.0f rows wait for the disk: it is slower than what comes in",
			   pending);
	if (json_array_size(d->findings) == before)
		doctor_say(d, DOCTOR_OK, NULL,
			   "%.0f rows in %s, %.0f waiting for the disk, none damaged",
			   doctor_number(store, "rows", 0), size, pending);
}

/* ---- table ---- */

void
doctor_judge_table(struct doctor *d, const json_t *facts)
{
	const json_t *last = output_member(facts, "node.reply.status.sync.last_ok_s");
	double interval = doctor_number(facts, "node.reply.sync_interval_ms", MS_MINUTE);
	double limit_s = interval / MS_SECOND * NODE_SYNC_INTERVALS + 60;
	double up_s = doctor_number(facts, "node.reply.status.node.uptime_s", 0);
	double age_s = json_is_number(last) ? json_number_value(last) : up_s;
	struct skews s = node_skews(facts);
	char age[FORMAT_SIZE];

	format_span(age_s, age);
	if (output_member(facts, "node.reply.status.sync.joining.rows") != NULL)
		doctor_say(d, DOCTOR_OK, NULL,
			   "this node joins: %.0f of %.0f rows are read",
			   doctor_number(facts, "node.reply.status.sync.joining.rows", 0),
			   doctor_number(facts, "node.reply.status.sync.joining.of", 0));
	else if (s.links - s.rowless <= 0)
		doctor_say(d, DOCTOR_OK, NULL,
			   "there is no link over which it could be compared");
	else if (age_s > limit_s)
		doctor_say(
			d, DOCTOR_WARNING,
			mem_strdup(
				"ocf-sync run --all; if that fails, its words say why"),
			json_is_number(last)
				? "the last time that it was equal to another node's was "
				  "%s ago"
				: "it was never found equal to another node's in %s",
			age);
	else if (json_is_number(last))
		doctor_say(d, DOCTOR_OK, NULL, "it was equal to another node's %s ago",
			   age);
	else
		doctor_say(d, DOCTOR_OK, NULL,
			   "not compared with another node's yet: ocfd is up for %s",
			   age);
}

/* ---- versions ---- */

/* The lowest and the highest protocol that a link has agreed on; 0: no link is up. */
static void
node_protocols(const json_t *facts, int *ret_low, int *ret_high)
{
	const json_t *peers = output_member(facts, "node.reply.peers"), *peer;
	size_t i;

	*ret_low = *ret_high = 0;
	json_array_foreach((json_t *)peers, i, peer)
	{
		int protocol = (int)doctor_number(peer, "protocol", 0);

		if (strcmp(doctor_text(peer, "state"), "up") != 0)
			continue;
		if (*ret_low == 0 || protocol < *ret_low)
			*ret_low = protocol;
		if (protocol > *ret_high)
			*ret_high = protocol;
	}
}

void
doctor_judge_versions(struct doctor *d, const json_t *facts)
{
	const char *ours = doctor_text(facts, "node.reply.status.node.version");
	const json_t *nodes = output_member(facts, "node.reply.nodes"), *node;
	struct buf others = BUF_INIT;
	int all = 0, differ = 0, low, high;
	enum { NAMED_MAX = 5 };
	size_t i;

	json_array_foreach((json_t *)nodes, i, node)
	{
		const char *version = doctor_text(node, "version");

		if (!doctor_is(node, "alive"))
			continue;
		all++;
		if (strcmp(version, ours) != 0 && differ++ < NAMED_MAX)
			buf_printf(&others, "%s%s has %s", differ > 1 ? ", " : "",
				   doctor_text(node, "name"), version);
	}
	node_protocols(facts, &low, &high);
	if (strcmp(ours, PACKAGE_VERSION) != 0)
		doctor_say(d, DOCTOR_WARNING,
			   mem_printf("start ocfd again: %s", doctor_start(facts)),
			   "ocfd runs as version %s, and ocf is %s", ours,
			   PACKAGE_VERSION);
	if (differ > 0)
		doctor_say(d, DOCTOR_WARNING,
			   mem_strdup("bring the older ones to the newest version, one "
				      "after the other"),
			   "%d of %d nodes have another version than this one's %s: %s%s",
			   differ, all, ours, buf_text(&others),
			   differ > NAMED_MAX ? ", …" : "");
	else if (low < high)
		doctor_say(
			d, DOCTOR_WARNING,
			mem_strdup("start ocfd again on the nodes whose PROTOCOL in ocf "
				   "peers is the lower one"),
			"some links speak protocol %d still, others %d", low, high);
	else if (strcmp(ours, PACKAGE_VERSION) == 0)
		doctor_say(d, DOCTOR_OK, NULL, "all nodes that are alive have %s", ours);
	buf_fini(&others);
}
