#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `ocf watch`: what changes in the table is told as it happens, also of other nodes; a stream
# that breaks goes on where it was, and what is lost is told.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 2
id2=$(node_id n2)
url=$(node_url n1)

follows() { [ "$(node_metrics n1 | sed -n 's/^ocf_http_events_followers //p')" = "$1" ]; }
shown() { grep -qE "$2" "$TMP/$1"; }
at_background n1 "$TMP/json" bash -c 'exec ocf watch --json 2>"$1"' - "$TMP/json.err"
json=$!
at_background n1 "$TMP/text" ocf --url "$url" watch
text=$!
ask one at n1 ocf watch --count 1
ok "three follow" wait_until "$CLUSTER_SECONDS" follows 3

worker_start n1 w1 --service wc -- wc -w
worker_start n2 w2 --service wc --match model=a -- wc -w
ok "a worker is told" wait_until "$CLUSTER_SECONDS" shown text '^20.*Z worker add    w1 on n1 \([0-9a-f]{8}\) ready: wc$'
ok "one of them wanted no more" answered one
is "and ended well" "$(cat "$TMP/one.status") $(wc -l <"$TMP/one.out")" "0 1"
ok "that of another node, too" wait_until "$CLUSTER_SECONDS" shown text "worker add    w2 on n2 \\(${id2:0:8}\\) ready: wc\$"
worker_stop w1
ok "and that it is gone" wait_until "$CLUSTER_SECONDS" shown text 'worker remove w1 on - '
node_kill n2
ok "a death is told" wait_until "$CLUSTER_SECONDS" shown text "node   state  n2 \\(${id2:0:8}\\) dead"
ok "and what it hides" wait_until "$CLUSTER_SECONDS" shown text 'worker state  w2 on n2 .* hidden: wc'
node_start n2
ok "and that it is back" wait_until "$CLUSTER_SECONDS" shown text 'worker state  w2 on n2 .* ready: wc'

cp "$TMP/json" "$TMP/told"
event() { jq -c "select(.kind == \"$1\" and .op == \"$2\" and .id == \"$3\") | $4" "$TMP/told" | head -n 1; }
is "as JSON with its row" "$(event worker add w2 '[.node, .row.state, .row.services[0].match]')" "[\"$id2\",\"ready\",[\"model=a\"]]"
is "which is the one of the list" "$(event worker add w2 .row)" \
	"$(at n1 ocf workers --json | jq -c '.[] | select(.id == "w2")')"
is "null when it is gone" "$(event worker remove w1 .row)" null
is "the numbers are in order, and none is missing" "$(jq .seq "$TMP/told")" "$(seq "$(wc -l <"$TMP/told")")"

# The node ends the streams, and comes back with other numbers.
node_stop n1
node_start n1
ok "a node that stopped is followed again" wait_until "$CLUSTER_SECONDS" follows 1 ||
	diag "$(cat "$TMP/json.err")"
like "what may be lost is told" "$(cat "$TMP/json.err")" 'going on behind the last change.*some changes are lost'
kill "$json" "$text" 2>/dev/null
wait "$json" "$text" 2>/dev/null
run at n1 ocf watch --count 0
is "a count is above 0" "$status" 2
cluster_done
