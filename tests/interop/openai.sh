#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# npm's `openai` as a client of a node, and a small server of models behind another.
# shellcheck source=tests/interop/lib.sh
. "$OCF_TEST_SRCDIR/tests/interop/lib.sh"
interop_need node "Node 20 or later"
interop_need npm "npm, which fetches the package openai"
interop_need python3 python3
interop_npm openai

cleanup() {
	[ -z "${server:-}" ] || kill -KILL "$server" 2>/dev/null
	cluster_cleanup
}
trap cleanup EXIT
cluster_start 2
python3 "$HERE/openai/server.py" "$TMP/server" >"$TMP/server.log" 2>&1 &
server=$!
wait_until 20 test -e "$TMP/server" || cluster_fail "the server does not start" "$TMP/server.log"
worker_start n2 w --http "$(cat "$TMP/server")" --discover openai --slots 4
call() { timeout 60 node "$CACHE/openai/client.js" "$(node_url n1)" "$@" 2>&1; }
has_models() { curl -s "$(node_url n1)/v1/models" | jq -e '.data | length == 4'; }
ok "the other node tells of the models" wait_until "$CLUSTER_SECONDS" has_models

is "the models are listed" "$(call models)" "echo endless full slow"
is "one is found" "$(call model echo)" echo
is "another is not" "$(call model none)" "NotFoundError 404 invalid_request_error model_not_found"
is "a chat" "$(call chat echo "one two three")" "one two three"
is "a chat as a stream, a word a piece" "$(call stream echo "one two three")" "3: one two three"
is "a slow one" "$(call stream slow "one two")" "2: one two"
is "a request of two megabytes" "$(call large echo 2000000)" large
is "an embedding" "$(call embed echo four)" "[0.5,4]"
is "a completion" "$(call complete echo yes)" "yes!"
is "a response" "$(call respond echo hello)" hello
is "an unknown model" "$(call chat none x)" "NotFoundError 404 invalid_request_error model_not_found"
is "an error of the server's" "$(call chat full x)" "BadRequestError 400 invalid_request_error context_length_exceeded"

has_left() { [ "$(grep -c '^left endless' "$TMP/server.log")" -eq "$1" ]; }
is "a client that leaves a stream" "$(call leave endless 3)" left
ok "… and the server's work ends" wait_until "$CLUSTER_SECONDS" has_left 1
is "a client that leaves before anything has come" "$(call abort endless 500)" "APIUserAbortError   "
ok "… likewise" wait_until "$CLUSTER_SECONDS" has_left 2

worker_stop w
kill -KILL "$server"
wait "$server" 2>/dev/null
ok "the models are gone with their worker" wait_until "$CLUSTER_SECONDS" sees_no_worker n1 w
is "which is told" "$(call chat echo x)" "NotFoundError 404 invalid_request_error model_not_found"
cluster_done
