#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ten times as many queries as two nodes' workers can answer: they lose no time over it, whoever
# is refused is told so and when to come again, whoever is not has his answer by his deadline,
# and when it is over nothing is left of it. What counts is counted at the servers behind the
# workers (bench-http-server) and at the clients (bench-http-load).
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/load.sh
. "$OCF_TEST_SRCDIR/tests/lib/load.sh"

SLEEP_MS=200 SLOTS=10 # of each of two: a hundred queries a second in all
RATE=1000 TIMES=5     # offered, and so many times what is answered
QUEUE=50              # at each: a second of its work
TIMEOUT_MS=$((5000 * ${OCF_TEST_PATIENCE:-1}))
LATE_MS=$((2000 * ${OCF_TEST_PATIENCE:-1})) # the way back to a client on a busy machine
# Instrumented nodes cannot say no so often.
[ "${OCF_TEST_PATIENCE:-1}" -eq 1 ] || RATE=400 TIMES=2
# Of the rate without it, this must be left: few seconds of a machine that does other things
# tell little of rates.
seconds=4 peak_seconds=4 share=0.5
[ "${OCF_TEST_LEVEL:-}" != slow ] || seconds=60 peak_seconds=10 share=0.9

CLUSTER_LISTEN+=("--dispatch.queue_max=$QUEUE")
cluster_start 2
for i in 1 2; do
	server_start "s$i" "n$i" "ms=$SLEEP_MS" "slots=$SLOTS"
	worker_start "n$i" "w$i" --service work --slots "$SLOTS" --http "http://$(server_address "s$i")"
done
worker_start n2 other --service other --slots 4 -- rev
for id in w2 other; do
	ok "n1 is told of worker $id" wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id"
done

# Against n1; what it says is in $TMP/load.NAME.
CLIENTS=256
asks() { # NAME CLIENTS SECONDS [NAME=VALUE]…
	load_run "$1" "$(node_field n1 http)" /v1/service/work/ "${@:2}" "timeout=$TIMEOUT_MS" count=1
}
begun() { echo $(($(server_begun s1) + $(server_begun s2))); }
judge() { # WHAT NAME: whatever the load was
	is "$1: every refusal is a 429 or a 503, and says when to come again" \
		"$(load_said "$2" '[(.refused | keys - ["429", "503"] | length), .unexplained, .lost] | join(" ")')" \
		"0 0 0" || diag <"$TMP/load.$2"
	ok "$1: who is not refused has his answer by his deadline" \
		load_holds "$2" ".max_us <= ($TIMEOUT_MS + $LATE_MS) * 1000" || diag <"$TMP/load.$2"
}

# ---- as much as can be done: half as many clients again as there are slots

asks peak $((SLOTS * 3)) "$peak_seconds"
diag "peak: $(cat "$TMP/load.peak")"
is "as many clients as can be served: nobody is refused" "$(load_said peak '.refused | length')" 0

# ---- ten times as much

had=$(begun)
ask over asks over "$CLIENTS" "$seconds" "rate=$RATE"
is_long() { [ "$(node_metrics n1 | awk '$1 == "ocf_queue_length" { print $2 }')" -ge $((QUEUE / 2)) ]; }
ok "n1's queue is long" wait_until "$CLUSTER_SECONDS" is_long
run at n1 ocf query other --data abc
is "meanwhile another service answers" "$status $out" "0 cba" || diag "$err"
wait_until $((seconds + CLUSTER_SECONDS)) test -s "$TMP/over.status" || bail "the load does not end"
diag "ten times: $(cat "$TMP/load.over" "$TMP/over.err")"
did=$(($(begun) - had))
diag "the workers did $did"
judge "ten times" over
ok "ten times: who is refused keeps his connection" load_holds over ".connections <= $CLIENTS"
ok "more than $TIMES queries came for each that was answered" load_holds over ".sent > $TIMES * .answered"
ok "nine tenths of what the workers did was for clients that had it" load_holds over ".answered >= 0.9 * $did"
# They come in rounds of all slots, and the end may have cut one off.
ok "in a second at least $share as many are answered as without it" \
	load_holds over ".per_s + 2 * $SLOTS / $seconds >= $share * $(load_said peak .per_s)"

# ---- afterwards

is_normal() { node_is_idle n1 && node_is_idle n2; }
ok "when it is over, nothing waits anywhere" wait_until 5 is_normal
had=$(begun)
asks after $((SLOTS * 2)) 1
is "as many clients as there are slots: nobody is refused" \
	"$(load_said after '[(.refused | length), .lost] | join(" ")')" "0 0" || diag <"$TMP/load.after"
is "and nothing of before is done beside their queries" $(($(begun) - had)) "$(load_said after .answered)"
judge "afterwards" after
servers_stop
cluster_done
