#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that is gone for good is forgotten: it is shown no more, what the table holds of it
# goes when the retention is over, and should it return it is told to join anew.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

DAYS_8=691200000 # the retention is 7
cluster_start 3
declare -A PEER=()
for node in n1 n2 n3; do PEER[$node]=$(node_field "$node" peer); done
again() { # NODE [OFFSET]: where it was before, with its clock so far ahead
	OCF_TEST_CLOCK_MS=${2:-0} node_start "$1" --peer.listen="${PEER[$1]}"
}
id3=$(node_id n3)
state_is() { # NODE STATE: of n3; nothing when it is not listed
	[ "$(at "$1" ocf nodes --all --json | jq -r --arg id "$id3" '.[] | select(.id == $id) | .state')" = "$2" ]
}
worker_start n3 counter --service wc -- wc -w
wait_until "$CLUSTER_SECONDS" sees_worker n1 counter || cluster_fail "no worker" "$TMP"/n*/log

run at n1 ocf forget n3
is "a node that is alive is not forgotten" "$status" 1
like "and the sentence says what to do" "$err" 'is alive.*drain and stop it first, or ban it'
node_stop n3
ok "it stops" wait_until "$CLUSTER_SECONDS" state_is n1 dead
run at n1 ocf forget n3
is "now it is forgotten" "$status" 0 || diag "$err"
run at n1 ocf forget "$id3"
is "once more is no error" "$status" 0
like "and says so" "$err" 'forgotten already.*since 20.*by node n1'
for node in n1 n2; do
	ok "$node shows it as forgotten" wait_until "$CLUSTER_SECONDS" state_is "$node" forgotten
	is "with --all only" "$(at "$node" ocf nodes --json | jq length)" 2
	is "and counts it no more" "$(at "$node" ocf status --json | jq .cluster.nodes)" 2
	ok "nor shows its worker" sees_no_worker "$node" counter
done
run at n1 ocf unban n3
is "it cannot be taken back" "$status" 1
like "but join anew" "$err" 'joining anew'
run at n1 ocf ban n3
is "it may be banned as well" "$status" 0 || diag "$err"
run at n1 ocf unban n3
is "and unbanned" "$status" 0 || diag "$err"
like "which does not let it in" "$err" 'not banned, but it is forgotten'

# ---- it returns

again n3
told() { grep -q 'no member any more.*forgotten.*join anew.*by node n1' "$TMP/n3/log"; }
ok "when it returns it is refused, and told to join anew" wait_until "$CLUSTER_SECONDS" told ||
	tail -n 5 "$TMP/n3/log" | diag
has_no_link() { # NODE
	at "$1" ocf peers --json | jq -e --arg id "$id3" 'all(.[]; .node != $id or .state != "up")'
}
for node in n1 n2; do
	ok "$node still has it as forgotten" state_is "$node" forgotten
	ok "and has no link to it" has_no_link "$node"
done

# ---- the retention is over

stored() { at "$1" ocf status --json | jq .table.stored; }
ok "the two have the same table" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2
before=$(stored n1)
for node in n1 n2 n3; do node_stop "$node"; done
for node in n1 n2 n3; do again "$node" "$DAYS_8"; done
for node in n1 n2; do
	ok "$node has swept its rows" wait_until "$CLUSTER_SECONDS" state_is "$node" ""
done
linked() { at n1 ocf peers --json | jq -e --arg id "$(node_id n2)" 'any(.[]; .node == $id and .state == "up")'; }
ok "the two are linked" wait_until "$CLUSTER_SECONDS" linked
ok "and have the same table" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2
after=$(stored n1)
ok "of fewer rows ($before, then $after)" [ "$after" -lt "$before" ]
told_again() { [ "$(grep -c 'no member any more' "$TMP/n3/log")" -ge 2 ]; }
ok "it is refused as before" wait_until "$CLUSTER_SECONDS" told_again
ok "and nothing of it has come back" state_is n2 ""

# ---- anew

worker_stop counter
node_stop n3
rm -rf "$TMP/n3/state/ocf"
OCF_TEST_CLOCK_MS=$DAYS_8 node_join n3 n1
again n3 "$DAYS_8"
for node in n1 n2 n3; do
	ok "$node sees three nodes when it has joined anew" \
		wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 3
done
cluster_done
