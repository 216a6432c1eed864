#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two sites with private addresses, the same ones, each behind a router that lets nobody in;
# and a node with a public address. They invite and join, find out who can be reached, and
# ask each other by way of the public one. IPv4 with NAT, IPv6 with a firewall.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "nodes behind NAT" net
# shellcheck source=tests/lib/network.sh
. "$OCF_TEST_SRCDIR/tests/lib/network.sh"

LOOK_SECONDS=25 # between looks at the addresses, and for a lost link to be noticed
HIDE_SECONDS=20

# ---- the network: n1 - r2 - n2, n1 - r2 - n4 (IPv6 alone), n1 - r3 - n3

wire() { # NODE INTERFACE OTHER INTERFACE: a cable
	ip link add name "$2" netns "${NODE_NET[$1]}" type veth peer name "$4" \
		netns "${NODE_NET[$3]}" || return 1
	at "$1" ip link set "$2" up && at "$3" ip link set "$4" up
}
address() { # NODE INTERFACE ADDRESS…
	local node=$1 interface=$2 address
	shift 2
	for address in "$@"; do
		case $address in
		*:*) at "$node" ip address add "$address" dev "$interface" nodad ;;
		*) at "$node" ip address add "$address" dev "$interface" ;;
		esac || return 1
	done
}
forwards() { # NODE
	at "$1" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward &&
		echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
}
# A router between the interfaces lan… and wan, as people have them at home.
router() { # ROUTER
	forwards "$1" &&
		at "$1" iptables -t nat -A POSTROUTING -o wan -j MASQUERADE &&
		at "$1" iptables -A FORWARD -i wan -m conntrack --ctstate NEW -j DROP &&
		at "$1" ip6tables -A FORWARD -i wan -m conntrack --ctstate NEW -j DROP
}
sites() {
	wire n1 to2 r2 wan && address n1 to2 203.0.113.1/30 2001:db8:1::1/64 &&
		address r2 wan 203.0.113.2/30 2001:db8:1::2/64 &&
		wire n1 to3 r3 wan && address n1 to3 203.0.113.5/30 && address r3 wan 203.0.113.6/30 &&
		wire r2 lan n2 eth0 && address r2 lan 192.168.1.1/24 && address n2 eth0 192.168.1.2/24 &&
		wire r3 lan n3 eth0 && address r3 lan 192.168.1.1/24 && address n3 eth0 192.168.1.2/24 &&
		wire r2 lan6 n4 eth0 && address r2 lan6 2001:db8:4::1/64 &&
		address n4 eth0 2001:db8:4::2/64 &&
		at r2 ip route add default via 203.0.113.1 && at r3 ip route add default via 203.0.113.5 &&
		at n2 ip route add default via 192.168.1.1 && at n3 ip route add default via 192.168.1.1 &&
		at n4 ip -6 route add default via 2001:db8:4::1 &&
		at n1 ip -6 route add 2001:db8:4::/64 via 2001:db8:1::2 &&
		forwards n1 && router r2 && router r3
}
for word in ip iptables ip6tables; do
	command -v "$word" >/dev/null && continue
	skip "nodes behind NAT" "$word is not installed"
	tap_done
done
for node in n1 n2 n3 n4 r2 r3; do
	unshare --net setpriv --pdeathsig KILL sleep infinity &
	NODE_NET[$node]=$!
	wait_until "$CLUSTER_SECONDS" network_is_apart "${NODE_NET[$node]}" || bail "no namespace for $node"
	at "$node" ip link set lo up
done
if ! sites 2>"$TMP/network.err"; then
	skip "nodes behind NAT" "no NAT can be made here: $(tr '\n' ' ' <"$TMP/network.err")"
	tap_done
fi
start() { node_start "$1" '--peer.listen=[::]:8093'; }
inbound() { # NODE OTHER: what the first knows of the second
	at "$1" ocf nodes --json | jq -r --arg name "$2" '.[] | select(.name == $name) | .inbound'
}
knows_that() { [ "$(inbound "$1" "$2")" = "$3" ]; } # NODE OTHER true|false
answers() { # NODE SERVICE ANSWER
	[ "$(at "$1" ocf query "$2" --data abc 2>/dev/null)" = "$3" ]
}
hides() { # NODE OTHER
	at "$1" ocf nodes --json | jq -e --arg name "$2" 'any(.[]; .name == $name and (.alive | not))'
}

# ---- in

node_init n1
start n1
run at n1 ocf invite
unlike "a token with a public address is no cause for a warning" "$err" "warning"
for node in n2 n3 n4; do
	node_join "$node" n1
	start "$node"
done
for node in n1 n2 n3 n4; do
	ok "$node sees all four" wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 4 ||
		at "$node" ocf nodes 2>&1 | diag
done
ok "the public node has found out that it can be reached" wait_until 30 knows_that n3 n1 true
for node in n2 n3 n4; do
	ok "$node, that it cannot" wait_until 30 knows_that n1 "$node" false
done
run at n1 ocf nodes
like "and a person sees it" "$out" 'INBOUND'
links() { at "$1" ocf peers --json | jq '[.[] | select(.state == "up")] | length'; }
is "behind NAT a node has one link" "$(links n2) $(links n3) $(links n4)" "1 1 1"

# ---- queries

worker_start n2 at-2 --service two -- rev
worker_start n3 at-3 --service three -- rev
worker_start n3 counter --service count -- wc -c
worker_start n3 mirror --service mirror -- cat
worker_start n4 at-4 --service four -- rev
for node in n2 n3 n4; do
	for id in at-2 at-3 at-4 counter mirror; do
		wait_until "$CLUSTER_SECONDS" sees_worker "$node" "$id" ||
			cluster_fail "$node is not told of $id" "$TMP"/n*/log
	done
done
ok "a query crosses from one site to the other" answers n2 three cba
ok "and the other way" answers n3 two cba
ok "from IPv6 to IPv4" answers n4 three cba
ok "and back" answers n3 four cba
ok "the public node asks one site" answers n1 two cba
ok "and the other, over its own links" answers n1 three cba
relayed() { at n1 curl -s "$(node_url n1)/metrics" | awk '$1 == "ocf_relayed_total" {print $2}'; }
is "four of them were passed on" "$(relayed)" 4
head -c 5000000 /dev/urandom >"$TMP/long"
run at n2 ocf query count --file "$TMP/long"
is "a long body crosses" "$out" 5000000 || diag "$err"
at n2 ocf query mirror --file "$TMP/long" >"$TMP/back" 2>"$TMP/err"
ok "and a long reply" cmp "$TMP/long" "$TMP/back" || diag <"$TMP/err"
pids=()
for i in 1 2 3 4 5 6 7 8; do
	at n2 ocf query three --data "abc$i" >"$TMP/many.$i" 2>&1 &
	pids+=($!)
done
wait "${pids[@]}"
is "many at once, too" "$(cat "$TMP"/many.?)" 1cba2cba3cba4cba5cba6cba7cba8cba

# ---- other addresses

at n2 ip address del 192.168.1.2/24 dev eth0
at n2 ip address add 192.168.1.9/24 dev eth0
at n2 ip route add default via 192.168.1.1
has_address() { # NODE OTHER ADDRESS
	at "$1" ocf nodes --json |
		jq -e --arg name "$2" --arg address "$3" \
			'any(.[]; .name == $name and (.addresses | index($address)))'
}
ok "a node that has another address is known by it everywhere" \
	wait_until "$LOOK_SECONDS" has_address n3 n2 192.168.1.9:8093
ok "and not by the old one" eval '! has_address n3 n2 192.168.1.2:8093'
ok "it is asked as before" wait_until "$LOOK_SECONDS" answers n3 two cba

# ---- a site is cut off

slow='n=$(cat); echo "$n" >>"$0"; sleep 60; echo "$n"'
worker_start n3 slow --service slow -- sh -c "$slow" "$TMP/taken"
ok "a new worker is seen at the other site" wait_until "$CLUSTER_SECONDS" sees_worker n2 slow
# By the new link all others are there again, a moment after it is up.
ok "and so are all nodes" wait_until "$CLUSTER_SECONDS" sees_nodes n2 4
at n2 curl -s --max-time 60 -o "$TMP/post" -w '%{http_code}' -d once "$(node_url n2)/v1/service/slow" \
	>"$TMP/post.code" &
pid=$!
wait_until "$CLUSTER_SECONDS" test -s "$TMP/taken" || bail "the query is not taken"
at r3 ip link set wan down
ok "a site that is cut off is hidden from the other" wait_until "$HIDE_SECONDS" hides n2 n3
wait "$pid"
is "what was asked there and may not be repeated: a way was lost" "$(cat "$TMP/post.code")" 502 ||
	diag <"$TMP/post"
is "it was run once" "$(cat "$TMP/taken")" once
run at n2 ocf query three --data abc
is "for what only that site has: try later" "$status" 75 || diag "$err"
at r3 ip link set wan up
at r3 ip route replace default via 203.0.113.5
ok "back in the network, it is asked again" wait_until 60 answers n2 three cba

# ---- banned, and let in again

run at n1 ocf ban n2 --reason "it has moved out"
is "a node behind NAT is banned" "$status" 0 || diag "$err"
is_banned() { # NODE OTHER
	at "$1" ocf nodes --all --json | jq -e --arg name "$2" 'any(.[]; .name == $name and .state == "banned")'
}
ok "the other site knows it" wait_until "$CLUSTER_SECONDS" is_banned n3 n2
told() { [ "$(grep -c 'no member any more.*it has moved out' "$TMP/n2/log")" -ge "$1" ]; }
ok "it is told why" wait_until "$CLUSTER_SECONDS" told 1 || tail -n 5 "$TMP/n2/log" | diag
run at n3 ocf query two --data abc
ok "nobody asks it" test "$status" -ne 0
node_stop n2
node_start n2
ok "started again it is refused as before" wait_until "$CLUSTER_SECONDS" told 2
run at n1 ocf unban n2
is "it is let in again" "$status" 0 || diag "$err"
# Nobody can dial it, and it would ask by itself after some minutes.
node_stop n2
node_start n2
ok "and is asked again" wait_until 60 answers n3 two cba || tail -n 5 "$TMP/n2/log" | diag
cluster_done
