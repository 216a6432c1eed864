#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A network with IPv6 alone, and nodes that are known by host names: one whose name gets
# another address is found there by the others; one that knows of nobody but a name in
# peer.seeds finds the node that has it now.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "IPv6 and names" "net mount"
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
# shellcheck source=tests/lib/writers.sh
. "$OCF_TEST_SRCDIR/tests/lib/writers.sh"

FIND_SECONDS=60 # a lost node is dialled twice a minute

NETWORK_FAMILY=6
network_start "IPv6 and names"
for node in n1 n2 n3; do network_attach "$node" left; done
if ! command -v ip6tables >/dev/null || ! at n1 ip6tables -L -n >/dev/null 2>"$TMP/network.err"; then
	skip "IPv6 and names" "ip6tables cannot be used here"
	tap_done
fi
# Names of our own, for all three; nobody else sees them.
names() { # LINE…
	printf '%s\n' "::1 localhost" "$@" >"$TMP/hosts"
}
names "fd83::1 n1.test" "fd83::3 n3.test"
if ! mount --bind "$TMP/hosts" /etc/hosts 2>"$TMP/network.err"; then
	skip "IPv6 and names" "/etc/hosts cannot be another here: $(cat "$TMP/network.err")"
	tap_done
fi
start() { # NODE [ARG…]
	local node=$1
	shift
	node_start "$node" '--peer.listen=[::]:8093' "$@"
}
# It opens no links to others' ports any more.
silence() { at "$1" ip6tables -A OUTPUT -p tcp --syn --dport 8093 -j DROP || bail "$1 cannot be silenced"; }
speak() { at "$1" ip6tables -F OUTPUT || bail "$1 stays silenced"; }
readdress() { # NODE OLD NEW
	at "$1" ip address del "$2/64" dev eth0 || bail "$1 keeps its address"
	network_address "$1" "$3" || bail "$1 has no other address"
}
link_of() { # NODE OTHER: how they are linked
	at "$1" ocf peers --json |
		jq -r --arg name "$2" '.[] | select(.name == $name and .state == "up") | .direction + " " + .address'
}
is_linked() { [ -n "$(link_of "$1" "$2")" ]; }
# A lost link is replaced so soon that nobody sees that there is none: they are counted.
declare -A ID=()
links_so_far() { grep -c "linked to node ${ID[$2]}" "$TMP/$1/log"; } # NODE OTHER
is_linked_anew() { is_linked "$1" "$2" && [ "$(links_so_far "$1" "$2")" -gt "$3" ]; } # NODE OTHER COUNT

# ---- IPv6 alone

node_init n1
start n1
node_join n2 n1
start n2
node_join n3 n1
start n3 --peer.advertise=n3.test:8093
for node in n1 n2 n3; do
	ok "$node sees all three" wait_until 30 sees_nodes "$node" 3
	ok "$node is known to be reachable" wait_until 30 knows_inbound "$node"
	ID[$node]=$(node_id "$node")
	writer_start "$node"
	write_random "$node"
done
are_equal "with IPv6 alone" 30 n1 n2 n3
addresses() { at n1 ocf nodes --json | jq -r --arg name "$1" '.[] | select(.name == $name) | .addresses | join(" ")'; }
is "a node advertises its address" "$(addresses n2)" '[fd83::2]:8093'
is "or its name" "$(addresses n3)" n3.test:8093

# ---- a name that gets another address

were=("$(links_so_far n1 n3)" "$(links_so_far n2 n3)")
silence n3
readdress n3 fd83::3 fd83::33
names "fd83::1 n1.test" "fd83::33 n3.test"
moved_at=$EPOCHREALTIME
for i in 1 2; do
	ok "n$i loses the node that moved, and finds it by its name" \
		wait_until "$FIND_SECONDS" is_linked_anew "n$i" n3 "${were[i - 1]}" ||
		at "n$i" ocf peers 2>&1 | diag
done
diag "found $(since "$moved_at") s after it moved"
is "by a link that n1 opened" "$(link_of n1 n3)" "out n3.test:8093"
for node in n1 n2 n3; do
	ok "$node sees all three" wait_until 30 sees_nodes "$node" 3
	write_random "$node"
done
are_equal "after the move" 30 n1 n2 n3
speak n3

# ---- seeds

# n1 moves while n2 is away: what n2 has of it is worth nothing, and nobody dials n2.
node_stop n3
node_stop n2
silence n1
readdress n1 fd83::1 fd83::11
names "fd83::11 n1.test" "fd83::33 n3.test"
start n2
dials_the_old_one() { [ "$(at n2 curl -s --unix-socket "$(node_field n2 socket)" -X POST \
	http://ocf/v1/admin/doctor -d '{}' | jq '[.dials[] | select(.address == "[fd83::1]:8093")] | length')" -gt 0 ]; }
ok "n2 dials the address of before" wait_until 30 dials_the_old_one
ok "and does not find the node" eval '! is_linked n2 n1'
node_stop n2
start n2 --peer.seeds=n1.test:8093
ok "with its name among the seeds it does" wait_until "$FIND_SECONDS" is_linked n2 n1 ||
	at n2 ocf peers 2>&1 | diag
# And a second time, while it runs.
had=$(links_so_far n2 n1)
readdress n1 fd83::11 fd83::12
names "fd83::12 n1.test" "fd83::33 n3.test"
moved_at=$EPOCHREALTIME
ok "n2 loses a seed that moves, and finds it by its name" \
	wait_until "$FIND_SECONDS" is_linked_anew n2 n1 "$had" ||
	at n2 ocf peers 2>&1 | diag
diag "found $(since "$moved_at") s after it moved"
speak n1
start n3 --peer.advertise=n3.test:8093
for node in n1 n2 n3; do
	ok "$node sees all three" wait_until "$FIND_SECONDS" sees_nodes "$node" 3
done
are_equal "in the end" 60 n1 n2 n3
cluster_done
