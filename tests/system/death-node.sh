#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of an ocfd, of three, at a random moment: idle, while others ask it, while its own
# clients wait. The rest goes on, and a restart heals it.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/death.sh
. "$OCF_TEST_SRCDIR/tests/lib/death.sh"

death_cluster

# ---- idle

death_pick n1 n2 n3
node_kill "$picked"
sees_others() { local n; for n in "${!NODE_PID[@]}"; do sees_nodes "$n" 2 || return 1; done; }
ok "when $picked is killed, the others notice" wait_until "$CLUSTER_SECONDS" sees_others
ok "its nats-server dies with it" wait_until "$CLUSTER_SECONDS" server_is_gone "$picked"
node_start "$picked"
healed "$picked back" "n1 n2 n3" "e1 e2 e3"

# ---- while queries run

for victim in n2 n3; do
	load_start n1 repeatable
	load_start n1 once
	ok "clients of n1 are answered" load_goes_on 3
	death_moment 1000
	node_kill "$victim"
	ok "after the death of $victim, too" load_goes_on 5
	ok "$victim is seen to be dead" wait_until "$CLUSTER_SECONDS" sees_others
	death_moment 500
	node_start "$victim"
	ok "they are answered while it comes back" load_goes_on 5
	load_judge "around the death of $victim every query had its answer, or a clear error"
	healed "$victim back" "n1 n2 n3" "e1 e2 e3"
done

# ---- the node that was asked

worker_start n2 gated --service gated -- sh -c "echo >>'$TMP/taken'; while [ ! -e '$TMP/gate' ]; do sleep 0.05; done"
wait_until "$CLUSTER_SECONDS" sees_worker n1 gated
curl -s -m $((60 * ${OCF_TEST_PATIENCE:-1})) -o /dev/null -d x "$(node_url n1)/v1/service/gated" &
client=$!
ok "a client of n1 waits for a worker of n2" wait_until "$CLUSTER_SECONDS" test -s "$TMP/taken"
load_start n2 repeatable
load_start n3 once
node_kill n1
status=0
wait "$client" || status=$?
ok "when n1 is killed, its client knows at once" test "$status" -ne 28 -a "$status" -ne 0
no_command() { ! pgrep -f "^sh -c echo .*$TMP/taken" >/dev/null; }
ok "and the worker stops what nobody waits for" wait_until "$CLUSTER_SECONDS" no_command
ok "clients of the others are answered" load_goes_on 5
load_judge "around the death of n1 every query of the others had its answer, or a clear error"
node_start n1
healed "n1 back" "n1 n2 n3" "e1 e2 e3 gated"
cluster_done
