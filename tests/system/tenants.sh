#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Four tokens, one of which floods: the others' queries are served before all but the first of
# its, at the node that is asked and through another one; and nobody can keep others out of a
# queue. By the order in which queries begin, and by counts, not by the clock: turns go by the
# time that queries take, so that only the first one of each is sure to be early.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

hash_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
(umask 077 && for name in ann bob cid dan; do
	echo "$name:$(hash_of $name-secret)"
done >"$TMP/tokens")
options=(--http.token_file="$TMP/tokens" --http.local_tokens=yes)
node_init n1
node_start n1 "${options[@]}" --dispatch.queue_max=24 --dispatch.tenant_queue_max=20
node_join n2 n1
node_start n2 "${options[@]}"
# It notes what it begins with; the first waits for the gate, and so do all others behind it.
worker_start n1 slow --service slow -- sh -c "read -r name; echo \"\$name\" >>'$TMP/order'; $(gated)"
ok "n2 is told of the worker" wait_until "$CLUSTER_SECONDS" sees_worker n2 slow

send() { # NODE TOKEN NAME [CURL'S ARG…]: in the background; its status is in $TMP/NAME.status
	local node=$1 token=$2 name=$3
	shift 3
	rm -f "$TMP/$name.status"
	curl -s --max-time 60 -o "$TMP/$name.body" -D "$TMP/$name.head" -w '%{http_code}' -d "$name" \
		-H "Authorization: Bearer $token-secret" "$@" "$(node_url "$node")/v1/service/slow" \
		>"$TMP/$name.status" &
}
waiting() { [ "$(at n1 ocf status --json | jq .queue.queued)" = "$1" ]; }
has_status() { [ "$(cat "$TMP/$1.status" 2>/dev/null)" = "$2" ]; }
refused() { node_metrics n1 | awk -v name="ocf_queries_refused_total{reason=\"$1\"}" '$1 == name { print $2 + 0 }'; }
begun() { [ "$(wc -l 2>/dev/null <"$TMP/order")" = "$1" ]; }

for node in n1 n2; do
	rm -f "$TMP/order" "$TMP/gate"
	send "$node" ann first
	ok "asked at $node: a query of ann's runs" wait_until "$CLUSTER_SECONDS" begun 1
	for i in {1..12}; do send "$node" ann "ann$i"; done
	ok "twelve of hers wait" wait_until "$CLUSTER_SECONDS" waiting 12
	for name in bob cid dan; do send "$node" "$name" "$name"; done
	ok "then comes one of bob's, cid's and dan's" wait_until "$CLUSTER_SECONDS" waiting 15
	is "four tenants wait" "$(node_metrics n1 | awk '$1 == "ocf_tenants_waiting" { print $2 + 0 }')" 4
	: >"$TMP/gate"
	ok "all are served" wait_until "$CLUSTER_SECONDS" begun 16
	is "theirs are among the first five" "$(head -n 5 "$TMP/order" | grep -c '^[bcd]')" 3
	for name in first ann{1..12} bob cid dan; do
		wait_until "$CLUSTER_SECONDS" has_status "$name" 200 || fail="$fail $name"
	done
	is "and all are answered" "${fail:-}" ""
done

# ---- bounds

rm -f "$TMP/order" "$TMP/gate"
send n1 ann first
ok "a query of ann's runs" wait_until "$CLUSTER_SECONDS" begun 1
for i in {1..20}; do send n1 ann "ann$i"; done
ok "as many wait as one tenant may have" wait_until "$CLUSTER_SECONDS" waiting 20
send n1 ann over
ok "one more is 429" wait_until "$CLUSTER_SECONDS" has_status over 429
like "and she is told when to come back" "$(cat "$TMP/over.head")" '[Rr]etry-[Aa]fter: [1-9]'
like "and why" "$(cat "$TMP/over.body")" 'token:ann'
for i in {1..4}; do send n1 bob "bob$i"; done
ok "bob's fill the queue" wait_until "$CLUSTER_SECONDS" waiting 24
send n1 bob bob5
gave_way() { grep -lx 429 "$TMP"/ann*.status; }
ok "one of hers gives way to his next" wait_until "$CLUSTER_SECONDS" gave_way
like "and is told when to come back" "$(cat "$(gave_way | sed 's/status$/head/')")" '[Rr]etry-[Aa]fter: [1-9]'
is "the queue is as long as before" "$(at n1 ocf status --json | jq -c '[.queue.queued, .queue.tenants]')" '[24,2]'
is "so many were refused" "$(refused tenant-queue) $(refused gave-way) $(refused queue)" "1 1 0"

# What has expired does not begin any more.
send n1 bob late -H 'Ocf-Timeout: 1s'
ok "one that has a second is not served in time" wait_until "$CLUSTER_SECONDS" grep -qE '50[34]' "$TMP/late.status"
: >"$TMP/gate"
ok "the others are" wait_until "$CLUSTER_SECONDS" waiting 0
for name in first bob{1..5}; do
	ok "$name is answered" wait_until "$CLUSTER_SECONDS" has_status "$name" 200
done
is "and it never began" "$(grep -c late "$TMP/order")" 0
cluster_done
