#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The 2023 original's workers and clients: a worker that announces itself once on a plain
# socket is in every node's table, answers what any node is asked, is found again after
# restarts, and is gone with its connection.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/raw.sh
. "$OCF_TEST_SRCDIR/tests/lib/raw.sh"
PATH="$OCF_TEST_BUILDDIR/tests/system:$PATH"

# A worker of 2023 knows one address for ever; the bus of n1 keeps its port over restarts.
old_start() { # NAME SERVICE [OPTION…]
	local name=$1 service=$2
	shift 2
	old-worker "$bus" "$name" "$service" "$@" >>"$TMP/worker-$name.log" 2>&1 </dev/null &
	WORKER_PID[$name]=$!
}
table() { curl -s --max-time 10 "$(node_url "$1")/api/v1/status/table"; }
# … as the original's clients read it
lists() { # NODE SERVICE COUNT
	[ "$(table "$1" | jq --arg s "$2" '[.nodes[]? | select(.service == $s and .status == "connected")] | length')" = "$3" ]
}
all_list() { # SERVICE COUNT
	local node
	for node in n1 n2 n3; do
		wait_until "$CLUSTER_SECONDS" lists "$node" "$1" "$2" || {
			echo "$node: $(table "$node")"
			return 1
		}
	done
}
post() { # NODE ROUTE BODY [ARG… of curl]: the body of the answer, then its status
	local node=$1 route=$2 body=$3
	shift 3
	curl -s --max-time 60 -w '\n%{http_code}' --data-binary "$body" "$@" \
		"$(node_url "$node")/api/v1/request/$route"
}
answers() { # NODE [ROUTE]: … the old worker "ada"
	post "$1" "${2:-inference}" '{"model_name":"m/x-1.5","params":{}}' |
		jq -s -e '.[0].message == "ok" and (.[0].data | fromjson | .by == "ada")'
}
logged() { grep -qE "$2" "$TMP/$1/log"; }

cluster_start 3
bus=$(node_field n1 bus)
n1=$(node_id n1)
is "the table of an empty cluster is the original's" "$(table n2)" '{"nodes":null}'

# ---- announces itself, once
old_start ada inference:m/x-1.5 --gpu L4=900
ok "a worker of 2023 is in the table of every node" all_list inference:m/x-1.5 1
client_id=$(table n3 | jq '.nodes[0].client_id')
is "in the original's shape" "$(table n3 | jq -cS .)" \
	"{\"nodes\":[{\"client_id\":$client_id,\"gpus\":[{\"memory\":1000,\"memory_free\":900,\"memory_used\":100,\"name\":\"L4\"}],\"peer_id\":\"$n1\",\"service\":\"inference:m/x-1.5\",\"status\":\"connected\"}]}"
is "ocf workers names its connection" "$(at n2 ocf workers --json | jq -r '.[].id')" "c$client_id"
is "health is the original's" "$(curl -s "$(node_url n2)/api/v1/status/health" | jq -cS .)" '{"status":"ok"}'
is "with the linked nodes when asked" \
	"$(curl -s "$(node_url n2)/api/v1/status/health?peer=1" | jq -c '[.status, (.peers | length)]')" '["ok",2]'
connz=$(curl -s "$(node_url n1)/api/v1/status/connections")
is "connections are the server's, with subscriptions, without the node's own" \
	"$(jq -c '[.num_connections, (.connections | length), .connections[0].cid, .connections[0].subscriptions_list]' <<<"$connz")" \
	"[1,1,$client_id,[\"inference:m/x-1.5\"]]"
run post n2 inference '{"model_name":"m/x-1.5","params":{"n":0.1,"seed":18446744073709551615}}'
is "a query to another node is answered by it" "${out##*$'\n'}" 200
is "in the original's shape" "$(head -n 1 <<<"$out" | jq -cS 'keys + [.message]')" '["data","message","ok"]'
like "the worker got the numbers as they were written" "$(head -n 1 <<<"$out" | jq -r .data)" \
	'"by":"ada","got":\{"model_name":"m/x-1\.5","params":\{"n":0\.1,"seed":18446744073709551615\}\}'
run post n3 _inference '{"model_name":"m/x-1.5","params":{"a":[1,"x"]},"other":true}'
like "_inference does the same, and other members are dropped" "$(head -n 1 <<<"$out" | jq -r .data)" \
	'"got":\{"model_name":"m/x-1\.5","params":\{"a":\[1,"x"\]\}\}'
run post n1 inference '{"model_name":"m/x-1.5"}'
like "without params it gets an empty object" "$(head -n 1 <<<"$out" | jq -r .data)" '"params":\{\}'
run at n2 ocf query inference:m/x-1.5 --data '{"model_name":"m/x-1.5","params":{}}'
like "so it does from ocf query" "$out" '"by":"ada"'

# ---- what is wrong is told in the original's shape
refused() { # WHAT STATUS REGEX BODY [ARG…]
	local what=$1 wanted=$2 regex=$3
	shift 3
	run post n2 inference "$@"
	is "$what: $wanted" "${out##*$'\n'}" "$wanted"
	like "$what: told in a sentence" "$(head -n 1 <<<"$out" | jq -r '.error')" "$regex"
}
refused "no JSON" 400 'not JSON' '{"model_name":'
refused "no object" 400 'not a JSON object' '[]'
refused "no body" 400 'not JSON' ''
refused "no model_name" 400 'model_name. is missing' '{"params":{}}'
refused "a model_name that is no text" 400 'model_name. is missing' '{"model_name":7,"params":{}}'
refused "params that are no object" 400 '`params`' '{"model_name":"m/x-1.5","params":[1]}'
refused "an unknown model" 404 'no worker available.*inference:nobody' '{"model_name":"nobody","params":{}}'
head -c 600000 /dev/zero | tr '\0' x | sed 's/^/{"model_name":"m","params":{"x":"/;s/$/"}}/' >"$TMP/big"
refused "too large a body" 413 'over 524288 bytes' @"$TMP/big"
refused "a deadline that is none" 400 'Ocf-Timeout' '{"model_name":"m/x-1.5"}' -H 'Ocf-Timeout: soon'
is "GET is told what would be right" \
	"$(curl -s -o "$TMP/got" -w '%{http_code}' "$(node_url n1)/api/v1/request/inference") $(jq -r 'has("error")' "$TMP/got")" "405 true"

# ---- one that takes queries and never answers, as the original does after an exception
old_start mute inference:mute --mute --count "$TMP/mute"
ok "another is in every table" all_list inference:mute 1
refused "the deadline of one that never answers" 504 . '{"model_name":"mute"}' -H 'Ocf-Timeout: 1s'
post n3 inference '{"model_name":"mute"}' >"$TMP/died" &
client=$!
ok "it has a second query" wait_until "$CLUSTER_SECONDS" sh -c '[ "$(wc -l <"$1")" -eq 2 ]' sh "$TMP/mute"
worker_kill mute
wait "$client"
is "when it dies, the client is told" "$(tail -n 1 "$TMP/died")" 502
like "in a sentence" "$(head -n 1 "$TMP/died" | jq -r .error)" 'worker c[0-9]+ .*is gone'
ok "and its row is gone from every node" all_list inference:mute 0

# ---- nonsense is a warning with the client's id, and nothing else
before=$(table n2)
old_start bad inference:bad --bad
ok "bad JSON is a warning with the client's id" wait_until 10 logged n1 'connection [0-9]+: its announcement is not JSON'
ok "which is known, as one that says nothing, by its subscription" all_list inference:bad 1
ok "the good one answers" answers n2
worker_kill bad
ok "and leaves with its connection" all_list inference:bad 0
is "nothing else happened" "$(table n2)" "$before"
raw_nats_publish "$bus" worker:status '{"service":"inference:a b","client_id":77,"status":"connected","gpus":[]}' >"$TMP/said"
ok "so is a name that is no subject" wait_until 10 logged n1 'connection 77.*NATS subject'
raw_nats_publish "$bus" worker:status '{"service":7,"client_id":78,"status":"connected"}' >"$TMP/said"
ok "and a service that is no text" wait_until 10 logged n1 'connection 78.*service'
raw_nats_publish "$bus" worker:status '{"service":"inference:z","client_id":79,"status":"pondering"}' >"$TMP/said"
is "nothing of it is in the table" "$(table n2)" "$before"

# ---- restarts: it announced once, and never again
node_stop n1
node_start n1 --bus.listen="$bus"
ok "after a restart of ocfd it is in every table" all_list inference:m/x-1.5 1
ok "and answers, asked at another node" wait_until "$CLUSTER_SECONDS" answers n3
is "its gpu is as it first said" "$(table n2 | jq -c '.nodes[0].gpus[0] | [.name, .memory_free]')" '["L4",900]'

old_start silent inference:silent --silent
ok "one whose announcement nobody heard is found by its subscription" all_list inference:silent 1

# When the node is sure of who is there, who is not there has left: one that cannot connect
# again, since it is stopped, shows that moment.
settled() { # WHAT
	ok "$1: once in every table" all_list inference:m/x-1.5 1
	is "$1: with its gpu" "$(table n3 | jq -c '.nodes[] | select(.service == "inference:m/x-1.5") | .gpus[0] | [.name, .memory_free]')" '["L4",900]'
	ok "$1: who did not come back is gone in time" all_list inference:silent 0
	is "$1: who did is not" "$(table n2 | jq -c '[.nodes[] | .service, .gpus[0].memory_free]')" '["inference:m/x-1.5",900]'
	ok "$1: and answers" answers n2
	kill -CONT "${WORKER_PID[silent]}"
	ok "$1: who comes back later is found, too" all_list inference:silent 1
}
server_pid() { cat "$TMP/n1/state/ocf/bus/nats-server.pid"; }

kill -STOP "${WORKER_PID[silent]}"
kill -KILL "$(server_pid)"
ok "after kill -9 of nats-server it answers again" wait_until "$CLUSTER_SECONDS" answers n2
settled "kill -9 of nats-server"

kill -STOP "${WORKER_PID[silent]}"
kill -KILL "$(server_pid)" "${NODE_PID[n1]}"
node_kill n1
node_start n1 --bus.listen="$bus"
ok "after kill -9 of both it answers again" wait_until "$CLUSTER_SECONDS" answers n3 _inference
settled "kill -9 of both"
worker_kill silent

# ---- it leaves
ok "killed, one is gone from every table" all_list inference:silent 0
client_id=$(table n1 | jq '.nodes[0].client_id')
raw_nats_publish "$bus" worker:status "{\"client_id\":$client_id,\"status\":\"disconnected\"}" >"$TMP/said"
ok "\"disconnected\" takes it out of every table" all_list inference:m/x-1.5 0
worker_stop ada

# ---- a queue group is shared
both_answer() { # SERVICE URL BODY
	local i
	for ((i = 0; i < 60; i++)); do
		curl -s --max-time 20 --data-binary "$3" "$2" | grep -o '"by":"[a-z0-9]*"\|\\"by\\":\\"[a-z0-9]*' |
			grep -o '[a-z0-9]*$\|[a-z0-9]*"$' | tr -d '"'
	done | sort | uniq -c >"$TMP/shares"
	[ "$(wc -l <"$TMP/shares")" -eq 2 ] && [ "$(awk '{ n += $1 } END { print n }' "$TMP/shares")" -eq 60 ]
}
old_start eve inference:shared
old_start bob inference:shared
ok "two workers of one model are in every table" all_list inference:shared 2
ok "each answers some of 60 queries" both_answer inference:shared \
	"$(node_url n2)/api/v1/request/inference" '{"model_name":"shared"}' || diag <"$TMP/shares"
worker_kill eve
ok "one dies" all_list inference:shared 1
ok "the other answers" post n3 inference '{"model_name":"shared"}'
worker_stop bob
old_start min1 upper --v1
old_start min2 upper
ok "so are two minimal workers without slots, one of today and one of 2023" all_list upper 2
ok "each answers some of 60 queries" both_answer upper \
	"$(node_url n2)/v1/service/upper" '"x"' || diag <"$TMP/shares"
worker_stop min1
worker_stop min2
ok "all are gone" all_list upper 0

# ---- a bus that is not the node's own shows no connections
run curl -s -w '\n%{http_code}' "$(node_url n3)/api/v1/status/connections"
is "each node shows its own bus" "$(head -n 1 <<<"$out" | jq -c '.connections')" '[]'
cluster_done
