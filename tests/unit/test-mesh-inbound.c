/* SPDX-License-Identifier: Apache-2.0 */
/* Can others open links to this node? Whom it asks, what it believes, and for whom it dials
 * back. */
#include "config.h"

#include <string.h>

#include "lib/tap.h"
#include "unit/mesh-rig.h"

static const char *const home[] = { "192.168.0.7:8093", "[2001:db8::7]:8093" };

/* The peer that was asked now, among those linked; -1: nobody was. */
static int
asked(struct rig *r, uint64_t *ret_token)
{
	const struct rig_frame *f = NULL;
	uint64_t addresses;

	for (int i = 0; i < RIG_PEERS; i++) {
		if (r->links[i] == 0 || rig_sent(r, i, WIRE_DIAL_BACK, &f) == 0)
			continue;
		CU_ASSERT(wire_read_dial_back(buf_bytes(&f->payload), ret_token,
					      &addresses) == 0);
		CU_ASSERT(addresses == wire_addresses_digest(home, 2));
		return i;
	}
	return -1;
}

static void
answer(struct rig *r, int i, uint64_t token, enum wire_dialled result)
{
	struct buf b = BUF_INIT;

	rig_forget(r);
	wire_put_dialled(&b, token, result);
	rig_hear(r, i, &b);
	rig_pass(r, 10);
}

static void
start(struct rig *r, int far, int near)
{
	rig_init(r, home, 2);
	rig_pass(r, MS_MINUTE);
	CU_ASSERT(mesh_inbound(r->mesh) == MESH_INBOUND_UNKNOWN);
	for (int i = 0; i < far + near; i++)
		rig_up(r, i, i >= far);
	rig_pass(r, MESH_INBOUND_FIRST_MS);
}

static void
test_a_yes_is_believed(void)
{
	uint64_t token;
	struct rig r;
	int i;

	start(&r, 3, 0);
	i = asked(&r, &token);
	CU_ASSERT_FATAL(i >= 0);
	answer(&r, i, token + 1, WIRE_DIALLED_REACHED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_UNKNOWN);
	answer(&r, (i + 1) % 3, token, WIRE_DIALLED_REACHED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_UNKNOWN);
	answer(&r, i, token, WIRE_DIALLED_REACHED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_YES);
	rig_pass(&r, MESH_INBOUND_MS - MS_SECOND);
	CU_ASSERT(asked(&r, &token) == -1);
	rig_pass(&r, 2 * MS_SECOND);
	i = asked(&r, &token);
	CU_ASSERT_FATAL(i >= 0);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_YES);
	rig_fini(&r);
}

static void
test_a_no_needs_two(void)
{
	uint64_t token;
	struct rig r;
	int first, second;

	start(&r, 3, 1);
	first = asked(&r, &token);
	CU_ASSERT_FATAL(first >= 0);
	answer(&r, first, token, WIRE_DIALLED_FAILED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_UNKNOWN);
	second = asked(&r, &token);
	CU_ASSERT_FATAL(second >= 0);
	CU_ASSERT(second != first && second < 3);
	answer(&r, second, token, WIRE_DIALLED_FAILED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_NO);
	rig_fini(&r);
}

/* One alone may have said no for a fault of the network that is over. */
static void
test_a_second_one_is_asked(void)
{
	uint64_t token;
	struct rig r;
	int i;

	start(&r, 1, 1);
	CU_ASSERT_FATAL(asked(&r, &token) == 0);
	answer(&r, 0, token, WIRE_DIALLED_FAILED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_NO);
	/* The same one, and another in the same network, are none. */
	rig_down(&r, 0);
	rig_up(&r, 0, false);
	rig_up(&r, 2, true);
	rig_pass(&r, 2 * MESH_INBOUND_FIRST_MS);
	CU_ASSERT(asked(&r, &token) == -1);
	rig_up(&r, 3, false);
	rig_pass(&r, MESH_INBOUND_FIRST_MS);
	i = asked(&r, &token);
	CU_ASSERT_FATAL(i == 0 || i == 3);
	answer(&r, i, token, WIRE_DIALLED_REACHED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_YES);
	/* Once. */
	rig_forget(&r);
	rig_up(&r, 4, false);
	rig_pass(&r, 2 * MESH_INBOUND_FIRST_MS);
	CU_ASSERT(asked(&r, &token) == -1);
	rig_fini(&r);
}

/* Peers at public addresses are asked first, and those of the same network only without
 * them. */
static void
test_near_peers_are_no_witnesses(void)
{
	uint64_t token;
	struct rig r;

	start(&r, 1, 3);
	CU_ASSERT_FATAL(asked(&r, &token) == 0);
	answer(&r, 0, token, WIRE_DIALLED_FAILED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_NO);
	rig_fini(&r);

	start(&r, 0, 1);
	CU_ASSERT_FATAL(asked(&r, &token) == 0);
	answer(&r, 0, token, WIRE_DIALLED_FAILED);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_NO);
	rig_fini(&r);
}

static void
test_no_answer_is_no_no(void)
{
	uint64_t token;
	struct rig r;
	int i;

	start(&r, 2, 0);
	i = asked(&r, &token);
	CU_ASSERT_FATAL(i >= 0);
	/* It cannot try: the other one is asked, then it again. */
	answer(&r, i, token, WIRE_DIALLED_NOT);
	CU_ASSERT(asked(&r, &token) == 1 - i);
	rig_down(&r, 1 - i);
	rig_forget(&r);
	rig_pass(&r, MESH_INBOUND_AGAIN_MS);
	CU_ASSERT(asked(&r, &token) == i);
	/* It never answers. */
	rig_forget(&r);
	rig_pass(&r, 2 * MESH_PROBE_MS + MESH_INBOUND_AGAIN_MS + MS_SECOND);
	CU_ASSERT(asked(&r, &token) == i);
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_UNKNOWN);
	rig_down(&r, i);
	rig_forget(&r);
	rig_pass(&r, MS_HOUR);
	rig_up(&r, i, false);
	rig_pass(&r, MESH_INBOUND_FIRST_MS);
	CU_ASSERT(asked(&r, &token) == i);
	rig_fini(&r);
}

static void
test_other_addresses_are_tested(void)
{
	static const char *const moved[] = { "192.168.9.9:8093" };
	const struct rig_frame *f = NULL;
	uint64_t token, addresses;
	struct rig r;
	int i;

	start(&r, 1, 0);
	i = asked(&r, &token);
	answer(&r, i, token, WIRE_DIALLED_REACHED);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_SELF,
					  .addresses = home,
					  .addresses_len = 2 });
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_YES);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_SELF,
					  .addresses = moved,
					  .addresses_len = 1 });
	CU_ASSERT(mesh_inbound(r.mesh) == MESH_INBOUND_UNKNOWN);
	rig_pass(&r, MESH_INBOUND_FIRST_MS);
	CU_ASSERT_FATAL(rig_sent(&r, 0, WIRE_DIAL_BACK, &f) == 1);
	CU_ASSERT(wire_read_dial_back(buf_bytes(&f->payload), &token, &addresses) == 0);
	CU_ASSERT(addresses == wire_addresses_digest(moved, 1));
	rig_fini(&r);
}

static void
ask(struct rig *r, int i, uint64_t token, uint64_t addresses)
{
	struct buf b = BUF_INIT;

	rig_forget(r);
	wire_put_dial_back(&b, token, addresses);
	rig_hear(r, i, &b);
}

/* What we said last, or -1. */
static int
said(const struct rig *r, int i, uint64_t token)
{
	const struct rig_frame *f = NULL;
	enum wire_dialled result;
	uint64_t back;

	if (rig_sent(r, i, WIRE_DIALLED, &f) == 0)
		return -1;
	CU_ASSERT(wire_read_dialled(buf_bytes(&f->payload), &back, &result) == 0);
	CU_ASSERT(back == token);
	return (int)result;
}

static uint64_t
digest_of(int i)
{
	char address[] = "10.0.0.0:1";
	const char *addresses[] = { address };

	address[7] = (char)('0' + i);
	return wire_addresses_digest(addresses, 1);
}

static void
probed(struct rig *r, const struct id *who)
{
	rig_step(r, (struct mesh_event){
			    .type = MESH_EVENT_PROBED, .link = r->probe, .node = *who });
}

static void
test_dialling_back(void)
{
	struct rig r;

	rig_init(&r, home, 2);
	rig_up(&r, 0, false);
	rig_up(&r, 1, false);
	/* Its row is not here, or another one. */
	ask(&r, 0, 7, digest_of(0));
	CU_ASSERT(said(&r, 0, 7) == WIRE_DIALLED_NOT && r.probes == 0);
	rig_row(&r, 0, MESH_INBOUND_UNKNOWN);
	ask(&r, 0, 8, digest_of(1));
	CU_ASSERT(said(&r, 0, 8) == WIRE_DIALLED_NOT && r.probes == 0);
	/* Somebody else answers there: that is told when the time is over. */
	ask(&r, 0, 9, digest_of(0));
	CU_ASSERT(said(&r, 0, 9) == -1 && r.probes == 1);
	CU_ASSERT_STRING_EQUAL(r.address, "10.0.0.0:1");
	probed(&r, &r.peers[1]);
	CU_ASSERT(said(&r, 0, 9) == -1);
	rig_pass(&r, MESH_PROBE_MS - 1);
	CU_ASSERT(said(&r, 0, 9) == -1 && r.probe_ends == 0);
	rig_pass(&r, 1);
	CU_ASSERT(said(&r, 0, 9) == WIRE_DIALLED_FAILED && r.probe_ends == 1);
	/* Once a minute, also over another link. */
	ask(&r, 0, 10, digest_of(0));
	CU_ASSERT(said(&r, 0, 10) == WIRE_DIALLED_NOT && r.probes == 0);
	rig_down(&r, 0);
	rig_up(&r, 0, false);
	ask(&r, 0, 11, digest_of(0));
	CU_ASSERT(said(&r, 0, 11) == WIRE_DIALLED_NOT && r.probes == 0);
	rig_pass(&r, MESH_DIAL_BACK_MS);
	ask(&r, 0, 12, digest_of(0));
	probed(&r, &r.peers[0]);
	CU_ASSERT(said(&r, 0, 12) == WIRE_DIALLED_REACHED && r.probe_ends == 1);
	probed(&r, &r.peers[0]);
	CU_ASSERT(rig_sent(&r, 0, WIRE_DIALLED, NULL) == 1);
	rig_fini(&r);
}

static void
test_too_many_questions(void)
{
	struct rig r;

	rig_init(&r, home, 2);
	rig_up(&r, 0, false);
	for (int i = 0; i < MESH_DIAL_BACKS_MAX; i++)
		ask(&r, 0, 1, 0);
	CU_ASSERT(r.links[0] != 0);
	ask(&r, 0, 1, 0);
	CU_ASSERT(r.links[0] == 0 && r.closed == 1);
	rig_fini(&r);
}

/* What a dial-back leaves at the node that asked: a stream that comes and goes. */
static void
test_a_dial_back_is_no_failure(void)
{
	struct rig r;
	uint64_t link;

	rig_init(&r, home, 2);
	rig_row(&r, 0, MESH_INBOUND_YES);
	rig_up(&r, 0, false);
	link = mesh_link_new(r.mesh);
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_LINK_OPEN,
					  .link = link,
					  .node = r.peers[0] });
	rig_step(&r, (struct mesh_event){ .type = MESH_EVENT_LINK_CLOSED,
					  .link = link,
					  .why = "end" });
	CU_ASSERT(mesh_link_of(r.mesh, &r.peers[0]) == r.links[0]);
	rig_fini(&r);
}

static const struct tap_test tests[] = {
	{ "one peer that reached this node is believed, if it was asked; an hour later "
	  "another is asked",
	  test_a_yes_is_believed },
	{ "a no is believed when another says the same", test_a_no_needs_two },
	{ "a no of one who was alone is doubted when there is another",
	  test_a_second_one_is_asked },
	{ "with peers at public addresses those of the same network are not asked",
	  test_near_peers_are_no_witnesses },
	{ "a peer that cannot try or does not answer has said nothing",
	  test_no_answer_is_no_no },
	{ "other addresses are tested anew", test_other_addresses_are_tested },
	{ "a node is dialled back at the addresses of its row, once a minute; a no comes "
	  "when the time is over",
	  test_dialling_back },
	{ "who asks more often than anybody needs loses the link",
	  test_too_many_questions },
	{ "a link that comes and goes beside another one changes nothing",
	  test_a_dial_back_is_no_failure },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
