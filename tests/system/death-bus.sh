#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of a nats-server, of three, at a random moment: idle, while queries run, while a
# worker announces itself. Its node goes on without it and starts another.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/death.sh
. "$OCF_TEST_SRCDIR/tests/lib/death.sh"

death_cluster
server_kill() { # NODE
	killed=$(server_of "$1")
	kill -KILL "$killed"
}
server_is_new() { # NODE
	local now
	now=$(server_of "$1")
	[ -n "$now" ] && [ "$now" != "$killed" ]
}

# ---- idle

death_pick n1 n2 n3
server_kill "$picked"
ok "the nats-server of $picked, killed, is replaced" wait_until "$CLUSTER_SECONDS" server_is_new "$picked"
healed "$picked's bus back" "n1 n2 n3" "e1 e2 e3"

# ---- while queries run: of clients of its own node and of another

load_start n1 repeatable
load_start n1 once
load_start n2 repeatable
load_start n2 once
for round in 1 2 3; do
	death_moment 1000
	server_kill n2
	ok "killed under load ($round), it is replaced" wait_until "$CLUSTER_SECONDS" server_is_new n2
	ok "and clients are answered" load_goes_on 3
done
load_judge "around all of it every query had its answer, or a clear error"
healed "n2's bus back" "n1 n2 n3" "e1 e2 e3"

# ---- while a worker announces itself

for round in 1 2 3; do
	at_background n3 "$TMP/worker-new.log" ocf-worker --id "new$round" --service echo -- cat
	WORKER_PID[new$round]=$!
	death_moment 300
	server_kill n3
	ok "killed while a worker came ($round), it is replaced" wait_until "$CLUSTER_SECONDS" server_is_new n3
done
healed "n3's bus back" "n1 n2 n3" "e1 e2 e3 new1 new2 new3"
for round in 1 2 3; do worker_kill "new$round"; done
no_new() { local i; for i in 1 2 3; do sees_no_worker n1 "new$i" || return 1; done; }
ok "workers killed afterwards are gone as ever" wait_until "$CLUSTER_SECONDS" no_new
ok "there is one nats-server a node" test "$(cluster_leftovers | grep -c nats-server)" -eq 3
cluster_done
