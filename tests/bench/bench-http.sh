#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the HTTP server costs, with a real node, beside nginx in the same run:
#
#	bench-http.sh [FIGURE…]		all of: idle requests stream
#
# One JSON line each. Clients are wrk's, with kept connections.
#   requests  in a second, and percentiles of their times, for 1, 64 and 512 connections:
#             healthz, services (nginx gives out our reply from a file), query (256 bytes both
#             ways; the worker is at this node, nginx passes them to a server that answers at
#             once) and forwarded (the worker is at another node). Processor time for a request
#             of the node or of nginx's one worker process, which is what each may have at most
#   idle      what OCF_BENCH_IDLE (10,000) kept connections that were used once and now rest
#             take of the server's memory, each; nginx sets its memory aside beforehand, so
#             that there all of it is divided by them
#   stream    a reply of OCF_BENCH_BYTES (1 GiB) from a worker at this node, and at another one:
#             by how much the most memory that each node ever had has grown
#
#	OCF_BENCH_SECONDS  2   of one run, of which the median is told
#	OCF_BENCH_RUNS     5
# Figures are for a machine that does nothing else.
: "${OCF_TEST_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
export OCF_TEST_SRCDIR
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

figures=("$@")
[ $# -gt 0 ] || figures=(idle requests stream)
seconds=${OCF_BENCH_SECONDS:-2} runs=${OCF_BENCH_RUNS:-5}
bytes=${OCF_BENCH_BYTES:-1073741824} idle=${OCF_BENCH_IDLE:-10000}
CLIENTS=(1 64 512)
BODY_BYTES=256
bench=$OCF_TEST_BUILDDIR/tests/bench
trap 'cluster_cleanup; rm -rf "$TMP"' EXIT
unset "${!OCF_BENCH_@}" # ocfd takes such words for options
PATH=$PATH:/usr/sbin
for program in wrk nginx; do
	command -v "$program" >/dev/null && continue
	echo "bench-http: there is no $program; ./bootstrap dev installs it" >&2
	exit 1
done
files=$((idle + 2000)) # of one process
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge "$files" ] || ulimit -n "$files" || exit 1

calculate() { awk "BEGIN { printf \"%.${2:-1}f\", ($1) }"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
column() { awk -v c="$2" '{ print $c }' "$1" | median; } # FILE COLUMN
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }    # PID
kib() { awk -v word="$2:" '$1 == word { print $2 }' "/proc/$1/status"; } # PID WORD
TICK_US=$((1000000 / $(getconf CLK_TCK)))

# ---- nginx

# One worker process, as we have one loop. It cannot pick a port.
nginx_conf() { # PORT UPSTREAM
	cat <<TEXT
daemon off;
user $(id -un) $(id -gn);
worker_processes 1;
worker_rlimit_nofile $files;
error_log $TMP/nginx/error.log;
pid $TMP/nginx/pid;
events { worker_connections $files; }
http {
	access_log off;
	keepalive_requests 1000000000;
	keepalive_timeout 3600s;
	client_body_temp_path $TMP/nginx/body;
	proxy_temp_path $TMP/nginx/proxy;
	fastcgi_temp_path $TMP/nginx/fastcgi;
	uwsgi_temp_path $TMP/nginx/uwsgi;
	scgi_temp_path $TMP/nginx/scgi;
	upstream worker { server $2; keepalive 512; }
	server {
		listen 127.0.0.1:$1 backlog=511;
		location = /healthz { default_type text/plain; return 200 "ok\n"; }
		location = /v1/services { default_type application/json; alias $TMP/nginx/services; }
		location /query {
			proxy_pass http://worker/;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
TEXT
}

nginx_answers() { curl -s -o "$TMP/out" "http://$nginx/healthz" || is_gone "${WORKER_PID[nginx]}"; }

nginx_start() {
	local port try
	[ -z "${nginx:-}" ] || return 0
	mkdir -p "$TMP/nginx"
	curl -s "$(node_url n1)/v1/services" >"$TMP/nginx/services"
	"$bench/bench-http-server" >"$TMP/server" &
	WORKER_PID[server]=$!
	wait_until "$CLUSTER_SECONDS" test -s "$TMP/server" || bail "no HTTP server"
	for try in 1 2 3 4 5 6 7 8; do
		port=$((20000 + RANDOM % 10000)) nginx=127.0.0.1:$port
		nginx_conf "$port" "$(cat "$TMP/server")" >"$TMP/nginx/conf"
		nginx -c "$TMP/nginx/conf" 2>"$TMP/nginx/said" &
		WORKER_PID[nginx]=$!
		wait_until "$CLUSTER_SECONDS" nginx_answers && ! is_gone "${WORKER_PID[nginx]}" && break
		unset "WORKER_PID[nginx]"
		[ "$try" -lt 8 ] || cluster_fail "nginx does not start" "$TMP/nginx/said" "$TMP/nginx/error.log"
	done
	nginx_pid=$(pgrep -P "${WORKER_PID[nginx]}" | head -n 1)
}

# ---- requests

cat >"$TMP/wrk.lua" <<LUA
if os.getenv("BENCH_BODY") then
	wrk.method = "POST"
	wrk.headers["Content-Type"] = "text/plain"
	wrk.body = string.rep("b", $BODY_BYTES)
end
function done(summary, latency)
	local e = summary.errors
	io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout))
end
LUA

# One run: a line «PER_S P50 P99 US», US of the server's processor for one request.
load() { # FILE URL CLIENTS PID
	local before requests micros p50 p99 errors
	before=$(ticks "$4")
	wrk -t 1 -c "$3" -d "${seconds}s" -s "$TMP/wrk.lua" "$2" >"$TMP/wrk.out" 2>&1
	read -r _ requests micros p50 p99 errors < <(grep ^RESULT "$TMP/wrk.out")
	if [ "${requests:-0}" -eq 0 ] || [ "$errors" -ne 0 ]; then
		cluster_fail "requests for $2 failed" "$TMP/wrk.out" "$TMP"/n*/log
	fi
	echo "$(calculate "$requests * 1e6 / $micros" 0) $p50 $p99 $(calculate \
		"($(ticks "$4") - $before) * $TICK_US / $requests")" >>"$1"
}

requests() { # WHAT URL NGINX-URL
	local clients run
	for clients in "${CLIENTS[@]}"; do
		rm -f "$TMP/ours" "$TMP/nginxs"
		for ((run = 0; run < runs; run++)); do
			load "$TMP/ours" "$2" "$clients" "${NODE_PID[n1]}"
			load "$TMP/nginxs" "$3" "$clients" "$nginx_pid"
		done
		printf '{"bench":"http","figure":"requests","what":"%s","clients":%s,"per_s":%s,"p50_us":%s,"p99_us":%s,"node_us":%s,"nginx_per_s":%s,"nginx_p50_us":%s,"nginx_p99_us":%s,"nginx_us":%s,"ratio":%s}\n' \
			"$1" "$clients" "$(column "$TMP/ours" 1)" "$(column "$TMP/ours" 2)" "$(column "$TMP/ours" 3)" \
			"$(column "$TMP/ours" 4)" "$(column "$TMP/nginxs" 1)" "$(column "$TMP/nginxs" 2)" \
			"$(column "$TMP/nginxs" 3)" "$(column "$TMP/nginxs" 4)" \
			"$(paste -d ' ' "$TMP/ours" "$TMP/nginxs" | awk '{ print $1 / $5 }' | median |
				awk '{ printf "%.2f", $1 }')"
	done
}

bench_worker() { # NODE ID SERVICE
	"$bench/bench-worker" "nats://$(node_field "$1" bus)" "$2" "$3" 1024 >"$TMP/$2.said" 2>"$TMP/worker-$2.log" &
	WORKER_PID[$2]=$!
	wait_until "$CLUSTER_SECONDS" sees_worker n1 "$2" ||
		cluster_fail "n1 does not list worker $2" "$TMP/worker-$2.log" "$TMP/$1/log"
}

figure_requests() {
	second_node
	bench_worker n1 near near
	bench_worker n2 far far
	nginx_start
	requests healthz "$(node_url n1)/healthz" "http://$nginx/healthz"
	requests services "$(node_url n1)/v1/services" "http://$nginx/v1/services"
	export BENCH_BODY=yes
	requests query "$(node_url n1)/v1/service/near" "http://$nginx/query"
	requests forwarded "$(node_url n1)/v1/service/far" "http://$nginx/query"
	unset BENCH_BODY
	worker_stop near
	worker_stop far
}

# ---- connections that rest

# The memory of PID with them, less BEFORE.
idle_bytes() { # ADDRESS PID BEFORE
	local now fd out
	coproc IDLE { exec "$bench/bench-http-idle" "$1" "$idle"; }
	fd=${IDLE[1]}
	read -r out <&"${IDLE[0]}" || cluster_fail "no $idle connections to $1" "$TMP"/n*/log
	[ "$out" = ready ] || bail "bench-http-idle says $out"
	sleep 1
	now=$(kib "$2" RssAnon)
	exec {fd}>&-
	wait "$IDLE_PID"
	echo $(((now - $3) * 1024 / idle))
}

figure_idle() {
	local ours
	nginx_start
	ours=$(idle_bytes "$(node_field n1 http)" "${NODE_PID[n1]}" \
		"$(kib "${NODE_PID[n1]}" RssAnon)") || exit 1
	printf '{"bench":"http","figure":"idle","connections":%s,"bytes_each":%s,"nginx_bytes_each":%s}\n' \
		"$idle" "$ours" "$(idle_bytes "$nginx" "$nginx_pid" 0)"
}

# ---- a long reply

figure_stream() {
	local at count start took name grown
	second_node
	for at in n1 n2; do
		worker_start "$at" "long-$at" --service "long-$at" --stream -- head -c "$bytes" /dev/zero
		wait_until "$CLUSTER_SECONDS" sees_worker n1 "long-$at" || bail "n1 is not told of the worker"
		declare -A was=([n1]=$(kib "${NODE_PID[n1]}" VmHWM) [n2]=$(kib "${NODE_PID[n2]}" VmHWM))
		start=$EPOCHREALTIME
		count=$(curl -s -d x "$(node_url n1)/v1/service/long-$at" | wc -c)
		took=$(calculate "$EPOCHREALTIME - $start" 2)
		[ "$count" -eq "$bytes" ] || cluster_fail "$count bytes of $bytes came" "$TMP"/n*/log
		grown=
		for name in n1 n2; do
			grown="$grown,\"${name}_grown_kib\":$(($(kib "${NODE_PID[$name]}" VmHWM) - was[$name]))"
		done
		printf '{"bench":"http","figure":"stream","worker_at":"%s","bytes":%s,"s":%s,"mb_per_s":%s%s}\n' \
			"$at" "$bytes" "$took" "$(calculate "$bytes / 1000000 / $took" 0)" "$grown"
		worker_stop "long-$at"
	done
}

second_node() {
	[ -z "${NODE_PID[n2]:-}" ] || return 0
	node_join n2 n1
	node_start n2
	wait_until "$CLUSTER_SECONDS" sees_nodes n1 2 || bail "n2 does not come up"
	wait_until "$CLUSTER_SECONDS" knows_inbound n2 || bail "n2 does not find out who reaches it"
}

for figure in "${figures[@]}"; do
	declare -F "figure_$figure" >/dev/null && continue
	echo "bench-http: there is no figure '$figure'" >&2
	exit 2
done
CLUSTER_LISTEN+=("--http.max_connections=$((idle + 100))")
node_init n1
node_start n1
for figure in "${figures[@]}"; do "figure_$figure"; done
cluster_stop
