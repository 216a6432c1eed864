#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that is told to stop: what runs there ends well, for its own clients and for other
# nodes, nothing new begins, and then it goes. Asked twice, or for too long, it goes at once.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

state_is() { # SEEN-BY NODE STATE
	[ "$(at "$1" ocf nodes --json | jq -r --arg n "$2" '.[] | select(.name == $n) | .state')" = "$3" ]
}
# All told, and the links between them up: a restarted node is dialled by its new address.
whole() { sees_nodes n1 2 && sees_nodes n2 2; }
two_running() { # start one query of a client of n2, one of n1, both run by n2
	rm -f "$TMP/gate"
	ask own curl -s -D "$TMP/own.head" -H 'Content-Type: text/plain' \
		--data-binary mine "$(node_url n2)/v1/service/slow"
	ask other at n1 ocf query slow --data theirs
	wait_until "$CLUSTER_SECONDS" runs n2 2
}

cluster_start 2
worker_start n1 echo1 --service echo -- cat
worker_start n2 echo2 --service echo -- cat
worker_start n2 slow --service slow --slots 2 -- sh -c "$(gated)"
for id in echo2 slow; do
	wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id" || bail "n1 is not told of $id"
done

# ---- what runs, ends

ok "a client of the node and one of another have queries running" two_running
url=$(node_url n2)
kill -TERM "${NODE_PID[n2]}"
ok "the other node is told that it drains" wait_until "$CLUSTER_SECONDS" state_is n1 n2 draining
is "so do its workers" \
	"$(at n1 ocf workers --json | jq -rc '[.[] | select(.node_name == "n2") | .state] | unique')" \
	'["draining"]'
run curl -s -w '\n%{http_code}' "$url/readyz"
like "/readyz is 503 and says so" "$out" 'draining.*503$'
run curl -s -D "$TMP/head" -o "$TMP/body" -d x "$url/v1/service/echo"
like "a new query of its clients is refused" "$(tr -d '\r' <"$TMP/head")" '^HTTP/1.1 503'
like "with the time to come back" "$(tr -d '\r' <"$TMP/head")" 'retry-after: [0-9]+'
like "on a connection that ends" "$(tr -d '\r' <"$TMP/head")" 'Connection: close'
like "and the reason" "$(cat "$TMP/body")" 'is stopping'
run at n2 ocf query echo --data x
is "by ocf, too: come again" "$status" 75
run curl -s -o /dev/null -w '%{http_code}' "$url/v1/status"
is "other questions are answered" "$out" 200
bad=
for _ in 1 2 3 4 5 6 7 8; do
	run at n1 ocf query echo --data again
	[ "$status $out" = "0 again" ] || bad="$bad [$status $out $err]"
done
is "queries of the other node go elsewhere" "$bad" ""
run at n1 ocf query slow --data x
is "or, where only this one could answer, are told to come again" "$status" 75
ok "what ran, still runs" runs n2 2
touch "$TMP/gate"
answered own
answered other
is "the client has its reply" "$(cat "$TMP/own.out")" mine
like "on a connection that ends" "$(tr -d '\r' <"$TMP/own.head")" 'Connection: close'
is "and the other node's has" "$(cat "$TMP/other.status") $(cat "$TMP/other.out")" "0 theirs"
program_wait "drained n2" "${NODE_PID[n2]}"
is "then the node exits 0 by itself" "${PROGRAM_STATUS[drained n2]}" 0
ok "and is known to be gone" wait_until "$CLUSTER_SECONDS" sees_nodes n1 1

# ---- back

node_start n2
ok "started again, it does not drain any more" wait_until "$CLUSTER_SECONDS" state_is n1 n2 alive
wait_until "$CLUSTER_SECONDS" whole
slow_answers() { [ "$(at n1 ocf query slow --data x 2>/dev/null)" = x ]; }
ok "its workers come back with it" wait_until "$CLUSTER_SECONDS" slow_answers

# ---- twice

ok "queries run again" two_running
kill -INT "${NODE_PID[n2]}"
ok "SIGINT drains, too" wait_until "$CLUSTER_SECONDS" state_is n1 n2 draining
kill -TERM "${NODE_PID[n2]}"
program_wait "twice n2" "${NODE_PID[n2]}"
is "a second signal stops it at once" "${PROGRAM_STATUS[twice n2]}" 0
answered own
answered other
like "its client is told what became of the query" "$(tr -d '\r' <"$TMP/own.head")" '^HTTP/1.1 502'
like "and why" "$(cat "$TMP/own.out")" 'the node stops'
is "so is the other node's" "$(cat "$TMP/other.status")" 1
like "and why" "$(cat "$TMP/other.err")" 'the node stops|was lost'
no_command() { ! pgrep -f "^sh -c while .*$TMP/gate" >/dev/null; }
ok "no worker goes on with what nobody waits for" wait_until "$CLUSTER_SECONDS" no_command

# ---- too long

node_start n2 --node.drain_timeout=1s
wait_until "$CLUSTER_SECONDS" whole
touch "$TMP/gate"
wait_until "$CLUSTER_SECONDS" slow_answers
ok "queries run again" two_running
kill -TERM "${NODE_PID[n2]}"
program_wait "patient n2" "${NODE_PID[n2]}"
is "after node.drain_timeout it stops all the same" "${PROGRAM_STATUS[patient n2]}" 0
answered own
like "its client is told" "$(tr -d '\r' <"$TMP/own.head")" '^HTTP/1.1 502'
like "the log counts what was cut off" "$(cat "$TMP/n2/log")" '2 queries still run'

# ---- a worker

node_start n2
wait_until "$CLUSTER_SECONDS" whole
touch "$TMP/gate"
wait_until "$CLUSTER_SECONDS" slow_answers
rm "$TMP/gate"
ask other at n1 ocf query slow --data theirs
wait_until "$CLUSTER_SECONDS" runs n2 1
kill -TERM "${WORKER_PID[slow]}"
worker_drains() {
	at n1 ocf workers --json | jq -e 'any(.[]; .id == "slow" and .state == "draining")'
}
ok "a worker that is told to stop drains, and all are told" wait_until "$CLUSTER_SECONDS" worker_drains
run at n1 ocf query slow --data x
is "it gets nothing new" "$status" 75
touch "$TMP/gate"
answered other
is "what it had is answered" "$(cat "$TMP/other.status") $(cat "$TMP/other.out")" "0 theirs"
program_wait "worker slow" "${WORKER_PID[slow]}"
is "then it exits 0" "${PROGRAM_STATUS[worker slow]}" 0
ok "and its row is gone" wait_until "$CLUSTER_SECONDS" sees_no_worker n1 slow
node_stop n2

# ---- nothing to wait for

node_start n2
wait_until "$CLUSTER_SECONDS" whole
before=$(grep -c draining "$TMP/n2/log")
node_stop n2
is "an idle node stops without draining" "$(grep -c draining "$TMP/n2/log")" "$before"
cluster_done
