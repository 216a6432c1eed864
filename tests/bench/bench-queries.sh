#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What queries cost with real daemons, from a client's socket to a worker and back:
#
#	bench-queries.sh [FIGURE…]	all of: http hop bottleneck mixed worker_http cancel stream
#
# One JSON line each. Requests have 256 bytes both ways and come over so many kept connections.
#   http         requests in a second, percentiles of their times, processor time of each
#                program for one request, at one node whose worker answers at once
#                (bench-worker): what the node can do at most. Through that node, and through a
#                second one. The baseline, in turns with it, is the same client at a server that
#                answers at once (bench-http-server)
#   hop          by how much the median grows with the second node, with one request at a time
#   bottleneck   the same as `http` where the worker is what limits: `ocf-worker --http` in
#                front of a server that does 20 at a time, each in 10 ms. With as many slots, of
#                which each is empty for a moment between two queries, and with half as many
#                again. The baseline is that server, reached directly: OpenTela keeps 0.55 to
#                0.65 of its rate, and has 5 times its 90th percentile
#   mixed        300 requests a second to two workers of one slot that take 1 ms and 50 ms
#   worker_http  `ocf-worker --http` in front of the server that answers at once, beside it
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
# shellcheck source=tests/lib/load.sh
. "$OCF_TEST_SRCDIR/tests/lib/load.sh"

figures=("$@")
[ $# -gt 0 ] || figures=(http hop bottleneck mixed worker_http cancel stream)
seconds=${OCF_BENCH_SECONDS:-2} runs=${OCF_BENCH_RUNS:-5} bytes=${OCF_BENCH_BYTES:-1073741824}
CLIENTS=(1 50 512)
bench=$OCF_TEST_BUILDDIR/tests/bench
trap 'load_cleanup; rm -rf "$TMP"' EXIT
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

# One run: a line «PER_S P50 P90 P99 CLIENT_US US…», US for one request of each program.
load() { # FILE ADDRESS PATH CLIENTS PID…
	local file=$1 address=$2 path=$3 clients=$4 pid out per_s us before=()
	shift 4
	for pid in "$@"; do before+=("$(ticks "$pid")"); done
	load_run one "$address" "$path" "$clients" "$seconds" ||
		cluster_fail "requests failed" "$TMP"/n*/log
	out=$(load_said one '[.per_s, .p50_us, .p90_us, .p99_us, .cpu_us] | join(" ")')
	per_s=${out%% *}
	for pid in "$@"; do
		us=$((($(ticks "$pid") - before[0]) * TICK_US))
		before=("${before[@]:1}")
		out="$out $(calculate "$us / ($per_s * $seconds)" 1)"
	done
	echo "$out" >>"$file"
}

# Of a column of one file and the same one of another, run by run: the median of a calculation
# with `a` and `b`.
pairs() { # FILE FILE COLUMN CALCULATION
	awk -v c="$3" "NR == FNR { of[FNR] = \$c; next } { a = of[FNR]; b = \$c; print $4 }" "$1" "$2" |
		median
}
ratio() { calculate "$(pairs "$1" "$2" "$3" 'a / b')" 2; } # FILE FILE COLUMN
figures_of() { # PREFIX FILE
	printf '"%sper_s":%s,"%sp50_us":%s,"%sp90_us":%s,"%sp99_us":%s' "$1" "$(column "$2" 1)" \
		"$1" "$(column "$2" 2)" "$1" "$(column "$2" 3)" "$1" "$(column "$2" 4)"
}
cpu_of() { # FILE NAME…: of a request, by program
	local file=$1 name i=4 comma=
	shift
	for name in client "$@"; do
		i=$((i + 1))
		printf '%s"%s":%s' "$comma" "$name" "$(column "$file" $i)"
		comma=,
	done
}

# A service beside the server SERVER, for each number of clients; through NODE. Of the programs
# NAMES the processor time is told; what more is to be told follows them.
http_figure() { # FIGURE NODE SERVICE SERVER "NAMES" "PIDS" [MORE]
	local figure=$1 node=$2 service=$3 server=$4 names=$5 pids=$6 more=${7:-} clients run
	for clients in "${CLIENTS[@]}"; do
		rm -f "$TMP/ours" "$TMP/direct"
		# shellcheck disable=SC2086 # lists of words
		for ((run = 0; run < runs; run++)); do
			load "$TMP/direct" "$(server_address "$server")" / "$clients" "${SERVER_PID[$server]}"
			load "$TMP/ours" "$(node_field "$node" http)" "/v1/service/$service/" "$clients" $pids
		done
		# shellcheck disable=SC2086
		printf '{"bench":"queries","figure":"%s","through":"%s","clients":%s,"ratio":%s,"p90_ratio":%s%s,%s,"cpu_us":{%s},%s,"direct_cpu_us":{%s}}\n' \
			"$figure" "$([ "$node" = n1 ] && echo "the worker's node" || echo "a second node")" \
			"$clients" "$(ratio "$TMP/ours" "$TMP/direct" 1)" "$(ratio "$TMP/ours" "$TMP/direct" 3)" "$more" \
			"$(figures_of "" "$TMP/ours")" "$(cpu_of "$TMP/ours" $names)" \
			"$(figures_of direct_ "$TMP/direct")" "$(cpu_of "$TMP/direct" server)"
	done
}
instant_server() { [ -n "${SERVER_PID[instant]:-}" ] || server_start instant n1; }
node_and_bus() { echo "${NODE_PID[n1]} $(nats_of n1)"; }
is_offered() { # ID
	wait_until "$CLUSTER_SECONDS" sees_worker n2 "$1" || bail "n2 is not told of worker $1"
}

figure_http() {
	instant_server
	second_node
	bench_worker n1 fast fast 1024
	is_offered fast
	http_figure http n1 fast instant "node bus worker" "$(node_and_bus) ${WORKER_PID[fast]}"
	http_figure http n2 fast instant "node bus worker second_node" \
		"$(node_and_bus) ${WORKER_PID[fast]} ${NODE_PID[n2]}"
	worker_stop fast
}

figure_hop() {
	local run node
	second_node
	bench_worker n1 fast fast 1024
	is_offered fast
	rm -f "$TMP/n1.runs" "$TMP/n2.runs"
	for ((run = 0; run < runs; run++)); do
		for node in n1 n2; do
			load "$TMP/$node.runs" "$(node_field "$node" http)" /v1/service/fast/ 1
		done
	done
	printf '{"bench":"queries","figure":"hop","clients":1,"added_p50_us":%s,"added_p50_us_budget":250,%s,%s}\n' \
		"$(pairs "$TMP/n2.runs" "$TMP/n1.runs" 2 'a - b')" \
		"$(figures_of "" "$TMP/n1.runs")" "$(figures_of second_ "$TMP/n2.runs")"
	worker_stop fast
}

figure_bottleneck() {
	local node slots
	second_node
	server_start limited n1 ms=10 slots=20
	for slots in 20 30; do
		worker_start n1 "with$slots" --service "with$slots" --slots "$slots" \
			--http "http://$(server_address limited)"
		is_offered "with$slots"
		for node in n1 n2; do
			http_figure bottleneck "$node" "with$slots" limited "node bus worker server second_node" \
				"$(node_and_bus) ${WORKER_PID[with$slots]} ${SERVER_PID[limited]} ${NODE_PID[n2]}" \
				',"slots":'"$slots"',"ratio_budget":0.9,"p90_ratio_budget":1.3'
		done
		worker_stop "with$slots"
	done
}

figure_mixed() {
	local name had slow
	for name in 1 50; do
		server_start "mixed$name" n1 "ms=$name"
		worker_start n1 "mixed$name" --service mixed --http "http://$(server_address "mixed$name")"
	done
	load_run warm "$(node_field n1 http)" /v1/service/mixed/ 64 1 rate=300 || bail "requests failed"
	had=$(server_begun mixed50)
	load_run mixed "$(node_field n1 http)" /v1/service/mixed/ 64 $((seconds * runs)) rate=300 ||
		cluster_fail "requests failed" "$TMP/n1/log"
	slow=$(($(server_begun mixed50) - had))
	load_run alone "$(server_address mixed1)" / 64 $((seconds * runs)) rate=300 || bail "requests failed"
	printf '{"bench":"queries","figure":"mixed","p99_us":%s,"p99_us_budget":15000,"p50_us":%s,"sent":%s,"unsent":%s,"by_the_slow":%s,"fast_server_alone_p50_us":%s,"fast_server_alone_p99_us":%s}\n' \
		"$(load_said mixed .p99_us)" "$(load_said mixed .p50_us)" "$(load_said mixed .sent)" \
		"$(load_said mixed .unsent)" "$slow" "$(load_said alone .p50_us)" "$(load_said alone .p99_us)"
	for name in 1 50; do worker_stop "mixed$name"; done
}

figure_worker_http() {
	instant_server
	worker_start n1 web --service web --slots 1024 --http "http://$(server_address instant)"
	http_figure worker_http n1 web instant "node bus worker server" \
		"$(node_and_bus) ${WORKER_PID[web]} ${SERVER_PID[instant]}"
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
servers_stop
cluster_stop
