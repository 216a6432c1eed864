/* SPDX-License-Identifier: Apache-2.0 */
/* Judges what the running node says of the others: who is linked, in which direction, who is
 * not reached and why. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/network.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/output.h"
#include "net/stream.h"

enum {
	MESH_NAMED_MAX = 5,	 /* nodes that a line names */
	MESH_ALL_LINKED_MAX = 6, /* others; of more a node is linked to some */
};

static const json_t *
mesh_list(const json_t *facts, const char *name)
{
	return json_object_get(output_member(facts, "node.reply"), name);
}

static bool
mesh_is_self(const json_t *facts, const json_t *node)
{
	return strcmp(doctor_text(node, "id"),
		      doctor_text(facts, "node.reply.status.node.id")) == 0;
}

/* This node's own row, NULL when it is not there yet. */
static const json_t *
mesh_self(const json_t *facts)
{
	const json_t *nodes = mesh_list(facts, "nodes"), *node;
	size_t i;

	json_array_foreach((json_t *)nodes, i, node)
	{
		if (mesh_is_self(facts, node))
			return node;
	}
	return NULL;
}

static bool
mesh_state_is(const json_t *object, const char *state)
{
	return strcmp(doctor_text(object, "state"), state) == 0;
}

/* Does it belong to the cluster still, so that one should reach it? */
static bool
mesh_is_member(const json_t *node)
{
	return !mesh_state_is(node, "left") && !mesh_state_is(node, "forgotten") &&
	       !mesh_state_is(node, "banned");
}

static int
mesh_count_others(const json_t *facts)
{
	const json_t *nodes = mesh_list(facts, "nodes"), *node;
	int others = 0;
	size_t i;

	json_array_foreach((json_t *)nodes, i, node)
	{
		others += mesh_is_member(node) && !mesh_is_self(facts, node);
	}
	return others;
}

/* Links that are up, in a direction ("in", "out"). */
static int
mesh_count_links(const json_t *facts, const char *direction)
{
	const json_t *peers = mesh_list(facts, "peers"), *peer;
	int links = 0;
	size_t i;

	json_array_foreach((json_t *)peers, i, peer)
	{
		links += mesh_state_is(peer, "up") &&
			 strcmp(doctor_text(peer, "direction"), direction) == 0;
	}
	return links;
}

/* The last dial that failed, of this node (NULL: of any address), or NULL. */
static const json_t *
mesh_failure(const json_t *facts, const char *id)
{
	const json_t *dials = mesh_list(facts, "dials"), *dial, *last = NULL;
	size_t i;

	json_array_foreach((json_t *)dials, i, dial)
	{
		if (id == NULL || strcmp(doctor_text(dial, "node"), id) == 0)
			last = dial;
	}
	return last;
}

/* The address and why; many reasons begin with the address themselves. */
static void
mesh_put_failure(const json_t *failure, struct buf *out)
{
	const char *address = doctor_text(failure, "address");
	const char *error = doctor_text(failure, "error");

	if (strncmp(error, address, strlen(address)) != 0)
		buf_printf(out, "%s: ", address);
	buf_put_text(out, error);
}

/* ---- links ---- */

#define MESH_BARRED "node.reply.status.node.barred"

void
doctor_judge_links(struct doctor *d, const json_t *facts)
{
	int in = mesh_count_links(facts, "in"), out = mesh_count_links(facts, "out");
	const json_t *failure = mesh_failure(facts, NULL);
	int others = mesh_count_others(facts);
	struct buf why = BUF_INIT;

	mesh_put_failure(failure, &why);
	if (doctor_text(facts, MESH_BARRED)[0] != '\0')
		doctor_say(
			d, DOCTOR_PROBLEM,
			mem_strdup("banned: ask for ocf unban; forgotten: join anew, see "
				   "A NEW KEY in ocf(1)"),
			"the others take this node for no member any more: %s",
			doctor_text(facts, MESH_BARRED));
	else if (in + out > 0)
		doctor_say(d, DOCTOR_OK, NULL,
			   "%d of %d other %s linked: %d dialled from here, %d by them%s",
			   in + out < others ? in + out : others, others,
			   others == 1 ? "node is" : "nodes are", out, in,
			   in + out < others && others > MESH_ALL_LINKED_MAX
				   ? "; of so many each is linked to some"
				   : "");
	else if (failure != NULL)
		doctor_say(d, DOCTOR_PROBLEM,
			   mem_strdup("is ocfd up there, and does a firewall let TCP "
				      "through to it? Where it moved, name its address: "
				      "peer.seeds = HOST:8093"),
			   "this node is cut off: no other is linked; of the last one "
			   "dialled: %s",
			   buf_text(&why));
	else if (others > 0)
		doctor_say(
			d, DOCTOR_PROBLEM,
			mem_strdup("wait a moment; then name one's address: peer.seeds = "
				   "HOST:8093"),
			"this node is cut off: none of %d other %s is linked", others,
			others == 1 ? "node" : "nodes");
	else
		doctor_say(d, DOCTOR_OK, NULL,
			   "this node is the only one of its cluster: ocf invite brings "
			   "others in");
	buf_fini(&why);
}

/* ---- inbound ---- */

static char *
mesh_open_door(void)
{
	return mem_strdup(
		"if others cannot dial it: set peer.advertise to an address "
		"that they reach, let TCP 8093 through the firewall, forward it "
		"at the router, or use a VPN");
}

void
doctor_judge_inbound(struct doctor *d, const json_t *facts)
{
	const json_t *told = output_member(mesh_self(facts), "inbound");
	int count = (int)doctor_number(facts, "node.reply.inbound.count", 0);
	char ago[FORMAT_SIZE], up[FORMAT_SIZE];

	format_span(doctor_number(facts, "node.reply.inbound.last_s", 0), ago);
	format_span(doctor_number(facts, "node.reply.status.node.uptime_s", 0), up);
	if (json_is_false(told))
		doctor_say(d, DOCTOR_WARNING, mesh_open_door(),
			   "others cannot open links to this node: one has tried its "
			   "addresses; it works by the links that this node opens");
	else if (count > 0)
		doctor_say(
			d, DOCTOR_OK, NULL,
			"others reach this node: they dialled it %d %s, the last %s ago",
			count, count == 1 ? "time" : "times", ago);
	else if (json_is_true(told))
		doctor_say(d, DOCTOR_OK, NULL,
			   "others reach this node: one has dialled it to see");
	else if (mesh_count_others(facts) == 0)
		doctor_say(d, DOCTOR_OK, NULL,
			   "there is nobody who could dial this node");
	else
		doctor_say(
			d, DOCTOR_UNKNOWN, mesh_open_door(),
			"whether others reach this node is not known: none has dialled "
			"it in the %s that ocfd is up",
			up);
}

/* ---- addresses ---- */

static bool
mesh_all(const json_t *addresses, bool (*is)(const char *address))
{
	const json_t *address;
	size_t i;

	json_array_foreach((json_t *)addresses, i, address)
	{
		if (!is(json_string_value(address)))
			return false;
	}
	return true;
}

/* Is there another node with an address that is none of this kind? */
static bool
mesh_is_other_beyond(const json_t *facts, bool (*is)(const char *address))
{
	const json_t *nodes = mesh_list(facts, "nodes"), *node;
	size_t i;

	json_array_foreach((json_t *)nodes, i, node)
	{
		if (!mesh_is_self(facts, node) && mesh_is_member(node) &&
		    !mesh_all(output_member(node, "addresses"), is))
			return true;
	}
	return false;
}

void
doctor_judge_addresses(struct doctor *d, const json_t *facts)
{
	const json_t *ours = mesh_list(facts, "addresses");
	struct buf list = BUF_INIT;

	output_list(ours, &list);
	if (json_array_size(ours) == 0)
		doctor_say(d, DOCTOR_WARNING, mesh_open_door(),
			   "this node tells no address: nobody can dial it");
	else if (mesh_all(ours, address_is_loopback) &&
		 mesh_is_other_beyond(facts, address_is_loopback))
		doctor_say(
			d, DOCTOR_WARNING,
			mem_strdup("peer.listen = [::]:8093, or peer.advertise = an "
				   "address that the others reach"),
			"this node tells only addresses of this machine itself (%s), and "
			"there are nodes on others",
			buf_text(&list));
	else if (mesh_all(ours, network_is_private) &&
		 mesh_is_other_beyond(facts, network_is_private))
		doctor_say(
			d, DOCTOR_WARNING, mesh_open_door(),
			"this node tells only private addresses (%s), and there are nodes "
			"elsewhere, which cannot dial them",
			buf_text(&list));
	else
		doctor_say(d, DOCTOR_OK, NULL, "others are told %s", buf_text(&list));
	buf_fini(&list);
}

/* ---- nodes ---- */

/* "n2 (dead, last seen 3 min ago; 10.0.0.2:8093: connection refused)" */
static void
mesh_put_lost(const json_t *facts, const json_t *node, struct buf *out)
{
	const json_t *failure = mesh_failure(facts, doctor_text(node, "id"));
	double seen_s = doctor_number(node, "last_seen_s", -1);
	char span[FORMAT_SIZE];

	buf_printf(out, "%s (%s", doctor_text(node, "name"), doctor_text(node, "state"));
	if (seen_s >= 0)
		buf_printf(out, ", last seen %s ago", format_span(seen_s, span));
	if (failure != NULL) {
		buf_put_text(out, "; ");
		mesh_put_failure(failure, out);
	}
	buf_put_text(out, ")");
}

void
doctor_judge_nodes(struct doctor *d, const json_t *facts)
{
	const json_t *nodes = mesh_list(facts, "nodes"), *node;
	struct buf list = BUF_INIT;
	int all = 0, lost = 0;
	size_t i;

	if (doctor_text(facts, MESH_BARRED)[0] != '\0') {
		doctor_say(d, DOCTOR_UNKNOWN, NULL,
			   "the others do not talk to this node any more");
		return;
	}
	json_array_foreach((json_t *)nodes, i, node)
	{
		bool is_lost = mesh_state_is(node, "dead") ||
			       mesh_state_is(node, "unreachable") ||
			       mesh_state_is(node, "suspect");

		all += mesh_is_member(node);
		if (!is_lost || lost++ >= MESH_NAMED_MAX)
			continue;
		buf_put_text(&list, lost > 1 ? ", " : "");
		mesh_put_lost(facts, node, &list);
	}
	if (lost > 0)
		doctor_say(
			d, DOCTOR_WARNING,
			mem_strdup("start ocfd there, or see to the network between; one "
				   "that is gone for good: ocf forget NODE"),
			"%d of %d nodes %s: %s%s", lost, all,
			lost == 1 ? "does not answer" : "do not answer", buf_text(&list),
			lost > MESH_NAMED_MAX ? ", …" : "");
	else
		doctor_say(d, DOCTOR_OK, NULL, "%d in the table, none is lost", all);
	buf_fini(&list);
}
