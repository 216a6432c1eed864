#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Clocks that disagree, and time that passes: a node whose clock is wrong writes nothing and
# says so; what a node that is gone left behind is forgotten when its lease is over; one that
# was away for longer comes back with all that it has. See ocf-cap(7).
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

MINUTES_10=600000
DAYS_8=691200000 # the retention is 7
declare -A PEER=()

status_of() { at "$1" ocf status --json | jq -r "$2"; } # NODE FILTER
knows() { at "$1" ocf nodes --all --json | jq -r '[.[].name] | sort | join(" ")'; } # NODE
starts() { # NODE [OFFSET]: with its clock so far ahead, where it was before
	OCF_TEST_CLOCK_MS=${2:-0} node_start "$1" --peer.listen="${PEER[$1]}"
}

cluster_start 4
for node in n1 n2 n3 n4; do PEER[$node]=$(node_field "$node" peer); done

# ---- ten minutes ahead

node_stop n3
starts n3 "$MINUTES_10"
is_silent() { [ "$(status_of "$1" '.node.silent')" != null ]; }
ok "a node whose clock is ten minutes ahead of all others says so" \
	wait_until "$CLUSTER_SECONDS" is_silent n3
like "in its status" "$(status_of n3 .node.silent)" "clock disagrees"
run at n3 ocf status
like "also to people" "$out" "clock disagrees"
like "and in its log" "$(cat "$TMP/n3/log")" "error table: .*clock disagrees.*nothing is written"
is "the others do not" "$(status_of n1 .node.silent)" null
rowless() { at "$1" ocf peers --json | jq -r '[.[] | select(.state == "up" and .rowless)] | length'; }
none_carries() { [ "$(rowless n3)" = 3 ]; }
ok "its links carry no rows" wait_until "$CLUSTER_SECONDS" none_carries
run at n3 ocf peers
like "which people see" "$out" "n1 .* up, no rows "
run at n3 ocf-sync compare
like "and nothing is compared over them" "$status $err" "^75 .*no link that carries rows.*ocf peers"
run at n3 ocf-sync run --with n1
like "nor made equal" "$status $err" "^75 .*no link to that node that carries rows"
is "theirs to it do not, those between them do" "$(rowless n1)" 1
before=$(status_of n3 .table.root)
at_background n3 "$TMP/worker-wrong.log" ocf-worker --id wrong --service wrong -- cat
WORKER_PID[wrong]=$!
worker_start n1 right --service right -- cat
ok "what the others write goes among them" wait_until "$CLUSTER_SECONDS" sees_worker n2 right
is_attached() { grep -q 'attached to' "$TMP/worker-wrong.log"; }
wait_until "$CLUSTER_SECONDS" is_attached || bail "the worker does not find its node"
is "but not to that node, and it writes nothing for its worker" "$(status_of n3 .table.root)" \
	"$before"

node_stop n3
starts n3
ok "with its clock right it writes" wait_until "$CLUSTER_SECONDS" sees_worker n1 wrong
like "under a new actor, since its stamps were ahead" "$(cat "$TMP/n3/log")" \
	"error table: .*clock was ahead and is right now.*new actor"
ok "and gets what it missed" wait_until "$CLUSTER_SECONDS" sees_worker n3 right
ok "the tables are one" wait_until 60 tables_are_equal n1 n2 n3 n4
is "and it is silent no more" "$(status_of n3 .node.silent)" null

# ---- eight days pass; n3 and n4 are off

worker_start n4 far --service far -- cat
ok "all know a worker of n4" wait_until "$CLUSTER_SECONDS" sees_worker n1 far
worker_stop wrong
node_kill n4
node_kill n3
node_stop n2
node_stop n1
# It starts more than once before it meets anybody, and is then where nobody looks for it.
starts n1 "$DAYS_8"
alone() { [ "$(knows n1)" = n1 ]; }
ok "a node that comes back alone knows no other" wait_until "$CLUSTER_SECONDS" alone
node_stop n1
OCF_TEST_CLOCK_MS=$DAYS_8 node_start n1
PEER[n1]=$(node_field n1 peer)
starts n2 "$DAYS_8"
ok "but it remembers where they were" wait_until 60 sees_nodes n1 2
only_two() { [ "$(knows n1)" = "n1 n2" ] && [ "$(knows n2)" = "n1 n2" ]; }
ok "rows of nodes that were away for longer than the retention are forgotten by all" \
	wait_until 60 only_two || diag "n1: $(knows n1); n2: $(knows n2)"
ok "the two have one table" wait_until 60 tables_are_equal n1 n2
ok "with the worker that came back" wait_until "$CLUSTER_SECONDS" sees_worker n2 right
horizon=$(status_of n1 .table.horizon)
age=$((($(date +%s) + DAYS_8 / 1000 - $(date -d "$horizon" +%s)) / 3600))
is "their horizon is a week ago" "$((age >= 168 && age <= 169))" 1 || diag "$horizon: $age h"
like "they say how much they forgot" "$(cat "$TMP/n1/log")" "rows whose time was over are forgotten"
node_stop n1
starts n1 "$DAYS_8"
is "which lasts" "$(knows n1)" "n1 n2"

# ---- n4 comes back

starts n4 "$DAYS_8"
for node in n1 n2; do
	ok "$node sees the node that comes back" wait_until 60 sees_nodes "$node" 3
done
for node in n1 n2; do
	ok "it brings its row to $node" wait_until "$CLUSTER_SECONDS" eval \
		"[ \"\$(knows $node)\" = 'n1 n2 n4' ]"
done
ok "its worker finds it again, and is in every table" wait_until 60 sees_worker n2 far
ok "it learns what the others have" wait_until 60 sees_worker n4 right
ok "and nothing of the one that stays away" wait_until 60 tables_are_equal n1 n2 n4
is "which none of them knows" "$(knows n4)" "n1 n2 n4"
cluster_done
