#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two hops: a node that is full passes a query on, once; one with nothing to do takes over what
# waits elsewhere; and each reply names the node that computed it.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
node_start n1 --dispatch.policy=random # it knows nothing of load, and asks either
for node in n2 n3; do
	node_join $node n1
	node_start $node
done
for node in n1 n2 n3; do
	wait_until "$CLUSTER_SECONDS" sees_nodes $node 3 || bail "$node does not see three nodes"
	wait_until "$CLUSTER_SECONDS" knows_inbound $node || bail "$node does not find out who reaches it"
done
# A worker of one slot at each; when its gate is open it says its node, and the body.
for i in 2 3; do
	worker_start n$i w$i --service s -- sh -c "while [ ! -e '$TMP/gate$i' ]; do sleep 0.02; done; echo n$i; cat"
done
for node in n1 n2 n3; do
	for id in w2 w3; do
		wait_until "$CLUSTER_SECONDS" sees_worker $node $id || bail "$node is not told of $id"
	done
done
declare -A id=([n2]=$(node_id n2) [n3]=$(node_id n3))

metric() { # NODE NAME, with its labels
	node_metrics "$1" | awk -v name="$2" '$1 == name { print $2 + 0 }'
}
at_least() { [ "$(metric "$1" "$2")" -ge "$3" ]; } # NODE METRIC COUNT
# In the background: NAME.out is «STATUS NODE», NAME.body the reply.
post() { # NAME NODE CURL-ARG…
	local name=$1 node=$2
	shift 2
	ask "$name" curl -s --max-time 60 -o "$TMP/$name.body" -w '%{http_code} %header{x-computing-node}' \
		-d "$name" "$@" "$(node_url "$node")/v1/service/s"
}
by() { head -n 1 "$TMP/$1.body"; } # NAME: the node that computed it
# Each has its own answer, and the header names who computed it.
all_right() { # NAME…
	local name
	for name in "$@"; do
		if ! answered "$name" || [ "$(cat "$TMP/$name.out")" != "200 ${id[$(by "$name")]:-}" ] ||
			[ "$(tail -n 1 "$TMP/$name.body")" != "$name" ]; then
			diag "$name: $(cat "$TMP/$name.out"), by $(by "$name")"
			return 1
		fi
	done
}

# Both know what the service takes, and of each other.
touch "$TMP/gate2" "$TMP/gate3"
post n2s n2 -H "Ocf-Node: ${id[n2]}"
post n3s n3 -H "Ocf-Node: ${id[n3]}"
post n2f n2
post n3f n3
ok "each node answers" all_right n2s n3s n2f n3f
is "who is asked for does, and is named" "$(by n2s) $(by n3s)" "n2 n3"

# n2 is full; n3 answers at once.
rm "$TMP/gate2"
post full2 n2 -H "Ocf-Node: ${id[n2]}"
ok "n2's only slot is in use" wait_until "$CLUSTER_SECONDS" runs n2 1
names=()
for ((i = 0; i < 40; i++)); do
	post "on$i" n1
	names+=("on$i")
	answered "on$i" || break
	at_least n2 'ocf_query_moves_total{move="onward"}' 1 && break
done
ok "n2, which is full, passes a query on" at_least n2 'ocf_query_moves_total{move="onward"}' 1
ok "all are answered, and their headers are right" all_right "${names[@]}"
is "by n3, over two hops or one" "$(for name in "${names[@]}"; do by "$name"; done | sort -u)" n3

# Both are full, and queries wait: many at n3, and then of n1's clients, and of n2's.
rm "$TMP/gate3"
post full3 n3 -H "Ocf-Node: ${id[n3]}"
ok "n3's only slot is in use, too" wait_until "$CLUSTER_SECONDS" runs n3 1
names=(full2 full3)
for ((i = 0; i < 20; i++)); do
	post "pin$i" n3 -H "Ocf-Node: ${id[n3]}"
	names+=("pin$i")
done
wait_until "$CLUSTER_SECONDS" at_least n3 ocf_queue_length 20 || bail "queries for n3 do not wait there"
waiting() { [ $(($(metric n2 ocf_queue_length) + $(metric n3 ocf_queue_length))) -eq "$1" ]; }
# One that went from n3 to n2 has come far enough; n2's own may go to n3 from where they wait.
own=0
for ((i = 0; i < 40 && own < 1; i++)); do
	before=$(metric n2 ocf_queue_length)
	post "wait$i" n$((1 + i % 2))
	names+=("wait$i")
	wait_until "$CLUSTER_SECONDS" waiting $((i + 21)) || bail "a query does not wait"
	[ $((i % 2)) -eq 0 ] || [ "$(metric n2 ocf_queue_length)" -eq "$before" ] || own=$((own + 1))
done
is "one of n2's own waits there" $own 1
touch "$TMP/gate3"
ok "n3, when it has nothing to do, takes over what waits there" \
	wait_until "$CLUSTER_SECONDS" at_least n2 'ocf_query_moves_total{move="given"}' 1
ok "n2 is at work on its first one still" test ! -e "$TMP/full2.status"
touch "$TMP/gate2"
ok "all are answered, and their headers are right" all_right "${names[@]}"
is "each by the one that it was for" "$(by full2) $(by full3)" "n2 n3"
cluster_done
