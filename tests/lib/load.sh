# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Load by the thousand for tests in shell, and servers behind `ocf-worker --http` that take it:
# tests/bench/bench-http-load.c and bench-http-server.c, which say what their words mean. Sourced
# after cluster.sh; ends with servers_stop in front of cluster_done.

declare -A SERVER_PID=() SERVER_NODE=() SERVER_WORDS=()

# A server on the loopback of that node.
server_start() { # NAME NODE [NAME=VALUE]…
	SERVER_NODE[$1]=$2
	SERVER_WORDS[$1]="${*:3}"
	server_run "$1"
}
server_run() { # NAME [port=N]
	local AT
	at_words "${SERVER_NODE[$1]}"
	rm -f "$TMP/server.$1"
	# shellcheck disable=SC2086 # words
	"${AT[@]}" "$OCF_TEST_BUILDDIR/tests/bench/bench-http-server" ${SERVER_WORDS[$1]} "${@:2}" \
		>"$TMP/server.$1" 2>&1 </dev/null &
	SERVER_PID[$1]=$!
	wait_until "$CLUSTER_SECONDS" test -s "$TMP/server.$1" || bail "the server $1 does not listen"
}
server_kill() { # NAME
	kill -KILL "${SERVER_PID[$1]}"
	wait "${SERVER_PID[$1]}" 2>/dev/null
	unset "SERVER_PID[$1]"
}
server_again() { # NAME: where it was
	local address
	address=$(server_address "$1")
	server_run "$1" "port=${address##*:}"
}
server_address() { head -n 1 "$TMP/server.$1"; }
server_begun() { curl -s "http://$(server_address "$1")/begun"; } # how many requests it has begun
servers_stop() {
	local name
	for name in "${!SERVER_PID[@]}"; do
		kill -TERM "${SERVER_PID[$name]}" 2>/dev/null
		wait "${SERVER_PID[$name]}" 2>/dev/null
	done
	SERVER_PID=()
}
load_cleanup() {
	cluster_cleanup
	servers_stop
}
trap load_cleanup EXIT

# Its line is in $TMP/load.NAME; when something is wrong it is a failure, and says what.
load_run() { # NAME ADDRESS[,ADDRESS…] PATH CLIENTS SECONDS [NAME=VALUE]…
	"$OCF_TEST_BUILDDIR/tests/bench/bench-http-load" "${@:2}" >"$TMP/load.$1"
}
load_said() { jq -r "$2" "$TMP/load.$1"; }                # NAME JQ
load_holds() { jq -e "$2" "$TMP/load.$1" >/dev/null 2>&1; } # NAME JQ
