#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A machine without nats-server: ocfd says how to get one. The program is hidden in a mount
# namespace of the test's own.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "no nats-server"
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

: >"$TMP/no-program"
for program in {,/usr,/usr/local}/{bin,sbin}/nats-server; do
	[ ! -e "$program" ] || mount --bind "$TMP/no-program" "$program" || bail "cannot hide $program"
done
node_init n1
run timeout 30 env XDG_CONFIG_HOME="$TMP/n1/config" XDG_STATE_HOME="$TMP/n1/state" \
	XDG_RUNTIME_DIR="$TMP/n1/run" ocfd "${CLUSTER_LISTEN[@]}"
is "without nats-server, ocfd does not start: exit 78" "$status" 78 || diag "$err"
reason=$(grep -E '^[^ ]+ error ' <<<"$err")
is "it says why in one line" "$(wc -l <<<"$reason")" 1 || diag "$err"
like "how to install it" "$reason" 'apt-get install nats-server|install.*nats-server'
like "and what else would do" "$reason" 'bus\.(url|server)'
run timeout 30 env XDG_CONFIG_HOME="$TMP/n1/config" XDG_STATE_HOME="$TMP/n1/state" \
	XDG_RUNTIME_DIR="$TMP/n1/run" ocfd --check-config --bus.server=none
is "a node without workers needs none" "$status" 0
node_start n1 --bus.server=none
ok "and runs" at n1 ocf status
cluster_done
