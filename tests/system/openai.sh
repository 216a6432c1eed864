#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# OpenAI's routes over two nodes: models of a local server that ocf-worker offers, used at the
# other node.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

server_cleanup() {
	kill -KILL "$server" 2>/dev/null
	cluster_cleanup
}
trap server_cleanup EXIT

cluster_start 2
api=$(node_url n1)/v1
error() { jq -r '[.error.type, .error.code, .error.param] | join(" ")' "$TMP/body"; }
post() { # PATH BODY [ARG… of curl]: the status
	curl -s -o "$TMP/body" -w '%{http_code}' -H 'Content-Type: application/json' -d "$2" "${@:3}" "$api$1"
}

is "without a worker there are no models" "$(curl -s "$api/models")" '{"object":"list","data":[]}'
is "and whoever asks is told" "$(post /chat/completions '{"model":"m"}') $(error)" \
	"404 invalid_request_error model_not_found model"

mkdir "$TMP/llm"
echo '{"data":[{"id":"org/small"},{"id":"large"}]}' >"$TMP/llm/models"
"$OCF_TEST_BUILDDIR/tests/lib/upstream" "$TMP/llm" 0 &
server=$!
wait_until 10 test -e "$TMP/llm/listen" || bail "no server"
worker_start n2 w --http "$(cat "$TMP/llm/listen")" --discover openai
models() { curl -s "$api/models" | jq -c '[.data[].id] | sort'; }
has_models() { [ "$(models)" = '["large","org/small"]' ]; }
ok "the models of the other node's server are listed" wait_until "$CLUSTER_SECONDS" has_models ||
	diag <<<"$(models)"
is "each by itself" "$(curl -s "$api/models/org/small" | jq -c .)" \
	'{"id":"org/small","object":"model","created":0,"owned_by":"ocf"}'

is "OpenTela's clients see them, too" \
	"$(curl -s "$api/dnt/table" | jq -c '[.[] | select(.service | length > 0) | .service[].identity_group | sort]')" \
	'[["model=large","model=org/small"]]'
is "… and both nodes" "$(curl -s "$api/dnt/stats" | jq .connected_peers)" 2

body='{"messages":[],"model":"org/small","seed":18446744073709551615}'
is "a request gets to the server" "$(post /chat/completions "$body") $(cat "$TMP/body")" "200 $body"
is "also embeddings" "$(post /embeddings '{"model":"large","input":"x"}')" 200
is "a model that nobody has is not found" "$(post /completions '{"model":"larger"}') $(error)" \
	"404 invalid_request_error model_not_found model"
like "by its name" "$(cat "$TMP/body")" larger
is "a server's own error is passed on" "$(post /responses x -H 'Ocf-Match: model=large' -X GET)" 405

curl -sN -H 'Content-Type: application/json' -d '{"model":"large","stream":true}' "$api/chat/completions" >"$TMP/events" &
events=$!
has_events() { [ "$(grep -c data "$TMP/events")" = "$1" ]; }
for i in 1 2 3; do
	ok "the client has event $i before the server sends the next" wait_until "$CLUSTER_SECONDS" has_events "$i"
	touch "$TMP/llm/go.$((i + 1))"
done
wait "$events"
is "a stream ends well" "$?" 0

rm "$TMP/llm"/go.*
closed() { curl -s "$(cat "$TMP/llm/listen")/stats" | jq .closed; }
was=$(closed)
curl -sN -H 'Content-Type: application/json' -d '{"model":"large","stream":true}' "$api/chat/completions" >"$TMP/events" &
events=$!
ok "a client reads" wait_until "$CLUSTER_SECONDS" has_events 1
kill "$events"
wait "$events" 2>/dev/null
is_closed() { [ "$(closed)" -gt "$was" ]; }
ok "when it leaves the server's work ends" wait_until "$CLUSTER_SECONDS" is_closed

worker_stop w
ok "without the worker its models are gone" wait_until "$CLUSTER_SECONDS" sees_no_worker n1 w
is "from the list, too" "$(models)" '[]'
kill -KILL "$server"
wait "$server" 2>/dev/null
cluster_done
