#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Three nodes with two workers each, and clients that ask all three all the while. Workers, the
# servers behind some, nodes and nats-servers are killed, stopped for a while, cut off, one after
# the other, which and when by chance. Queries that may be repeated are all answered in the end: those that come
# back with a status that says «later» are asked again. Those that may not are run once at most,
# and never if the client was told that nobody had them. No answer is that of another query, and
# none comes twice: bench-http-load looks at each. The workers note what they run.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "faults at random" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
# shellcheck source=tests/lib/death.sh
. "$OCF_TEST_SRCDIR/tests/lib/death.sh"
# shellcheck source=tests/lib/load.sh
. "$OCF_TEST_SRCDIR/tests/lib/load.sh"

DEADLINE_MS=$((4000 * ${OCF_TEST_PATIENCE:-1}))
# A query has ended by its deadline, or this much later: its node may stand still for a while.
LIMIT_MS=$((DEADLINE_MS + 20000 * ${OCF_TEST_PATIENCE:-1}))
mayhem_s=10 fault_ms=700 # the longest that a fault lasts, and that passes between two
[ "${OCF_TEST_LEVEL:-}" != slow ] || mayhem_s=240 fault_ms=5000
NODES=(n1 n2 n3)

network_start "faults at random"
for node in "${NODES[@]}"; do network_attach "$node" left; done
cluster_start 3

# ---- workers: a command at each node, and one in front of a server

# It notes the first word of the body, and gives the body back.
run_noting='b=$(cat); echo "${b%% *}" >>"$0"; sleep 0.2; printf %s "$b"'
worker_words() { # ID: what comes behind ocf-worker, in WORDS
	case $1 in
	c*) WORDS=(--service echo --slots 4 -- sh -c "$run_noting" "$TMP/executed") ;;
	*) WORDS=(--service echo --slots 4 --http "http://$(server_address "s${1#w}")") ;;
	esac
}
workers=()
for i in 1 2 3; do
	server_start "s$i" "n$i" ms=200 slots=4 "log=$TMP/executed"
	for id in "c$i" "w$i"; do
		worker_words "$id"
		worker_start "n$i" "$id" "${WORDS[@]}"
		workers+=("$id")
	done
done
worker_node() { echo "n${1#?}"; } # ID
# Without waiting for it: its node may be down.
worker_again() { # ID
	local WORDS
	worker_words "$1"
	at_background "$(worker_node "$1")" "$TMP/worker-$1.log" ocf-worker --id "$1" "${WORDS[@]}"
	WORKER_PID[$1]=$!
}
all_see_workers() { all_see "${workers[@]}"; }
wait_until "$CLUSTER_SECONDS" all_see_workers || bail "the workers are not seen everywhere"

# ---- clients: over the nodes' sockets, which are where they were when a node is back

addresses=
for node in "${NODES[@]}"; do addresses="$addresses,unix:$(node_field "$node" socket)"; done
asks() { # NAME RATE [NAME=VALUE]…
	load_run "$1" "${addresses#,}" /v1/service/echo/ 50 "$mayhem_s" "id=$1" "rate=$2" \
		"timeout=$DEADLINE_MS" "limit=$LIMIT_MS" "log=$TMP/log.$1" "${@:3}"
}
ask clients-again asks again 40 repeat=1
ask clients-once asks once 30 count=1
has_begun() { grep -q '^again' "$TMP/executed" && grep -q '^once' "$TMP/executed"; }
ok "queries run" wait_until "$CLUSTER_SECONDS" has_begun

# ---- faults

fault_worker() {
	death_pick "${workers[@]}"
	worker_kill "$picked"
	death_moment "$fault_ms"
	worker_again "$picked"
}
fault_server() {
	death_pick s1 s2 s3
	server_kill "$picked"
	death_moment "$fault_ms"
	server_again "$picked"
}
fault_node() {
	death_pick "${NODES[@]}"
	node_kill "$picked"
	death_moment "$fault_ms"
	node_start "$picked"
}
fault_bus() { # its node starts another
	local server
	death_pick "${NODES[@]}"
	server=$(server_of "$picked")
	[ -z "$server" ] || kill -KILL "$server"
}
fault_cut() {
	death_pick "${NODES[@]}"
	network_cut "$picked"
	death_moment "$fault_ms"
	network_mend "$picked"
}
fault_mute() { # what one says does not reach the next one
	local from to
	death_pick 1 2 3
	from=n$picked to=n$((picked % 3 + 1))
	picked="$from to $to"
	network_mute "$from" "$to"
	death_moment "$fault_ms"
	network_unmute "$from" "$to"
}
# It stands still, and goes on.
fault_pause() { # WHAT PID…
	picked=$1
	shift
	kill -STOP "$@" 2>/dev/null
	death_moment $((fault_ms < 3000 ? fault_ms : 3000))
	kill -CONT "$@" 2>/dev/null
}
fault_pause_node() {
	death_pick "${NODES[@]}"
	fault_pause "$picked" "${NODE_PID[$picked]}"
}
fault_pause_bus() {
	local server
	death_pick "${NODES[@]}"
	server=$(server_of "$picked")
	[ -z "$server" ] || fault_pause "$picked" "$server"
}
fault_pause_worker() {
	death_pick "${workers[@]}"
	fault_pause "$picked" "${WORKER_PID[$picked]}"
}

# All of them, in another order each time.
kinds=(worker worker server node bus cut mute pause_node pause_bus pause_worker)
shuffle_kinds() {
	local i j kind
	for ((i = ${#kinds[@]} - 1; i > 0; i--)); do
		j=$((RANDOM % (i + 1))) kind=${kinds[i]}
		kinds[i]=${kinds[j]} kinds[j]=$kind
	done
}
ends=$((SECONDS + mayhem_s)) faults=0
while [ "$SECONDS" -lt "$ends" ]; do
	shuffle_kinds
	for kind in "${kinds[@]}"; do
		[ "$SECONDS" -lt "$ends" ] || break
		death_moment "$fault_ms"
		"fault_$kind"
		faults=$((faults + 1))
		diag "$((mayhem_s + SECONDS - ends)) s: $kind $picked"
	done
done

# ---- all is whole again

ok "after $faults faults every node sees all nodes and workers" wait_until 60 all_see_workers
has_ended() { test -s "$TMP/clients-again.status" && test -s "$TMP/clients-once.status"; }
ok "the clients have done" wait_until $((CLUSTER_SECONDS + LIMIT_MS / 1000)) has_ended
is "no answer was late, nobody else's, and none came twice" \
	"$(cat "$TMP"/clients-*.status)" $'0\n0' || cat "$TMP"/clients-*.err | diag
diag "again: $(cat "$TMP/load.again")"
diag "once: $(cat "$TMP/load.once")"
is "every query that may be repeated was answered" "$(load_said again .answered)" "$(load_said again .sent)" ||
	grep -v ' 200$' "$TMP/log.again" | diag
ok "there were enough of them" load_holds again ".sent >= $((mayhem_s * 15))"
is "those that were not to be repeated are answered, or told that they failed" \
	"$(load_said once '.refused | keys - ["429", "502", "503", "504"] | join(" ")')" ""
is "… and told when to come again, if nobody had them" \
	"$(load_said again .unexplained) $(load_said once .unexplained)" "0 0"

sort "$TMP/executed" >"$TMP/executed.sorted"
once_with() { awk -v s="$1" '$2 == s { print $1 }' "$TMP/log.once" | sort; } # STATUS
is "none of those was run twice" "$(grep '^once-' "$TMP/executed.sorted" | uniq -d)" ""
is "… those with an answer were run" "$(comm -23 <(once_with 200) <(uniq "$TMP/executed.sorted"))" ""
is "… and those that nobody had were not" "$(comm -12 <(once_with 503) <(uniq "$TMP/executed.sorted"))" ""
ok "some of each were run" test "$(grep -c '^once-' "$TMP/executed.sorted")" -gt "$mayhem_s"
servers_stop
cluster_done
