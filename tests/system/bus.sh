#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Workers that come, die, and talk nonsense.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/raw.sh
. "$OCF_TEST_SRCDIR/tests/lib/raw.sh"

cluster_start 2
bus=$(node_field n1 bus)
rows() { at n1 ocf workers --json | jq length; }
warned() { grep -qE "$1" "$TMP/n1/log"; }

# What is wrong, the id that the warning must name ("-": none can be read), the announcement.
nonsense() {
	raw_nats_publish "$bus" worker:status "$3" >"$TMP/said"
	if [ "$2" = - ]; then
		ok "a warning about $1" wait_until 10 warned "$4"
	else
		ok "a warning about $1, with the worker's id" wait_until 10 warned "$2.*($4)|($4).*$2"
	fi
}
nonsense "what is no JSON" - 'this is no JSON' '[Jj][Ss][Oo][Nn]|announce'
nonsense "slots that are no number" bad-1 \
	'{"v":1,"id":"bad-1","service":"wc","slots":"many","status":"connected"}' 'slots'
nonsense "slots out of range" bad-2 \
	'{"v":1,"id":"bad-2","service":"wc","slots":100000,"status":"connected"}' 'slots'
nonsense "a heartbeat out of range" bad-3 \
	'{"v":1,"id":"bad-3","service":"wc","slots":1,"hb_s":0,"status":"connected"}' 'hb_s|heartbeat'
nonsense "an unknown status" bad-4 \
	'{"v":1,"id":"bad-4","service":"wc","slots":1,"status":"asleep"}' 'status'
nonsense "no service at all" bad-5 '{"v":1,"id":"bad-5","slots":1,"status":"connected"}' 'service'
raw_nats_publish "$bus" worker:status \
	"$(printf '{"v":1,"id":"bad-6","service":"%s","slots":1,"status":"connected"}' "$(head -c 300 /dev/zero | tr '\0' x)")" >"$TMP/said"
ok "a warning about a service name that is too long" wait_until 10 warned 'bad-6'
is "nothing of it is in the table" "$(rows)" 0

# A description that no row can hold, from a worker that was fine before.
turns() { # CPUS
	raw_nats_publish "$bus" worker:status "{\"v\":1,\"id\":\"turns\",\"service\":\"wide\",\"slots\":1,\"hb_s\":600,
		\"status\":\"connected\",\"hardware\":{\"cpus\":$1}}" >"$TMP/said"
}
turns 4
ok "a worker is listed" wait_until 10 sees_worker n1 turns
turns '"many"'
ok "when its hardware is nonsense, a warning says so" wait_until 10 warned 'worker turns is not offered'
ok "and it is listed no more" wait_until 10 sees_no_worker n1 turns
worker_start n1 next --service wc -- wc -w
ok "its row is another's" sees_worker n1 next
raw_nats_publish "$bus" worker:status '{"v":1,"id":"turns","status":"disconnected"}' >"$TMP/said"
ok "it leaves" wait_until 10 warned 'worker turns left'
ok "and takes nobody with it" sees_worker n1 next
run at n1 ocf query wc --data 'a b'
is "who got its row still answers" "${out//[[:space:]]/}" 2
worker_stop next
ok "the table is empty again" wait_until 10 sees_no_worker n1 next
ok "the node goes on" at n1 ocf status

# What changes all the time is no news: nothing is written of it, anywhere, and nothing logged.
busy_gpu() { # FREE HEAT
	raw_nats_publish "$bus" worker:status "{\"v\":1,\"id\":\"gpu\",\"service\":\"hot\",\"slots\":1,\"hb_s\":600,
		\"status\":\"connected\",\"gpus\":[{\"name\":\"G\",\"memory\":1000,\"memory_free\":$1}],
		\"hardware\":{\"cpus\":4,\"heat\":$2,\"gpus\":[{\"name\":\"G\",\"memory\":1000,\"memory_free\":$1}]}}" >"$TMP/said"
}
busy_gpu 900 30
ok "a worker with a gpu is seen by n2" wait_until "$CLUSTER_SECONDS" sees_worker n2 gpu
unlike "its row has no telemetry" "$(at n1 ocf-sync dump)" 'memory_free|heat'
ok "the tables are equal" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2
before=$(node_root n1)
for ((i = 1; i <= 5; i++)); do busy_gpu $((900 - i)) $((30 + i)); done
raw_nats_publish "$bus" worker:status '{"v":1,"id":"behind","status":"behind"}' >"$TMP/said"
ok "five more announcements are heard" wait_until 10 warned 'worker `behind`'
is "and no row was written" "$(node_root n1)" "$before"
is "nor a line" "$(grep -c 'worker gpu ' "$TMP/n1/log")" 1
raw_nats_publish "$bus" worker:status '{"v":1,"id":"gpu","status":"disconnected"}' >"$TMP/said"
ok "it leaves" wait_until 10 sees_no_worker n2 gpu

# A worker whose own announcement would be such knows it, and says so.
words=()
for i in $(seq 60); do words+=(--match "k$i=$(head -c 240 /dev/zero | tr '\0' v)"); done
run at n1 timeout 30 ocf-worker --service wc "${words[@]}" -- wc -w
is "more matches than can be announced: exit 78" "$status" 78
like "with the options that are too much" "$err" '--match'
words=()
for i in $(seq 20); do words+=(--meta "k$i=$(head -c 240 /dev/zero | tr '\0' v)"); done
run at n1 timeout 30 ocf-worker --service wc "${words[@]}" -- wc -w
is "so is too much metadata" "$status" 78
like "it is named" "$err" '--meta'

worker_start n1 one --service wc -- wc -w
ok "a worker of n1 is seen by n2" wait_until "$CLUSTER_SECONDS" sees_worker n2 one
worker_kill one
ok "killed, its row is gone here" wait_until 10 sees_no_worker n1 one
ok "and at the other node" wait_until 10 sees_no_worker n2 one

worker_start n1 two --service wc -- wc -w
ok "another is seen by n2" wait_until "$CLUSTER_SECONDS" sees_worker n2 two
worker_stop two
ok "stopped, its row is gone at the other node" wait_until 10 sees_no_worker n2 two

# One id twice: who announces it last has it, and the one before leaves. One that does not
# know the word goes on announcing; then neither gets queries, for each would get both.
worker_start n1 same --service twice -- sh -c 'echo first'
first=${WORKER_PID[same]}
unset 'WORKER_PID[same]'
worker_start n1 same --service twice -- sh -c 'echo second'
program_wait replaced "$first"
is "a second worker of one id replaces the first, which says so" "${PROGRAM_STATUS[replaced]}" 78
unset 'PROGRAM_STATUS[replaced]'
ok "with the id" grep -q 'the id same .*--id' "$TMP/worker-same.log"
ok "the second is listed" wait_until 10 sees_worker n1 same
run at n2 ocf query twice --data x
is "and answers" "$out" second
raw_nats_publish "$bus" worker:status \
	'{"v":1,"id":"same","client_id":9999,"service":"twice","slots":1,"status":"connected"}' >"$TMP/said"
program_wait replaced "${WORKER_PID[same]}"
unset 'WORKER_PID[same]' 'PROGRAM_STATUS[replaced]'
stubborn() { # CLIENT_ID: a connection that announces and does not listen
	raw_nats_publish "$bus" worker:status \
		"{\"v\":1,\"id\":\"stubborn\",\"client_id\":$1,\"service\":\"stub\",\"slots\":1,\"hb_s\":1,
			\"status\":\"connected\"}" >"$TMP/said"
}
worker_state() { at n1 ocf workers --json | jq -r --arg id "$1" '.[] | select(.id == $id) | .state'; }
is_state() { [ "$(worker_state "$1")" = "$2" ]; }
stubborn 9001
ok "another is listed" wait_until 10 is_state stubborn ready
stubborn 9002
stubborn 9001
ok "while two announce its id, it gets no queries" wait_until 10 is_state stubborn draining
ok "a warning names both connections" wait_until 10 warned 'worker `stubborn`.*9001 and 9002'
ok "three heartbeats after both fell silent it is gone" wait_until 10 sees_no_worker n1 stubborn

# A worker that dies while it works: the client is told, and does not wait for ever.
worker_start n1 sleeper --service slow -- sh -c 'echo >>"$0"; exec sleep 600' "$TMP/taken"
at n2 curl -s --max-time 60 -o "$TMP/body" -w '%{http_code}' -d x \
	"$(node_url n2)/v1/service/slow" >"$TMP/code" &
client=$!
ok "a query reaches a worker" wait_until "$CLUSTER_SECONDS" test -s "$TMP/taken"
worker_kill sleeper
wait "$client"
like "when that is killed, the client gets 502 or 503" "$(cat "$TMP/code")" '^50[23]$'
cluster_done
