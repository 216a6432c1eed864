#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A client that leaves: its query ends at the worker, whatever had become of it, on the same
# node and on another one. Shown by what runs and what never began, not by the clock.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 2
# Each says that it began, and then would go on for longer than any test.
begins="echo \$\$ >>'$TMP/begun'"
worker_start n2 silent --service silent -- sh -c "$begins; exec sleep 1000"
worker_start n2 telling --service telling --stream -- \
	sh -c "$begins; while echo line; do sleep 0.05; done"
worker_start n2 flowing --service flowing --stream -- sh -c "$begins; exec cat /dev/zero"
worker_start n2 reading --service reading -- sh -c "$begins; exec sleep 1000"
worker_start n2 gated --service gated -- sh -c "$begins; $(gated)"
for id in silent telling flowing reading gated; do
	ok "n1 is told of worker $id" wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id"
done

begun() { [ "$(wc -l 2>/dev/null <"$TMP/begun")" = "$1" ]; }
has_ended() { begun 1 && ! kill -0 "$(cat "$TMP/begun")" 2>/dev/null; }
queue() { # NODE FIELD NUMBER
	[ "$(at "$1" ocf status --json | jq ".queue.$2")" = "$3" ]
}
metric() { curl -s "$(node_url "$1")/metrics" | awk -v name="$2" '$1 == name { print $2 + 0 }'; }
idle() { # no slot, no query, no byte is held anywhere
	local node
	for node in n1 n2; do
		[ "$(metric "$node" ocf_slots_busy) $(metric "$node" ocf_queue_length) $(metric "$node" ocf_query_buffered_bytes)" = "0 0 0" ] ||
			return 1
		queue "$node" forwarded 0 || return 1
	done
}
connect() { # NODE REQUEST: as a client on $fd, with a body of no end if it begins one
	local address
	address=$(node_field "$1" http)
	exec {fd}<>"/dev/tcp/${address%:*}/${address##*:}"
	printf '%b' "$2" >&"$fd"
}
leave() { exec {fd}>&-; }
# A request that is whole.
plain() { printf 'POST /v1/service/%s HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 1\\r\\n\\r\\nx' "$1"; }
reads_line() { IFS= read -r -t "$CLUSTER_SECONDS" line <&"$fd" && [[ $line = HTTP/1.1\ 200* ]]; }

for node in n1 n2; do
	where="at the worker's node"
	[ "$node" = n2 ] || where="at another node"

	rm -f "$TMP/begun"
	connect "$node" "$(plain silent)"
	ok "$where: a query runs, and has not said a word" wait_until "$CLUSTER_SECONDS" begun 1
	leave
	ok "when its client leaves, its command ends" wait_until "$CLUSTER_SECONDS" has_ended

	rm -f "$TMP/begun"
	connect "$node" "$(plain telling)"
	ok "$where: a reply is being streamed" reads_line
	leave
	ok "when its client leaves, the command ends" wait_until "$CLUSTER_SECONDS" has_ended

	# The connection is full of what the client did not read.
	rm -f "$TMP/begun"
	connect "$node" "$(plain flowing)"
	ok "$where: a reply comes faster than it is read" reads_line
	leave
	ok "when its client leaves, the command ends" wait_until "$CLUSTER_SECONDS" has_ended

	# The node reads no more of what the client sends, and so cannot read that this was all.
	# (Once its kernel has no room either, the end does not even come: then only a deadline
	# helps.)
	rm -f "$TMP/begun"
	connect "$node" 'POST /v1/service/reading HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n'
	head -c 1200000 /dev/zero >&"$fd"
	ok "$where: a part of a body is sent, and nobody reads it" wait_until "$CLUSTER_SECONDS" begun 1
	leave
	ok "when its client leaves, the command ends" wait_until "$CLUSTER_SECONDS" has_ended
	ok "nothing is held for any of them" wait_until "$CLUSTER_SECONDS" idle

	# One runs; two wait behind it, of which the first leaves.
	rm -f "$TMP/begun" "$TMP/gate"
	ask first curl -s -d first "$(node_url "$node")/v1/service/gated"
	ok "$where: a query has the only slot" wait_until "$CLUSTER_SECONDS" begun 1
	connect "$node" "$(plain gated)"
	ok "the next one waits" wait_until "$CLUSTER_SECONDS" queue n2 queued 1
	rm -f "$TMP"/last.*
	(
		leave # it must not hold the other's connection open
		curl -s -d last "$(node_url "$node")/v1/service/gated" >"$TMP/last.out"
		echo $? >"$TMP/last.status"
	) &
	ok "and another one behind it" wait_until "$CLUSTER_SECONDS" queue n2 queued 2
	leave
	ok "when its client leaves, it waits no more" wait_until "$CLUSTER_SECONDS" queue n2 queued 1
	touch "$TMP/gate"
	answered first && answered last
	is "the others are answered" "$(cat "$TMP/first.out") $(cat "$TMP/last.out")" "first last"
	is "it never got to the worker" "$(wc -l <"$TMP/begun")" 2
	ok "and nothing is held" wait_until "$CLUSTER_SECONDS" idle
done
cluster_done
