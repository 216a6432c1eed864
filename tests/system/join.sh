#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node joins a cluster with a large table: how far it is can be seen while it goes on, its
# donor dies meanwhile, and it goes on with another; then all tables are equal.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

rows=2500
cluster_start 2
bus=$(node_field n1 bus)
pad=$(printf '%0800d' 1)
{
	printf 'CONNECT {"verbose":false,"pedantic":false,"name":"raw"}\r\n'
	for i in $(seq $rows); do
		said='{"v":1,"id":"many-'$i'","service":"wc","slots":1,"hb_s":3600,"status":"connected","metadata":{"pad":"'$pad'"}}'
		printf 'PUB worker:status %d\r\n%s\r\n' "${#said}" "$said"
	done
	printf 'PING\r\n'
} >"$TMP/burst"
exec {fd}<>"/dev/tcp/${bus%:*}/${bus##*:}"
cat "$TMP/burst" >&"$fd"
holds() { [ "$(at "$1" ocf status --json | jq .table.rows)" -ge $((rows + 2)) ]; }
ok "one node has $rows workers" wait_until "$CLUSTER_SECONDS" holds n1
ok "another one knows them" wait_until "$CLUSTER_SECONDS" holds n2
is "nobody joins" "$(at n1 ocf status --json | jq -c .sync.joining)" null

# The donor stops answering as soon as something was read.
node_join n3 n1
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
node_kill n1
is_equal() { [ "$(node_root n2)" = "$(node_root n3)" ] && holds n3; }
ok "without its donor it goes on with another" wait_until "$CLUSTER_SECONDS" is_equal ||
	diag "$(cat "$TMP/n3/log")"
is "and then rests" "$(at n3 ocf status --json | jq -c .sync.joining)" null
run at n3 ocf-sync run --with n2
like "to be found equal" "$status $out" '^0 .*tables are equal'
cluster_done
