#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two nodes hold the cluster's CA key and do not reach each other: both ban and unban the same
# node, and one goes on with an older copy of its store. When they meet, both think the same.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
node_start n1
node_folder n2
token=$(at n1 ocf invite --admin 2>/dev/null)
run at n2 ocf join --name n2 "$token"
[ "$status" -eq 0 ] || cluster_fail "n2 does not join: $err" "$TMP/n1/log"
node_start n2
declare -A PEER=()
for node in n1 n2; do PEER[$node]=$(node_field "$node" peer); done
again() { node_start "$1" --peer.listen="${PEER[$1]}"; }
wait_until "$CLUSTER_SECONDS" sees_nodes n2 2 || cluster_fail "not linked" "$TMP"/n*/log
who=00112233445566778899aabbccddeeff
state_is() { # NODE STATE
	[ "$(at "$1" ocf nodes --all --json | jq -r --arg id "$who" '.[] | select(.id == $id) | .state')" = "$2" ]
}
does() { # NODE VERB
	run at "$1" ocf "$2" "$who"
	is "$1 alone: $2" "$status" 0 || diag "$err"
}
linked() { at n1 ocf peers --json | jq -e 'any(.[]; .state == "up")'; }
meet() {
	ok "the two are linked" wait_until "$CLUSTER_SECONDS" linked
	ok "and have one table" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2
}

# ---- apart

node_stop n2
does n1 ban
node_stop n1
again n2
does n2 ban
does n2 unban
ok "n2 does not know that n1 banned it" state_is n2 ""
again n1
meet
for node in n1 n2; do
	ok "$node: the ban that no unban has seen stands" state_is "$node" banned
done
run at n2 ocf unban "$who"
is "who has seen it lifts it" "$status" 0 || diag "$err"
ok "for both" wait_until "$CLUSTER_SECONDS" state_is n1 ""
meet

# ---- an older copy of a store

node_stop n1
cp -a "$TMP/n1/state/ocf" "$TMP/n1/copy"
again n1
ok "n1 is back" wait_until "$CLUSTER_SECONDS" linked
for _ in 1 2 3; do
	at n1 ocf ban "$who" 2>/dev/null
	at n1 ocf unban "$who" 2>/dev/null
done
meet
ok "n2 has seen what n1 wrote last: it is not banned" state_is n2 ""
node_stop n2
node_stop n1
rm -rf "$TMP/n1/state/ocf"
mv "$TMP/n1/copy" "$TMP/n1/state/ocf"
again n1
does n1 ban # nobody is there who could tell it what it wrote before
again n2
meet
for node in n1 n2; do
	ok "$node: what it wrote with the older copy counts" state_is "$node" banned
done
cluster_done
