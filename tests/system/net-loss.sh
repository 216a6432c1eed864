#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One packet in ten is lost on its way to each of five nodes, while rows are written: nobody
# is declared dead, and the tables are equal afterwards.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "a lossy network" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
# shellcheck source=tests/lib/writers.sh
. "$OCF_TEST_SRCDIR/tests/lib/writers.sh"

loss_s=20
if is_slow; then loss_s=60; fi
PERCENT=10
nodes=(n1 n2 n3 n4 n5)

network_start "a lossy network"
for node in "${nodes[@]}"; do network_attach "$node" left; done
if ! command -v iptables >/dev/null; then
	skip "a lossy network" "iptables is not installed"
	tap_done
fi
if ! network_lose n1 "$PERCENT" 2>"$TMP/network.err"; then
	skip "a lossy network" "no packets can be lost here: $(tr '\n' ' ' <"$TMP/network.err")"
	tap_done
fi
network_lose n1 0
cluster_start 5
for node in "${nodes[@]}"; do
	writer_start "$node"
	write_random "$node"
done
are_equal "before" 30 "${nodes[@]}"
ended() { cat "$TMP"/n?/log | grep -c 'the link to node'; }

was=$(deaths "${nodes[@]}") links_were=$(ended)
for node in "${nodes[@]}"; do network_lose "$node" "$PERCENT"; done
write_for "$loss_s" "${nodes[@]}"
ok "all see all, while packets are lost" all_see_all "${nodes[@]}"
are_equal "while packets are lost" 60 "${nodes[@]}"
lost=0
for node in "${nodes[@]}"; do lost=$((lost + $(network_lost "$node"))); done
ok "packets were lost ($lost)" test "$lost" -gt 50
for node in "${nodes[@]}"; do network_lose "$node" 0; done
is "nobody was declared dead" $(($(deaths "${nodes[@]}") - was)) 0 ||
	grep -hE ' is (dead|suspect)|the link to node' "$TMP"/n?/log | diag
diag "$(($(ended) - links_were)) links ended meanwhile, $WRITE_COUNT writes"
write_for 1 "${nodes[@]}"
are_equal "when none is lost any more" 60 "${nodes[@]}"
cluster_done
