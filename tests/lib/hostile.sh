# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests of workers that mean harm (tests/lib/hostile.c): two nodes, and at n1, whose bus it
# is, a worker that means well and has to answer all the while.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
PATH="$OCF_TEST_BUILDDIR/tests/lib:$PATH"

cluster_start 2
# shellcheck disable=SC2034 # it is for those who read this file
bus=$(node_field n1 bus)
worker_start n1 good --service wc -- wc -w
ok "a worker that means well is there" wait_until "$CLUSTER_SECONDS" sees_worker n2 good
good_answers() { # at NODE
	[ "$(curl -s --max-time 30 -d 'a b' "$(node_url "$1")/v1/service/wc" | tr -d '[:space:]')" = 2 ]
}
resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/${NODE_PID[$1]}/status"; }
counter() { node_metrics n1 | awk -v name="$1" '$1 == name { print $2 }'; } # NAME{LABELS}
