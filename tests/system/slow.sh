#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node stands still for a few seconds while thousands of rows come up, more than may wait for
# it: what is above that is left out, the link stays, and a comparison of tables brings the
# rest once it goes on.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

if [ "${OCF_TEST_PATIENCE:-1}" -gt 1 ]; then
	skip "a node that takes rows too slowly" "instrumented, all do"
	cluster_done
	exit
fi
workers=3000 # of 3 KB: 9 MB, above 4 MiB in the outbox and what the kernel takes
cluster_start 3
bus=$(node_field n1 bus)
pad=$(printf '%03000d' 1)
{
	for i in $(seq "$workers"); do
		said='{"v":1,"id":"slow-'$i'","service":"wc","slots":1,"hb_s":600,"status":"connected","metadata":{"pad":"'$pad'"}}'
		printf 'PUB worker:status %d\r\n%s\r\n' "${#said}" "$said"
	done
	printf 'PING\r\n'
} >"$TMP/burst"
exec {fd}<>"/dev/tcp/${bus%:*}/${bus##*:}"
printf 'CONNECT {"verbose":false,"pedantic":false,"name":"raw"}\r\n' >&"$fd"
# Which of the two sends the rows to n3 is for the tree to say.
links_to() { # NAME MEMBER: of n1's link and of n2's
	local node
	for node in n1 n2; do
		at "$node" ocf peers --json |
			jq -c ".[] | select(.name == \"$1\" and .state == \"up\") | .$2"
	done
}
lists_all() { [ "$(at "$1" ocf workers --json | jq length)" -eq "$workers" ]; }
is_lagging() { links_to n3 lagging | grep -q true; }
catches_up() { [ "$(links_to n3 lagging | tr '\n' ' ')" = 'false false ' ]; }

pid=$(node_field n3 pid)
kill -STOP "$pid"
cat "$TMP/burst" >&"$fd"
ok "rows for the node that stands still are left out" wait_until 5 is_lagging
like "… and people are told" "$(at n1 ocf peers && at n2 ocf peers)" '.*up, slow.*'
kill -CONT "$pid"
ok "it takes them again" wait_until "$CLUSTER_SECONDS" catches_up
for node in n1 n2 n3; do
	ok "$node lists all workers" wait_until 90 lists_all "$node"
done
ok "the tables are equal" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2 n3
# One that stood still for longer than a link may be silent, on a busy machine, loses it for that.
is "no link was lost for it" "$(cat "$TMP"/n?/log | grep 'the link to' | grep -vc 'nothing was heard')" 0
like "a comparison brought the rest" "$(cat "$TMP"/n?/log)" '.*compared with node .* [1-9][0-9]+ (sent|rows received).*'
exec {fd}>&-
cluster_done
