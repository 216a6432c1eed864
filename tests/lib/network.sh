# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A network of the test's own, beside cluster.sh: each node in a network namespace with one
# address, on one of two bridges that a cable joins. What is cut loses frames without a word
# to anybody, as real networks do. The test runs in a network namespace (namespace.sh), so
# that all of it is gone when its last process is.
#
#	. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
#	namespace_enter "$0" "a partition" net
#	. "$OCF_TEST_SRCDIR/tests/lib/network.sh"
#	network_start "a partition"
#	network_attach n1 left && network_attach n2 right
#	cluster_start 2
#	network_split

# shellcheck source=tests/lib/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

declare -A NETWORK_SIDE=() # node → its bridge

# Before cluster_start. Where no such network can be made, the test ends here.
network_start() { # WHAT
	local reason=
	if ! command -v ip >/dev/null; then
		reason="iproute2 is not installed"
	elif ! network_bridges 2>"$TMP/network.err"; then
		reason="no bridges can be made here: $(tr '\n' ' ' <"$TMP/network.err")"
	fi
	[ -n "$reason" ] || return 0
	skip "$1" "$reason"
	tap_done
}

network_bridges() {
	local side
	ip link set lo up || return 1
	for side in left right; do
		ip link add name "$side" type bridge && ip link set "$side" up || return 1
	done
	ip link add name cable-left type veth peer name cable-right || return 1
	for side in left right; do
		ip link set "cable-$side" master "$side" up || return 1
	done
}

network_is_apart() { # PID
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

# A namespace for the node, at 10.83.0.NUMBER, or fd83::NUMBER where NETWORK_FAMILY is 6. It
# lives as long as a process that does nothing, which dies with the test.
NETWORK_FAMILY=4
network_attach() { # NODE left|right
	local node=$1 side=$2 number=${1#n} pid
	unshare --net setpriv --pdeathsig KILL sleep infinity &
	pid=$!
	wait_until "$CLUSTER_SECONDS" network_is_apart "$pid" || bail "no namespace for $node"
	NODE_NET[$node]=$pid
	NODE_ADDRESS[$node]=10.83.0.$number
	[ "$NETWORK_FAMILY" -eq 4 ] || NODE_ADDRESS[$node]=fd83::$number
	NETWORK_SIDE[$node]=$side
	network_plug "$node" || bail "no network for $node"
}

network_plug() { # NODE
	ip link add name "$1" type veth peer name eth0 netns "${NODE_NET[$1]}" || return 1
	ip link set "$1" master "${NETWORK_SIDE[$1]}" up || return 1
	network_address "$1" "${NODE_ADDRESS[$1]}" || return 1
	at "$1" ip link set lo up && at "$1" ip link set eth0 up
}

network_address() { # NODE ADDRESS: one of its addresses from now on
	case $2 in
	*:*) at "$1" ip address add "$2/64" dev eth0 nodad ;;
	*) at "$1" ip address add "$2/24" dev eth0 ;;
	esac
}

# The two sides lose each other, and find each other again.
network_split() { ip link set cable-left nomaster || bail "the cable cannot be cut"; }
network_join() { ip link set cable-left master left || bail "the cable cannot be mended"; }

# One node loses all others.
network_cut() { ip link set "$1" nomaster || bail "$1 cannot be cut off"; }
network_mend() { ip link set "$1" master "${NETWORK_SIDE[$1]}" || bail "$1 cannot be mended"; }

# What one node sends to another is lost; the other way nothing is.
network_mute() { # FROM TO
	at "$1" ip neigh replace "${NODE_ADDRESS[$2]}" lladdr 02:00:00:00:00:00 dev eth0 \
		nud permanent || bail "$1 cannot be muted"
}
network_unmute() { # FROM TO
	at "$1" ip neigh del "${NODE_ADDRESS[$2]}" dev eth0 || bail "$1 cannot be heard again"
}

# Of what comes to the node one packet in so many is lost, by chance; 0: none is any more.
network_lose() { # NODE PERCENT
	at "$1" iptables -F INPUT || return 1
	[ "$2" -eq 0 ] || at "$1" iptables -A INPUT -i eth0 -m statistic --mode random \
		--probability "$(printf 0.%02d "$2")" -j DROP
}
network_lost() { # NODE: packets that were
	at "$1" iptables -nvxL INPUT | awk '$3 == "DROP" { print $1 }'
}
