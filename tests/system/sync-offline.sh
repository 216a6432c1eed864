#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `ocf-sync verify` and `root` on the store of a node that does not run: what they find in a
# sound one and in a damaged one, what they put right, and that they say which store they
# cannot use, why and what to do, in one line, having changed nothing.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
surgeon=$OCF_TEST_BUILDDIR/tests/lib/surgeon

# A node with a row of its own and one of a worker, which then stands still.
node_init n1
node_start n1
worker_start n1 w1 --service wc -- wc -w
id=$(node_id n1)
root=$(at n1 ocf status --json | jq -r .table.root)
data=$TMP/n1/state/ocf

run at n1 ocf-sync verify --json
is "beside a running node its store is verified by the node" \
	"$status $(jq -c '[.state, .rows, .differences, .signatures_bad, .is_sound]' <<<"$out")" \
	'0 ["done",2,0,0,true]' || diag "$err"
run at n1 ocf-sync verify --data "$data" --json
is "also when only the data folder is named, which is not where its socket is" \
	"$status $(jq '.request > 0' <<<"$out")" '0 true' || diag "$err"
run at n1 ocf-sync verify
like "people are told in words" "$out" 'every digest, count.* is right'
run at n1 ocf-sync verify --repair
is "a running node does not repair its store" "$status" 1
like "and says what to do" "$err" 'stop it.*verify --repair'
rm "$TMP/n1/run/ocf/ocfd.sock"
run at n1 ocf-sync verify
is "a store in use is left alone" "$status" 75
like "with the number of the process" "$err" "process ${NODE_PID[n1]};.*stop it"
node_stop n1
worker_kill w1

# ---- a sound store

whole() { (cd "$data" && find . -type f ! -name open.lock -exec sha256sum {} + | sort); }
before=$(whole)
run at n1 ocf-sync verify
is "a sound store is found sound" "$status" 0 || diag "$err"
like "with its place and its rows" "$out" "store   $data/store.*table   2 rows"
run at n1 ocf-sync root
is "its root is the one that the node told" "$status $out" "0 $root"
run ocf-sync root --data "$data" --json
is "as JSON, with the number of rows" "$status $out" "0 {\"root\":\"$root\",\"rows\":2}"
run at n1 ocf-sync verify --repair --json
is "there is nothing to repair" "$status $(jq -c '[.dropped, .is_sound]' <<<"$out")" "0 [0,true]"
is "looking changed nothing" "$(whole)" "$before"
run at n1 ocf-sync compare
is "comparing needs the node" "$status" 69
like "and it is said how to start it" "$err" "start it with 'ocfd'"
run at n1 ocf-sync run --all
is "so does running" "$status" 69
run at n1 ocf-sync verify --url http://127.0.0.1:9
is "none of it goes over a URL" "$status" 77
run at n1 ocf-sync run --all --with n1
is "--all and --with exclude each other" "$status" 2

# ---- what cannot be used

cp -a "$data" "$TMP/kept"
put_back() {
	[ ! -d "$data/store" ] || chmod 700 "$data/store"
	rm -rf "$data"
	cp -a "$TMP/kept" "$data"
}
lines() { wc -l <"$TMP/run.err" | tr -d ' '; }

refuses() { # SENTENCE STATUS REGEX [COMMAND ARG…]
	local sentence=$1 wanted=$2 regex=$3 was is
	shift 3
	[ $# -gt 0 ] || set -- at n1 ocf-sync verify
	was=$(whole 2>&1)
	run "$@"
	like "$sentence" "$status $err" "^$wanted ocf-sync: .*($regex)"
	is "… in one line, and nothing else" "$(lines)$out" 1 || diag "$err"
	run "$@" --repair
	is "… also where it shall be repaired" "$status $(lines)$out" "$wanted 1" || diag "$err"
	is=$(whole 2>&1)
	is "… and nothing was changed" "$is" "$was"
	put_back
}

refuses "a folder that is not there" 78 'no node in .*--data' ocf-sync verify --data "$TMP/none"
refuses "a folder that is a file" 78 'not a folder' ocf-sync verify --data "$data/keys/ca.crt"
rm -rf "$data/keys"
refuses "a store without keys" 78 'no node in'
rm -rf "$data/store"
refuses "keys without a store" 78 'store of this node is gone.*restore a backup'
"$surgeon" "$data" format 99
refuses "a store of a newer version" 78 'format 99, made by a newer version.*install the newer'

node_init other
rm -rf "$data/store"
cp -a "$TMP/other/state/ocf/store" "$data/store"
refuses "a store of another cluster than the keys" 78 'another cluster than the keys'

: >"$data/store/data.mdb"
refuses "an empty store" 74 'damaged: it is empty.*restore a backup'
rm "$data/store/data.mdb"
mkdir "$data/store/data.mdb"
refuses "a folder in place of the store" 74 'damaged: it is not a file.*restore'
truncate -s 20000 "$data/store/data.mdb"
refuses "a store that was cut" 74 'damaged: it has 20000 bytes.*restore a backup'
truncate -s 5000 "$data/store/data.mdb"
refuses "a store that was cut shorter" 74 'damaged.*restore a backup'
echo 'this is no store' >"$data/store/data.mdb"
refuses "a text in place of the store" 74 'damaged.*restore a backup'
dd if=/dev/urandom of="$data/store/data.mdb" bs=4096 count=2 conv=notrunc status=none
refuses "a store whose head is garbage" 74 'damaged.*restore a backup'
dd if=/dev/zero of="$data/store/data.mdb" bs=4096 count=2 conv=notrunc status=none
refuses "a store whose head is empty" 74 'damaged.*restore a backup'
echo nonsense >"$data/keys/node.crt"
refuses "keys that are nonsense" 78 'node.crt'

if [ "$(id -u)" -eq 0 ]; then
	stranger=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	refuses "a folder of somebody else" 77 'sudo|ermission' "${stranger[@]}" \
		env PATH="$PATH" "$(command -v ocf-sync)" verify --data "$data"
	chown 65534:65534 "$data"
	chmod 711 "$TMP" "$TMP/n1" "$TMP/n1/state"
	refuses "files that the folder's owner cannot read" 77 'ermission denied'
	chmod 700 "$TMP"
else
	chmod 000 "$data/store"
	refuses "a store that cannot be read" 77 'ermission denied'
fi

# Any page of the file, overwritten: found or harmless, and never a crash.
pages=$(($(stat -c %s "$data/store/data.mdb") / 4096))
[ "$pages" -le 40 ] || pages=40
bad=
for ((page = 2; page < pages; page++)); do
	for with in urandom zero; do
		dd if=/dev/$with of="$data/store/data.mdb" bs=4096 seek="$page" count=1 \
			conv=notrunc status=none
		run at n1 ocf-sync verify
		case "$status $(lines)" in
		'0 0' | '1 0' | '74 1') ;;
		*) bad="$bad page $page from $with: $status, $err;" ;;
		esac
		put_back
	done
done
is "a page of garbage anywhere is found, or was not in use" "$bad" ""

# ---- what can be repaired

is "the table has two rows" "$("$surgeon" "$data" list | sort)" "node $id 
worker $id 0"
finds() { # SENTENCE DIFFERENCES? SIGNATURES DROPPED REGEX
	run at n1 ocf-sync verify --json
	is "$1 is found" "$status $(jq -c '[.differences > 0, .signatures_bad, .dropped,
		.is_sound]' <<<"$out")" "1 [$2,$3,0,false]" || diag "$out$err"
	like "… and named" "$(jq -r '.messages[]' <<<"$out")" "$5"
	run at n1 ocf-sync verify
	like "… to people, too, with what to do" "$status $out" "^1 .*$5.*verify --repair"
	run at n1 ocf-sync verify --repair --json
	is "… it is repaired" "$status $(jq -c '[.dropped, .is_sound]' <<<"$out")" "0 [$4,true]" ||
		diag "$out$err"
	run at n1 ocf-sync verify
	is "… and sound from then on" "$status" 0 || diag "$out$err"
}

"$surgeon" "$data" unindex worker "$id" 0
finds "a row missing in an index" true 0 0 'missing among its owner'
is "no row was lost by that" "$("$surgeon" "$data" list | wc -l)" 2
put_back
"$surgeon" "$data" unsign worker "$id" 0
finds "a row with a wrong signature" false 1 1 "worker row 0 of $id is not signed by its owner"
is "the other row is still there" "$("$surgeon" "$data" list)" "node $id "
put_back
"$surgeon" "$data" rot worker "$id" 0
finds "a row of which a bit turned" true 1 1 "worker row 0 of $id is not signed"
put_back
"$surgeon" "$data" drop node "$id"
finds "a row whose owner's node row is gone" false 1 1 'cannot be checked'
put_back
"$surgeon" "$data" rot node "$id"
run at n1 ocf-sync verify --repair
like "the sentences about a repair say how many rows were dropped" "$status $out" \
	'^0 .*Repaired. Rows dropped: 2;'

node_start n1
mine() { at n1 ocf nodes --json | jq -e --arg id "$id" 'length == 1 and .[0].id == $id'; }
ok "a node whose own row was dropped writes it again" wait_until "$CLUSTER_SECONDS" mine
run at n1 ocf-sync verify --json
is "and its store is sound" "$status $(jq .is_sound <<<"$out")" "0 true"
cluster_done
