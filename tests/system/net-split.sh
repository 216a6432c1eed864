#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Five nodes fall into two halves, which ones by chance, again and again. Rows are written,
# rewritten and removed on both sides; whole again, nothing is lost and nothing comes back.
# Beside system/partition.sh, which is about queries and joins in such a network.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "a split of five nodes" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
# shellcheck source=tests/lib/writers.sh
. "$OCF_TEST_SRCDIR/tests/lib/writers.sh"

HIDE_SECONDS=30
HEAL_SECONDS=90 # generous: a lost node may be dialled twice a minute
rounds=1 apart_s=3
if is_slow; then rounds=5 apart_s=20; fi
nodes=(n1 n2 n3 n4 n5)

network_start "a split of five nodes"
for node in "${nodes[@]}"; do network_attach "$node" left; done
cluster_start 5
for node in "${nodes[@]}"; do
	writer_start "$node"
	write_random "$node"
	write_random "$node"
done
are_equal "in a whole network" 30 "${nodes[@]}"

# The cable joins the bridges; who is on the right one is drawn.
draw_sides() {
	local node
	mapfile -t right < <(for node in "${nodes[@]}"; do echo "$RANDOM $node"; done |
		sort -n | sed 's/.* //' | head -n 2)
	left=()
	for node in "${nodes[@]}"; do
		NETWORK_SIDE[$node]=left
		[[ " ${right[*]} " != *" $node "* ]] || NETWORK_SIDE[$node]=right
		[ "${NETWORK_SIDE[$node]}" = right ] || left+=("$node")
		network_mend "$node"
	done
}

for ((round = 1; round <= rounds; round++)); do
	draw_sides
	diag "round $round: ${left[*]} | ${right[*]}"
	network_split
	split_at=$EPOCHREALTIME
	# Both sides write from the first moment, also while nobody has noticed yet.
	write_for "$apart_s" "${nodes[@]}"
	for node in "${left[@]}"; do
		ok "$node sees its side alone" wait_until "$HIDE_SECONDS" sees_nodes "$node" 3
	done
	for node in "${right[@]}"; do
		ok "$node sees its side alone" wait_until "$HIDE_SECONDS" sees_nodes "$node" 2
	done
	diag "both sides alone after $(since "$split_at") s"
	write_for "$apart_s" "${nodes[@]}"
	ok "the left side has one table" wait_until 30 tables_are_equal "${left[@]}"
	ok "the right side, too" wait_until 30 tables_are_equal "${right[@]}"
	ok "which are not the same" eval '! tables_are_equal "${left[0]}" "${right[0]}"'
	network_join
	join_at=$EPOCHREALTIME
	are_equal "whole again" "$HEAL_SECONDS" "${nodes[@]}"
	ok "all see all" wait_until "$HEAL_SECONDS" all_see_all "${nodes[@]}"
	diag "whole $(since "$join_at") s after the cable was mended"
done
diag "$WRITE_COUNT writes; $(deaths "${nodes[@]}") declared dead"
cluster_done
