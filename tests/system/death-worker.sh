#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of a worker at a random moment: idle, with its command running, while it announces
# itself. Its command dies with it, its queries go elsewhere or fail clearly, its row goes.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/death.sh
. "$OCF_TEST_SRCDIR/tests/lib/death.sh"

death_cluster
nobody_sees() { # WORKER…
	local node id
	for node in "${!NODE_PID[@]}"; do
		for id in "$@"; do sees_no_worker "$node" "$id" || return 1; done
	done
}
again() { worker_start n2 e2 --service echo --slots 4 -- sh -c 'sleep 0.1; cat'; }

# ---- idle

worker_kill e2
ok "a worker that is killed is in no table any more" wait_until "$CLUSTER_SECONDS" nobody_sees e2
again
healed "it is back" "n1 n2 n3" "e1 e2 e3"

# ---- while queries run

load_start n1 repeatable
load_start n1 once
load_start n2 repeatable
load_start n2 once
for round in 1 2 3; do
	death_moment 600
	worker_kill e2
	ok "killed under load ($round), clients are answered" load_goes_on 3
	death_moment 600
	again
done
load_judge "around all of it every query had its answer, or a clear error"
healed "it is back" "n1 n2 n3" "e1 e2 e3"

# ---- with one command running, that nobody else can finish

worker_start n3 gated --service gated -- sh -c "echo >>'$TMP/taken'; while [ ! -e '$TMP/gate' ]; do sleep 0.05; done"
wait_until "$CLUSTER_SECONDS" sees_worker n1 gated
at n1 ocf query gated --data x >"$TMP/out" 2>"$TMP/err" &
client=$!
ok "a query runs" wait_until "$CLUSTER_SECONDS" test -s "$TMP/taken"
worker_kill gated
status=0
wait "$client" || status=$?
is "when its worker is killed, the client is told" "$status" 1
like "whose fault it was" "$(cat "$TMP/err")" 'gated'
no_command() { ! pgrep -f "^sh -c echo .*$TMP/taken" >/dev/null; }
ok "and its command does not go on" wait_until "$CLUSTER_SECONDS" no_command
run at n1 ocf query gated --data x
is "then the service is not offered any more" "$status" 1
like "and it is said" "$err" 'gated'

# ---- while it announces itself

for round in 1 2 3 4 5 6; do
	at_background n2 "$TMP/worker-brief.log" ocf-worker --id "brief$round" --service echo -- cat
	WORKER_PID[brief$round]=$!
	death_moment 250
	worker_kill "brief$round"
done
ok "workers killed while they came are in no table" wait_until "$CLUSTER_SECONDS" \
	nobody_sees brief1 brief2 brief3 brief4 brief5 brief6
healed "the rest is there" "n1 n2 n3" "e1 e2 e3"
cluster_done
