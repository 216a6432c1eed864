#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of one of five daemons, drawn by chance, and its restart, again and again while rows
# are written at all of them. Rows are handed on when they are durable: what another node
# lists must be in the store of the killed one; and in the end all have what was written.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "daemons that are killed" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
# shellcheck source=tests/lib/writers.sh
. "$OCF_TEST_SRCDIR/tests/lib/writers.sh"

rounds=20
[ "${OCF_TEST_LEVEL:-}" != quick ] || rounds=5
if is_slow; then rounds=100; fi
nodes=(n1 n2 n3 n4 n5)

network_start "daemons that are killed"
for node in "${nodes[@]}"; do network_attach "$node" left; done
cluster_start 5
for node in "${nodes[@]}"; do
	writer_start "$node"
	for i in 0 1 2 3 4 5 6 7; do
		WRITE_COUNT=$((WRITE_COUNT + 1))
		write_row "$node" "$node-$i" "$WRITE_COUNT"
	done
done
are_equal "before" 30 "${nodes[@]}"

declare -A GONE_AT=() # id → the number of the write that removed it last
write_some() { # COUNT NODE…
	local count=$1 nodes i node id
	shift
	nodes=("$@")
	for ((i = 0; i < count; i++)); do
		node=${nodes[RANDOM % $#]}
		write_random "$node"
		for id in "$node"-{0..7}; do
			[ "${WRITTEN[$id]}" != gone ] || [ -n "${GONE_AT[$id]:-}" ] || GONE_AT[$id]=$WRITE_COUNT
			[ "${WRITTEN[$id]}" = gone ] || unset "GONE_AT[$id]"
		done
		sleep "0.0$((RANDOM % 10))"
	done
}
# Lines «ID NUMBER» of those of its own that the store of a node that does not run holds.
stored() { # NODE
	at "$1" ocf-sync dump | jq -r --arg of "$1-" 'select(.kind == "worker") | .versions[] |
		select(.value) | .value | fromjson | select(.id | startswith($of)) |
		.id + " " + (.metadata.n | tostring)' | sort
}
# Of the acknowledged lines in $TMP/acknowledged, those that are not in the store, nor were
# removed since; a number only grows.
not_stored() { # NODE
	local id n in_store
	stored "$1" >"$TMP/stored"
	while read -r id n; do
		in_store=$(awk -v id="$id" '$1 == id { print $2 }' "$TMP/stored")
		[ "${in_store:-0}" -ge "$n" ] || [ -n "${GONE_AT[$id]:-}" ] ||
			echo "$id $n, but ${in_store:-none}"
	done <"$TMP/acknowledged"
}

bad='' acknowledged=0 held=0
for ((round = 1; round <= rounds; round++)); do
	victim=${nodes[RANDOM % 5]}
	witness=$victim
	while [ "$witness" = "$victim" ]; do witness=${nodes[RANDOM % 5]}; done
	write_some 5 "${nodes[@]}"
	write_some 3 "$victim"
	listed "$witness" | grep "^$victim-" >"$TMP/acknowledged"
	write_some $((RANDOM % 3)) "$victim"
	node_kill "$victim"
	acknowledged=$((acknowledged + $(wc -l <"$TMP/acknowledged")))
	said=$(not_stored "$victim")
	held=$((held + $(wc -l <"$TMP/stored")))
	[ -z "$said" ] || bad="$bad round $round, $victim: $said;"
	write_some 5 "${nodes[@]}"
	node_start "$victim"
done
ok "the stores of the killed ones had rows of their own ($held in $rounds rounds)" \
	test "$held" -ge "$rounds"
is "what was acknowledged ($acknowledged rows) is in them" "$bad" ""
killed_at=$EPOCHREALTIME
ok "all see all" wait_until 60 all_see_all "${nodes[@]}"
diag "all see all $(since "$killed_at") s after the last start"
are_equal "in the end" 60 "${nodes[@]}"
diag "$WRITE_COUNT writes"
is "every node has its rows once" \
	"$(for node in "${nodes[@]}"; do listed "$node" | cut -d' ' -f1 | uniq -d; done)" ""
cluster_done
