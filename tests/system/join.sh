#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node joins a cluster with a large table: how far it is can be seen while it goes on, its
# donor dies meanwhile, and it goes on with another; then all tables are equal.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

rows=1500
node_init n1
"$OCF_TEST_BUILDDIR/tests/lib/gate" "$TMP/target" "$TMP/limit" >"$TMP/gate" &
gate=$!
trap 'kill "$gate" 2>/dev/null; cluster_cleanup' EXIT
ok "there is a gate in front of the first node" wait_until "$CLUSTER_SECONDS" test -s "$TMP/gate"
node_start n1 --peer.advertise="$(cat "$TMP/gate")"
node_field n1 peer >"$TMP/target"
node_join n2 n1
node_start n2
ok "through which others reach it" wait_until "$CLUSTER_SECONDS" sees_nodes n2 2
bus=$(node_field n1 bus)
pad=$(printf '%0800d' 1)
exec {fd}<>"/dev/tcp/${bus%:*}/${bus##*:}"
printf 'CONNECT {"verbose":false,"pedantic":false,"name":"raw"}\r\n' >&"$fd"
counts() { [ "$(at "$1" ocf status --json | jq .table.stored)" -ge $(($2 + 2)) ]; }
holds() { counts "$1" "$rows"; }
# In pieces: a node that is slow to read loses the rest of a burst.
for from in $(seq 1 100 $rows); do
	for i in $(seq "$from" $((from + 99))); do
		said='{"v":1,"id":"many-'$i'","service":"wc","slots":1,"hb_s":3600,"status":"connected","metadata":{"pad":"'$pad'"}}'
		printf 'PUB worker:status %d\r\n%s\r\n' "${#said}" "$said"
	done >"$TMP/burst"
	cat "$TMP/burst" >&"$fd"
	wait_until "$CLUSTER_SECONDS" counts n1 $((from + 99))
done
ok "one node has $rows workers" wait_until "$CLUSTER_SECONDS" holds n1
ok "another one knows them" wait_until "$CLUSTER_SECONDS" holds n2
is "nobody joins" "$(at n1 ocf status --json | jq -c .sync.joining)" null

# What the donor sends to the new node stops half way; the other one is silent.
node_join n3 n1
echo 400000 >"$TMP/limit"
kill -STOP "${NODE_PID[n2]}"
is_joining() {
	at n3 ocf status --json | jq -e '.sync.joining | select(. != null)' >"$TMP/joining" &&
		[ "$(jq .rows "$TMP/joining")" -gt 0 ]
}
node_start n3
ok "how far joining is can be seen" wait_until "$CLUSTER_SECONDS" is_joining ||
	diag "$(cat "$TMP/n3/log")"
is "as rows of so many, a rate and what remains" \
	"$(jq "[.rows <= .of, .of > $rows, .rows_s >= 0, has(\"remaining_s\")] | all" "$TMP/joining")" \
	true || diag "$(cat "$TMP/joining")"
ok "and it does not have all" eval "! holds n3"
node_kill n1
kill -CONT "${NODE_PID[n2]}"
is_equal() { [ "$(node_root n2)" = "$(node_root n3)" ] && holds n3; }
ok "without its donor it goes on with another" wait_until "$CLUSTER_SECONDS" is_equal ||
	diag "$(cat "$TMP/n3/log")"
is "and then rests" "$(at n3 ocf status --json | jq -c .sync.joining)" null
run at n3 ocf-sync run --with n2
like "to be found equal" "$status $out" '^0 .*tables are equal'
kill "$gate"
cluster_done
