#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node is banned where the cluster's CA key is held: every link to it is closed, what it
# offers is gone, and so it stays when everybody was restarted and the author of the ban is no
# more. Another who holds the key takes it back.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

CLUSTER_SECONDS=40

# ---- who holds the key

node_init n1
node_start n1
like "one node with the key: status warns" "$(at n1 ocf status)" \
	"warning: one node alone holds .*'ocf invite --admin'"
node_folder n2
token=$(at n1 ocf invite --admin 2>/dev/null)
run at n2 ocf join --name n2 "$token"
is "a node joins by 'ocf invite --admin'" "$status" 0 || diag "$err"
node_start n2
for node in n3 n4; do
	node_join "$node" n2 # the key that came with the invitation signs
	node_start "$node"
done
for node in n1 n2 n3 n4; do
	wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 4 ||
		cluster_fail "$node does not see 4 nodes" "$TMP"/n*/log
done
state_of() { # NODE ID
	at "$1" ocf nodes --all --json | jq -r --arg id "$2" '.[] | select(.id == $id) | .state'
}
holders() { at n3 ocf nodes --json | jq -r '[.[] | select(.ca) | .name] | sort | join(" ")'; }
holders_are() { [ "$(holders)" = "$1" ]; }
ok "every node knows who holds the key" wait_until "$CLUSTER_SECONDS" holders_are "n1 n2" ||
	diag "$(holders)"
is "and how many they are" "$(at n3 ocf status --json | jq .cluster.ca_holders)" 2
unlike "two are enough" "$(at n3 ocf status)" "warning"
for verb in ban unban forget; do
	run at n3 ocf "$verb" n4
	is "without the key, $verb is not permitted" "$status" 77 || diag "$err"
	like "and the sentence names who can" "$err" 'n[12] \([0-9a-f]{8}\), n[12] \([0-9a-f]{8}\)'
done
run at n3 ocf invite
is "nor is invite" "$status" 77
like "likewise" "$err" 'n[12] \([0-9a-f]{8}\), n[12] \('

# ---- what makes no sense

id1=$(node_id n1) id2=$(node_id n2) id3=$(node_id n3) id4=$(node_id n4)
refused() { # STATUS REGEX COMMAND…
	local wanted=$1 why=$2
	shift 2
	run at n1 ocf "$@"
	is "ocf $1 is refused" "$status" "$wanted" || diag "ocf $*"
	like "and says why" "$err" "$why"
}
refused 1 'cannot ban itself' ban n1
refused 1 'cannot forget itself' forget "$id1"
refused 1 'is alive.*drain' forget n3
refused 1 'n3 \(.*\) is not banned' unban n3
refused 1 "no node 'n9'" ban n9
refused 1 'control character' ban n4 --reason $'a\nb'
refused 1 'more than 200' ban n4 --reason "$(printf '%0300d' 0)"
refused 1 'holds nothing of node' forget 00112233445566778899aabbccddeeff
refused 2 'argument' ban
run at n1 curl -s --unix-socket "$(node_field n1 socket)" -d '{"node":"n4"}' \
	http://localhost/v1/admin/ban
like "by HTTP a node is meant by its id" "$out" '"status": ?400.*32 hex digits|32 hex digits.*"status": ?400'
run at n1 curl -s -o /dev/null -w '%{http_code}' -d '{}' "$(node_url n1)/v1/admin/ban"
is "and not over TCP" "$out" 403

# ---- a ban

worker_start n4 counter --service wc -- wc -w
worker_start n3 other --service rev -- rev
for node in n1 n2 n3; do
	wait_until "$CLUSTER_SECONDS" sees_worker "$node" counter ||
		cluster_fail "$node is not told of the worker" "$TMP"/n*/log
done
run at n1 ocf ban n4 --reason "it reads what it should not"
is "a node is banned" "$status" 0 || diag "$err"
like "and ocf says so" "$err" "node n4 \(${id4:0:8}\) is banned"
run at n1 ocf ban "${id4:0:9}" --reason "again"
is "once more is no error" "$status" 0
like "and says since when, and by whom" "$err" 'banned already.*since 20.*by node n1 .*should not'
is_banned_at() { [ "$(state_of "$1" "$id4")" = banned ]; }
has_no_link() { # NODE ID
	at "$1" ocf peers --json | jq -e --arg id "$2" 'all(.[]; .node != $id or .state != "up")'
}
no_links_up() { at n4 ocf peers --json | jq -e 'all(.[]; .state != "up")'; }
hides_it() { # NODE: all of it
	is_banned_at "$1" && sees_no_worker "$1" counter && has_no_link "$1" "$id4" &&
		sees_nodes "$1" 3
}
for node in n1 n2 n3; do
	ok "$node shows it as banned, and neither links nor workers of it" \
		wait_until "$CLUSTER_SECONDS" hides_it "$node" || at "$node" ocf nodes --all 2>&1 | diag
done
is "ocf nodes without --all does not show it" "$(at n3 ocf nodes --json | jq length)" 3
is "with it, the JSON says who did it, and why" \
	"$(at n3 ocf nodes --all --json | jq -r '.[] | select(.ban) | .ban.by + " " + .ban.reason')" \
	"$id1 it reads what it should not"
ok "the banned node has no link" wait_until "$CLUSTER_SECONDS" no_links_up
knows_it() { grep -q 'no member any more.*banned on 20.*by node n1.*it reads what it should not' "$TMP/n4/log"; }
ok "and its log says who banned it, and why" wait_until "$CLUSTER_SECONDS" knows_it
like "so does its status" "$(at n4 ocf status)" 'no member any more: .*banned on'
like "and its doctor, with what to do" \
	"$(at n4 ocf doctor --json | jq -r '.[] | select(.check == "links") | .state + " " + .text + " " + .remedy')" \
	'problem the others take this node for no member any more: .*banned on.* ask for ocf unban'
run at n3 ocf query wc --data 'a b c'
is "a query is not sent there" "$status" 1 || diag "$out $err"
run at n3 ocf query rev --data abc
is "what others offer is answered" "$out" cba || diag "$err"

# ---- all are restarted

declare -A PEER=()
for node in n1 n2 n3 n4; do PEER[$node]=$(node_field "$node" peer); done
again() { node_start "$1" --peer.listen="${PEER[$1]}"; }
for node in n4 n3 n2 n1; do node_stop "$node"; done
for node in n1 n2 n3 n4; do again "$node"; done
linked() { at "$1" ocf peers --json | jq -e --arg id "$2" 'any(.[]; .node == $id and .state == "up")'; }
all_linked() { linked n1 "$id3" && linked n2 "$id3" && linked n1 "$id2"; }
ok "all are linked as before" wait_until "$CLUSTER_SECONDS" all_linked
for node in n1 n2 n3; do
	ok "$node holds to it after a restart" wait_until "$CLUSTER_SECONDS" hides_it "$node"
done
told() { [ "$(grep -c 'no member any more' "$TMP/n4/log")" -ge 2 ]; }
ok "and the banned node is told again" wait_until "$CLUSTER_SECONDS" told
is_still() { [ "$(at n4 ocf peers --json | jq length)" = 0 ]; }
ok "which then dials nobody for a while" wait_until "$CLUSTER_SECONDS" is_still

# ---- the author is gone for good

node_kill n1
rm -rf "$TMP/n1"
for node in n2 n3; do
	ok "$node sees that" wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 2
	is "and the ban stands" "$(state_of "$node" "$id4")" banned
done
node_stop n4
again n4
told_thrice() { [ "$(grep -c 'no member any more' "$TMP/n4/log")" -ge 3 ]; }
ok "the banned node is refused as before" wait_until "$CLUSTER_SECONDS" told_thrice
ok "by everybody" no_links_up
like "and the others log that it knocked" "$(cat "$TMP"/n2/log "$TMP"/n3/log)" 'no link to node n4'

# The same machine may come in by a new invitation: with another identity.
node_stop n4
node_join n5 n2
node_start n5
ok "a fresh join lets a new node in" wait_until "$CLUSTER_SECONDS" sees_nodes n3 3
ok "which knows of the ban" wait_until "$CLUSTER_SECONDS" is_banned_at n5
is "and lists it by its name" \
	"$(at n5 ocf nodes --all --json | jq -r --arg id "$id4" '.[] | select(.id == $id) | .name')" n4

# ---- another who holds the key takes it back

again n4
run at n2 ocf unban n4
is "another holder of the key lifts the ban" "$status" 0 || diag "$err"
run at n2 ocf unban n4
is "twice makes no sense" "$status" 1 || diag "$err"
for node in n2 n3 n4 n5; do
	ok "$node sees all four" wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 4 ||
		at "$node" ocf nodes --all 2>&1 | diag
done
ok "its worker is back" wait_until "$CLUSTER_SECONDS" sees_worker n3 counter
# Its row is there before it finds its node again.
counts() { [ "$(at n3 ocf query wc --data 'a b c' 2>"$TMP/query.err")" = 3 ]; }
ok "and answers" wait_until "$CLUSTER_SECONDS" counts || diag "$(cat "$TMP/query.err")"
unlike "its status is as ever" "$(at n4 ocf status)" 'no member'

# ---- a node that nobody here has ever seen

run at n2 ocf ban 00112233445566778899AABBCCDDEEFF
is "an id that the table does not hold is banned as well" "$status" 0 || diag "$err"
is "and is listed" "$(state_of n2 00112233445566778899aabbccddeeff)" banned
run at n2 ocf unban 001122334455
is "and let in again" "$status" 0 || diag "$err"
is "and is listed no more" "$(state_of n2 00112233445566778899aabbccddeeff)" ""
ok "all tables are equal in the end" wait_until "$CLUSTER_SECONDS" tables_are_equal n2 n3 n4 n5
cluster_done
