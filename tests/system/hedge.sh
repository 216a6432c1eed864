#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A query that takes unusually long goes to a second worker, too, if it may be run twice and the
# node is told to do so: one answer, and nothing is left of the other attempt.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
node_start n1 --dispatch.hedge=yes
# Whoever finds the stone is held up by it.
for id in one two; do
	worker_start n1 $id --service s -- sh -c "
		! mv '$TMP/stone' '$TMP/stone.$id' 2>/dev/null || sleep 60
		echo $id; cat"
done
metric() { # NAME, with its labels
	node_metrics n1 | awk -v name="$1" '$1 == name { print $2 + 0 }'
}
# So that there is an idea of how long they take, and something in the budget.
many() {
	curl -s --max-time 60 -o /dev/null -d x "$(node_url n1)/v1/service/s/[1-60]"
}

many
touch "$TMP/stone"
run curl -s --max-time 3 -o /dev/null -d plain "$(node_url n1)/v1/service/s"
is "what may not be run twice is not" "$status $(metric 'ocf_query_hedges_total{outcome="sent"}')" "28 0"
rm -f "$TMP"/stone*
won=0
for ((i = 0; i < 10 && won == 0; i++)); do
	many
	touch "$TMP/stone"
	run curl -s --max-time 5 -w '%{http_code}' -H 'Idempotency-Key: k' -d body "$(node_url n1)/v1/service/s"
	rm -f "$TMP/stone"
	won=$(metric 'ocf_query_hedges_total{outcome="won"}')
done
is "one that may is answered by the second worker" "$won" 1
other=one
[ ! -e "$TMP/stone.one" ] || other=two
is "with its answer, once" "$out" "$other
body200"
ok "no other one was sent twice" test "$(metric 'ocf_query_hedges_total{outcome="sent"}')" -le $i
cluster_done
