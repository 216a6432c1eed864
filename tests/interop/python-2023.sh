#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A worker in Python without any package, which speaks 2023's protocol on a plain socket:
# it is announced, answers and leaves. That protocol knows no parts, errors and cancel.
# shellcheck source=tests/interop/lib.sh
. "$OCF_TEST_SRCDIR/tests/interop/lib.sh"
interop_need python3 python3
diag "$(python3 --version)"
cluster_start 2
bus=$(node_field n1 bus)
python3 "$HERE/python/worker2023.py" "${bus%:*}" "${bus##*:}" m/x-1.5 >>"$TMP/worker-old.log" 2>&1 </dev/null &
WORKER_PID[old]=$!
lists() { # COUNT
	[ "$(at n2 ocf workers --json | jq --arg s inference:m/x-1.5 '[.[] | select(any(.services[]; .name == $s))] | length')" = "$1" ]
}
ok "it attaches, and the other node lists it" wait_until "$CLUSTER_SECONDS" lists 1
like "by its connection's number" "$(at n2 ocf workers --json | jq -r '.[0].id')" '^c[0-9]+$'
run curl -s --max-time 60 -d '{"model_name":"m/x-1.5","params":{"say":"über 7"}}' "$(node_url n2)/api/v1/request/inference"
is "it answers 2023's clients at any node" "$(jq -c '[.message, (.data | fromjson)]' <<<"$out")" \
	'["ok",{"model":"m/x-1.5","answer":"über 7"}]'
run at n2 ocf query inference:m/x-1.5 --data '{"model_name":"m/x-1.5","params":{"say":"x"}}'
is "and today's" "$(jq -c . <<<"$out")" '{"model":"m/x-1.5","answer":"x"}'
worker_stop old
ok "it leaves, and is gone" wait_until "$CLUSTER_SECONDS" lists 0
cluster_done
