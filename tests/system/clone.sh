#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A data folder is copied to a second machine, and both run: one of the two finds out and
# stops, naming both; the other goes on, and nothing of what it says is lost. See ocf-cap(7).
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 3
worker_start n2 first --service wc -- wc -w
wait_until "$CLUSTER_SECONDS" sees_worker n1 first || bail "n1 is not told of the worker"
node_stop n2
node_folder n4
cp -a "$TMP/n2/state/ocf" "$TMP/n4/state/ocf"

# In whichever order they find each other, one ends.
node_start n2
at_background n4 "$TMP/n4/log" ocfd "${CLUSTER_LISTEN[@]}"
NODE_PID[n4]=$!
one_is_gone() { is_gone "${NODE_PID[n2]}" || is_gone "${NODE_PID[n4]}"; }
ok "one of the two stops" wait_until 60 one_is_gone ||
	tail -n 5 "$TMP/n2/log" "$TMP/n4/log" | diag
if is_gone "${NODE_PID[n2]}"; then
	gone=n2
	stays=n4
else
	gone=n4
	stays=n2
fi
status=0
wait "${NODE_PID[$gone]}" || status=$?
unset "NODE_PID[$gone]"
is "with the status of a wrong configuration" "$status" 78
peer_of() { grep -o '"peer": *"[^"]*"' "$TMP/$1/log" | tail -n 1 | cut -d'"' -f4; }
last=$(tail -n 1 "$TMP/$gone/log")
like "its last line says why" "$last" "another machine runs with this node's identity"
like "and names the other's address" "$last" "it is at $(peer_of "$stays")"
like "and its own" "$last" "this one at $(peer_of "$gone")"

worker_start "$stays" second --service rev -- rev
for node in n1 n3; do
	ok "$node is told of its worker" wait_until "$CLUSTER_SECONDS" sees_worker "$node" second
	ok "$node sees three nodes" wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 3
done
run at n1 ocf query rev --data abc
is "which answers" "$status $out" "0 cba"
ok "the three tables are one" wait_until 60 tables_are_equal n1 n3 "$stays"
at "$stays" curl -s "$(node_url "$stays")/metrics" >"$TMP/metrics"
renewals=$(grep -c '^ocf_actor_renewals_total [1-9]' "$TMP/metrics")
is "and it numbers its rows anew" "$renewals" 1 || grep renewals "$TMP/metrics" | diag
ok "and it goes on" kill -0 "${NODE_PID[$stays]}"
cluster_done
