#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Between two of five nodes the packets of one direction are lost. The three others hear both
# and declare nobody dead; what the two write reaches each other by way of those; afterwards
# nobody is dead.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "a one-way cut" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
# shellcheck source=tests/lib/writers.sh
. "$OCF_TEST_SRCDIR/tests/lib/writers.sh"

HEAL_SECONDS=90
cut_s=15 rounds=1 # longer than it takes to declare somebody dead
if is_slow; then cut_s=60 rounds=5; fi
nodes=(n1 n2 n3 n4 n5)

network_start "a one-way cut"
for node in "${nodes[@]}"; do network_attach "$node" left; done
cluster_start 5
for node in "${nodes[@]}"; do
	writer_start "$node"
	write_random "$node"
done
are_equal "before" 30 "${nodes[@]}"

# How many are alive, as each of these sees it: the least of what it ever says.
watch_alive() { # FILE NODE…
	local file=$1 node alive
	shift
	while :; do
		for node in "$@"; do
			alive=$(at "$node" ocf nodes --json | jq '[.[] | select(.alive)] | length')
			echo "$node $alive"
		done >>"$file"
		sleep 0.2
	done
}
for ((round = 1; round <= rounds; round++)); do
	mapfile -t drawn < <(for node in "${nodes[@]}"; do echo "$RANDOM $node"; done |
		sort -n | sed 's/.* //')
	from=${drawn[0]} to=${drawn[1]} others=("${drawn[@]:2}")
	diag "round $round: $to does not hear $from"
	was=$(deaths "${others[@]}")
	network_mute "$from" "$to"
	: >"$TMP/alive"
	watch_alive "$TMP/alive" "${others[@]}" &
	watcher=$!
	write_for "$cut_s" "$from" "$to"
	kill "$watcher"
	wait "$watcher" 2>/dev/null
	is "the others declare nobody dead" $(($(deaths "${others[@]}") - was)) 0 ||
		grep -h ' is dead' "$TMP"/n?/log | diag
	diag "alive, as the others said: $(awk '{ print $2 }' "$TMP/alive" | sort | uniq -c | tr '\n' ';')"
	diag "the two, of each other: $(cat "$TMP/$from/log" "$TMP/$to/log" |
		grep -cE 'node .* is (dead|suspect|alive|unreachable)') changes of state"
	are_equal "cut in one direction" 30 "${nodes[@]}"
	network_unmute "$from" "$to"
	healed_at=$EPOCHREALTIME
	ok "heard again, all see all" wait_until "$HEAL_SECONDS" all_see_all "${nodes[@]}"
	diag "all see all after $(since "$healed_at") s"
	write_random "$from"
	write_random "$to"
	are_equal "heard again" 30 "${nodes[@]}"
done
cluster_done
