#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A store that rots while its node goes on: the node finds it by itself, counts it, puts
# right what it can, and gets from the others what it cannot.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
surgeon=$OCF_TEST_BUILDDIR/tests/lib/surgeon

cluster_start 2
worker_start n1 w1 --service wc -- wc -w
ok "both know the worker" wait_until "$CLUSTER_SECONDS" sees_worker n2 w1
same_root() { [ "$(node_root n1)" = "$(node_root n2)" ]; }
ok "and have one table" wait_until "$CLUSTER_SECONDS" same_root
id=$(node_id n1)
address=$(node_field n1 peer)
node_stop n2
node_stop n1 # else it may bring the row before anybody looks
data=$TMP/n2/state/ocf
"$surgeon" "$data" unindex node "$id" || bail "the store cannot be damaged"
"$surgeon" "$data" rot worker "$id" 0 || bail "the store cannot be damaged"
node_start n2

faults() { # KIND
	at n2 curl -s "$(node_url n2)/metrics" |
		awk -v name="ocf_store_faults_total{kind=\"$1\"}" '$1 == name { print $2 }'
}
has_fault() { [ "$(faults "$1")" = "$2" ]; }
ok "a row that rotted is found and counted" \
	wait_until "$CLUSTER_SECONDS" has_fault row 1 || faults row | diag
# One that is missing, and the one that the row leaves behind.
ok "and so are entries of no row, and rows of no entry" \
	wait_until "$CLUSTER_SECONDS" has_fault owner 2 || faults owner | diag
for kind in removed digest root; do
	is "and nothing else: $kind" "$(faults "$kind")" 0
done
ok "the log says what" grep -q 'missing among its owner' "$TMP/n2/log"
ok "and what became of it" grep -q 'not what its owner signed; it was dropped' "$TMP/n2/log"
node_start n1 --peer.listen="$address"
is_sound() { at n2 ocf-sync verify --json | jq -e '.is_sound and .rows == 3'; }
ok "the other node brings the row back, and the store is sound" \
	wait_until "$CLUSTER_SECONDS" is_sound ||
	{
		at n2 ocf-sync verify
		tail -n 20 "$TMP"/n?/log
	} | diag
ok "the tables are one again" wait_until "$CLUSTER_SECONDS" same_root
scrubbed() { at n2 curl -s "$(node_url n2)/metrics" | grep -qE '^ocf_store_scrubbed_total [1-9]'; }
ok "it goes on looking" scrubbed

# ---- a row of its own, while it runs: it is lost nowhere, and no sign of another life

worker_start n2 mine --service mark-of-mine -- cat
ok "both know a worker of its own" wait_until "$CLUSTER_SECONDS" sees_worker n1 mine
ok "and have one table" wait_until "$CLUSTER_SECONDS" same_root
node_stop n1
node_kill n2
node_start n2 # whose first look at all begins in a second
rot() { # MARK
	local at n=0
	while read -r at; do
		printf M | dd of="$data/store/data.mdb" bs=1 seek="$at" conv=notrunc status=none
		n=$((n + 1))
	done < <(grep -abo "$1" "$data/store/data.mdb" | cut -d: -f1)
	[ "$n" -gt 0 ]
}
ok "its row rots" rot mark-of-mine
# The first look may have been beyond it; the next one takes a minute or so.
ok "it is found and dropped" wait_until 150 has_fault row 1 || faults row | diag
is_mine_back() { at n2 ocf-sync verify --json | jq -e '.is_sound and .rows == 4'; }
ok "and written again, though nobody else is there" \
	wait_until "$CLUSTER_SECONDS" is_mine_back || at n2 ocf-sync verify | diag
node_start n1 --peer.listen="$address"
ok "who is back takes it" wait_until "$CLUSTER_SECONDS" same_root
ok "under no new actor" eval "! grep -q 'as a new actor' '$TMP'/n?/log"
cluster_done
