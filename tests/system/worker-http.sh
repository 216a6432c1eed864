#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# HTTP servers as workers (ocf-worker --http): what a client of a node gets is what the server
# behind a worker of another node says, as it says it; and what happens when that goes wrong.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

declare -A SERVER_PID=()
# A server that does what the files in its folder tell it: tests/lib/upstream.c.
server_start() { # NAME [PORT]
	mkdir -p "$TMP/$1"
	rm -f "$TMP/$1/listen"
	"$OCF_TEST_BUILDDIR/tests/lib/upstream" "$TMP/$1" "${2:-0}" &
	SERVER_PID[$1]=$!
	wait_until "$CLUSTER_SECONDS" test -s "$TMP/$1/listen" || bail "the server $1 does not listen"
}
server_stop() { # NAME
	kill -KILL "${SERVER_PID[$1]}" 2>/dev/null
	wait "${SERVER_PID[$1]}" 2>/dev/null
	unset "SERVER_PID[$1]"
}
server_url() { cat "$TMP/$1/listen"; }
server_counts() { # NAME WHAT NUMBER
	[ "$(curl -s "$(server_url "$1")/stats" | jq ".$2")" = "$3" ]
}
servers_cleanup() {
	local name
	for name in "${!SERVER_PID[@]}"; do server_stop "$name"; done
	cluster_cleanup
}
trap servers_cleanup EXIT

worker_state() { # NODE ID STATE
	[ "$(at "$1" ocf workers --json | jq -r --arg id "$2" '.[] | select(.id == $id).state')" = "$3" ]
}
serves() { # NODE ID MATCHES, sorted
	[ "$(at "$1" ocf workers --json | jq -c --arg id "$2" '.[] | select(.id == $id).services[0].match | sort')" = "$3" ]
}
idle() { at n1 ocf status --json | jq -e '.queue.queued + .queue.running == 0'; }

# ---- wrong usage

usage() { # SENTENCE REGEX ARG…
	local sentence=$1 regex=$2
	shift 2
	run ocf-worker --bus 127.0.0.1:1 "$@"
	is "$sentence is wrong usage" "$status" 2
	like "… and it is said why" "$err" "$regex"
}
usage "--http with a command" 'offers one of them' -s s --http http://h/ -- cat
usage "--discover without --http" 'give its URL with --http' --discover openai
usage "--health without --http" 'give its URL with --http' -s s --health /h -- cat
usage "--stream with --http" 'leave it out' -s s --http http://h/ --stream
usage "a host without http://" 'did you mean http://127.0.0.1:11434\?' -s s --http 127.0.0.1:11434
usage "another scheme" 'not ftp:' -s s --http ftp://h/
usage "another kind of list" 'the only kind is openai' --http http://h/ --discover ollama
usage "a base that the queries bring" 'leave /v1 out' --http http://h/v1/ --discover openai
usage "a path without /" 'did you mean /health\?' -s s --http http://h/ --health health
usage "a URL for a path" 'the path alone' -s s --http http://h/ --health http://h/health
usage "--http without a service" 'service is missing' --http http://h/
usage "--http twice" 'given twice' -s s --http http://h/ --http http://g/
usage "nothing to offer" '--http' -s s

# ---- through two nodes

CLUSTER_LISTEN+=(--http.max_body=209715200)
cluster_start 2
server_start a
worker_start n2 a --service web --slots 8 --http "$(server_url a)/"
ok "n1 is told of it" wait_until "$CLUSTER_SECONDS" sees_worker n1 a
web=$(node_url n1)/v1/service/web

run curl -s -X PUT -d hello -H 'X-One: 1' -H 'X-Two: a' -H 'X-Two: b' -H 'X-Empty;' -H 'Content-Type: text/x-a' \
	-H 'Authorization: Bearer secret' -H 'Cookie: secret=1' -H 'Proxy-Secret: secret' -H 'TE: trailers' \
	"$web/request/a%20b?x=1&y=%2F"
like "the server sees method, path and query string" "$out" '^PUT /request/a%20b\?x=1&y=%2F HTTP/1.1'
like "… the headers, those that came twice as one" "$out" $'\nx-two: a, b\n'
like "… the type of the body" "$out" $'\nContent-Type: text/x-a\n'
like "… and its length" "$out" $'\nContent-Length: 5$'
like "… whose server it is" "$out" $'\nHost: 127.0.0.1:[0-9]+\n'
unlike "no credentials, and nothing of the client's connection" "$out" 'secret|trailers'
run curl -s -D "$TMP/headers" "$web/headers"
headers=$(tr -d '\r' <"$TMP/headers")
is "the client gets the body" "$out" yes
like "… the status" "$headers" '^HTTP/1.1 201 '
like "… the type" "$headers" $'\n[Cc]ontent-[Tt]ype: text/x-told; charset=utf-8\n'
like "… and the headers" "$headers" $'\nx-one: 1\n'
like "… also those that came twice" "$headers" $'\nvary: a, b\n'
unlike "nothing of the server's connection, and no cookie" "$headers" '[Kk]eep-[Aa]live|secret|[Pp]roxy-'
run curl -s -I "$web/headers"
like "HEAD works" "$out" '^HTTP/1.1 201 '
like "… and tells how long the body would be" "$out" $'\n[Cc]ontent-[Ll]ength: 3\r'
run curl -s -X DELETE "$web/request"
like "DELETE works" "$out" '^DELETE /request '
unlike "… and has no body then" "$out" 'Content-Length|Transfer-Encoding'
for code in 204 304 404 500; do
	run curl -s -o /dev/null -w '%{http_code}' "$web/status/$code"
	is "a $code of the server is passed on" "$out" "$code"
done
run at n1 ocf query web --data x
is "for ocf query its 404 is a failure" "$status" 1
run curl -s -o "$TMP/body" -w '%{http_code}' "$web/garbage"
is "what is no HTTP is a 502" "$out" 502
run curl -s -o "$TMP/body" "$web/break?100000"
is "a reply that breaks off breaks off" "$status" 18
is "… behind what there was of it" "$(wc -c <"$TMP/body")" 100000

# ---- as it comes, and however much it is

curl -sN "$web/sse?3" >"$TMP/events" &
events=$!
has_events() { [ "$(grep -c data "$TMP/events")" = "$1" ]; }
for i in 1 2 3; do
	ok "the client has event $i before the server sends the next" \
		wait_until "$CLUSTER_SECONDS" has_events "$i"
	touch "$TMP/a/go.$((i + 1))"
done
wait "$events"
is "a stream of events ends well" "$?" 0

peak() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${WORKER_PID[a]}/status"; }
before=$(peak)
head -c 104857600 /dev/urandom >"$TMP/big"
run curl -s -T "$TMP/big" "$web/store/up"
is "a hundred megabytes go up" "$status $out $(cmp "$TMP/big" "$TMP/a/up" && echo same)" "0 104857600 same"
run curl -s -X POST -H 'Transfer-Encoding: chunked' -T "$TMP/big" -o "$TMP/back" "$web/echo"
is "… and there and back at once, in chunks" "$status $(cmp "$TMP/big" "$TMP/back" && echo same)" "0 same"
run curl -s --limit-rate 60M -o "$TMP/back" "$web/file/up"
is "… and down to a slower reader" "$status $(cmp "$TMP/big" "$TMP/back" && echo same)" "0 same"
grown=$(($(peak) - before))
diag "the worker grew by $grown KiB"
if grep -q -- -fsanitize "$OCF_TEST_BUILDDIR/Makefile"; then
	skip "its memory does not grow with them" "sanitizers keep what is freed"
else
	ok "its memory does not grow with them" test "$grown" -lt 25000
fi
rm -f "$TMP/big" "$TMP/back" "$TMP/a/up"

# ---- clients that leave

ok "nothing is open" wait_until "$CLUSTER_SECONDS" server_counts a active 0
closed=$(curl -s "$(server_url a)/stats" | jq .closed)
for path in hang drip hang drip hang drip hang drip hang drip hang drip; do
	curl -s -o /dev/null "$web/$path" &
	client=$!
	wait_until "$CLUSTER_SECONDS" server_counts a active 1
	kill "$client"
	wait "$client" 2>/dev/null
	wait_until "$CLUSTER_SECONDS" server_counts a active 0 || break
done
ok "each of twelve clients that leave ends its request at the server" server_counts a closed $((closed + 12))
ok "no slot is taken any more" wait_until "$CLUSTER_SECONDS" idle
pids=()
for i in 1 2 3 4 5 6 7 8; do
	curl -s -o /dev/null --max-time 60 "$web/sse?9" &
	pids+=($!)
done
ok "all of its slots can be used at once" wait_until "$CLUSTER_SECONDS" server_counts a active 8
kill "${pids[@]}"
wait "${pids[@]}" 2>/dev/null
run curl -s -o /dev/null -w '%{http_code}' -H 'Ocf-Timeout: 500ms' "$web/hang"
is "a deadline that passes is a 504" "$out" 504
ok "… and ends the request" wait_until "$CLUSTER_SECONDS" server_counts a active 0

# ---- servers that are not well

server_start b
worker_start n1 b --service web --http "$(server_url b)" --health /health
ok "another server offers the same" wait_until "$CLUSTER_SECONDS" sees_worker n1 b
echo 500 >"$TMP/b/health"
ok "one that says it is not well is given no queries" wait_until "$CLUSTER_SECONDS" worker_state n1 b draining
port=$(server_url a)
port=${port##*:}
server_stop a
echo 200 >"$TMP/b/health"
ok "it comes back when it is well" wait_until "$CLUSTER_SECONDS" worker_state n1 b ready
wrong=0
for i in 1 2 3 4 5 6 7 8; do
	[ "$(curl -s --max-time 60 -d "q$i" "$web/echo")" = "q$i" ] || wrong=$((wrong + 1))
done
is "while one server is gone the other answers every query" "$wrong" 0
# Should none of them have come to it, this one does.
run curl -s --max-time 60 -o /dev/null -H "Ocf-Node: $(node_id n2)" "$web/health"
ok "the one that is gone is draining" wait_until "$CLUSTER_SECONDS" worker_state n1 a draining
server_stop b
ok "so is the other one, which is asked for its health" wait_until "$CLUSTER_SECONDS" worker_state n1 b draining
run curl -s --max-time 60 -o "$TMP/body" -D "$TMP/headers" -w '%{http_code}' -H 'Ocf-Timeout: 5s' "$web/health"
is "when none is there a query is a 503" "$out" 503
like "… with Retry-After" "$(cat "$TMP/headers")" '[Rr]etry-[Aa]fter: [1-9]'
server_start a "$port"
ok "the first one is back" wait_until "$CLUSTER_SECONDS" worker_state n1 a ready
run curl -s --max-time 60 "$web/health"
is "… and answers" "$out" health
run curl -s --max-time 60 -o "$TMP/body" -D "$TMP/headers" -w '%{http_code}' -H 'Ocf-Timeout: 4s' "$web/status/429?1"
like "a 429 goes back to the queue, and is tried again until the deadline" "$out" '^(429|503|504)$'
ok "… more than once" test "$(curl -s "$(server_url a)/stats" | jq .requests)" -ge 4
worker_stop b

# ---- models

server_start m
worker_start_unlisted() { # NODE ID ARG…
	at_background "$1" "$TMP/worker-$2.log" ocf-worker --id "$2" "${@:3}"
	WORKER_PID[$2]=$!
}
worker_start_unlisted n2 m --http "$(server_url m)" --discover openai --match lora=*
waits() { grep -q "waiting for the server at .*: GET /v1/models is answered with 404" "$TMP/worker-m.log"; }
ok "a server without a list of models is waited for" wait_until "$CLUSTER_SECONDS" waits
ok "… and not listed meanwhile" sees_no_worker n2 m
echo '{"data":[{"id":"b"},{"id":"a"},{"id":""}]}' >"$TMP/m/models"
ok "its models become matches of the service llm, beside those given" \
	wait_until "$CLUSTER_SECONDS" serves n1 m '["lora=*","model=a","model=b"]'
run at n1 ocf services --json
like "ocf services lists them" "$(jq -c '[.[] | select(.name == "llm").match] | sort' <<<"$out")" 'model=a.*model=b'
like "what cannot be a match is told" "$(cat "$TMP/worker-m.log")" '1 of its models cannot be offered and is left out'
llm=$(node_url n1)/v1/service/llm
run curl -s -H 'Content-Type: application/json' -d '{"model":"b"}' "$llm/echo"
is "a query for one of them is answered" "$out" '{"model":"b"}'
run curl -s -o "$TMP/body" -w '%{http_code}' -H 'Content-Type: application/json' -d '{"model":"c"}' "$llm/echo"
is "one for another is not" "$out" 404
port=$(server_url m)
port=${port##*:}
server_stop m
run curl -s -o /dev/null -H 'Ocf-Timeout: 2s' -H 'Ocf-Match: model=b' -d x "$llm/echo"
ok "while it is gone it is draining" wait_until "$CLUSTER_SECONDS" worker_state n1 m draining
echo '{"data":[{"id":"c"}]}' >"$TMP/m/models"
server_start m "$port"
ok "with other models it announces those" wait_until "$CLUSTER_SECONDS" serves n1 m '["lora=*","model=c"]'
ok "… and is ready" wait_until "$CLUSTER_SECONDS" worker_state n1 m ready
run curl -s -H 'Content-Type: application/json' -d '{"model":"c"}' "$llm/echo"
is "… and answers" "$out" '{"model":"c"}'

# ---- ends

worker_start_unlisted n1 never --service never --http http://127.0.0.1:1
waits() { grep -q "waiting for the server at http://127.0.0.1:1" "$TMP/worker-never.log"; }
ok "a server that is not there is waited for" wait_until "$CLUSTER_SECONDS" waits
sleep 2.5 # two more attempts
is "… which is said once" "$(grep -c waiting "$TMP/worker-never.log")" 1
worker_stop never
is "a worker that waits can be stopped" "${PROGRAM_STATUS[never]}" 0
worker_start n1 base --service base --http "$(server_url a)/request/"
run curl -s --path-as-is "$(node_url n1)/v1/service/base/x"
like "the path is joined to that of the URL" "$out" '^GET /request/x HTTP'
run curl -s --path-as-is -o "$TMP/body" -w '%{http_code}' "$(node_url n1)/v1/service/base/%2e%2e/stats"
is "… and does not lead out of it" "$out" 400
worker_stop base

rm -f "$TMP"/a/go.*
ask last curl -sN "$web/sse?2"
ok "a query runs" wait_until "$CLUSTER_SECONDS" server_counts a active 1
kill -TERM "${WORKER_PID[a]}"
ok "a worker that is told to stop is draining" wait_until "$CLUSTER_SECONDS" worker_state n1 a draining
touch "$TMP/a/go.2"
ok "it finishes that query" answered last
is "… well" "$(cat "$TMP/last.status") $(grep -c data "$TMP/last.out")" "0 2"
program_wait a "${WORKER_PID[a]}"
unset "WORKER_PID[a]"
is "and exits 0" "${PROGRAM_STATUS[a]}" 0

server_start u "unix:$TMP/u.sock"
worker_start n2 u --service web --http "unix:$TMP/u.sock"
run curl -s -d abc "$web/echo"
is "a server at a unix socket is offered likewise" "$out" abc
ask killed curl -sN "$web/drip"
counts_u() { [ "$(curl -s --unix-socket "$TMP/u.sock" http://u/stats | jq ".$1")" = "$2" ]; }
ok "it runs a query" wait_until "$CLUSTER_SECONDS" counts_u active 1
worker_kill u
ok "when its worker is killed the client is told" answered killed
is "… by a reply that breaks off" "$(cat "$TMP/killed.status")" 18
ok "… and the server is left" wait_until "$CLUSTER_SECONDS" counts_u active 0
ok "nothing is left in any queue" wait_until "$CLUSTER_SECONDS" idle
for name in "${!SERVER_PID[@]}"; do server_stop "$name"; done
cluster_done
