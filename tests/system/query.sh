#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job: three nodes, a query sent to one of them, answered by a worker of another;
# and what a client is told when it cannot be.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 3
worker_start n2 counter --service wc -- wc -w
worker_start n3 reverser --service rev --match size=small --slots 2 -- rev
worker_start n3 failing --service fails -- sh -c 'echo a beginning; echo the disk is on fire >&2; exit 3'
worker_start n3 breaking --service breaks --stream -- sh -c 'echo first; exit 3'
worker_start n2 echo --service echo -- cat
for id in counter reverser failing breaking echo; do
	ok "n1 is told of worker $id" wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id"
done

run at n1 ocf services --json
is "n1 lists the services by name" "$(jq -c '[.[].name] | sort' <<<"$out")" \
	'["breaks","echo","fails","rev","wc"]'
is "with their nodes, workers and slots" \
	"$(jq -c '.[] | select(.name == "rev") | [.match, .nodes, .workers, .slots]' <<<"$out")" \
	'["size=small",1,1,2]'

run at n1 ocf query wc --data 'how many words are these'
is "a query sent to n1 is answered by n2's worker" "$status ${out//[[:space:]]/}" "0 5"
run at n3 ocf query wc --file "$OCF_TEST_SRCDIR/tests/data/page.txt" --verbose
is "a file goes to it as well" "${out//[[:space:]]/}" "$(wc -w <"$OCF_TEST_SRCDIR/tests/data/page.txt")"
like "--verbose says on stderr which worker answered" "$err" counter
like "and which node" "$err" 'n2'

run at n1 ocf query rev --match size=small --data abc
is "a selector that a worker announced finds it" "$out" cba
run at n1 ocf query rev --match size=big --data abc
is "one that none announced is refused" "$status" 1
like "with the matches that there are" "$err" 'size=small'

run at n1 ocf query nothing --data x
is "an unknown service is refused" "$status" 1
like "with the services that there are" "$err" 'wc'
run curl -s -o "$TMP/body" -w '%{http_code} %{content_type}' "$(node_url n1)/v1/service/nothing" -d x
like "over HTTP it is a 404 problem object" "$out" '^404 application/problem\+json'
like "that lists them" "$(cat "$TMP/body")" '"wc"'

run at n1 ocf query fails --data x
is "a command that fails makes the query fail" "$status" 1
like "with its exit status" "$err" 'status 3'
like "and the tail of its stderr" "$err" 'the disk is on fire'
run curl -s -o "$TMP/body" -w '%{http_code}' "$(node_url n1)/v1/service/fails" -d x
is "over HTTP it is a 502" "$out" 502
like "that says the same" "$(cat "$TMP/body")" 'the disk is on fire'

run at n1 ocf query breaks --data x
is "one that fails after its first byte makes it fail, too" "$status" 1
is "what it had written is there" "$out" first
like "and it is said that this is not all" "$err" 'broke off'

# A body of many parts, there and back, byte for byte.
head -c 3000000 /dev/urandom >"$TMP/big"
run curl -s -D "$TMP/headers" -o "$TMP/back" --data-binary "@$TMP/big" "$(node_url n1)/v1/service/echo/some/path?x=1"
ok "three megabytes come back unchanged" cmp "$TMP/big" "$TMP/back"
like "the reply names the node that computed it" "$(tr -d '\r' <"$TMP/headers")" \
	"[Xx]-[Cc]omputing-[Nn]ode: $(node_id n2)"
run curl -s -o "$TMP/back" -w '%{http_code}' -H 'Transfer-Encoding: chunked' -X POST -T "$TMP/big" \
	"$(node_url n1)/v1/service/echo"
is "they do so when nothing said how many they would be" \
	"$out $(cmp "$TMP/big" "$TMP/back" && echo same)" "200 same"
run curl -s -o "$TMP/back" -w '%{http_code}' --data-binary '' "$(node_url n1)/v1/service/echo"
is "an empty body is a body" "$out $(wc -c <"$TMP/back")" "200 0"

# Many at once, over three nodes: everyone gets his own answer.
pids=()
for i in $(seq 1 30); do
	curl -s --max-time 60 -d "query-$i" "$(node_url "n$((i % 3 + 1))")/v1/service/echo" >"$TMP/many.$i" &
	pids+=($!)
done
wait "${pids[@]}"
wrong=0
for i in $(seq 1 30); do [ "$(cat "$TMP/many.$i")" = "query-$i" ] || wrong=$((wrong + 1)); done
is "thirty queries at once get thirty right answers" "$wrong" 0

# A provider whose node has died: the row stays, nobody can serve it.
node_kill n2
has_no_provider() {
	[ "$(curl -s --max-time 30 -o "$TMP/body" -D "$TMP/headers" -w '%{http_code}' \
		-d x "$(node_url n1)/v1/service/wc")" = 503 ]
}
ok "a service whose only node is dead gives 503" wait_until "$CLUSTER_SECONDS" has_no_provider
like "with Retry-After" "$(cat "$TMP/headers")" '[Rr]etry-[Aa]fter: [1-9]'
run at n1 ocf query wc --data x
is "ocf says that trying later may help" "$status" 75
like "in one sentence" "$err" '[a-z]; try again in [0-9]+ s$'
cluster_done
