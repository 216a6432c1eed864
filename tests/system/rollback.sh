#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An older copy of a node's data is put back: what the node wrote since is in the table of
# others, and what it writes now must not be taken for that. See ocf-cap(7).
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 2
ids() { at "$1" ocf workers --json | jq -r '[.[].id] | sort | join(" ")'; }
roots_are_equal() {
	[ "$(for node in n1 n2; do at "$node" ocf status --json | jq -r .table.root; done | sort -u | wc -l)" -eq 1 ]
}
workers_are() { [ "$(ids n1)" = "$1" ] && [ "$(ids n2)" = "$1" ] && roots_are_equal; }

worker_start n2 old --service wc -- wc -w
ok "both have the first worker" wait_until "$CLUSTER_SECONDS" workers_are old
worker_stop old
node_stop n2
cp -a "$TMP/n2/state/ocf" "$TMP/n2/copy"
node_start n2
worker_start n2 later --service rev -- rev
worker_start n2 latest --service cat -- cat
ok "both have those that came after the copy was made" \
	wait_until "$CLUSTER_SECONDS" workers_are "later latest"
worker_stop later
worker_stop latest
node_stop n2
rm -rf "$TMP/n2/state/ocf"
mv "$TMP/n2/copy" "$TMP/n2/state/ocf"

node_start n2
worker_start n2 new --service new -- cat
for node in n1 n2; do
	ok "$node sees both nodes" wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 2
done
ok "with the copy in place, both have the new worker alone, and one table" \
	wait_until 60 workers_are new || diag "n1: $(ids n1); n2: $(ids n2)"
run at n1 ocf query new --data abc
is "and it answers" "$status $out" "0 abc"

# The same once more, with workers that were alive in the copy and are gone since.
worker_start n2 gone --service rev -- rev
ok "both have a further one" wait_until "$CLUSTER_SECONDS" workers_are "gone new"
node_kill n2
cp -a "$TMP/n2/state/ocf" "$TMP/n2/copy"
node_start n2
attached_again() { [ "$(grep -c 'attached to' "$TMP/worker-gone.log")" -eq 2 ]; }
wait_until "$CLUSTER_SECONDS" attached_again || bail "the worker does not find its node again"
worker_kill gone
ok "which goes" wait_until "$CLUSTER_SECONDS" workers_are new
node_kill n2
rm -rf "$TMP/n2/state/ocf"
mv "$TMP/n2/copy" "$TMP/n2/state/ocf"
node_start n2
for node in n1 n2; do
	ok "$node sees both nodes" wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 2
done
ok "and does not come back with the copy" wait_until 60 workers_are new ||
	diag "n1: $(ids n1); n2: $(ids n2)"

# ---- a node that comes back without its workers, which nobody else can remove

node_kill n2
worker_kill new
node_start n2
ok "its row of a worker that does not return is removed" wait_until 60 workers_are ""
like "and the log says so" "$(cat "$TMP/n2/log")" "removed the rows of 1 worker that is gone"
cluster_done
