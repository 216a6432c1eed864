#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An HTTPS server as a worker: bodies and events go through it as without TLS, and a server that
# cannot show who it is is never given a query.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/nats.sh
. "$OCF_TEST_SRCDIR/tests/lib/nats.sh" # for its certificates

SERVER_PID=
server_start() { # CERTIFICATE [PORT]
	mkdir -p "$TMP/server"
	rm -f "$TMP/server/listen"
	"$OCF_TEST_BUILDDIR/tests/lib/upstream" "$TMP/server" "${2:-0}" "$TMP/tls/$1.pem" "$TMP/tls/$1.key" &
	SERVER_PID=$!
	wait_until "$CLUSTER_SECONDS" test -s "$TMP/server/listen" || bail "the server does not listen"
	url=$(cat "$TMP/server/listen")
}
server_stop() {
	kill -KILL "$SERVER_PID" 2>/dev/null
	wait "$SERVER_PID" 2>/dev/null
}
server_cleanup() {
	[ -z "$SERVER_PID" ] || server_stop
	cluster_cleanup
}
trap server_cleanup EXIT
worker_state() { [ "$(at n1 ocf workers --json | jq -r '.[] | select(.id == "w").state')" = "$1" ]; }

nats_ca ca
nats_ca other-ca
nats_certificate good ca IP:127.0.0.1
nats_certificate elsewhere ca DNS:elsewhere.example
printf 'nothing\n' >"$TMP/nothing"

usage() { # SENTENCE STATUS REGEX ARG…
	run ocf-worker --service web --bus 127.0.0.1:1 "${@:4}"
	like "$1 is refused" "$status $err" "^$2 .*$3"
}
usage "--http-ca for a plain server" 2 'speaks TLS' --http http://h/ --http-ca "$TMP/tls/ca.pem"
usage "--http-ca for a command" 2 'speaks TLS' --http-ca "$TMP/tls/ca.pem" -- cat
usage "a file that is not there" 78 "--http-ca: $TMP/none: No such file" --http https://h/ --http-ca "$TMP/none"
usage "one without a certificate" 78 "--http-ca: $TMP/nothing holds no certificate" --http https://h/ --http-ca "$TMP/nothing"

cluster_start 1
server_start good
# A worker of these is never listed, and says why.
refused() { # SENTENCE REGEX ARG…
	at_background n1 "$TMP/worker-w.log" ocf-worker --id w --service web --http "$url" "${@:3}"
	WORKER_PID[w]=$!
	ok "$1: it says so" wait_until "$CLUSTER_SECONDS" grep -qE "waiting for the server at $url: .*($2)" "$TMP/worker-w.log" ||
		diag <"$TMP/worker-w.log"
	ok "$1: it is not listed" sees_no_worker n1 w
	worker_stop w
	: >"$TMP/worker-w.log"
}
refused "a server that the system does not know" certificate
refused "one of another CA" certificate --http-ca "$TMP/tls/other-ca.pem"
server_stop
server_start elsewhere
refused "another server's certificate" "name|subject" --http-ca "$TMP/tls/ca.pem"
server_stop

server_start good
worker_start n1 w --service web --slots 4 --http "$url" --http-ca "$TMP/tls/ca.pem" --health /health
web=$(node_url n1)/v1/service/web
run curl -s -X PUT -d hello "$web/request/x?y=1"
like "a request goes there as it is" "$out" '^PUT /request/x\?y=1 HTTP/1.1'
head -c 8000000 /dev/urandom >"$TMP/big"
run curl -s -X POST -T "$TMP/big" -o "$TMP/back" "$web/echo"
is "eight megabytes go there and back" "$status $(cmp "$TMP/big" "$TMP/back" && echo same)" "0 same"
curl -sN "$web/sse?2" >"$TMP/events" &
events=$!
ok "an event comes before the next is sent" wait_until "$CLUSTER_SECONDS" grep -q 'data: 1' "$TMP/events"
touch "$TMP/server/go.2"
wait "$events"
is "a stream of events ends well" "$? $(grep -c data "$TMP/events")" "0 2"
run curl -s -I "$web/headers"
like "HEAD tells the length that the server told" "$out" $'\nContent-Length: 3\r'
run curl -s -o /dev/null -w '%{http_code}' "$web/nothing"
is "what is no reply is a 502" "$out" 502

port=${url##*:}
server_stop
ok "a server that goes is missed" wait_until "$CLUSTER_SECONDS" worker_state draining
server_start elsewhere "$port"
sleep 2.5 # two more attempts
ok "another one in its place is not it" worker_state draining
server_stop
server_start good "$port"
ok "the right one is" wait_until "$CLUSTER_SECONDS" worker_state ready
run curl -s -d again "$web/echo"
is "… and answers" "$out" again
server_stop
SERVER_PID=
cluster_done
