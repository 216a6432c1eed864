#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What somebody on the wire sees between two nodes: a join, rows and a query travel, and
# nothing of them is in the bytes, but in those of the loopback requests beside them.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
# tcpdump that is started by root becomes somebody else, which root of such a namespace may not.
namespace_enter "$0" "what travels between nodes cannot be read" net "--map-current-user --keep-caps"
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

PATH=$PATH:/usr/sbin:/sbin
if ! command -v tcpdump >/dev/null; then
	skip "what travels between nodes cannot be read" "tcpdump is not installed"
	tap_done
fi
# A network of our own: nothing else is on its loopback.
ip link set lo up || bail "no loopback"

# Standard output, and root as it is: whom tcpdump would become may not write our files.
as=()
[ "$(id -u)" -ne 0 ] || as=(-Z root)
tcpdump -i lo -U -B 65536 "${as[@]}" -w - >"$TMP/all.pcap" 2>"$TMP/tcpdump.log" &
tcpdump=$!
listens() { grep -q 'listening on' "$TMP/tcpdump.log"; }
ok "the wire is listened to" wait_until 10 listens || { diag <"$TMP/tcpdump.log"; tap_done; }

# ---- what travels: an invitation, a worker's row, a query and its reply

row_marker=marker-in-a-row-4711 query_marker=marker-in-a-query-4712 reply_marker=MARKER-IN-A-QUERY-4712
cluster_start 2
worker_start n2 a-worker-of-marks --service upper --meta "note=$row_marker" -- tr a-z A-Z
wait_until "$CLUSTER_SECONDS" sees_worker n1 a-worker-of-marks || cluster_fail "no worker" "$TMP"/n?/log
wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2 || cluster_fail "not equal" "$TMP"/n?/log
yes "$query_marker" | head -n 10000 >"$TMP/body"
curl -s --data-binary @"$TMP/body" "$(node_url n1)/v1/service/upper" >"$TMP/reply"
is "a query to n1 is answered by the worker of n2" "$(sort -u "$TMP/reply")" "$reply_marker"
# A third node comes in and reads the whole table.
node_join n3 n1
node_start n3
wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2 n3 || cluster_fail "not equal" "$TMP"/n?/log
curl -s "$(node_url n3)/v1/workers" >"$TMP/workers"
like "the third node has the row" "$(cat "$TMP/workers")" "$row_marker"
# What the others tell of themselves: names, ids, and JSON of their rows.
ids=$(for node in n1 n2 n3; do node_id "$node"; done)
ports=
for node in n1 n2 n3; do
	port=$(node_field "$node" peer)
	ports="$ports${ports:+ or }tcp port ${port##*:}"
done
cluster_stop
kill -INT "$tcpdump"
wait "$tcpdump"
is "no packet was missed" "$(grep -c '^0 packets dropped' "$TMP/tcpdump.log")" 1

# ---- what was seen of it

tcpdump -r "$TMP/all.pcap" "${as[@]}" -w - "$ports" >"$TMP/nodes.pcap" 2>/dev/null
tcpdump -r "$TMP/all.pcap" "${as[@]}" -w - "not ($ports)" >"$TMP/rest.pcap" 2>/dev/null
size=$(stat -c %s "$TMP/nodes.pcap")
# The body of the query goes one way and comes back.
ok "the links carried what was sent over them ($size B)" test "$size" -gt $((2 * $(stat -c %s "$TMP/body")))
has() { grep -qaF -e "$1" "$TMP/$2.pcap"; }

ok "the control: the row is found in what HTTP shows" has "$row_marker" rest
ok "the control: so is the query" has "$query_marker" rest
ok "the control: so is the reply" has "$reply_marker" rest
ok "the control: a TLS handshake is found between nodes, with its protocol" has ocf/1 nodes
# All of them are so long that chance does not bring them about.
for mark in "$row_marker" "$query_marker" "$reply_marker" a-worker-of-marks '"services"' '"addresses"' $ids; do
	ok "not between nodes: $mark" eval '! has "$mark" nodes'
done
# A key or a certificate begins so, in DER and in PEM.
ok "nor a certificate" eval '! has "BEGIN CERT" nodes && ! grep -qaP "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00" "$TMP/nodes.pcap"'
ok "the control: there is such a key in every certificate" \
	grep -qaP "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00" \
	<(openssl x509 -in "$TMP/n1/state/ocf/keys/node.crt" -outform DER)
cluster_done
