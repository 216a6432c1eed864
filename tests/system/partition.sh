#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A network that falls into two halves, with real nodes in it: both go on with what they
# reach, both write, and after it is whole again so is the table. See ocf-cap(7).
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "a partition" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"

PARTITION_SECONDS=20 # until what cannot be reached is hidden
HEAL_SECONDS=60      # until all is whole; a node that did not answer is dialled twice a minute

network_start "a partition"
network_attach n1 left
network_attach n2 left
network_attach n3 right
network_attach n4 right
network_attach n5 left
cluster_start 4
worker_start n2 here-left --service where -- echo left
worker_start n3 here-right --service where -- echo right
worker_start n2 only-left --service left -- rev
worker_start n4 only-right --service right -- rev
worker_start n1 leaver-left --service wc -- wc -w
worker_start n4 leaver-right --service wc -- wc -w
for id in here-left here-right only-left only-right leaver-left leaver-right; do
	for node in n1 n2 n3 n4; do
		wait_until "$CLUSTER_SECONDS" sees_worker "$node" "$id" ||
			cluster_fail "$node is not told of $id" "$TMP"/n*/log
	done
done
answers() { # NODE SERVICE ANSWER
	[ "$(at "$1" ocf query "$2" --data abc 2>/dev/null)" = "$3" ]
}
hides_service() { # NODE SERVICE: nobody who could be asked offers it
	at "$1" ocf services --json | jq -e --arg name "$2" 'all(.[]; .name != $name)'
}
ok "in a whole network, queries cross" answers n1 right cba
state() { # NODE ID: of that worker
	at "$1" ocf workers --json | jq -r --arg id "$2" '.[] | select(.id == $id) | .state'
}

# ---- apart

# A node that is let in, but cannot reach anybody: told to try later, and nothing is spent.
node_folder n5
token=$(at n1 ocf invite 2>/dev/null)
network_cut n5
run at n5 ocf join --name n5 "$token"
is "joining without a network: try later" "$status" 75 || diag "$err"
network_mend n5

network_split
since=$SECONDS
pids=()
for i in 1 2 3 4 5 6 7 8; do
	at n1 ocf query where --data x --timeout 60s >"$TMP/left.$i" 2>&1 &
	pids+=($!)
	at n4 ocf query where --data x --timeout 60s >"$TMP/right.$i" 2>&1 &
	pids+=($!)
done
wait "${pids[@]}"
is "queries sent as the network breaks are answered by their own half" \
	"$(sort -u "$TMP"/left.*) $(sort -u "$TMP"/right.*)" "left right"
for node in n1 n2 n3 n4; do
	ok "$node sees its half alone" wait_until "$PARTITION_SECONDS" sees_nodes "$node" 2
done
ok "the left half offers nothing of the right" wait_until 5 hides_service n1 right
ok "nor the right one of the left" wait_until 5 hides_service n3 left
diag "hidden after $((SECONDS - since)) s"
ok "a query within the left half is answered" answers n1 left cba
ok "one within the right half, too" answers n3 right cba
run at n1 ocf query right --data abc
is "for what only the other half has: try later" "$status" 75 || diag "$err"

# Both write.
worker_stop leaver-left
worker_stop leaver-right
worker_start n1 new-left --service new -- echo new-left
worker_start n3 new-right --service new -- echo new-right
ok "the left half sees its new worker" wait_until "$CLUSTER_SECONDS" sees_worker n2 new-left
ok "the right half sees its own" wait_until "$CLUSTER_SECONDS" sees_worker n4 new-right
ok "the left one sees who left it" wait_until "$CLUSTER_SECONDS" sees_no_worker n2 leaver-left
ok "the right one, too" wait_until "$CLUSTER_SECONDS" sees_no_worker n3 leaver-right
ok "what the right half writes does not cross" sees_no_worker n1 new-right

# The half with the cluster's key takes somebody in.
run at n5 ocf join --name n5 "$token"
is "the token of before lets the node into one half" "$status" 0 || diag "$err"
node_start n5
ok "it sees that half" wait_until "$CLUSTER_SECONDS" sees_nodes n5 3
ok "and has its whole table" wait_until "$CLUSTER_SECONDS" sees_worker n5 new-left
is "with the other half's workers, which cannot be asked" "$(state n5 only-right)" hidden
run at n3 ocf invite
is "the half without the key cannot let anybody in" "$status" 77 || diag "$err"

# ---- whole again

network_join
since=$SECONDS
for node in n1 n2 n3 n4 n5; do
	ok "$node sees all five" wait_until "$HEAL_SECONDS" sees_nodes "$node" 5 ||
		at "$node" ocf nodes 2>&1 | diag
done
diag "linked after $((SECONDS - since)) s"
roots() {
	local node
	for node in n1 n2 n3 n4 n5; do at "$node" ocf status --json | jq -r .table.root; done
}
roots_are_equal() { [ "$(roots | sort -u | wc -l)" -eq 1 ]; }
ok "all five have the same table" wait_until "$HEAL_SECONDS" roots_are_equal || roots | diag
diag "equal after $((SECONDS - since)) s"
listed() { at "$1" ocf workers --json | jq -r '[.[] | .id + ":" + .state] | sort | join(" ")'; }
wanted="here-left:ready here-right:ready new-left:ready new-right:ready only-left:ready only-right:ready"
for node in n1 n2 n3 n4 n5; do
	is "$node has all that live and none that left" "$(listed "$node")" "$wanted"
done
ok "queries cross to the right" wait_until 10 answers n5 right cba
ok "and to the left" wait_until 10 answers n3 left cba
cluster_done
