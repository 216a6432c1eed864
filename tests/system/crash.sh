#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that is killed: its nats-server does not stay, its table does, and the others see it
# go and come back.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 2
worker_start n2 keeper --service wc -- wc -w
ok "n1 is told of n2's worker" wait_until "$CLUSTER_SECONDS" sees_worker n1 keeper
rows=$(at n1 ocf status --json | jq -c '[.table.stored, .cluster.id, .node.id]')

nats_servers() { cluster_leftovers | grep -c 'nats-server'; }
is "each node has a nats-server of its own" "$(nats_servers)" 2
node_kill n1
one_is_left() { [ "$(nats_servers)" -eq 1 ]; }
ok "a killed node's nats-server dies with it" wait_until 10 one_is_left ||
	diag "$(cluster_leftovers)"
node_start n1
is "restarted, the node has its table, cluster and identity" \
	"$(at n1 ocf status --json | jq -c '[.table.stored, .cluster.id, .node.id]')" "$rows"
ok "the nodes find each other again" wait_until "$CLUSTER_SECONDS" sees_nodes n1 2
ok "both ways" wait_until "$CLUSTER_SECONDS" sees_nodes n2 2
answers() { [ "$(at n1 ocf query wc --data 'a b c' 2>/dev/null)" = 3 ]; }
ok "and a query goes across" wait_until "$CLUSTER_SECONDS" answers

# Every restart here moves a node to other ports. Two that move at once lose each other, so n2
# must have heard of n1's new address before it is killed.
knows_address() {
	at n2 ocf nodes --json | jq -e --arg address "$(node_field n1 peer)" \
		'any(.[]; .name == "n1" and any(.addresses[]; . == $address))'
}
ok "n2 is told of n1's new address" wait_until "$CLUSTER_SECONDS" knows_address

# The node with the worker: its bus comes back at the same address, the worker by itself.
bus=$(node_field n2 bus)
node_kill n2
sees_dead() { sees_nodes n1 1; }
ok "n1 notices that n2 is dead" wait_until "$CLUSTER_SECONDS" sees_dead
counts() { at n1 ocf status --json | jq -c '.table | [.rows, .workers, .stored]'; }
is "its worker does not count, but is stored" "$(counts)" '[2,0,3]'
node_start n2 --bus.listen="$bus"
ok "the worker announces itself again" wait_until "$CLUSTER_SECONDS" sees_worker n2 keeper
ok "n1 sees both nodes" wait_until "$CLUSTER_SECONDS" sees_nodes n1 2
ok "and a query goes across again" wait_until "$CLUSTER_SECONDS" answers
is "the worker has one row" "$(at n1 ocf workers --json | jq length)" 1

# Only the server is killed: its node starts another.
pid=$(cluster_leftovers | grep nats-server | grep "$TMP/n2/" | cut -d: -f1)
kill -KILL "$pid"
ok "a nats-server that is killed is replaced" wait_until "$CLUSTER_SECONDS" answers
is "and there is one a node" "$(nats_servers)" 2
is "the worker counts" "$(counts)" '[3,1,3]'
worker_stop keeper
is_gone_everywhere() { sees_no_worker n1 keeper; }
ok "a worker that leaves is gone" wait_until "$CLUSTER_SECONDS" is_gone_everywhere
is "and its removal is remembered" "$(counts)" '[2,0,3]'
cluster_done
