# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Real nodes and workers for tests in shell. Each node has a folder of its own under $TMP
# with its XDG folders and its log, and listens on ports that the kernel picks, so that
# tests run beside each other and beside a node of the user's. What goes wrong here ends the
# test with the ends of the logs.
#
#	. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
#	cluster_start 3
#	worker_start n2 counter --service wc -- wc -w
#	run at n1 ocf query wc --data 'a b c'
#	is "node 1 gets the answer of a worker of node 2" "$out" 3
#	cluster_done

# shellcheck source=tests/lib/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/tap.sh"
# OCF_TEST_PROGRAMS: the folders of installed programs, instead of those of this build.
PATH="${OCF_TEST_PROGRAMS:-$OCF_TEST_BUILDDIR/src/daemon:$OCF_TEST_BUILDDIR/src/cli:$OCF_TEST_BUILDDIR/src/worker}:$PATH"

CLUSTER_LISTEN=(--http.listen=127.0.0.1:0 --peer.listen=127.0.0.1:0 --bus.listen=127.0.0.1:0)
CLUSTER_SECONDS=30  # for anything that should take a second or two
CLUSTER_DETACH=()   # a word like setsid, before each program
CLUSTER_LEAVES=''      # nodes that a test leaves at work on purpose, " n1 n2 "; or "all"
declare -A NODE_PID=() WORKER_PID=() PROGRAM_STATUS=()
declare -A NODE_NET=() NODE_ADDRESS=() # a process in its namespace; see network.sh

# ---- one program

# AT=(…): the words before a command of somebody who uses this node.
at_words() { # NODE
	local home=$TMP/$1
	AT=(env XDG_CONFIG_HOME="$home/config" XDG_STATE_HOME="$home/state"
		XDG_RUNTIME_DIR="$home/run")
	[ -z "${NODE_NET[$1]:-}" ] || AT=(nsenter --net="/proc/${NODE_NET[$1]}/ns/net" "${AT[@]}")
}

# Run a command as such.
at() { # NODE COMMAND ARG…
	local AT
	at_words "$1"
	shift
	"${AT[@]}" "$@"
}

# Start it in the background; $! is its own process id.
at_background() { # NODE LOG COMMAND ARG…
	local AT log=$2
	at_words "$1"
	shift 2
	(exec "${CLUSTER_DETACH[@]}" "${AT[@]}" "$@") >>"$log" 2>&1 </dev/null &
}

cluster_fail() { # SENTENCE [LOG…]
	local sentence=$1 log
	shift
	for log in "$@"; do
		diag "---- the end of $log"
		tail -n 30 "$log" 2>/dev/null | diag
	done
	bail "$sentence"
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# Wait for a program of ours to end, at most $CLUSTER_SECONDS, then end it; its exit status
# is in PROGRAM_STATUS[name] (137: it had to be killed).
program_wait() { # NAME PID
	local status=0
	wait_until "$CLUSTER_SECONDS" is_gone "$2" || kill -KILL "$2" 2>/dev/null
	wait "$2" 2>/dev/null || status=$?
	PROGRAM_STATUS[$1]=$status
}

# ---- nodes

node_folder() { # NODE
	mkdir -p "$TMP/$1/config/ocf" "$TMP/$1/state" "$TMP/$1/run"
	chmod 700 "$TMP/$1/run"
}

node_init() { # NODE [ARG… of `ocf init`]
	local node=$1
	shift
	node_folder "$node"
	run at "$node" ocf init --name "$node" "$@"
	[ "$status" -eq 0 ] || cluster_fail "ocf init on $node failed: $err"
}

# The new node comes in by an invitation of another, which must be running.
node_join() { # NODE OTHER
	local token
	node_folder "$1"
	run at "$2" ocf invite
	[ "$status" -eq 0 ] || cluster_fail "ocf invite on $2 failed: $err" "$TMP/$2/log"
	token=$out
	run at "$1" ocf join --name "$1" "$token"
	[ "$status" -eq 0 ] || cluster_fail "ocf join on $1 failed: $err" "$TMP/$2/log"
}

node_is_ready() { # NODE
	[ "$(node_field "$1" pid)" = "${NODE_PID[$1]}" ] || is_gone "${NODE_PID[$1]}"
}

# Start ocfd and wait until it says that it is ready.
node_start() { # NODE [ARG… of ocfd]
	local node=$1
	shift
	case ${NODE_ADDRESS[$node]:-} in
	'') ;;
	*:*) set -- "--peer.listen=[${NODE_ADDRESS[$node]}]:8093" "$@" ;;
	*) set -- "--peer.listen=${NODE_ADDRESS[$node]}:8093" "$@" ;;
	esac
	at_background "$node" "$TMP/$node/log" ocfd "${CLUSTER_LISTEN[@]}" "$@"
	NODE_PID[$node]=$!
	wait_until "$CLUSTER_SECONDS" node_is_ready "$node" ||
		cluster_fail "ocfd of $node is not ready after $CLUSTER_SECONDS s" "$TMP/$node/log"
	is_gone "${NODE_PID[$node]}" &&
		cluster_fail "ocfd of $node ended instead of getting ready" "$TMP/$node/log"
	return 0
}

# What run.json says: pid, http, peer, bus, socket.
node_field() { # NODE FIELD
	jq -r ".$2" "$TMP/$1/state/ocf/run.json" 2>/dev/null
}

node_url() { # NODE
	echo "http://$(node_field "$1" http)"
}

node_id() { # NODE
	at "$1" ocf status --json | jq -r .node.id
}

node_stop() { # NODE
	kill -TERM "${NODE_PID[$1]}" 2>/dev/null
	program_wait "$1" "${NODE_PID[$1]}"
	unset "NODE_PID[$1]"
}

node_kill() { # NODE
	kill -KILL "${NODE_PID[$1]}" 2>/dev/null
	wait "${NODE_PID[$1]}" 2>/dev/null
	unset "NODE_PID[$1]"
}

# As this node sees it …
sees_nodes() { # NODE COUNT: … so many nodes are alive
	[ "$(at "$1" ocf nodes --json | jq '[.[] | select(.alive)] | length')" = "$2" ]
}
# … it knows whether others can reach it; before that its row is about to change
knows_inbound() { # NODE
	at "$1" ocf nodes --json | jq -e --arg name "$1" 'any(.[]; .name == $name and .inbound != null)'
}
sees_worker() { # NODE ID
	at "$1" ocf workers --json | jq -e --arg id "$2" 'any(.[]; .id == $id)'
}
sees_no_worker() { # NODE ID
	at "$1" ocf workers --json | jq -e --arg id "$2" 'all(.[]; .id != $id)'
}
node_root() { # NODE
	at "$1" ocf status --json | jq -r '.table.root + " " + (.table.stored | tostring)'
}
tables_are_equal() { # NODE…
	local node first
	first=$(node_root "$1")
	for node in "$@"; do
		[ -n "$first" ] && [ "$(node_root "$node")" = "$first" ] || return 1
	done
}

# n1 makes the cluster, n2 … join it; all are told of each other, and dialled back.
cluster_start() { # COUNT
	local i
	node_init n1
	node_start n1
	for ((i = 2; i <= $1; i++)); do
		node_join "n$i" n1
		node_start "n$i"
	done
	for ((i = 1; i <= $1; i++)); do
		wait_until "$CLUSTER_SECONDS" sees_nodes "n$i" "$1" ||
			cluster_fail "n$i does not see $1 nodes: $(at "n$i" ocf nodes 2>&1)" \
				"$TMP"/n*/log
		[ "$1" -eq 1 ] || wait_until "$CLUSTER_SECONDS" knows_inbound "n$i" ||
			cluster_fail "n$i does not find out who can reach it" "$TMP"/n*/log
	done
}

# ---- workers

# Attach a worker to a node and wait until that node lists it.
worker_start() { # NODE ID ARG… of ocf-worker
	local node=$1 id=$2
	shift 2
	at_background "$node" "$TMP/worker-$id.log" ocf-worker --id "$id" "$@"
	WORKER_PID[$id]=$!
	wait_until "$CLUSTER_SECONDS" sees_worker "$node" "$id" ||
		cluster_fail "$node does not list worker $id" "$TMP/worker-$id.log" "$TMP/$node/log"
}

worker_stop() { # ID
	kill -TERM "${WORKER_PID[$1]}" 2>/dev/null
	program_wait "$1" "${WORKER_PID[$1]}"
	unset "WORKER_PID[$1]"
}

worker_kill() { # ID
	kill -KILL "${WORKER_PID[$1]}" 2>/dev/null
	wait "${WORKER_PID[$1]}" 2>/dev/null
	unset "WORKER_PID[$1]"
}

# ---- queries that take a while

# A worker's command that answers when $TMP/gate is there.
gated() { echo "while [ ! -e '$TMP/gate' ]; do sleep 0.05; done; cat"; }
# A command in the background; its status and output are in $TMP/NAME.status, .out, .err.
ask() { # NAME COMMAND ARG…
	local name=$1
	shift
	rm -f "$TMP/$name".*
	{
		"$@" >"$TMP/$name.out" 2>"$TMP/$name.err" </dev/null
		echo $? >"$TMP/$name.status"
	} &
}
answered() { wait_until "$CLUSTER_SECONDS" test -s "$TMP/$1.status"; }
runs() { [ "$(at "$1" ocf status --json | jq .queue.running)" = "$2" ]; }

# ---- nothing is left behind

# What is 0 in a node without a query, and one reply subject a worker. Over the socket, so
# that neither tokens nor namespaces are in the way.
node_metrics() { # NODE
	curl -s --max-time 5 --unix-socket "$(node_field "$1" socket)" http://localhost/metrics
}
node_residue() { # NODE: each that is not as it must be, and its value
	node_metrics "$1" | awk '
		/^ocf_(queries_pending|queue_length|slots_busy|query_buffered_bytes|relays)[{ ]/ ||
		/^ocf_bus_(held|buffered|announcements_waiting)_bytes / { seen++; if ($2 != 0) print }
		$1 == "ocf_http_running" { seen++; if ($2 > 1) print } # 1: this very request
		$1 == "ocf_workers" { workers = $2 }
		$1 == "ocf_bus_reply_subscriptions" { seen++; subscriptions = $2 }
		END {
			if (subscriptions != workers + 0)
				print "ocf_bus_reply_subscriptions " subscriptions ", ocf_workers " workers
			if (seen != 14) print "only " seen + 0 " of the 14 metrics"
		}'
}
node_is_idle() { [ -z "$(node_residue "$1")" ]; }

# No slot, buffer, subscription or entry has leaked. A worker that was told to stop has 5 s
# to say that it has.
cluster_idle() {
	local name busy=
	for name in "${!NODE_PID[@]}"; do
		[ -d "$TMP/$name/state" ] || continue # a program, but none of our nodes
		[[ $CLUSTER_LEAVES != all && $CLUSTER_LEAVES != *" $name "* ]] || continue
		is_gone "${NODE_PID[$name]}" || wait_until 10 node_is_idle "$name" ||
			busy="$busy$name: $(node_residue "$name")"$'\n'
	done
	is "nothing is left at work in any node" "$busy" ""
}

# ---- the end

# Processes whose command line names our folder: daemons, and the servers they started.
cluster_leftovers() {
	local file words
	for file in /proc/[0-9]*/cmdline; do
		mapfile -d '' -t words 2>/dev/null <"$file" || continue
		[[ ${words[*]:-} != *"$TMP/"* ]] || echo "${file//[^0-9]/}: ${words[*]}"
	done 2>/dev/null
}
cluster_is_gone() { [ -z "$(cluster_leftovers)" ]; }

# Stop every program that is left, workers first. One signal each: a second means «at once».
cluster_stop() {
	local name
	for name in "${!WORKER_PID[@]}"; do kill -TERM "${WORKER_PID[$name]}" 2>/dev/null; done
	for name in "${!WORKER_PID[@]}"; do program_wait "$name" "${WORKER_PID[$name]}"; done
	for name in "${!NODE_PID[@]}"; do kill -TERM "${NODE_PID[$name]}" 2>/dev/null; done
	for name in "${!NODE_PID[@]}"; do program_wait "$name" "${NODE_PID[$name]}"; done
	WORKER_PID=()
	NODE_PID=()
}

# What a sanitizer or an assertion wrote into any log.
cluster_alarms() {
	grep -HnE 'Sanitizer|runtime error:|Assertion .* failed' "$TMP"/*/log "$TMP"/*.log 2>/dev/null
}

# Stop all, show that it ends well, and end the test.
cluster_done() {
	local name bad=
	cluster_idle
	cluster_stop
	for name in "${!PROGRAM_STATUS[@]}"; do
		[ "${PROGRAM_STATUS[$name]}" -eq 0 ] || bad="$bad $name: ${PROGRAM_STATUS[$name]}"
	done
	is "every program that was asked to stop exits 0" "$bad" "" ||
		tail -n 20 "$TMP"/*/log | diag
	wait_until 10 cluster_is_gone
	is "no process is left behind" "$(cluster_leftovers)" ""
	is "no sanitizer and no assertion has spoken" "$(cluster_alarms)" ""
	tap_done
}

# However the test ends, nothing goes on.
cluster_cleanup() {
	local pid
	for pid in "${WORKER_PID[@]}" "${NODE_PID[@]}"; do kill -TERM "$pid" 2>/dev/null; done
	for pid in "${WORKER_PID[@]}" "${NODE_PID[@]}"; do
		wait_until 5 is_gone "$pid" || kill -KILL "$pid" 2>/dev/null
	done
	WORKER_PID=()
	NODE_PID=()
}
trap cluster_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
