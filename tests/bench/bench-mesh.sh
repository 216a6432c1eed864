#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the mesh costs and how fast it is, with real daemons on this machine:
#
#	bench-mesh.sh [NODES [FIGURE…]]      10 nodes; all of
#	    idle update churn visible worker-death crash silent join
#
# One JSON line per figure, with its budget and what the best peer did; «bytes» are frames
# with headers, before TLS, summed from ocf_peer_*_bytes_total of all nodes, and beside them
# what the kernel counted on the ports of the links, where a network namespace may be made
# (IP packets, with TCP's headers and acknowledgements, TLS and its handshakes). The exit
# status is 1 when a figure in bytes is above its budget; times are told and not judged, for
# they are those of this machine, with all nodes on it.
#
#	OCF_BENCH_SETTLE    60   seconds without a word before the idle traffic is counted
#	OCF_BENCH_SECONDS   60   for which idle traffic and churn are counted
#	OCF_BENCH_UPDATES   100  writes that are counted, and made visible
#	OCF_BENCH_ROUNDS    5    deaths of each kind
#	OCF_BENCH_REST      25   seconds after a node that was silent has come back
#	OCF_BENCH_WORKERS   20   workers that are killed
#	OCF_BENCH_ROWS      10000  of the table that a late joiner takes over
# Figures are for a machine that does nothing else.
: "${OCF_TEST_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
export OCF_TEST_SRCDIR
# A network of our own: nothing else is on its loopback.
if [ -z "${OCF_BENCH_NAMESPACE:-}" ]; then
	for way in --net "--map-root-user --net"; do
		# shellcheck disable=SC2086 # several words
		if unshare $way iptables -nL INPUT >/dev/null 2>&1; then
			OCF_BENCH_NAMESPACE=1 exec unshare $way bash "$0" "$@"
		fi
	done
	echo "bench-mesh: no network namespace with iptables can be made here: the kernel counts nothing" >&2
fi
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

nodes=${1:-10}
[ $# -eq 0 ] || shift
figures=("$@")
[ $# -gt 0 ] || figures=(idle update churn visible worker-death crash silent join)
settle_s=${OCF_BENCH_SETTLE:-60} count_s=${OCF_BENCH_SECONDS:-60}
updates=${OCF_BENCH_UPDATES:-100} rounds=${OCF_BENCH_ROUNDS:-5} rows=${OCF_BENCH_ROWS:-10000}
workers=${OCF_BENCH_WORKERS:-20} rest_s=${OCF_BENCH_REST:-25}
if ! [ "$nodes" -ge 2 ] 2>/dev/null || [ "$nodes" -gt 50 ]; then
	echo "bench-mesh: $nodes: 2 to 50 nodes" >&2
	exit 2
fi
VALUE_BYTES=715 # of a record, as those who measured other programs took it
WRITERS=10      # nodes with a bus, at most; the others have no workers
[ "$WRITERS" -le "$nodes" ] || WRITERS=$nodes
CLUSTER_SECONDS=120
probe=$OCF_TEST_BUILDDIR/tests/bench/mesh-probe
announcer=$OCF_TEST_BUILDDIR/tests/lib/announcer
status=0

# The links' ports lie together, so that two rules count them all.
has_kernel=${OCF_BENCH_NAMESPACE:-}
if [ -n "$has_kernel" ]; then
	ip link set lo up || bail "no loopback"
	for end in dport sport; do
		iptables -A INPUT -p tcp "--$end" 20000:20999 || bail "the kernel does not count"
	done
fi
trap 'cluster_cleanup; rm -rf "$TMP"' EXIT
unset "${!OCF_BENCH_@}" # ocfd takes such words for options

# ---- nodes

bench_start() { # NODE [ARG… of ocfd]
	local node=$1 port=0
	shift
	[ -z "$has_kernel" ] || port=$((20000 + ${node//[!0-9]/}))
	node_start "$node" --http.listen=127.0.0.1:0 "--peer.listen=127.0.0.1:$port" \
		--bus.listen=127.0.0.1:0 "$@"
}
no_bus() { [ "${1#n}" -le "$WRITERS" ] || echo --bus.server=none; }
urls() { # NODE… into $addresses
	local node
	addresses=()
	for node in "$@"; do addresses+=("$(node_field "$node" http)"); done
}
# Until all nodes have the value. Lines «PLACE MS GAP» in $TMP/watched.
watch() { # [OPTION…] MEMBER VALUE
	"$probe" watch "$@" "${addresses[@]}" >"$TMP/watched"
}
all_alive() { # until every node holds so many for alive
	urls "${names[@]}"
	watch --every 100 --limit "$CLUSTER_SECONDS" cluster.alive "${#names[@]}" ||
		cluster_fail "not all nodes are alive everywhere" "$TMP"/n*/log
}
deaths() { cat "$TMP"/n*/log | grep -c ' is dead$'; }

bench_cluster() {
	local i node
	names=()
	for ((i = 1; i <= nodes; i++)); do
		node=n$i
		if [ "$i" -eq 1 ]; then node_init n1; else node_join "$node" n1; fi
		# shellcheck disable=SC2046 # nothing, or one word
		bench_start "$node" $(no_bus "$node")
		names+=("$node")
	done
	all_alive
	for node in "${names[@]}"; do
		wait_until "$CLUSTER_SECONDS" knows_inbound "$node" ||
			cluster_fail "$node does not find out who can reach it" "$TMP/$node/log"
	done
}

# ---- writers

declare -A WRITER_FD=()
writer_start() { # NODE METADATA-BYTES
	local fd
	[ -p "$TMP/$1/writer" ] || mkfifo "$TMP/$1/writer"
	exec {fd}<>"$TMP/$1/writer"
	WRITER_FD[$1]=$fd
	"$announcer" "$(node_field "$1" bus)" "$2" <&"$fd" >>"$TMP/$1/writer.log" 2>&1 &
	# shellcheck disable=SC2034 # cluster.sh uses it
	WORKER_PID["writer-$1"]=$!
}
write_row() { printf '%s\n' "$2 $3" >&"${WRITER_FD[$1]}"; } # NODE ID NUMBER|gone
weighed() { # NODE: «VALUE-BYTES ENCODED-BYTES» of its first worker's row
	at "$1" ocf-sync dump | "$probe" weigh |
		awk -v id="$(node_id "$1")" '$1 == "worker" && $2 == id { print $4, $5; exit }'
}
# As many bytes of metadata as make a value of VALUE_BYTES.
bench_writers() {
	local node value bytes=300
	writer_start n1 "$bytes"
	write_row n1 probe 0
	wait_until 30 sees_worker n1 probe || bail "no worker is seen"
	read -r value encoded < <(weighed n1)
	bytes=$((bytes + VALUE_BYTES - value - 1)) # «row-1» is no longer than «probe», by nothing
	write_row n1 probe gone
	wait_until 30 sees_no_worker n1 probe
	worker_stop writer-n1
	for ((i = 1; i <= WRITERS; i++)); do
		node=n$i
		writer_start "$node" $((bytes + 1))
		write_row "$node" "row-$((i - 1))" 0
	done
	urls "${names[@]}"
	watch --every 50 table.workers "$WRITERS" || bail "not all rows are everywhere"
	read -r value encoded < <(weighed n1)
	[ "$value" -eq "$VALUE_BYTES" ] || echo "bench-mesh: a value has $value bytes, not $VALUE_BYTES" >&2
}

# ---- counting

# COUNT[sent.CLASS], COUNT[received.CLASS] of all nodes; COUNT[ip], COUNT[packets].
declare -A COUNT=() WAS=()
count() {
	local name value all=()
	urls "${names[@]}"
	for name in "${addresses[@]}"; do all+=("http://$name/metrics"); done
	while read -r name value; do COUNT[$name]=$value; done < <(
		curl -s "${all[@]}" | awk -F'["} ]+' '/^ocf_peer_(sent|received)_bytes_total/ {
			which = /_sent_/ ? "sent" : "received"
			sum[which "." $2] += $3
			sum[which] += $3
		}
		END { for (name in sum) printf "%s %.0f\n", name, sum[name] }'
		[ -z "$has_kernel" ] || iptables -nvxL INPUT | awk '/tcp/ { packets += $1; bytes += $2 }
			END { printf "packets %.0f\nip %.0f\n", packets, bytes }'
	)
}
count_begin() {
	local name
	count
	WAS=()
	for name in "${!COUNT[@]}"; do WAS[$name]=${COUNT[$name]}; done
}
# What came since, in DELTA.
declare -A DELTA=()
count_end() {
	local name
	count
	DELTA=()
	for name in "${!COUNT[@]}"; do DELTA[$name]=$((${COUNT[$name]} - ${WAS[$name]:-0})); done
}
classes() { # [received]: what was sent (or received), by class, as JSON
	local name text=
	for name in hello heartbeat control rows announce sync query; do
		text="$text${text:+,}\"$name\":${DELTA[${1:-sent}.$name]:-0}"
	done
	echo "{$text}"
}
# Of the bytes on the ports, without the 52 of IP's and TCP's headers (with time stamps) that
# every packet has: what TLS made of the frames. That is what was sent, and some for each of
# its records and for the handshakes; anything else and somebody counts wrongly.
kernel() { # into $kernel, as JSON
	local tls agrees=true
	kernel='"ip_bytes":null'
	[ -n "$has_kernel" ] || return
	tls=$((DELTA[ip] - 52 * DELTA[packets]))
	if [ "$tls" -lt "${DELTA[sent]}" ] || [ "$tls" -gt $((DELTA[sent] + 64 * DELTA[packets] + 65536)) ]; then
		agrees=false status=1
	fi
	kernel="\"frame_bytes\":${DELTA[sent]},\"tls_bytes\":$tls,\"ip_bytes\":${DELTA[ip]},\"packets\":${DELTA[packets]},\"kernel_agrees\":$agrees"
}
calculate() { awk "BEGIN { printf \"%.${2:-1}f\", ($1) }"; }

say() { # FIGURE UNIT VALUE BUDGET BASELINE [MORE-JSON]
	local is_ok=null
	if [[ $2 = *[Bb]ytes* ]]; then
		is_ok=true
		if [ "$(calculate "($3) > ($4)" 0)" -eq 1 ]; then is_ok=false status=1; fi
	fi
	printf '{"bench":"mesh","nodes":%s,"figure":"%s","unit":"%s","value":%s,"budget":%s,"is_within":%s,"baseline":"%s"%s}\n' \
		"$nodes" "$1" "$2" "$3" "$4" "$is_ok" "$5" "${6:+,$6}"
}

# ---- figures

figure_idle() {
	local was
	sleep "$settle_s"
	was=$(deaths)
	count_begin
	sleep "$count_s"
	count_end
	kernel
	idle_rate=$(calculate "(${DELTA[sent]} + ${DELTA[received]}) / $nodes / $count_s" 2)
	say "idle, in+out, per node and second" "bytes/s" "$idle_rate" 50 \
		"memberlist 302 at 50 nodes, OpenTela 7943" \
		"\"ip_per_node_s\":$(calculate "2 * ${DELTA[ip]:-0} / $nodes / $count_s"),$kernel,\"sent\":$(classes),\"deaths\":$(($(deaths) - was))"
}

# One update at a time, so that none takes the place of another on its way.
figure_update() {
	local i floor bare sent
	count_begin
	for ((i = 1; i <= updates; i++)); do
		write_row n1 row-0 "$i"
		sleep 0.1
	done
	sleep 2
	count_end
	kernel
	sent=$(calculate "(${DELTA[sent.rows]:-0} + ${DELTA[sent.announce]:-0}) / $updates")
	floor=$(((nodes - 1) * encoded)) bare=$(((nodes - 1) * VALUE_BYTES))
	say "one update of $VALUE_BYTES bytes, mesh-wide" "bytes" "$sent" \
		"$(calculate "1.06 * $floor < 1.25 * $bare ? 1.06 * $floor : 1.25 * $bare")" \
		"OpenTela 9.1 x, memberlist 8 to 20 x, corrosion 4.4 to 6 x of the bare payload" \
		"\"times_encoded\":$(calculate "$sent / $floor" 3),\"times_payload\":$(calculate "$sent / $bare" 3),\"encoded_row\":$encoded,$kernel,\"sent\":$(classes)"
}

figure_churn() {
	local i n=0 until rate
	count_begin
	until=$((SECONDS + count_s))
	while [ "$SECONDS" -lt "$until" ]; do
		n=$((n + 1))
		for ((i = 1; i <= WRITERS; i++)); do
			write_row "n$i" "row-$((i - 1))" $((1000 + n))
			sleep "$(calculate "3 / $WRITERS" 3)"
		done
	done
	sleep 1
	count_end
	kernel
	rate=$(calculate "(${DELTA[sent]} + ${DELTA[received]}) / $nodes / $count_s")
	say "churn: $WRITERS nodes write $VALUE_BYTES bytes every 3 s, in+out, per node" "bytes/s" "$rate" 6000 \
		"OpenTela 40600 at 10 nodes" \
		"\"writes\":$((n * WRITERS)),$kernel,\"sent\":$(classes)"
}

percentile() { # P FILE: of numbers, a line each
	sort -n "$2" | awk -v p="$1" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.999999); print v[i < 1 ? 1 : i] }'
}
# A worker more each time. Which node is asked how often bounds what is known: the lower
# bound of when it came about is the last question that was answered with no. Asking all
# nodes again and again costs them more than the row does, so then come as many rounds in
# which each is asked once, early enough to have answered within the budget.
figure_visible() {
	local i every good=0 first=45
	every=$(calculate "$nodes / 5 < 2 ? 2 : $nodes / 5" 0)
	: >"$TMP/visible"
	: >"$TMP/visible.low"
	: >"$TMP/gaps"
	urls "${names[@]}"
	for ((i = 1; i <= updates; i++)); do
		if ! watch --every "$every" --limit 30 --say "more-$i $i" "$TMP/n1/writer" \
			table.workers $((WRITERS + i)); then
			echo "bench-mesh: update $i is not seen by all in 30 s" >&2
			status=1
		fi
		awk '{ if ($2 < 0) $2 = 30000; if ($2 > max) max = $2; if ($2 - $3 > low) low = $2 - $3 }
			END { print max; print low + 0 > "/dev/stderr" }' "$TMP/watched" \
			>>"$TMP/visible" 2>>"$TMP/visible.low"
		awk '{ print $3 }' "$TMP/watched" >>"$TMP/gaps"
		sleep 0.1
	done
	say "row visible on all nodes, p99" "ms" "$(percentile 99 "$TMP/visible")" 50 \
		"memberlist model 700 at 100 nodes" \
		"\"p50\":$(percentile 50 "$TMP/visible"),\"p99_at_least\":$(percentile 99 "$TMP/visible.low"),\"p50_at_least\":$(percentile 50 "$TMP/visible.low"),\"polling_gap_p99\":$(percentile 99 "$TMP/gaps"),\"rounds\":$updates"
	for ((i = updates + 1; i <= 2 * updates; i++)); do
		watch --first "$first" --every 100 --limit 30 --say "more-$i $i" "$TMP/n1/writer" \
			table.workers $((WRITERS + i)) || status=1
		# Who had it at the first question has been asked no other.
		awk '$2 < 0 || $2 > $3 { late = 1 } END { exit late }' "$TMP/watched" &&
			good=$((good + 1))
	done
	say "rounds in which a row was on all nodes $first ms after it was written" "of 1" \
		"$(calculate "$good / $updates" 3)" 0.99 "asked once each" "\"rounds\":$updates"
}

# An ocf-worker of n1 is killed, until it is in nobody's table any more; and before, how long a
# worker's first announcement is on its way to all tables.
figure_worker-death() {
	local i before
	: >"$TMP/deaths"
	: >"$TMP/deaths.low"
	urls "${names[@]}"
	before=$(at n1 ocf status --json | jq .table.workers)
	for ((i = 1; i <= workers; i++)); do
		at_background n1 "$TMP/worker.log" ocf-worker --id "victim-$i" --service victim -- cat
		WORKER_PID[victim]=$!
		watch --every 20 --limit 30 table.workers $((before + 1)) || bail "a worker is not seen everywhere"
		sleep 0.$((RANDOM % 1000 + 1000))
		# The shell's own word about who was killed is kept out of the way.
		watch --every 2 --limit 30 --kill 9 "${WORKER_PID[victim]}" table.workers "$before" 2>"$TMP/watch.err" || {
			echo "bench-mesh: killed worker $i is in a table after 30 s" >&2
			status=1
		}
		wait "${WORKER_PID[victim]}" 2>/dev/null
		unset 'WORKER_PID[victim]'
		awk '{ if ($2 < 0) $2 = 30000; if ($2 > max) max = $2; if ($2 - $3 > low) low = $2 - $3 }
			END { print max; print low + 0 > "/dev/stderr" }' "$TMP/watched" \
			>>"$TMP/deaths" 2>>"$TMP/deaths.low"
	done
	say "killed worker gone from all tables, median" ms "$(percentile 50 "$TMP/deaths")" 100 "-" \
		"\"max\":$(percentile 100 "$TMP/deaths"),\"median_at_least\":$(percentile 50 "$TMP/deaths.low"),\"max_at_least\":$(percentile 100 "$TMP/deaths.low"),\"rounds\":$workers"
}

# Nodes without a worker, where there are any; never the one that lets others in.
deaths_of() { # FIGURE SIGNAL BUDGET-MEAN BUDGET-MAX BASELINE
	local round victim node others
	: >"$TMP/deaths"
	for ((round = 1; round <= rounds; round++)); do
		victim=n$((nodes - (round - 1) % (nodes - 1)))
		others=()
		for node in "${names[@]}"; do [ "$node" = "$victim" ] || others+=("$node"); done
		urls "${others[@]}"
		# The shell's own word about who was killed is kept out of the way.
		watch --every 20 --limit 60 --kill "$2" "${NODE_PID[$victim]}" cluster.alive $((nodes - 1)) \
			2>"$TMP/watch.err" ||
			echo "bench-mesh: $victim is not hidden everywhere in 60 s" >&2
		awk '{ print $2 < 0 ? 60000 : $2 }' "$TMP/watched" >>"$TMP/deaths"
		if [ "$2" -eq 9 ]; then
			wait "${NODE_PID[$victim]}" 2>/dev/null
			# shellcheck disable=SC2046 # nothing, or one word
			bench_start "$victim" $(no_bus "$victim")
		else
			kill -CONT "${NODE_PID[$victim]}"
		fi
		all_alive
		# One that stood still waits longer for others, for 20 s: it is not to be the one
		# that watches the next.
		[ "$2" -eq 9 ] || sleep "$rest_s"
		sleep 1.$((RANDOM % 1000))
	done
	say "$1, mean" s "$(awk '{ s += $1 } END { printf "%.2f", s / NR / 1000 }' "$TMP/deaths")" "$3" "$5" \
		"\"max\":$(sort -n "$TMP/deaths" | tail -n 1 | awk '{ printf "%.2f", $1 / 1000 }'),\"budget_max\":$4,\"rounds\":$rounds,\"polling_gap_ms\":20"
}
figure_crash() { deaths_of "process crash hidden everywhere" 9 3 3 "-"; }
figure_silent() {
	if [ "$nodes" -ge 4 ]; then
		deaths_of "silent host hidden everywhere" 19 5 6 "memberlist 5.9 s at 10 nodes, 18 s at 10000"
	else
		deaths_of "silent host hidden everywhere" 19 20 20 "memberlist 5.9 s at 10 nodes, 18 s at 10000"
	fi
}

# Three nodes with a large table, and a fourth that comes.
figure_join() {
	local bytes since seconds node
	cluster_stop
	rm -rf "${TMP:?}"/n*
	names=()
	node_init n101
	# Rows that were there before: what was written a moment ago is compared in another way.
	OCF_TEST_CLOCK_MS=-600000 "$OCF_TEST_BUILDDIR/tests/bench/bench-tools" "$TMP/n101/state/ocf" "$rows" || bail "no table"
	bench_start n101 --bus.server=none
	for node in n102 n103; do
		node_join "$node" n101
		bench_start "$node" --bus.server=none
	done
	names=(n101 n102 n103)
	wait_until "$CLUSTER_SECONDS" tables_are_equal "${names[@]}" || bail "the tables of three are not equal"
	for node in "${names[@]}"; do wait_until "$CLUSTER_SECONDS" knows_inbound "$node"; done
	node_join n104 n101
	since=$EPOCHREALTIME
	bench_start n104 --bus.server=none
	names=(n101 n102 n103 n104)
	wait_until "$CLUSTER_SECONDS" tables_are_equal "${names[@]}" || bail "the tables do not become equal"
	seconds=$(calculate "$EPOCHREALTIME - $since" 2)
	names=(n104)
	WAS=()
	count_end
	nodes=${#NODE_PID[@]}
	bytes=$(at n104 ocf-sync dump | "$probe" weigh | awk '{ sum += $5 } END { print sum }')
	say "late joiner, $rows rows, from its start to equal tables" s "$seconds" 3 "-" \
		"\"polling_gap_ms\":200"
	say "late joiner, bytes in+out for each of the stored rows" "bytes/byte" \
		"$(calculate "(${DELTA[sent]} + ${DELTA[received]}) / $bytes" 3)" 1.1 "-" \
		"\"rows_bytes\":$bytes,\"received\":$(classes received),\"sent\":$(classes)"
}

for figure in "${figures[@]}"; do
	declare -F "figure_$figure" >/dev/null && continue
	echo "bench-mesh: there is no figure '$figure'" >&2
	exit 2
done
has_cluster=
for figure in "${figures[@]}"; do
	[ "$figure" != join ] || continue
	[ -n "$has_cluster" ] || { bench_cluster && bench_writers; }
	has_cluster=yes
	"figure_$figure"
done
# In the end, for it has nodes of its own.
[[ " ${figures[*]} " != *" join "* ]] || figure_join
exit "$status"
