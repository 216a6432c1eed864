#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# peer.advertise names another address than the one that is listened at: a port that is
# forwarded, or one of several addresses of a machine. Others dial what is advertised, and
# nothing else.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "advertised addresses" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
# shellcheck source=tests/lib/writers.sh
. "$OCF_TEST_SRCDIR/tests/lib/writers.sh"

FIND_SECONDS=60

network_start "advertised addresses"
for node in n1 n2 n3; do network_attach "$node" left; done
if ! command -v iptables >/dev/null; then
	skip "advertised addresses" "iptables is not installed"
	tap_done
fi
# Port 9000 of a second address of n2 is forwarded; at its own nobody gets in.
forward() {
	network_address n2 10.83.0.102 &&
		at n2 iptables -t raw -A PREROUTING -i eth0 -d 10.83.0.2 -p tcp --syn --dport 8093 -j DROP &&
		at n2 iptables -t nat -A PREROUTING -i eth0 -d 10.83.0.102 -p tcp --dport 9000 \
			-j DNAT --to-destination 10.83.0.2:8093
}
if ! forward 2>"$TMP/network.err"; then
	skip "advertised addresses" "no port can be forwarded here: $(tr '\n' ' ' <"$TMP/network.err")"
	tap_done
fi
network_address n3 10.83.0.103 || bail "no second address"

node_init n1
node_start n1
node_join n2 n1
node_start n2 --peer.advertise=10.83.0.102:9000
node_join n3 n1
node_start n3 --peer.listen=0.0.0.0:8093 --peer.advertise=10.83.0.103:8093
has_inbound() { # NODE OTHER
	at "$1" ocf nodes --json | jq -e --arg name "$2" 'any(.[]; .name == $name and .inbound)'
}
for node in n1 n2 n3; do
	ok "$node sees all three" wait_until 30 sees_nodes "$node" 3
	ok "$node can be reached" wait_until 30 has_inbound n1 "$node"
done
addresses() { at n1 ocf nodes --json | jq -r --arg name "$1" '.[] | select(.name == $name) | .addresses | join(" ")'; }
is "the forwarded port is what n2 is known by" "$(addresses n2)" 10.83.0.102:9000
is "the second address is what n3 is known by" "$(addresses n3)" 10.83.0.103:8093

# From now on n2 and n3 open no links.
for node in n2 n3; do
	at "$node" iptables -A OUTPUT -p tcp --syn -m multiport --dports 8093,9000 -d 10.83.0.0/24 -j DROP ||
		bail "$node cannot be silenced"
done
node_kill n1
node_start n1
link_of() { # NODE OTHER: how they are linked
	at "$1" ocf peers --json |
		jq -r --arg name "$2" '.[] | select(.name == $name and .state == "up") | .direction + " " + .address'
}
links_are() { [ "$(link_of n1 n2), $(link_of n1 n3)" = "$1" ]; }
wanted="out 10.83.0.102:9000, out 10.83.0.103:8093"
ok "n1, started again, dials both where they say that they are" \
	wait_until "$FIND_SECONDS" links_are "$wanted" || diag "$(at n1 ocf peers 2>&1)"
for node in n1 n2 n3; do
	ok "$node sees all three" wait_until "$FIND_SECONDS" sees_nodes "$node" 3
	writer_start "$node"
	write_random "$node"
done
are_equal "by such links" 30 n1 n2 n3
cluster_done
