# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Parts of one test that wait a lot and have nothing to do with each other, beside each other:
# each in a shell of its own, with nodes, servers and folders of its own below $TMP/NAME. What
# each shows is told when all have ended, part by part. Sourced after cluster.sh and nats.sh.

declare -A BESIDE_PID=()
beside_names=()

# shellcheck disable=SC2034 # they are those of cluster.sh, nats.sh and tap.sh
beside_run() { # NAME FUNCTION
	trap nats_cleanup EXIT
	trap 'exit 143' INT TERM HUP
	TMP=$TMP/$1
	NODE_PID=() WORKER_PID=() PROGRAM_STATUS=() NATS_PID=() NATS_PORT=() NATS_ROUTES=()
	tap_number=0 tap_failed=0
	"$2"
	cluster_idle
	cluster_stop # before the servers that its nodes use
	nats_stop_all
	cluster_done
}
# FUNCTION shows things; the end of its cluster is shown behind it.
beside() { # NAME FUNCTION
	mkdir -p "$TMP/$1"
	(beside_run "$1" "$2") >"$TMP/$1.tap" 2>&1 </dev/null &
	BESIDE_PID[$1]=$!
	beside_names+=("$1")
}

beside_retell() { # NAME STATUS
	local line planned=
	while IFS= read -r line; do
		case $line in
		'ok '*) pass "$1: ${line#ok * - }" ;;
		'not ok '*) fail "$1: ${line#not ok * - }" ;;
		1..*) planned=yes ;;
		'#'*) printf '%s\n' "$line" ;;
		*) diag "$line" ;;
		esac
	done <"$TMP/$1.tap"
	ok "$1: comes to its end" test "$planned $2" = "yes 0" || diag "status $2"
}
# Wait for all of them.
beside_done() {
	local name status
	for name in "${beside_names[@]}"; do
		status=0
		wait "${BESIDE_PID[$name]}" || status=$?
		unset "BESIDE_PID[$name]"
		beside_retell "$name" "$status"
	done
}
beside_cleanup() {
	local name
	for name in "${!BESIDE_PID[@]}"; do kill -TERM "${BESIDE_PID[$name]}" 2>/dev/null; done
	for name in "${!BESIDE_PID[@]}"; do wait "${BESIDE_PID[$name]}" 2>/dev/null; done
	nats_cleanup
}
trap beside_cleanup EXIT
