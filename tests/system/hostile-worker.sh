#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Workers whose replies mean harm: they lie about their parts, never end, are nobody's or hold
# line ends; or queries are taken and never answered. Each has its outcome for the client, at
# its node and at another; nothing stays busy, memory is bounded, and the worker beside them
# answers all the while.
# shellcheck source=tests/lib/hostile.sh
. "$OCF_TEST_SRCDIR/tests/lib/hostile.sh"

# A hostile worker, id and service of one name; it starts anew with each behaviour.
hostile_start() { # NAME BEHAVIOUR
	hostile "$bus" worker "$1" "$1" "$2" >"$TMP/worker-$1.log" 2>&1 </dev/null &
	WORKER_PID[$1]=$!
	wait_until "$CLUSTER_SECONDS" sees_worker n2 "$1" || cluster_fail "$1 is not listed" "$TMP/worker-$1.log"
}
# Its outcome: curl's exit status, then the status of HTTP. 18: cut off before the end.
query() { # NODE NAME SECONDS [ARG… of curl]
	local node=$1 name=$2 seconds=$3 code status=0
	shift 3
	code=$(curl -sN --max-time 60 -D "$TMP/head" -o "$TMP/body" -w '%{http_code}' -d q -H "Ocf-Timeout: ${seconds}s" "$@" \
		"$(node_url "$node")/v1/service/$name") || status=$?
	echo "$status $code"
}
shows() { # WHAT BEHAVIOUR OUTCOME [SECONDS]
	local node name=h$((shown += 1))
	hostile_start "$name" "$2"
	for node in "${nodes[@]}"; do
		is "$1, at $node: $3" "$(query "$node" "$name" "${4:-20}")" "$3"
		ok "… its slot is free again" wait_until 10 node_is_idle n1
	done
	worker_kill "$name"
}
shown=0
nodes=(n1 n2)
[ "${OCF_TEST_LEVEL:-}" != quick ] || nodes=(n2)

# ---- lies about parts: cut off after what was already passed on, else 502
shows "a part is missing" gap "18 200"
shows "a part comes twice" repeat "18 200"
shows "the end counts a part that never came" more "18 200"
shows "the end counts too few" fewer "18 200"
shows "the end has a body" tail "18 200"
shows "a message without a number among parts" mixed "18 200"
shows "a part over 64 KiB" large "0 502"
ok "a worker that lied is told to stop" grep -q '"op":"cancel"' "$TMP/worker-h1.log"

# ---- statuses
for number in 100 999 -200 2e2; do
	shows "status $number" "status=$number" "0 502"
done
for number in 100 999 x; do shows "an error of code $number" "code=$number" "0 502"; done
shows "an error of code 404" "code=404" "0 404"

# ---- line ends in what becomes the head of an HTTP reply
for text in $'\nX-Evil: 1' $'\rX-Evil: 1' $'\r\nX-Evil: 1' $'\r\n\r\nevil'; do
	hostile_start inject "inject=$text"
	for node in n1 n2; do
		is "a reply with $(printf %q "$text") in its headers is a reply, at $node" "$(query "$node" inject 20)" "0 200"
		is "… its body is what it was" "$(cat "$TMP/body")" x
		is "… none of that is in its head, nor what is the server's to say" \
			"$(tr -d '\r' <"$TMP/head" | tr '\r' '\n' | grep -icE 'evil|^x-two|^content-length|^connection: close')" 0
		ok "… what is in order is" grep -qi '^x-good: kept' "$TMP/head"
	done
	worker_kill inject
	wait_until "$CLUSTER_SECONDS" sees_no_worker n2 inject
done

# ---- no end
for behaviour in mute busy; do
	shows "$behaviour for ever" "$behaviour" "0 504" 1
done
shows "given back for ever" return "0 504" 1
hostile_start drip drip
is "parts for ever: cut off at the deadline" "$(query n2 drip 1)" "18 200"
ok "… its slot is free again, though it goes on" wait_until 10 node_is_idle n1
curl -sN --max-time 60 -d q "$(node_url n2)/v1/service/drip" >"$TMP/drip" &
client=$!
ok "a client reads them" wait_until "$CLUSTER_SECONDS" test -s "$TMP/drip"
kill "$client"
wait "$client" 2>/dev/null
ok "… when it leaves, the slot is free, too" wait_until 10 node_is_idle n1
worker_kill drip

# As fast as it can, to a client that does not read.
hostile_start flood flood
before=$(resident_kib n1)
curl -sN --max-time 120 --limit-rate 1k -d q "$(node_url n2)/v1/service/flood" >"$TMP/flood" 2>/dev/null &
client=$!
ok "parts whatever the credit: it is told to stop" wait_until "$CLUSTER_SECONDS" grep -q '"op":"cancel"' "$TMP/worker-flood.log"
ok "… the worker beside it answers" good_answers n2
kill "$client" 2>/dev/null
wait "$client" 2>/dev/null
ok "… its slot is free again" wait_until 10 node_is_idle n1
worker_kill flood
grown=$((($(resident_kib n1) - before) / 1024))
diag "n1 grew by $grown MiB"
# Instrumented memory is given back late.
[ "${OCF_TEST_PATIENCE:-1}" -ne 1 ] || ok "… n1 grew by less than 100 MiB" test "$grown" -lt 100

# ---- subjects that are nobody's, and those of before
foreign=$(counter 'ocf_bus_replies_dropped_total{reason="foreign"}')
shows "replies to guessed subjects" forge "0 200"
is "the reply is its worker's own" "$(cat "$TMP/body")" honest
is "… each forged one is dropped and counted" \
	$(($(counter 'ocf_bus_replies_dropped_total{reason="foreign"}') - foreign)) $((${#nodes[@]} * 202))
late=$(counter 'ocf_bus_replies_dropped_total{reason="late"}')
shows "a reply that comes twice" late "0 200"
is "… is one" "$(cat "$TMP/body")" honest
counted() { [ "$(counter "ocf_bus_replies_dropped_total{reason=\"late\"}")" -ge $((late + ${#nodes[@]})) ]; }
ok "… and the second is dropped and counted" wait_until 10 counted

worker_stop good
cluster_done
