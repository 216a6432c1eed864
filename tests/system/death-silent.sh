#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that falls silent without dying (SIGSTOP: as a host that hangs, or a cable that is
# cut): the others hide it and go on; when it wakes, all is as before. The simulator shows
# that the first takes less than 10 s (tests/sim/test-sim-mesh.c).
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/death.sh
. "$OCF_TEST_SRCDIR/tests/lib/death.sh"

death_cluster
worker_start n2 only --service only -- cat
wait_until "$CLUSTER_SECONDS" sees_worker n1 only

state_is() { # SEEN-BY NODE STATE
	[ "$(at "$1" ocf nodes --json | jq -r --arg n "$2" '.[] | select(.name == $n) | .state')" = "$3" ]
}
load_start n1 repeatable
load_start n3 once
death_moment 1000
kill -STOP "${NODE_PID[n2]}"
at n1 ocf query only --data x >/dev/null 2>"$TMP/err" &
client=$!
ok "n1 takes the silent node for dead" wait_until "$CLUSTER_SECONDS" state_is n1 n2 dead
ok "n3, too" wait_until "$CLUSTER_SECONDS" state_is n3 n2 dead
is "its workers are hidden" \
	"$(at n1 ocf workers --json | jq -rc '[.[] | select(.node_name == "n2") | .state] | unique')" '["hidden"]'
status=0
wait "$client" || status=$?
is "who asked for what only it has, was told to come again" "$status" 75
run at n1 ocf query only --data x
is "who asks now is told so, too" "$status" 75
ok "the others' clients are answered" load_goes_on 3
load_judge "all the while every query had its answer, or a clear error"

load_start n1 repeatable
death_moment 3000
kill -CONT "${NODE_PID[n2]}"
healed "awake again" "n1 n2 n3" "e1 e2 e3 only"
run at n3 ocf query only --data again
is "its worker answers as before" "$status $out" "0 again"
load_judge "while it came back every query had its answer"
is "it never took the others for dead" "$(grep -cE 'node n[13] .* is dead' "$TMP/n2/log")" 0
cluster_done
