#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A bus that dies, hangs, comes back empty, refuses, or is the wrong one: each is told in the
# log and by `ocf status`, the node goes on, no query is stuck, and all is well afterwards.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/nats.sh
. "$OCF_TEST_SRCDIR/tests/lib/nats.sh"
# shellcheck source=tests/lib/raw.sh
. "$OCF_TEST_SRCDIR/tests/lib/raw.sh"
# shellcheck source=tests/lib/beside.sh
. "$OCF_TEST_SRCDIR/tests/lib/beside.sh"

said() { grep -qE "$1" "$TMP/n1/log"; }
trouble_is() { [[ $(bus_trouble n1) =~ $1 ]]; }
is_idle() { at n1 ocf status --json | jq -e '.queue.queued == 0 and .queue.running == 0'; }
# A worker of the bus that answers when $TMP/gate is there, and one that answers at once.
workers_start() { # URL
	rm -f "$TMP/gate"
	worker_start n1 gated --service gated --bus "$1" -- sh -c "$(gated)"
	worker_start n1 wc --service wc --bus "$1" -- wc -w
}
counts() { [ "$(at n1 ocf query wc --data 'a b c' 2>"$TMP/counts.err" | tr -d '[:space:]')" = 3 ]; }

# A query that a worker has, one that waits behind it for the only slot, and one that may not
# be repeated: when the bus fails they end, by an error or by their deadline.
queries_start() {
	local url
	url=$(node_url n1)
	ask one timeout 60 ocf --url "$url" query gated --data x --timeout 5s
	wait_until "$CLUSTER_SECONDS" runs n1 1 || bail "no query runs"
	ask two timeout 60 ocf --url "$url" query gated --data x --timeout 5s
	ask three timeout 60 curl -s -o "$TMP/three.body" -w '%{http_code}' -H 'Ocf-Timeout: 5s' -d x "$url/v1/service/gated"
}
queries_end() { # SENTENCE
	local name
	for name in one two three; do
		ok "$1: query $name ends" answered "$name"
		unlike "$1: query $name is not cut off by its client" "$(cat "$TMP/$name.status")" '^(124|137)$'
	done
	like "$1: what may not be repeated is told by its status" "$(cat "$TMP/three.out")" '^50[234]$'
	ok "$1: nothing is left waiting or running" wait_until "$CLUSTER_SECONDS" is_idle
}
whole() { # SENTENCE
	ok "$1: the bus is up again" wait_until 60 bus_is n1 up
	is "$1: and there is no trouble" "$(bus_trouble n1)" ""
	ok "$1: its workers are back" wait_until 60 sees_worker n1 wc
	ok "$1: queries are answered" wait_until 60 counts
}

# ---- somebody's bus dies, comes back empty

killed() {
	local bus
	node_init n1
	nats_start bus </dev/null
	bus=127.0.0.1:${NATS_PORT[bus]}
	node_start n1 --bus.url="$bus"
	workers_start "$bus"
	queries_start
	nats_kill bus
	ok "it is told as lost" wait_until "$CLUSTER_SECONDS" said 'the bus at .* was lost'
	ok "and why it cannot be used" wait_until "$CLUSTER_SECONDS" trouble_is 'refused'
	ok "ocf status calls it down" bus_is n1 down
	queries_end "the bus is gone"
	run at n1 timeout 40 ocf query wc --data x --timeout 2s
	like "a query that comes now ends by its deadline" "$status" '^(1|75)$'
	ok "and is not held" wait_until "$CLUSTER_SECONDS" is_idle
	nats_again bus
	whole "back, and empty"
	touch "$TMP/gate"
}

# ---- it hangs, and goes on

hanging() {
	local bus
	node_init n1
	nats_start bus </dev/null
	bus=127.0.0.1:${NATS_PORT[bus]}
	node_start n1 --bus.url="$bus"
	workers_start "$bus"
	queries_start
	kill -STOP "${NATS_PID[bus]}"
	run at n1 timeout 30 ocf status
	is "the node answers" "$status" 0
	ok "it is found out by its silence" wait_until 40 said 'was lost \((Stale|.*stale)'
	ok "what is there is told" wait_until "$CLUSTER_SECONDS" trouble_is 'does not speak as a NATS server: it is another program, or hangs'
	queries_end "the bus hangs"
	kill -CONT "${NATS_PID[bus]}"
	whole "going on after 20 seconds"
	worker_stop wc
	touch "$TMP/gate"
	worker_stop gated
	# What was sent into the silence is answered late, by nobody that is asked any more.
	ok "late words are of no query" is_idle
	node_stop n1
}

# ---- it refuses, and then does not; it is another's

refusing() {
	local full bus holder
	node_init n1
	nats_start full <<<'max_connections: 1'
	full=127.0.0.1:${NATS_PORT[full]}
	(trap - EXIT; exec 3<>"/dev/tcp/127.0.0.1/${NATS_PORT[full]}" &&
		printf 'CONNECT {}\r\nPING\r\n' >&3 && exec cat <&3 >"$TMP/holder") &
	holder=$!
	wait_until "$CLUSTER_SECONDS" grep -q PONG "$TMP/holder" || bail "the server's only connection is not taken"
	at_background n1 "$TMP/n1/log" ocfd "${CLUSTER_LISTEN[@]}" --bus.url="$full"
	NODE_PID[n1]=$!
	ok "a server that has all its connections: it is told" wait_until "$CLUSTER_SECONDS" trouble_is 'it refuses: maximum connections exceeded'
	ok "in the log, too" said 'cannot be used: it refuses: maximum connections'
	kill "$holder"
	ok "when there is room, the bus is up" wait_until 60 bus_is n1 up
	node_stop n1

	nats_start bus </dev/null
	bus=127.0.0.1:${NATS_PORT[bus]}
	node_start n1 --bus.url="$bus"
	node_init n2
	run at n2 timeout 40 ocfd "${CLUSTER_LISTEN[@]}" --bus.url="$bus"
	is "another node's bus: exit 78" "$status" 78
	like "another node's bus: its name is told" "$err" 'error.* the bus at .* is taken by node n1'
	ok "another node's bus: that goes on" bus_is n1 up
	wrong "an HTTP server" "$(node_field n1 http)" 'does not speak as a NATS server|this is no NATS server'
	node_stop n1
}

# ---- the wrong one

wrong() { # SENTENCE URL REGEX
	: >"$TMP/n2/log"
	at_background n2 "$TMP/n2/log" ocfd "${CLUSTER_LISTEN[@]}" --bus.url="$2"
	NODE_PID[n2]=$!
	told() { [[ $(bus_trouble n2) =~ $1 ]] && bus_is n2 down; }
	ok "$1: ocf status tells" wait_until "$CLUSTER_SECONDS" told "$3" || tail -n 5 "$TMP/n2/log" | diag
	ok "$1: so does the log" grep -qE "warn +bus: the bus at .* cannot be used: .*($3)" "$TMP/n2/log"
	is "$1: once" "$(grep -cE "cannot be used: .*($3)" "$TMP/n2/log")" 1
	ok "$1: the node gets ready without it" wait_until "$CLUSTER_SECONDS" test -s "$TMP/n2/state/ocf/run.json"
	run at n2 timeout 40 ocf query wc --data x --timeout 1s
	like "$1: a query ends" "$status" '^(1|75)$'
	node_stop n2
}
wrong_servers() {
	node_init n2
	nats_start small <<<'max_payload: 65536'
	wrong "a server of small messages" "127.0.0.1:${NATS_PORT[small]}" 'max_payload is 65536 bytes; queries need 561152'
	nats_start headless <<<'no_header_support: true'
	wrong "a server without headers" "127.0.0.1:${NATS_PORT[headless]}" 'takes no headers, which every query has'
	wrong "all of them" "127.0.0.1:1,127.0.0.1:${NATS_PORT[small]}" \
		'127\.0\.0\.1:1: Connection refused; 127\.0\.0\.1:[0-9]+: its max_payload'
	nats_start poor <<-END
		authorization { users: [ { user: node, password: x, permissions: {
		  publish: ">", subscribe: [ "_INBOX.>", "ocf.n.>", "ocf.node" ] } } ] }
	END
	at_background n2 "$TMP/n2/log" ocfd "${CLUSTER_LISTEN[@]}" --bus.url="node:x@127.0.0.1:${NATS_PORT[poor]}"
	NODE_PID[n2]=$!
	told() { [[ $(bus_trouble n2) =~ Permissions\ Violation.*worker:status ]]; }
	ok "a user that may not hear workers: ocf status tells" wait_until "$CLUSTER_SECONDS" told
	ok "in the log, with where it stands what is needed" grep -q 'Permissions Violation.*ocf-protocol(7)' "$TMP/n2/log"
	node_stop n2
}
no_servers() {
	node_init n2
	nats_start silent </dev/null
	kill -STOP "${NATS_PID[silent]}"
	wrong "one that says nothing" "127.0.0.1:${NATS_PORT[silent]}" 'does not speak as a NATS server: it is another program, or hangs'
	wrong "one that is not there" "127.0.0.1:1" 'Connection refused'
	wrong "a name that nobody has" "nobody.invalid" 'no address of nobody\.invalid'
}

# ---- the node's own server: its log, and one that hangs

own() {
	local bus server i
	node_init n1
	node_start n1 --log.level=debug
	bus=$(node_field n1 bus)
	workers_start "$bus"
	server=$(cluster_leftovers | grep nats-server | grep "$TMP/n1/" | cut -d: -f1)
	ok "what nats-server tells is in the log at debug" said 'debug bus: nats-server [0-9]+ INF: Server is ready'
	is "nothing of a start is a warning" "$(grep -E 'warn .*nats-server' "$TMP/n1/log")" ""
	for ((i = 0; i < 30; i++)); do raw_nats_publish "$bus" ocf.hello x; done >"$TMP/said"
	ok "what a worker may not do is a warning of nats-server's" wait_until "$CLUSTER_SECONDS" said \
		'warn  bus: nats-server [0-9]+ ERR: .*Publish Violation'
	is "of 30 at most 10 are told" "$(grep -cE 'nats-server [0-9]+ ERR: .*Violation' "$TMP/n1/log")" 10
	queries_start
	kill -STOP "$server"
	run at n1 timeout 30 ocf status
	is "it hangs: the node answers" "$status" 0
	ok "it hangs: it is killed, and another started" wait_until 60 said \
		'embedded nats-server ended \(it listened and did not answer\)'
	queries_end "it hangs"
	whole "replaced"
	ok "there is one nats-server" test "$(cluster_leftovers | grep "$TMP/n1/" | grep -c nats-server)" -eq 1
	touch "$TMP/gate"
}

beside own own
beside hanging hanging
beside killed killed
beside refusing refusing
beside wrong wrong_servers
beside none no_servers
beside_done
cluster_done
