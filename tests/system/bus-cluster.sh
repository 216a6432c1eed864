#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A cluster of three NATS servers as the bus, with the accounts that ocf-protocol(7) shows: what
# is allowed there, and what is not, tried; and servers that are killed under queries.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/nats.sh
. "$OCF_TEST_SRCDIR/tests/lib/nats.sh"

node_init n1
(umask 077 && echo 'node:change this' >"$TMP/node.secret" && echo 'worker:and this' >"$TMP/worker.secret")
# The manual's own text.
awk '/^\.\\" end of example/ { is_in = 0 } is_in && !/^\.[BE]d/ { print } /^\.\\" example: nats-server.conf/ { is_in = 1 }' \
	"$OCF_TEST_SRCDIR/man/ocf-protocol.7" >"$TMP/example"
ok "the manual has an example" grep -q '^accounts' "$TMP/example"

server() { # NAME ROUTE…
	local name=$1 IFS=,
	shift
	nats_start "$name" < <(
		cat "$TMP/example"
		printf 'server_name: %s\ncluster { name: ocf, listen: "127.0.0.1:-1", routes: [ %s ] }\n' "$name" "$*"
	)
}
server a
server b "nats://127.0.0.1:${NATS_ROUTES[a]}"
server c "nats://127.0.0.1:${NATS_ROUTES[a]}" "nats://127.0.0.1:${NATS_ROUTES[b]}"
url() { # NAME…
	local name text=
	for name in "$@"; do text=$text${text:+,}127.0.0.1:${NATS_PORT[$name]}; done
	echo "$text"
}
node_start n1 --bus.url="$(url a b c)" --bus.credentials="$TMP/node.secret"
ok "the bus is up" wait_until "$CLUSTER_SECONDS" bus_is n1 up
said() { grep -qE "$1" "$TMP/n1/log"; }
bus_worker() { # ID SERVICE "SERVER…" COMMAND…
	local id=$1 service=$2 servers=$3
	shift 3
	# shellcheck disable=SC2086 # words
	worker_start n1 "$id" --service "$service" --slots 4 --bus "$(url $servers)" \
		--credentials "$TMP/worker.secret" -- "$@"
}
bus_worker wb wc "b c a" wc -w
bus_worker wc wc "c a b" wc -w
counts() { [ "$(at n1 ocf query wc --data 'a b c' 2>"$TMP/counts.err" | tr -d '[:space:]')" = 3 ]; }
ok "queries go to workers of other servers" counts

# ---- permissions, each by trying

# What a server says to a user's words, up to a pong.
say() { # SERVER USER PASSWORD WORDS…
	local fd line where=/dev/tcp/127.0.0.1/${NATS_PORT[$1]} user=$2 password=$3
	shift 3
	exec {fd}<>"$where" || return 2
	{
		printf 'CONNECT {"verbose":false,"user":"%s","pass":"%s"}\r\n' "$user" "$password"
		printf '%b' "$@"
		printf 'PING\r\n'
	} >&"$fd"
	while IFS= read -r -t 10 line <&"$fd"; do
		printf '%s\n' "$line"
		case $line in PONG*) break ;; esac
	done
	exec {fd}>&-
}
as_worker() { say b worker 'and this' "$@"; }
as_node() { say b node 'change this' "$@"; }
for subject in worker:status ocf.r.x 'ocf.r.>' ocf.n.x ocf.node _INBOX.ocf.x '$JS.API.>' '$SYS.>'; do
	like "a worker cannot subscribe to $subject" "$(as_worker "SUB $subject 1\r\n")" 'Permissions Violation for Subscription'
done
for subject in wc 'inference:m' ocf.d.x ocf.c.x ocf.hello _INBOX.x '*' '>'; do
	unlike "it can subscribe to $subject" "$(as_worker "SUB $subject 1\r\n")" '-ERR'
done
for subject in ocf.hello ocf.d.wc ocf.c.wc wc ocf.n.x '$JS.API.INFO' '$SYS.REQ.SERVER.PING'; do
	like "a worker cannot publish on $subject" "$(as_worker "PUB $subject 1\r\nx\r\n")" 'Permissions Violation for Publish'
done
for subject in worker:status '$JS.API.INFO' '$SYS.REQ.SERVER.PING' ocf.r.x; do
	like "the node's user cannot publish on $subject" "$(as_node "PUB $subject 1\r\nx\r\n")" 'Permissions Violation for Publish'
done
like "the node's user cannot take queries" "$(as_node 'SUB wc workers 1\r\n')" 'Permissions Violation for Subscription'
is "a wildcard hears no announcement" "$(say b worker 'and this' \
	'SUB > 1\r\nPUB worker:status 2\r\n{}\r\n' | grep -c '^MSG worker:status')" 0
ok "nonsense of a worker is a warning here, too" wait_until "$CLUSTER_SECONDS" said 'neither `v` and `id` nor `client_id`'
legacy='{"service":"inference:m","gpus":[],"client_id":4711,"status":"connected"}'
as_worker "PUB worker:status ${#legacy}\r\n$legacy\r\n" >"$TMP/said"
ok "a worker of 2023 is refused, with the reason" wait_until "$CLUSTER_SECONDS" said \
	'worker `c4711`: it announces without `v` and `id`, and on this bus the node cannot see when its connection ends'
ok "and not listed" sees_no_worker n1 c4711

# ---- the server of a worker is killed under its queries

rm -f "$TMP/gate"
bus_worker gb gated "b c a" sh -c "$(gated)"
attached() { grep -c 'attached to' "$TMP/worker-$1.log"; }
again() { [ "$(attached "$1")" -gt "$2" ]; }
ask repeatable timeout 100 ocf --url "$(node_url n1)" query gated --data x --timeout 60s
ask once timeout 100 curl -s -o "$TMP/once.body" -w '%{http_code}' -H 'Ocf-Timeout: 60s' -d x "$(node_url n1)/v1/service/gated"
ok "two queries run there" wait_until "$CLUSTER_SECONDS" runs n1 2
# Another of the service, for what is tried elsewhere.
bus_worker gc gated "c a b" sh -c "$(gated)"
was=$(attached gb)
nats_kill b
ok "its server killed, the worker is on another" wait_until "$CLUSTER_SECONDS" again gb "$was"
ok "what may not be repeated is told as lost" answered once
is "by 502" "$(cat "$TMP/once.out")" 502
touch "$TMP/gate"
ok "what may be repeated is answered" answered repeatable
is "well" "$(cat "$TMP/repeatable.status") $(cat "$TMP/repeatable.out")" "0 x" || diag <"$TMP/repeatable.err"
ok "queries are answered by both" counts
ok "the node's bus was up all the time" bash -c "! grep -q 'was lost' '$TMP/n1/log'"

# ---- the node's own server is killed under queries

rm -f "$TMP/gate"
ask repeatable timeout 100 ocf --url "$(node_url n1)" query gated --data y --timeout 60s
ok "a query runs" wait_until "$CLUSTER_SECONDS" runs n1 1
nats_kill a
ok "its server killed, the node says so" wait_until "$CLUSTER_SECONDS" said 'was lost'
ok "and is on the one that is left" wait_until "$CLUSTER_SECONDS" bus_is n1 up
touch "$TMP/gate"
# While the bus is away there is no other worker to try.
ok "the query that ran ends" answered repeatable
like "by its answer, or by what happened to its worker" \
	"$(cat "$TMP/repeatable.status" "$TMP/repeatable.out" "$TMP/repeatable.err")" $'^(0\ny|1\n.*worker g[bc] )'
ok "queries are answered" wait_until "$CLUSTER_SECONDS" counts

# ---- all come back, and the last that held goes

nats_again a
nats_again b
nats_kill c
ok "with the others back and the third gone, the bus is up" wait_until "$CLUSTER_SECONDS" bus_is n1 up
ok "queries are answered once more" wait_until "$CLUSTER_SECONDS" counts
for id in wb wc gb gc; do ok "$id is listed" wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id"; done
idle() { at n1 ocf status --json | jq -e '.queue.queued == 0 and .queue.running == 0'; }
ok "nothing is left waiting or running" wait_until "$CLUSTER_SECONDS" idle

# ---- a worker that dies is missed without anybody to tell

worker_kill wb
gone() {
	at n1 ocf query wc --data x >"$TMP/gone.out" 2>&1
	sees_no_worker n1 wb
}
ok "a killed worker is gone when its heartbeats are, or when a query finds nobody" wait_until 40 gone
for id in wc gb gc; do worker_stop "$id"; done
node_stop n1
nats_stop_all
cluster_done
