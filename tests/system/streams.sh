#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Standard streams that are closed: nothing that would have gone there lands in a socket or
# in the store, which the kernel would otherwise give their numbers.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
# The descriptors 0, 1 and 2 of a process, as far as they are no log file.
taken() { # PID
	local fd
	for fd in 0 1 2; do readlink "/proc/$1/fd/$fd"; done | grep -v '^/dev/null$'
}
closed() { # VARIABLE PROGRAM ARG…: start it without standard streams
	local name=$1
	shift
	(exec env XDG_CONFIG_HOME="$TMP/n1/config" XDG_STATE_HOME="$TMP/n1/state" \
		XDG_RUNTIME_DIR="$TMP/n1/run" "$@" <&- >&- 2>&-) &
	printf -v "$name" %s "$!"
}
closed "NODE_PID[n1]" ocfd "${CLUSTER_LISTEN[@]}"
ok "a node starts without standard streams" wait_until "$CLUSTER_SECONDS" node_is_ready n1
is "its log goes nowhere" "$(taken "${NODE_PID[n1]}")" ""
closed "WORKER_PID[echo]" ocf-worker --id echo --service echo -- cat
ok "a worker, too" wait_until "$CLUSTER_SECONDS" sees_worker n1 echo
is "and its log" "$(taken "${WORKER_PID[echo]}")" ""
run at n1 ocf query echo --data abc
is "they answer" "$status $out" "0 abc"

run at n1 bash -c 'ocf query echo --data abc >&-'
is "an answer that nobody can be given is an error" "$status" 74
like "that names standard output" "$err" 'standard output'
run at n1 bash -c 'ocf query echo - <&-'
is "so is a body that cannot be read" "$status" 74
run at n1 bash -c 'ocf nodes >&-'
is "and a table that cannot be printed" "$status" 74
run at n1 bash -c 'ocf nodes 2>&- <&-'
is "no other stream is needed for it" "$status" 0
run at n1 ocf query echo --file /proc/self/status
like "a file without a size has what can be read of it" "$out" '^Name:'
: >"$TMP/empty"
run at n1 ocf query echo --file "$TMP/empty"
is "an empty one has nothing, and no error" "$status $out" "0 "
cluster_done
