#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# HTTP at a real node: the routes, what is malformed, what is too large, who may ask.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/raw.sh
. "$OCF_TEST_SRCDIR/tests/lib/raw.sh"

node_init n1
node_start n1 --http.max_body=100000
worker_start n1 echo --service echo -- cat
worker_start n1 count --service count -- wc -c
http=$(node_field n1 http)
url=http://$http
socket=$(node_field n1 socket)

get() { curl -s --max-time 20 -o "$TMP/body" -w '%{http_code}' "$@"; }
is "/healthz" "$(get "$url/healthz")" 200
for route in status nodes workers services; do
	is "/v1/$route" "$(get "$url/v1/$route")" 200
	ok "is JSON" jq . "$TMP/body"
	is "/v1/$route on the unix socket" "$(get --unix-socket "$socket" "http://localhost/v1/$route")" 200
done
is "/metrics" "$(get "$url/metrics")" 200
like "counts what peers send" "$(cat "$TMP/body")" 'ocf_peer_sent_bytes_total\{class="hello"\}'
is "an unknown route" "$(get "$url/v1/nothing")" 404
is "a method that a route does not have" "$(get -X DELETE "$url/v1/status")" 405
is "the unix socket is not for everybody" "$(stat -c %a "$socket")" 660

head -c 100001 /dev/zero >"$TMP/large"
is "a body over http.max_body" "$(get --data-binary "@$TMP/large" "$url/v1/service/echo")" 413
is "one of unknown length as well" \
	"$(get -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary "@$TMP/large" "$url/v1/service/count")" 413
head -c 100000 /dev/zero >"$TMP/large"
is "one that just fits is served" "$(get --data-binary "@$TMP/large" "$url/v1/service/echo")" 200
is "and comes back whole" "$(wc -c <"$TMP/body")" 100000

# As RFC 9112 has it: 400, and the connection ends.
malformed() { # SENTENCE TEXT [STATUS]
	local answer closed=0
	answer=$(raw_send "$http" "$2" 10) || closed=$?
	like "$1 is refused with ${3:-400}" "${answer%%$'\r'*}" "^HTTP/1\.1 ${3:-400} "
	is "$1 ends the connection" "$closed" 0
}
malformed "no request line" 'hello\r\n\r\n'
malformed "no Host" 'GET /healthz HTTP/1.1\r\n\r\n'
malformed "two Hosts" 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n'
malformed "a space before the colon" 'GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n'
malformed "a bare line feed" 'GET /healthz HTTP/1.1\nHost: localhost\n\n'
malformed "a folded header" 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n'
malformed "a NUL in a header" 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\0000c\r\n\r\n'
malformed "two lengths" \
	'POST /v1/service/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'
malformed "a length and chunks" \
	'POST /v1/service/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
malformed "a length that is no number" \
	'POST /v1/service/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\na'
malformed "a chunk's size with 0x" \
	'POST /v1/service/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n'
malformed "another version" 'GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n' '(400|505)'
malformed "a header that never ends" \
	"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: $(head -c 200000 /dev/zero | tr '\0' a)\r\n\r\n" '(400|431)'
like "two requests on one connection get two answers" "$(raw_send "$http" \
	'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')" \
	'HTTP/1.1 200 .*HTTP/1.1 200 '
for path in healthz v1/services openapi.yaml v1/nothing; do
	length=$(curl -s "$url/$path" | wc -c)
	like "HEAD of /$path tells the length of what GET gives" "$(curl -s -I "$url/$path" | tr -d '\r')" \
		$'\n[Cc]ontent-[Ll]ength: '"$length"$'(\n|$)'
done
echo='POST /v1/service/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n'
like "who waits for 100 gets it, and then the answer" \
	"$(raw_send "$http" "${echo}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")" \
	'^HTTP/1.1 100 Continue.*HTTP/1.1 200 .*hi'
like "another expectation is refused" \
	"$(raw_send "$http" "${echo}Expect: 200-ok\r\nContent-Length: 2\r\n\r\nhi")" '^HTTP/1.1 417 '
answer=$(raw_send "$http" "${echo}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\n\r\n")
like "a body with trailers is served" "$answer" '^HTTP/1.1 200 .*hi'
unlike "they are dropped" "$answer" 'X-Late'
malformed "a trailer that is none" "${echo}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Late\r\n\r\n"
is "a foreign Host" "$(get -H 'Host: example.org' "$url/v1/status")" 421
is "a foreign Origin on a POST" "$(get -H 'Origin: http://example.org' -d x "$url/v1/service/echo")" 403
is "the node is none the worse" "$(get -d fine "$url/v1/service/echo"; cat "$TMP/body")" 200fine

# Tokens: with them any address will do, and nobody gets in without one.
node_stop n1
(umask 077 && echo "me:$(printf %s secret-of-mine | sha256sum | cut -d' ' -f1)" >"$TMP/tokens")
node_start n1 --http.listen=0.0.0.0:0 --http.token_file="$TMP/tokens" --http.local_tokens=yes \
	--dispatch.timeout=1s --http.access_log=yes --log.format=json
url=http://127.0.0.1:$(node_field n1 http | sed 's/.*://')
is "without a token" "$(get "$url/v1/status")" 401
is "with a wrong one" "$(get -H 'Authorization: Bearer secret' "$url/v1/status")" 401
is "with the right one" "$(get -H 'Authorization: Bearer secret-of-mine' "$url/v1/status")" 200
run at n1 env OCF_TOKEN=secret-of-mine ocf --url "$url" status
is "ocf takes it from \$OCF_TOKEN" "$status" 0 || diag "$err"
run at n1 ocf --url "$url" status
is "ocf without it is told so" "$status" 77 || diag "$err"
run at n1 ocf status
is "the unix socket needs none" "$status" 0

# A query that names no deadline has the configured one.
worker_start n1 sleeper --service sleep -- sleep 600
is "a query is given up after dispatch.timeout" \
	"$(get -H 'Authorization: Bearer secret-of-mine' -d x "$url/v1/service/sleep")" 504

# The access log.
access() { grep '"module":"access"' "$TMP/n1/log" | jq -c "$1"; } # FILTER
wait_until "$CLUSTER_SECONDS" sees_worker n1 echo || bail "the worker does not come back"
get -H 'Authorization: Bearer secret-of-mine' -H 'X-Request-Id: mine-1' -d four "$url/v1/service/echo/a%22b?c=d" >"$TMP/out"
is "a query is a line of the access log" \
	"$(access 'select(.request_id == "mine-1") | [.method, .target, .status, .received, .sent, .worker]')" \
	'["POST","/v1/service/echo/a%22b?c=d",200,4,4,"echo"]'
like "with its client" "$(access 'select(.request_id == "mine-1") | .peer')" '^"127.0.0.1:[0-9]+"$'
curl -s --max-time 0.3 -H 'Authorization: Bearer secret-of-mine' -H 'X-Request-Id: mine-2' -d x "$url/v1/service/sleep"
has_left() { [ "$(access 'select(.request_id == "mine-2") | .status')" = 499 ]; }
ok "so is one whose client left" wait_until 10 has_left
is "and one without a token" "$(access 'select(.status == 401) | .target' | head -n 1)" '"/v1/status"'
unlike "no token is in it" "$(access .)" 'secret'
cluster_done
