#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One node alone: cut off while it runs queries for others, while it comes in, and in one
# direction only. See ocf-cap(7).
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "an isolated node" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"

HIDE_SECONDS=20 # until what cannot be reached is hidden
HEAL_SECONDS=60
# The test waits until each node has some of the queries: by chance that is soon.
export OCF_DISPATCH_POLICY=random

network_start "an isolated node"
for node in n1 n2 n3 n4; do network_attach "$node" left; done
cluster_start 3
roots() {
	local node
	for node in "$@"; do at "$node" ocf status --json | jq -r .table.root; done
}
roots_are_equal() { [ "$(roots "$@" | sort -u | wc -l)" -eq 1 ]; }
answers() { # NODE SERVICE ANSWER
	[ "$(at "$1" ocf query "$2" --data abc 2>/dev/null)" = "$3" ]
}

# ---- queries at work as a node is cut off

# A worker that notes who sent what, and waits for a word.
slow='n=$(cat); echo "$0 $n" >>"$1"; until [ -e "$2" ]; do sleep 0.1; done; echo "$0"'
worker_start n2 slow-2 --service slow --slots 40 -- sh -c "$slow" n2 "$TMP/taken" "$TMP/go"
worker_start n3 slow-3 --service slow --slots 40 -- sh -c "$slow" n3 "$TMP/taken" "$TMP/go"
worker_start n3 own --service own -- rev
for id in slow-2 slow-3 own; do
	wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id" ||
		cluster_fail "n1 is not told of $id" "$TMP"/n*/log
done
: >"$TMP/taken"
is_taken() { grep -q " $1\$" "$TMP/taken"; }
# Ask until n3 has some of each kind: a POST, which must not be repeated, and a query of
# ocf, which may be, since it has an Idempotency-Key.
pids=()
asked=0
until grep -q '^n3 post' "$TMP/taken" && grep -q '^n3 query' "$TMP/taken"; do
	[ "$asked" -lt 30 ] || bail "no query went to n3"
	asked=$((asked + 1))
	at n1 curl -s --max-time 200 -o "$TMP/post.$asked" -w '%{http_code}' -d "post.$asked" \
		"$(node_url n1)/v1/service/slow" >"$TMP/post.$asked.code" &
	pids+=($!)
	at n1 ocf query slow --timeout 200s --data "query.$asked" >"$TMP/query.$asked" 2>&1 &
	pids+=($!)
	wait_until "$CLUSTER_SECONDS" is_taken "post.$asked" || bail "a query is not taken"
	wait_until "$CLUSTER_SECONDS" is_taken "query.$asked" || bail "a query is not taken"
done
network_cut n3
ok "n1 hides the node that is cut off" wait_until "$HIDE_SECONDS" sees_nodes n1 2
ok "n2 does" wait_until "$HIDE_SECONDS" sees_nodes n2 2
ok "that node hides them" wait_until "$HIDE_SECONDS" sees_nodes n3 1
moved() { # all queries of ocf are at n2
	local i
	for i in $(seq "$asked"); do grep -q "^n2 query.$i\$" "$TMP/taken" || return 1; done
}
ok "the queries that may be repeated are: they go to n2" wait_until "$HIDE_SECONDS" moved
: >"$TMP/go"
wait "${pids[@]}"
wrong=
for i in $(seq "$asked"); do
	[ "$(cat "$TMP/query.$i")" = n2 ] || wrong="$wrong query.$i"
	case $(grep " post.$i\$" "$TMP/taken"):$(cat "$TMP/post.$i.code"):$(head -n 1 "$TMP/post.$i") in
	"n2 post.$i:200:n2") ;;
	"n3 post.$i:502:"*link*) ;;
	*) wrong="$wrong post.$i" ;;
	esac
done
is "and are answered; a POST is run once, and answered, or 502 says that the link was lost" "$wrong" "" ||
	tail -n 5 "$TMP"/post.* "$TMP"/query.* "$TMP/taken" | diag

# ---- alone

ok "alone, a node answers from its own workers" answers n3 own cba
run at n1 ocf query own --data abc
is "others cannot ask it: try later" "$status" 75 || diag "$err"
worker_stop own
worker_start n3 other --service other -- rev
ok "and lists those who come" sees_worker n3 other
run at n3 ocf status --json
is "it knows that it is alone" "$(jq -c '[.cluster.nodes, .cluster.alive]' <<<"$out")" '[3,1]'
network_mend n3
for node in n1 n2 n3; do
	ok "back in the network, $node sees all three" wait_until "$HEAL_SECONDS" sees_nodes "$node" 3
done
ok "all have the same table" wait_until "$HEAL_SECONDS" roots_are_equal n1 n2 n3
ok "with the worker that came" sees_worker n1 other
ok "without the one that left" sees_no_worker n1 own
ok "and ask the node again" wait_until 10 answers n1 other cba

# ---- cut off as it comes in

node_join n4 n1
network_cut n4
node_start n4
ok "a new node without a network runs" sees_nodes n4 1
worker_start n4 newcomer --service newcomer -- rev
ok "and works" answers n4 newcomer cba
network_mend n4
ok "with the network, it sees all" wait_until "$HEAL_SECONDS" sees_nodes n4 4
ok "all see it" wait_until "$HEAL_SECONDS" sees_nodes n3 4
ok "and have one table" wait_until "$HEAL_SECONDS" roots_are_equal n1 n2 n3 n4
ok "in which its worker is" answers n2 newcomer cba

# ---- in one direction

# n3 and n4 hear both, and one vote is no verdict: neither is hidden, but they are not linked.
network_mute n1 n2
has_no_link() { # NODE NODE
	at "$1" ocf peers --json | jq -e --arg name "$2" 'all(.[]; .name != $name or .state != "up")'
}
never_hidden() { # is it so for 20 s: longer than a suspicion lasts that nobody refutes
	local i node
	for ((i = 0; i < 40; i++)); do
		for node in n1 n2 n3 n4; do sees_nodes "$node" 4 || return 1; done
		sleep 0.5
	done
}
ok "n2, which does not hear n1, gives the link up" wait_until "$HIDE_SECONDS" has_no_link n2 n1
ok "n1 does, too" wait_until "$HIDE_SECONDS" has_no_link n1 n2
ok "none is hidden: others hear them" never_hidden
ok "the two are not linked again" eval 'has_no_link n1 n2 && has_no_link n2 n1'
worker_start n1 roundabout --service roundabout -- rev
ok "what n1 writes reaches n2 by way of others" wait_until "$CLUSTER_SECONDS" sees_worker n2 roundabout
ok "n3 can ask it" wait_until 10 answers n3 roundabout cba
run at n2 ocf query roundabout --data abc
is "n2 cannot" "$status" 75 || diag "$err"
network_unmute n1 n2
ok "when n1 is heard again, n2 sees all" wait_until "$HEAL_SECONDS" sees_nodes n2 4
ok "n1 does" wait_until "$HEAL_SECONDS" sees_nodes n1 4
ok "and n2 asks it" wait_until 10 answers n2 roundabout cba
ok "all have one table" wait_until "$HEAL_SECONDS" roots_are_equal n1 n2 n3 n4
cluster_done
