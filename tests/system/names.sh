#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that is reached by a name moves to another address: who dials it looks the name up
# each time, and finds it there. IPv4, then IPv6 literals.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "names that change their address"
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

FOUND_SECONDS=45 # a dial each 30 s at the latest

if ! grep -qw files /etc/nsswitch.conf 2>/dev/null; then
	skip "names that change their address" "names are not looked up in /etc/hosts here"
	tap_done
fi
cp /etc/hosts "$TMP/hosts.before"
cp /etc/hosts "$TMP/hosts"
if ! mount --bind "$TMP/hosts" /etc/hosts 2>"$TMP/mount.err"; then
	skip "names that change their address" "$(tr '\n' ' ' <"$TMP/mount.err")"
	tap_done
fi
name_is() { # ADDRESS
	{
		cat "$TMP/hosts.before"
		echo "$1 moving.test"
	} >"$TMP/hosts.new"
	cat "$TMP/hosts.new" >"$TMP/hosts"
}
is_linked() { # NODE
	at "$1" ocf peers --json | jq -e 'any(.[]; .state == "up")'
}
is_alone() { ! is_linked "$1"; }
dialled() { # NODE: the addresses of its links that it opened
	at "$1" ocf peers --json | jq -r '.[] | select(.state == "up" and .direction == "out") | .address'
}

name_is 127.0.0.1
node_init n1
node_start n1 # for a port that is free
port=$(node_field n1 peer)
port=${port##*:}
node_stop n1
node_start n1 "--peer.listen=127.0.0.1:$port" "--peer.advertise=moving.test:$port"
# Nobody can dial this one: the links between the two are its own.
node_join n2 n1
node_start n2 --peer.advertise=127.0.0.1:1
ok "the two are linked" wait_until "$CLUSTER_SECONDS" is_linked n2
node_stop n1
ok "and are not any more" wait_until "$CLUSTER_SECONDS" is_alone n2
name_is 127.0.0.77
node_start n1 "--peer.listen=127.0.0.77:$port" "--peer.advertise=moving.test:$port"
ok "at another address of that name it is found" wait_until "$FOUND_SECONDS" is_linked n2 ||
	at n2 ocf doctor 2>&1 | diag
is "by the name" "$(dialled n2)" "moving.test:$port"

# ---- IPv6

if [ ! -e /proc/net/if_inet6 ] || ! grep -qw lo /proc/net/if_inet6; then
	skip "IPv6 literals" "this machine has no IPv6"
	cluster_done
fi
node_stop n1
wait_until "$CLUSTER_SECONDS" is_alone n2
name_is ::1
node_start n1 "--peer.listen=[::1]:$port" "--peer.advertise=moving.test:$port"
ok "nor does the family matter" wait_until "$FOUND_SECONDS" is_linked n2 || at n2 ocf doctor 2>&1 | diag
node_stop n1
node_start n1 "--peer.listen=[::1]:$port" "--peer.advertise=[::1]:$port"
ok "an address in the row is found" wait_until "$FOUND_SECONDS" is_linked n2
node_join n3 n1
node_start n3 '--peer.listen=[::1]:0' "--peer.seeds=[::1]:$port"
ok "a node that has IPv6 alone comes in" wait_until "$CLUSTER_SECONDS" sees_nodes n3 3 ||
	at n3 ocf nodes 2>&1 | diag
cluster_done
