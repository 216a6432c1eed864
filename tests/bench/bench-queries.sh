#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What queries cost with real daemons, from a client's socket to a worker and back:
#
#	bench-queries.sh [FIGURE…]	all of: http worker_http cancel stream
#
# One JSON line each.
#   http         256 bytes both ways, so many clients with kept connections: requests in a
#                second, percentiles of their times, processor time of each program for one
#                request. One node; its worker answers at once (bench-worker). The baseline, in
#                turns with it, is the same client at a server that answers at once
#                (bench-http-server).
#   worker_http  the same with `ocf-worker --http` in front of that server
#   cancel       milliseconds from a client's leaving to its query's end at a worker that has
#                it: told by the client's node, and by another one
#   stream       a body of OCF_BENCH_BYTES (1 GiB) from a client over two nodes to a worker, and
#                back: by how much the most memory that each program ever had has grown
#
#	OCF_BENCH_SECONDS  2   of one run, of which the median is told
#	OCF_BENCH_RUNS     5
# Figures are for a machine that does nothing else.
: "${OCF_TEST_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
export OCF_TEST_SRCDIR
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

figures=("$@")
[ $# -gt 0 ] || figures=(http worker_http cancel stream)
seconds=${OCF_BENCH_SECONDS:-2} runs=${OCF_BENCH_RUNS:-5} bytes=${OCF_BENCH_BYTES:-1073741824}
CLIENTS=(1 50 512)
bench=$OCF_TEST_BUILDDIR/tests/bench
trap 'cluster_cleanup; rm -rf "$TMP"' EXIT
unset "${!OCF_BENCH_@}" # ocfd takes such words for options
CLUSTER_LISTEN+=("--http.max_body=$((bytes + 1))")

calculate() { awk "BEGIN { printf \"%.${2:-1}f\", ($1) }"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
column() { awk -v c="$2" '{ print $c }' "$1" | median; } # FILE COLUMN
# Processor time of a process and of what it started, in ticks.
ticks() {
	local pid sum=0
	for pid in "$@"; do
		sum=$((sum + $(awk '{ print $14 + $15 }' "/proc/$pid/stat")))
	done
	echo "$sum"
}
TICK_US=$((1000000 / $(getconf CLK_TCK)))
nats_of() { pgrep -P "${NODE_PID[$1]}" -x nats-server; } # NODE

bench_worker() { # NODE ID SERVICE SLOTS
	"$bench/bench-worker" "nats://$(node_field "$1" bus)" "$2" "$3" "$4" >"$TMP/$2.said" 2>"$TMP/worker-$2.log" &
	WORKER_PID[$2]=$!
	wait_until "$CLUSTER_SECONDS" sees_worker "$1" "$2" ||
		cluster_fail "$1 does not list worker $2" "$TMP/worker-$2.log" "$TMP/$1/log"
}

# ---- requests

http_server() {
	[ -z "${server:-}" ] || return
	"$bench/bench-http-server" >"$TMP/server" &
	server_pid=$!
	WORKER_PID[server]=$server_pid
	wait_until "$CLUSTER_SECONDS" test -s "$TMP/server" || bail "no HTTP server"
	server=$(cat "$TMP/server")
}

# One run: a line «PER_S P50 P99 CLIENT_US US…», US for one request of each program.
load() { # FILE ADDRESS PATH CLIENTS PID…
	local file=$1 address=$2 path=$3 clients=$4 pid out per_s us before=()
	shift 4
	for pid in "$@"; do before+=("$(ticks "$pid")"); done
	out=$("$bench/bench-http-load" "$address" "$path" "$clients" "$seconds") ||
		cluster_fail "requests failed" "$TMP"/n*/log
	per_s=${out%% *}
	for pid in "$@"; do
		us=$((($(ticks "$pid") - before[0]) * TICK_US))
		before=("${before[@]:1}")
		out="$out $(calculate "$us / ($per_s * $seconds)" 1)"
	done
	echo "$out" >>"$file"
}

http_figure() { # NAME SERVICE PID-NAMES PID…
	local name=$1 service=$2 names=$3 clients run i cpu word
	shift 3
	for clients in "${CLIENTS[@]}"; do
		rm -f "$TMP/ours" "$TMP/direct"
		for ((run = 0; run < runs; run++)); do
			load "$TMP/direct" "$server" / "$clients" "$server_pid"
			load "$TMP/ours" "$(node_field n1 http)" "/v1/service/$service/" "$clients" "$@"
		done
		cpu="\"client\":$(column "$TMP/ours" 4)" i=4
		for word in $names; do
			i=$((i + 1))
			cpu="$cpu,\"$word\":$(column "$TMP/ours" $i)"
		done
		printf '{"bench":"queries","figure":"%s","clients":%s,"per_s":%s,"p50_us":%s,"p99_us":%s,"cpu_us":{%s},"direct_per_s":%s,"direct_p50_us":%s,"direct_p99_us":%s,"direct_cpu_us":{"client":%s,"server":%s},"ratio":%s}\n' \
			"$name" "$clients" "$(column "$TMP/ours" 1)" "$(column "$TMP/ours" 2)" "$(column "$TMP/ours" 3)" "$cpu" \
			"$(column "$TMP/direct" 1)" "$(column "$TMP/direct" 2)" "$(column "$TMP/direct" 3)" \
			"$(column "$TMP/direct" 4)" "$(column "$TMP/direct" 5)" \
			"$(paste -d ' ' "$TMP/ours" "$TMP/direct" | awk '{ print $1 / $8 }' |
				median | awk '{ printf "%.2f", $1 }')"
	done
}

figure_http() {
	http_server
	bench_worker n1 fast fast 1024
	http_figure http fast "node bus worker" "${NODE_PID[n1]}" "$(nats_of n1)" "${WORKER_PID[fast]}"
	worker_stop fast
}

figure_worker_http() {
	if ! ocf-worker --help | grep -q -- --http; then
		echo "bench-queries: this ocf-worker has no --http" >&2
		return
	fi
	http_server
	worker_start n1 web --service web --slots 1024 --http "http://$server"
	http_figure worker_http web "node bus worker server" "${NODE_PID[n1]}" "$(nats_of n1)" \
		"${WORKER_PID[web]}" "$server_pid"
	worker_stop web
}

# ---- cancellation

# Microseconds between its leaving and the worker's knowing, ROUNDS times.
cancels() { # NODE REQUEST-ID ROUNDS
	local node=$1 id=$2 round address fd left knows
	address=$(node_field "$node" http)
	for ((round = 0; round < $3; round++)); do
		exec {fd}<>"/dev/tcp/${address%:*}/${address##*:}"
		printf 'POST /v1/service/hang HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %s-%s\r\nContent-Length: 4\r\n\r\nhang' \
			"$id" "$round" >&"$fd"
		wait_until "$CLUSTER_SECONDS" grep -q "^$id-$round taken" "$TMP/hanging.said" || bail "a query is not taken"
		sleep "0.0$((RANDOM % 90 + 10))"
		left=${EPOCHREALTIME/./}
		exec {fd}>&-
		wait_until "$CLUSTER_SECONDS" grep -q "^$id-$round cancelled" "$TMP/hanging.said" || bail "a query is not cancelled"
		knows=$(awk -v id="$id-$round" '$1 == id && $2 == "cancelled" { printf "%.0f", $3 / 1000 }' "$TMP/hanging.said")
		echo $((knows - left))
	done
}

figure_cancel() {
	local node
	second_node
	bench_worker n2 hanging hang 64
	wait_until "$CLUSTER_SECONDS" sees_worker n1 hanging || bail "n1 is not told of the worker"
	for node in n2 n1; do
		cancels "$node" "cancel-$node" 50 >"$TMP/cancels"
		printf '{"bench":"queries","figure":"cancel","by":"%s","median_ms":%s,"max_ms":%s,"max_ms_budget":100,"rounds":50}\n' \
			"$([ "$node" = n2 ] && echo "the same node" || echo "another node")" \
			"$(median <"$TMP/cancels" | awk '{ printf "%.2f", $1 / 1000 }')" \
			"$(sort -n "$TMP/cancels" | tail -n 1 | awk '{ printf "%.2f", $1 / 1000 }')"
	done
	worker_stop hanging
}

# ---- a long body

peak() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$1/status"; }
figure_stream() {
	local name start took grown='' count pids
	second_node
	worker_start n2 echo --service echo --stream -- cat
	wait_until "$CLUSTER_SECONDS" sees_worker n1 echo || bail "n1 is not told of the worker"
	curl -s -d x "$(node_url n1)/v1/service/echo" >"$TMP/out"
	declare -A pids=([n1]=${NODE_PID[n1]} [n2]=${NODE_PID[n2]} [worker]=${WORKER_PID[echo]}) was=()
	for name in n1 n2 worker; do was[$name]=$(peak "${pids[$name]}"); done
	start=$EPOCHREALTIME
	count=$(head -c "$bytes" /dev/zero | curl -s -T - -X POST "$(node_url n1)/v1/service/echo" | wc -c)
	took=$(calculate "$EPOCHREALTIME - $start" 2)
	[ "$count" -eq "$bytes" ] || cluster_fail "$count bytes of $bytes came back" "$TMP"/n*/log
	for name in n1 n2 worker; do
		grown="$grown,\"${name}_grown_kib\":$(($(peak "${pids[$name]}") - was[$name]))"
	done
	printf '{"bench":"queries","figure":"stream","bytes":%s,"s":%s,"mb_per_s":%s%s}\n' \
		"$bytes" "$took" "$(calculate "$bytes / 1000000 / $took" 0)" "$grown"
	worker_stop echo
}

second_node() {
	[ -z "${NODE_PID[n2]:-}" ] || return
	node_join n2 n1
	node_start n2
	wait_until "$CLUSTER_SECONDS" sees_nodes n1 2 || bail "n2 does not come up"
	wait_until "$CLUSTER_SECONDS" knows_inbound n2 || bail "n2 does not find out who reaches it"
}

for figure in "${figures[@]}"; do
	declare -F "figure_$figure" >/dev/null && continue
	echo "bench-queries: there is no figure '$figure'" >&2
	exit 2
done
node_init n1
node_start n1
for figure in "${figures[@]}"; do "figure_$figure"; done
cluster_stop
