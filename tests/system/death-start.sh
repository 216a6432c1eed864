#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of an ocfd at random moments of its start, and while it writes and floods rows:
# what it leaves behind is whole, nothing of it stays running, and the next start heals it.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/death.sh
. "$OCF_TEST_SRCDIR/tests/lib/death.sh"

death_cluster

# ---- while starting

rounds=6
load_start n1 repeatable
load_start n3 once
node_kill n2
for ((round = 1; round <= rounds; round++)); do
	at_background n2 "$TMP/n2/log" ocfd "${CLUSTER_LISTEN[@]}"
	NODE_PID[n2]=$!
	death_moment 500
	node_kill n2
	wait_until "$CLUSTER_SECONDS" server_is_gone n2 || fail "round $round leaves a nats-server"
done
ok "killed $rounds times while it started, nothing of n2 stays running" server_is_gone n2
ok "the others' clients were answered" load_goes_on 3
node_start n2
ok "and are while it comes back" load_goes_on 3
load_judge "every query had its answer, or a clear error"
healed "n2 back" "n1 n2 n3" "e1 e2 e3"

# ---- while rows are written and flooded

# A hundred announcements in one go, from one connection; it ends, and so do these workers,
# when their bus does.
burst() { # BUS ROUND
	local i said fd
	exec {fd}<>"/dev/tcp/${1%:*}/${1##*:}" || return
	{
		printf 'CONNECT {"verbose":false,"pedantic":false,"name":"raw"}\r\n'
		for ((i = 0; i < 100; i++)); do
			said='{"v":1,"id":"row-'$2-$i'","service":"rows","slots":1,"hb_s":600,"status":"connected"}'
			printf 'PUB worker:status %d\r\n%s\r\n' "${#said}" "$said"
		done
		printf 'PING\r\n'
	} >"$TMP/burst"
	cat "$TMP/burst" >&"$fd"
	cat <&"$fd" >/dev/null
}
for ((round = 1; round <= 4; round++)); do
	burst "$(node_field n2 bus)" "$round" 2>/dev/null &
	writer=$!
	death_moment 250
	node_kill n2
	wait "$writer"
	# Half of the time it is killed again while it looks at what it left.
	if [ $((RANDOM % 2)) -eq 0 ]; then
		at_background n2 "$TMP/n2/log" ocfd "${CLUSTER_LISTEN[@]}"
		NODE_PID[n2]=$!
		death_moment 400
		node_kill n2
	fi
	node_start n2
done
no_rows() {
	local node
	for node in "${!NODE_PID[@]}"; do
		[ "$(at "$node" ocf services --json | jq 'any(.[]; .name == "rows")')" = false ] || return 1
	done
}
ok "the rows of workers that are gone go, everywhere" wait_until 60 no_rows
healed "n2 back" "n1 n2 n3" "e1 e2 e3"
is "no row was refused or found damaged" "$(for n in n1 n2 n3; do
	at "$n" curl -s "$(node_url "$n")/metrics" | grep -E '^ocf_(rows_refused|store_damaged)_total' | grep -v ' 0$'
done)" ""
cluster_done
