#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `ocf-sync` beside running nodes: compare names exactly the rows that differ, run moves what
# can be moved and says whether the tables are equal, and exit statuses tell scripts the same.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
surgeon=$OCF_TEST_BUILDDIR/tests/lib/surgeon

cluster_start 3
worker_start n1 w1 --service wc -- wc -w
worker_start n3 w3 --service rev -- rev
for node in n1 n2 n3; do
	ok "$node is told of both workers" wait_until "$CLUSTER_SECONDS" sees_worker "$node" w1 &&
		wait_until "$CLUSTER_SECONDS" sees_worker "$node" w3
done
n2=$(node_id n2)
n3=$(node_id n3)

# ---- equal tables

compares() { at n1 ocf-sync compare --with n2; }
ok "tables become equal" wait_until "$CLUSTER_SECONDS" compares
run at n1 ocf-sync compare --with n2 --json
is "compare says so to scripts" "$status $(jq -c '[.state, .node, .is_equal, .only_here, .only_there,
	.differing, .rows]' <<<"$out")" "0 [\"done\",\"$n2\",true,0,0,0,[]]" || diag "$out$err"
run at n1 ocf-sync compare --with "${n2:0:6}"
like "and to people, by a part of an id" "$status $out" "^0 node    n2 \($n2\).*rows    all equal.*legs"
run at n1 ocf-sync compare
like "a linked node is picked, and named" "$status $out" '^0 node    n[23] \('
run at n1 ocf-sync compare --with n1
like "trying later does not help who names the node itself" "$status $err" "^1 .*'n1' is this node itself"
run at n1 ocf-sync compare --with ''
like "nor who names none" "$status $err" "^1 .*no node ''"
OCF_SOCKET='' OCF_URL=$(node_url n1) run at n1 ocf-sync root
like "a URL meant for ocf is no node of ocf-sync's" "$status $err" '^77 .*OCF_URL'
run at n1 ocf-sync run --with n2
like "run finds nothing to do" "$status $out" '^0 n2 \(.*tables are equal: 0 rows received, 0 sent'
run at n1 ocf-sync run --all
is "run --all is a line for each linked node" \
	"$status $(sort <<<"$out" | sed -E 's/ .*equal.*/ equal/' | tr '\n' ' ')" '0 n2 equal n3 equal '
run at n1 ocf-sync run --all --json
is "as JSON a list" "$status $(jq -c 'map(.name) | sort' <<<"$out")" '0 ["n2","n3"]'
is "root is the same everywhere" "$(at n1 ocf-sync root)" "$(at n2 ocf-sync root)"
is "and the one of status" "$(at n1 ocf-sync root)" "$(at n1 ocf status --json | jq -r .table.root)"
run at n2 ocf-sync verify
is "a store that rows came to over links is sound" "$status" 0 || diag "$out$err"

run at n1 ocf-sync compare --with nobody
like "a node that does not exist" "$status $err" '^1 ocf-sync: .*nobody'
is "… in one line" "$(wc -l <"$TMP/run.err")$out" 1

# ---- many at once: each is answered, or told to come again, whoever else asks

for i in $(seq 60); do
	{
		at n1 ocf-sync compare >"$TMP/many.$i" 2>&1
		echo $? >"$TMP/many.$i.status"
	} &
	many[i]=$!
done
wait "${many[@]}"
is "sixty comparisons at once end with an answer, or are to come later" \
	"$(sort -u "$TMP"/many.*.status | grep -vx -e 0 -e 75)" "" ||
	diag "$(cat "$TMP"/many.* | grep ocf-sync: | sort | uniq -c)"

# ---- an older copy put back: healed by itself

peer1=$(node_field n1 peer)
peer2=$(node_field n2 peer)
node_stop n2
cp -a "$TMP/n2/state/ocf" "$TMP/old"
worker_start n1 later --service cat -- cat
rm -rf "$TMP/n2/state/ocf"
cp -a "$TMP/old" "$TMP/n2/state/ocf"
node_start n2 --peer.listen="$peer2"
ok "a node with an older copy of its store is told what it missed" \
	wait_until "$CLUSTER_SECONDS" sees_worker n2 later
ok "and its table is as the others'" wait_until "$CLUSTER_SECONDS" compares

# ---- a difference that stays: a row whose owner one of them does not know. n1 has lost the
# node row of n3, but not that of its worker; n2 has lost both.

node_stop n3
node_stop n2
node_stop n1
"$surgeon" "$TMP/n1/state/ocf" drop node "$n3"
"$surgeon" "$TMP/n2/state/ocf" drop node "$n3"
"$surgeon" "$TMP/n2/state/ocf" drop worker "$n3" 0
node_start n1 --peer.listen="$peer1"
node_start n2 --peer.listen="$peer2"
ok "both see each other" wait_until "$CLUSTER_SECONDS" sees_nodes n1 2
differs() {
	at n1 ocf-sync compare --with n2 --json | jq -e --arg id "$n3" '.only_here == 1 and
		.only_there == 0 and .differing == 0 and .is_equal == false and
		.rows == [{"where":"here","kind":"worker","owner":$id,"name":"0"}]'
}
ok "compare shows exactly the row that differs" wait_until "$CLUSTER_SECONDS" differs ||
	diag "$(at n1 ocf-sync compare --with n2 --json)"
run at n1 ocf-sync compare --with n2
like "to people, too" "$status $out" \
	"^1 node .*1 only here, 0 only there, 0 in different.*HELD.*here +worker +$n3 +0"
run at n2 ocf-sync compare --with n1
like "from the other side it is the other way round" "$status $out" \
	'^1 .*0 only here, 1 only there.*there +worker'
run at n1 ocf-sync run --with n2
like "run says that the tables still differ" "$status $out" '^1 n2 .*tables still differ'
run at n1 ocf-sync verify
like "verify says why" "$status $out" "^1 .*worker row 0 of $n3 cannot be checked"

node_start n3
ok "with the owner back all is equal again" wait_until "$CLUSTER_SECONDS" compares ||
	diag "$(at n1 ocf-sync compare --with n2 2>&1)"
run at n1 ocf-sync run --all
is "with every node" "$status" 0 || diag "$out$err"
run at n1 ocf-sync verify
is "and the store is sound" "$status" 0 || diag "$out$err"

# ---- what went over the wire: the frames, and TLS around them

bytes_of() { curl -s "$(node_url n1)/metrics" | awk -v name="$1" 'index($1, name) == 1 { sum += $2 } END { printf "%d", sum }'; }
for way in sent received; do
	frames=$(bytes_of "ocf_peer_${way}_bytes_total")
	ok "frames were $way" [ "$frames" -gt 1000 ]
	ok "and TLS counts more than they hold" [ "$(bytes_of "ocf_peer_tls_${way}_bytes_total")" -gt "$frames" ]
done

# ---- who asked goes away: what was asked for ends with it

sync_sent() { curl -s "$(node_url n1)/metrics" | grep '^ocf_peer_sent_bytes_total{class="sync"}'; }
is_compared() { [ "$(sync_sent)" != "$sent" ]; }
sync_failed() { curl -s "$(node_url n1)/metrics" | grep '^ocf_sync_sessions_total{result="failed"}'; }
has_failed() { [ "$(sync_failed)" != "$failed" ]; }
sent=$(sync_sent)
failed=$(sync_failed)
kill -STOP "${NODE_PID[n2]}"
at_background n1 "$TMP/gone.log" ocf-sync run --with n2
gone=$!
ok "a reconciliation with a node that does not answer begins" wait_until "$CLUSTER_SECONDS" is_compared
kill -TERM "$gone"
status=0
wait "$gone" || status=$?
is "a signal ends who waits for it, without a word" "$status $(cat "$TMP/gone.log")" "143 "
ok "and the session" wait_until 5 has_failed
kill -CONT "${NODE_PID[n2]}"
ok "the next one is not held up" wait_until "$CLUSTER_SECONDS" compares

# ---- the node dies meanwhile: no answer, and not the one that tables differ

sent=$(sync_sent)
kill -STOP "${NODE_PID[n2]}"
at n1 ocf-sync compare --with n2 2>"$TMP/cut.err" &
cut=$!
ok "a comparison with a node that does not answer begins" wait_until "$CLUSTER_SECONDS" is_compared
node_kill n1
kill -CONT "${NODE_PID[n2]}"
status=0
wait "$cut" || status=$?
is "who waits for it is told that the node is gone" "$status $(wc -l <"$TMP/cut.err")" "69 1" ||
	diag "$(cat "$TMP/cut.err")"
node_start n1 --peer.listen="$peer1"
ok "the node returns" wait_until "$CLUSTER_SECONDS" compares

# ---- nobody to reconcile with

node_stop n3
node_stop n2
alone() { at n1 ocf peers --json | jq -e 'all(.[]; .state != "up")'; }
ok "n1 is alone" wait_until "$CLUSTER_SECONDS" alone
run at n1 ocf-sync compare --with n2
is "a node that is not linked" "$status $(wc -l <"$TMP/run.err")$out" '75 1' || diag "$err"
run at n1 ocf-sync run
is "no linked node at all" "$status $(wc -l <"$TMP/run.err")$out" '75 1' || diag "$err"
run at n1 ocf-sync run --all
is "nor for --all" "$status $(wc -l <"$TMP/run.err")$out" '75 1' || diag "$err"
run at n2 ocf-sync run
like "a hint to a daemon names no option that there is not" "$status $err" '^69 .*--socket or --data$'
cluster_done
