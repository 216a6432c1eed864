#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that leaves: what runs there ends well, its rows are withdrawn and handed on, the
# others show nothing of it; started again it is a member again. Whatever cuts it short leaves
# a member, or one that has left, and never anything between.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

state_of() { # SEEN-BY ID
	at "$1" ocf nodes --all --json | jq -r --arg id "$2" '.[] | select(.id == $id) | .state'
}
state_is() { [ "$(state_of "$1" "$2")" = "$3" ]; } # SEEN-BY ID STATE
shows_nothing_of() {                                # SEEN-BY ID
	at "$1" ocf nodes --json | jq -e --arg id "$2" 'all(.[]; .id != $id)' &&
		at "$1" ocf workers --json | jq -e --arg id "$2" 'all(.[]; .node != $id)'
}
whole() { sees_nodes n1 3 && sees_nodes n2 3 && sees_nodes n3 3; }
answers() { [ "$(at n1 ocf query "$1" --data x 2>/dev/null)" = x ]; }
both_answer() { answers echo && answers slow; }
slow_runs() { # a query of a client of n1 runs at n2
	rm -f "$TMP/gate"
	ask query at n1 ocf query slow --data theirs
	wait_until "$CLUSTER_SECONDS" runs n2 1
}
restart_n2() { # [ARG… of ocfd]
	node_start n2 "$@"
	touch "$TMP/gate"
	wait_until "$CLUSTER_SECONDS" whole || cluster_fail "n2 is not back" "$TMP"/n*/log
	wait_until "$CLUSTER_SECONDS" both_answer ||
		cluster_fail "n2's workers are not back" "$TMP"/n*/log
}

cluster_start 3
id1=$(node_id n1)
id2=$(node_id n2)
worker_start n2 echo2 --service echo -- cat
worker_start n2 slow --service slow --slots 2 -- sh -c "$(gated)"
for id in echo2 slow; do
	wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id" || bail "n1 is not told of $id"
done

# ---- a node leaves

ok "a query of another node runs" slow_runs
ask drain at n2 ocf drain
ok "a node that leaves drains, and all are told" wait_until "$CLUSTER_SECONDS" state_is n1 "$id2" draining
waits() { grep -q 'waiting: 1 query still runs' "$TMP/drain.err"; }
ok "the command says what is waited for" wait_until "$CLUSTER_SECONDS" waits
run at n2 ocf query echo --data x
is "it takes no new query" "$status" 75
ask second at n2 ocf drain
ok "what ran, still runs" runs n2 1
touch "$TMP/gate"
answered query
is "and is answered" "$(cat "$TMP/query.status") $(cat "$TMP/query.out")" "0 theirs"
answered drain
is "then it has left" "$(cat "$TMP/drain.status")" 0 || diag "$(cat "$TMP/drain.err")"
like "and says so" "$(cat "$TMP/drain.out")" 'Node n2 has left the cluster'
like "and who was told" "$(cat "$TMP/drain.out")" '2 other nodes were told'
answered second
is "so says a second command" "$(cat "$TMP/second.status") $(head -1 "$TMP/second.out")" \
	"0 Node n2 has left the cluster and stops."
program_wait "left n2" "${NODE_PID[n2]}"
is "the node exits 0" "${PROGRAM_STATUS[left n2]}" 0
for n in n1 n3; do
	ok "$n shows nothing of it" wait_until "$CLUSTER_SECONDS" shows_nothing_of "$n" "$id2"
	ok "but with --all that it left" state_is "$n" "$id2" left
	is "and counts it no more" "$(at "$n" ocf status --json | jq .cluster.nodes)" 2
	like "and has logged it" "$(cat "$TMP/$n/log")" "node $id2 has left the cluster"
done
ok "the tables are equal" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n3
run at n1 ocf-sync dump
is "what is left of it is a certificate and a word" \
	"$(jq -c --arg id "$id2" 'select(.owner == $id and .kind == "node") | .versions[0].value | fromjson | keys' <<<"$out")" \
	'["cert","left"]'
is "and its workers' rows are removed" \
	"$(jq -c --arg id "$id2" 'select(.owner == $id and .kind == "worker") | .versions[0].removed' <<<"$out" | sort -u)" true
run at n2 ocf drain
is "where no node runs, none can leave" "$status" 69
unit=$OCF_TEST_SRCDIR/src/daemon/ocfd.service.in
is "a service that left is not started again" "$(grep -c '^Restart=on-failure$' "$unit")" 1

# ---- it is a member again

restart_n2
ok "started again, it is a member again" state_is n1 "$id2" alive
ok "with its workers, which went on" answers echo
ok "and all tables are equal" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2 n3

# ---- cut short

ok "a query runs" slow_runs
ask drain at n2 ocf drain
ok "it drains" wait_until "$CLUSTER_SECONDS" state_is n1 "$id2" draining
kill -TERM "${NODE_PID[n2]}"
answered drain
is "a signal ends the leaving" "$(cat "$TMP/drain.status")" 1
like "which is said" "$(cat "$TMP/drain.err")" 'has not left the cluster: .*told to stop.* member still'
ok "but not the draining" runs n2 1
run at n2 ocf drain
is "and it cannot be told to leave any more" "$status" 1
like "which is said, too" "$err" 'told to stop'
touch "$TMP/gate"
answered query
is "the query is answered" "$(cat "$TMP/query.status") $(cat "$TMP/query.out")" "0 theirs"
program_wait "stopped n2" "${NODE_PID[n2]}"
is "the node exits 0" "${PROGRAM_STATUS[stopped n2]}" 0
ok "and is a member that is away" wait_until "$CLUSTER_SECONDS" state_is n1 "$id2" dead
restart_n2

ok "a query runs again" slow_runs
ask drain at n2 ocf drain
ok "it drains" wait_until "$CLUSTER_SECONDS" state_is n1 "$id2" draining
node_kill n2
answered drain
is "a node that dies has not left" "$(cat "$TMP/drain.status")" 1
like "as far as anybody knows" "$(cat "$TMP/drain.err")" 'it may be a member still'
ok "it is a member that died" wait_until "$CLUSTER_SECONDS" state_is n1 "$id2" dead
answered query
restart_n2
ok "and comes back as one" state_is n1 "$id2" alive

bad=
for ms in 0 20 50; do
	ask drain at n2 ocf drain
	sleep "0.$(printf %03d "$ms")" # any moment will do
	node_kill n2
	answered drain
	wait_until "$CLUSTER_SECONDS" sees_nodes n1 2 || bad="$bad [$ms: still alive]"
	state=$(state_of n1 "$id2")
	case "$(cat "$TMP/drain.status") $state" in
	"0 left" | "1 left" | "1 dead" | "69 left" | "69 dead") ;;
	*) bad="$bad [$ms: $(cat "$TMP/drain.status") $state $(cat "$TMP/drain.err")]" ;;
	esac
	restart_n2
done
is "killed at any moment, it is a member or has left" "$bad" ""
ok "and the tables are equal" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2 n3

# ---- too long

node_stop n2
restart_n2 --node.drain_timeout=1s
ok "a query runs that does not end" slow_runs
run at n2 ocf drain
is "after node.drain_timeout the node leaves all the same" "$status" 0 || diag "$err"
like "and says that it did not wait" "$err" '1 query was not waited for'
program_wait "patient n2" "${NODE_PID[n2]}"
answered query
ok "its client is told" test "$(cat "$TMP/query.status")" -ne 0

# ---- a new key: drain, forget, join (ocf(1), A NEW KEY)

mkdir -p "$TMP/old/config" "$TMP/old/run"
mv "$TMP/n2/state" "$TMP/old/state"
run at n1 ocf forget "$id2"
is "a node that has left is forgotten" "$status" 0 || diag "$err"
node_join n2 n1
restart_n2
new2=$(node_id n2)
ok "after leaving, a node may join with a new key" test "$new2" != "$id2"
is "the old one is forgotten" "$(state_of n1 "$id2")" forgotten
node_start old
is_refused() { grep -q 'takes this node for no member any more.*forgotten' "$TMP/old/log"; }
ok "who has the old key cannot come back with it" wait_until "$CLUSTER_SECONDS" is_refused ||
	tail -n 5 "$TMP/old/log" | diag
node_stop old
ok "and the name means the new one" test "$(at n1 ocf nodes --json | jq -r '.[] | select(.name == "n2") | .id')" = "$new2"
run at n1 ocf query echo --node n2 --data x
is "which answers" "$status $out" "0 x"

# ---- who may, and nobody there

run at n2 ocf --url "$(node_url n2)" drain
is "only its socket takes the order" "$status" 77
run at n2 curl -s -o /dev/null -w '%{http_code}' --unix-socket "$(node_field n2 socket)" -d '{"x":1}' http://localhost/v1/admin/drain
is "which has nothing to choose" "$out" 400
address=$(node_field n1 peer)
node_stop n2
node_stop n3
wait_until "$CLUSTER_SECONDS" sees_nodes n1 1
run at n1 ocf drain
is "a node leaves that nobody is linked to" "$status" 0
like "and says what that means" "$err" 'no other node could be told'
like "and that it takes the CA key along" "$err" "CA key: keep it"
program_wait "alone n1" "${NODE_PID[n1]}"
node_start n2
ok "one that was away takes it for dead" wait_until "$CLUSTER_SECONDS" state_is n2 "$id1" dead
node_start n1 "--peer.listen=$address"
ok "until it is there again" wait_until "$CLUSTER_SECONDS" sees_nodes n2 2
cluster_done
