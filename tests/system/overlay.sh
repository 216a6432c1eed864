#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ten nodes, of which each is linked to some: all see all, a node that is not linked is asked
# and compared with over a link that is opened for it, and the table reaches everybody.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

NODES=10
SPARE_SECONDS=110 # a minute unused, and some to see that
RETURN_SECONDS=30 # until a node that was dead is linked

cluster_start "$NODES"
names=$(seq -f 'n%g' "$NODES")
declare -A ids
for node in $names; do ids[$node]=$(node_id "$node"); done

linked() { # NODE: the ids of those to which it is
	at "$1" ocf peers --json | jq -r '.[] | select(.state == "up") | .node'
}
# Two that are not linked, but for those that were taken before.
taken=' '
find_pair() {
	local one other there
	for one in $names; do
		there=$(linked "$one")
		for other in $names; do
			[ "$one" != "$other" ] || continue
			[[ $taken != *" $other "* ]] || continue
			! grep -q "${ids[$other]}" <<<"$there" || continue
			asker=$one answerer=$other taken="$taken$other "
			return 0
		done
	done
	return 1
}
rtt() { # NODE OTHER
	at "$1" ocf nodes --json | jq --arg id "${ids[$2]}" '.[] | select(.id == $id) | .rtt_ms'
}

for node in $names; do
	ok "$node sees all" wait_until "$CLUSTER_SECONDS" sees_nodes "$node" "$NODES"
done

# ---- links that nobody wants end: those to n1, through which all came

is_settled() {
	local node all=0 count
	for node in $names; do
		count=$(linked "$node" | sort -u | wc -l)
		[ "$count" -ge 6 ] || return 1
		all=$((all + count))
	done
	[ "$all" -le $((NODES * 8)) ]
}
ok "a while later each has six to eight links or so" wait_until "$SPARE_SECONDS" is_settled ||
	for node in $names; do diag "$node: $(linked "$node" | wc -l) links"; done
# One may still be linked to all.
find_pair || bail "all are linked to all"
taken=' '
like "a person is told that this is as it should be" "$(at "$asker" ocf doctor)" \
	'[6-8] of 9 other nodes are linked.*of so many each is linked to some'
# shellcheck disable=SC2086 # a word each
ok "all have the same table" wait_until "$CLUSTER_SECONDS" tables_are_equal $names
is "nobody is lost" "$(at n3 ocf nodes --json | jq '[.[] | select(.alive)] | length')" "$NODES"

# ---- a query

find_pair || bail "all are linked to all"
is "of one that is not linked there is no round trip" "$(rtt "$asker" "$answerer")" null
told_of_links() { grep -c "link.* to node ${ids[$answerer]}" "$TMP/$asker/log"; }
before=$(told_of_links)
worker_start "$answerer" far --service wc -- wc -c
ok "its worker is seen" wait_until "$CLUSTER_SECONDS" sees_worker "$asker" far
run at "$asker" ocf query wc --data abc
is "it answers a query all the same" "$out" 3 || diag "$err"
ok "over a link of its own" grep -q "${ids[$answerer]}" <<<"$(linked "$asker")"
is "of which the log does not tell" "$(told_of_links)" "$before"
relayed() {
	for node in $names; do at "$node" curl -s "$(node_url "$node")/metrics"; done |
		awk '$1 == "ocf_relayed_total" {sum += $2} END {print sum}'
}
is "and nobody passed anything on" "$(relayed)" 0
pids=()
for i in 1 2 3 4 5 6 7 8 9; do
	at "n$i" ocf query wc --data "abc$i" >"$TMP/many.$i" 2>&1 &
	pids+=($!)
done
wait "${pids[@]}"
is "from everywhere" "$(cat "$TMP"/many.?)" "$(printf '4\n%.0s' 1 2 3 4 5 6 7 8 9)"

# ---- a comparison

find_pair || bail "all are linked to all"
run at "$asker" ocf-sync compare --with "$answerer"
is "a table is compared with that of one that is not linked" "$status" 0 || diag "$err"
ok "over a link that was opened for it" grep -q "${ids[$answerer]}" <<<"$(linked "$asker")"

# ---- one dies

find_pair || bail "all are linked to all"
worker_start "$answerer" gone --service gone -- wc -c
ok "a worker elsewhere is seen" wait_until "$CLUSTER_SECONDS" sees_worker "$asker" gone
node_kill "$answerer"
run at "$asker" ocf query gone --data abc
is "what only a dead node has: try later" "$status" 75 || diag "$err"
node_start "$answerer"
ok "it comes back, and is asked again" wait_until "$RETURN_SECONDS" sees_worker "$asker" gone
cluster_done
