#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A thousand workers announce themselves at once: all are rows at the other node soon, over
# the link that was there.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 2
bus=$(node_field n1 bus)
pad=$(printf '%01000d' 1)
{
	for i in $(seq 1000); do
		said='{"v":1,"id":"many-'$i'","service":"wc","slots":1,"hb_s":600,"status":"connected","metadata":{"pad":"'$pad'"}}'
		printf 'PUB worker:status %d\r\n%s\r\n' "${#said}" "$said"
	done
	printf 'PING\r\n'
} >"$TMP/burst"
exec {fd}<>"/dev/tcp/${bus%:*}/${bus##*:}"
printf 'CONNECT {"verbose":false,"pedantic":false,"name":"raw"}\r\n' >&"$fd"
cat "$TMP/burst" >&"$fd"
said_at=$SECONDS
lists_all() { [ "$(at "$1" ocf workers --json | jq length)" -eq 1000 ]; }
# Workers repeat what they said: a node that is very slow loses a part of such a burst.
lists_all_again() {
	lists_all n1 && return 0
	[ $((SECONDS - said_at)) -lt 8 ] || { cat "$TMP/burst" >&"$fd" && said_at=$SECONDS; }
	return 1
}
ok "their node lists them" wait_until "$CLUSTER_SECONDS" lists_all_again
ok "the other one does, too" wait_until "$CLUSTER_SECONDS" lists_all n2
is "and no link was lost" "$(cat "$TMP"/n?/log | grep -c 'the link to')" 0
exec {fd}>&-
cluster_done
