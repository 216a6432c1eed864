#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `ocf-sync dump` and `load`, beside running nodes and on a store: what is written comes back
# as the same rows, in any order; what is not as it should be is named and changes nothing;
# what is new goes to the other nodes. And `compare` changes nothing at all.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
surgeon=$OCF_TEST_BUILDDIR/tests/lib/surgeon
data() { echo "$TMP/$1/state/ocf"; }
rows_of() { grep -v -e '^{"ocf_dump"' -e '^{"end"' "$1" | sort; }

cluster_start 2
worker_start n1 w1 --service wc -- wc -w
worker_start n2 w2 --service wc -- wc -w
for node in n1 n2; do
	ok "$node sees both workers" wait_until "$CLUSTER_SECONDS" eval \
		"sees_worker $node w1 && sees_worker $node w2"
done
ok "tables are equal" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2
n1=$(node_id n1) n2=$(node_id n2)
read -r root _ < <(node_root n1)

# ---- out of a running node

run at n1 ocf-sync dump "$TMP/dump"
is "a table is dumped" "$status $out" "0 $TMP/dump: 4 rows, root $root" || diag "$err"
run at n1 ocf-sync dump
timeless() { sed 's/"time"[^,]*,//' "$1"; }
is "to standard output it is the same but for the time" \
	"$status $(timeless "$TMP/run.out")" "0 $(timeless "$TMP/dump")"
is "the first line says of what it is" \
	"$(head -n 1 "$TMP/dump" | jq -c '[.ocf_dump, .cluster, .rows, .root, .horizon_ms > 0]')" \
	"[1,\"$(at n1 ocf status --json | jq -r .cluster.id)\",4,\"$root\",true]"
is "the last one that it is whole" "$(tail -n 1 "$TMP/dump" | jq -c .)" \
	"{\"end\":true,\"rows\":4,\"root\":\"$root\"}"
is "nodes come first" "$(jq -r '.kind // empty' "$TMP/dump" | tr '\n' ' ')" \
	"node node worker worker "
is "a value is a text" "$(jq -r --arg id "$n1" 'select(.kind == "worker" and .owner == $id)
	| .versions[0].value | fromjson | .id' "$TMP/dump")" w1
is "numbers of 64 bits are hexadecimal" "$(jq -c 'select(.kind) | .versions[]
	| [.actor, .seq] | map(test("^[0-9a-f]{16}$")) | all' "$TMP/dump" | sort -u)" true
run at n1 ocf-sync dump --json "$TMP/dump"
is "--json tells of a dump to a file" "$status $out" "0 {\"rows\":4,\"root\":\"$root\"}"
run at n1 ocf-sync dump --json
is "and of no other" "$status" 2

fails() { # SENTENCE STATUS REGEX COMMAND ARG…
	local sentence=$1 wanted=$2 regex=$3
	shift 3
	run "$@"
	like "$sentence" "$status $err" "^$wanted ocf-sync: .*($regex)"
}
fails "a folder is no file to dump to" 74 'is a folder' at n1 ocf-sync dump "$TMP"
fails "nor is one in no folder" 74 'No such file' at n1 ocf-sync dump "$TMP/none/dump"
fails "a full disk is told" 74 'No space' at n1 ocf-sync dump /dev/full
run at n1 bash -c "ocf-sync dump >/dev/full"
like "also behind standard output" "$status $err" '^74 .*No space'

# ---- into a running node

# Half a sector of rows to be put aside, where no byte can be written.
{
	head -n 1 "$TMP/dump" | jq -c '.rows = 1'
	rows_of "$TMP/dump" | grep '"kind":"worker"' | head -n 1 |
		jq -c '.owner = "00000000000000000000000000000001"'
	tail -n 1 "$TMP/dump" | jq -c '.rows = 1'
} >"$TMP/orphan"
run at n1 bash -c "{ trap '' XFSZ; ulimit -f 0; exec ocf-sync load '$TMP/orphan'; } 2>&1 | cat
	exit \${PIPESTATUS[0]}"
like "rows that cannot be put aside are not forgotten" "$status $out" \
	'^74 .*cannot be put aside.*File too large.*TMPDIR'

changes_nothing() { # SENTENCE
	is "$1" "$(node_root n1)" "$root 4"
}
run at n1 ocf-sync load "$TMP/dump"
is "loading it again changes nothing" "$status $(tail -n 1 <<<"$out")" \
	"0 table   0 new, 4 unchanged" || diag "$err"
run at n1 ocf-sync load - --json
like "standard input that is empty is no dump" "$status $err" '^1 .*it is empty'
at n1 ocf-sync load --json - <"$TMP/dump" >"$TMP/out" 2>&1
is "one that comes by it is read" "$(jq -c 'del(.elapsed_ms)' "$TMP/out")" \
	'{"read":4,"new":0,"unchanged":4,"ended":0,"refused":0,"aside":0,"is_whole":true,"is_stopped":false,"messages":[]}'

refuses() { # SENTENCE REGEX: … the file $TMP/bad as a whole
	fails "$1" 1 "$2" at n1 ocf-sync load "$TMP/bad"
	is "… and tells nothing else" "$out" ""
}
echo 'root:x:0:0' >"$TMP/bad"
refuses "a file that is no dump is refused" 'is no dump: it does not begin'
sed '1s/"ocf_dump":1/"ocf_dump":2/' "$TMP/dump" >"$TMP/bad"
refuses "so is a newer one" 'made by a newer version'
sed "1s/\"cluster\":\"[^\"]*\"/\"cluster\":\"$n1\"/" "$TMP/dump" >"$TMP/bad"
refuses "so is one of another cluster" "dump of the cluster $n1"
fails "a file that is not there" 74 'No such file' at n1 ocf-sync load "$TMP/none"
fails "a folder" 74 'is a folder' at n1 ocf-sync load "$TMP"

# A line each: its number and what is wrong, and the others are loaded all the same.
names() { # SENTENCE REGEX [SED-SCRIPT]: … what the script made of line 4
	[ $# -lt 3 ] || sed "4$3" "$TMP/dump" >"$TMP/bad"
	run at n1 ocf-sync load "$TMP/bad" --json
	like "$1 is refused, by its number" "$status $err" "^1 ocf-sync: line 4: .*$2"
	is "… and the others are loaded" \
		"$(jq -c '[.read, .unchanged, .refused, .aside]' <<<"$out")" '[4,3,1,0]'
}
names "another value" 'worker row 0 of .* is not signed by its owner' 's/wc/rm/'
names "another stamp" 'not signed' 's/"stamp_ms":1/"stamp_ms":2/'
names "another actor" 'not signed' 's/"actor":"[^"]*"/"actor":"00000000000000aa"/'
names "a value that is none any more" 'not signed' \
	's/"value":".*","signature"/"removed":true,"signature"/'
names "another name" 'not signed' 's/"name":"0"/"name":"1"/'
names "a name above the cluster's rows per node" "cannot have the name '16384'" \
	's/"name":"0"/"name":"16384"/'
names "another kind" "there is no kind 'lynx'" 's/"kind":"worker"/"kind":"lynx"/'
names "what is no JSON" 'not JSON' 's/^{//'
names "a line that is cut" 'not JSON' 's/.\{50\}$//'
names "an empty object" "no 'owner'" 's/.*/{}/'
{
	head -n 3 "$TMP/dump"
	head -c 1100000 /dev/zero | tr '\0' x
	echo
	tail -n +5 "$TMP/dump"
} >"$TMP/bad"
names "a line that is longer than any row" 'longer than a row'
changes_nothing "none of it changed the table"

sed '4s/wc/rm/' "$TMP/dump" >"$TMP/bad"
run at n1 ocf-sync load --strict --json "$TMP/bad"
is "--strict stops there" "$status $(jq -c '[.unchanged, .refused, .is_stopped]' <<<"$out")" \
	'1 [2,1,true]'
sed '$d' "$TMP/dump" >"$TMP/bad"
run at n1 ocf-sync load "$TMP/bad"
like "a dump without its end is loaded, and said not to be whole" "$status $out $err" \
	'^1 .*0 new, 4 unchanged.*is not whole'
sed '4d' "$TMP/dump" >"$TMP/bad"
run at n1 ocf-sync load "$TMP/bad"
like "so is one with a row less" "$status $out $err" '^1 .*0 new, 3 unchanged.*is not whole'
{
	cat "$TMP/dump"
	echo 'what stands here is not read'
} >"$TMP/bad"
run at n1 ocf-sync load "$TMP/bad"
is "what stands behind the end is nobody's" "$status" 0 || diag "$err"
sed 's/,"time"/ , "note":[{}],"time"/; 3s/^/\n \n/' "$TMP/dump" >"$TMP/bad"
run at n1 ocf-sync load "$TMP/bad"
is "empty lines and members of others do no harm" "$status" 0 || diag "$err"

# ---- compare changes nothing

bytes() { sha256sum "$(data n1)/store/data.mdb" "$(data n2)/store/data.mdb"; }
is_quiet() {
	local was
	was=$(bytes)
	sleep 1
	[ "$(bytes)" = "$was" ]
}
ok "the stores are quiet" wait_until "$CLUSTER_SECONDS" is_quiet
was=$(bytes)
run at n1 ocf-sync compare --with n2
is "the tables are equal" "$status" 0 || diag "$out$err"
is "comparing them changed no byte" "$(bytes)" "$was"
changes_nothing "and no root"

# ---- the store of a node that does not run

node_stop n2
node_stop n1
run at n1 ocf-sync dump "$TMP/offline"
is "a store is dumped without its node" "$status $out" \
	"0 $TMP/offline: 4 rows, root $(at n1 ocf-sync root)" || diag "$err"
rows_of "$TMP/dump" | jq -c 'select(.kind == "worker")' >"$TMP/a"
rows_of "$TMP/offline" | jq -c 'select(.kind == "worker")' >"$TMP/b"
is "the rows are the same" "$(cat "$TMP/b")" "$(cat "$TMP/a")"
whole() { (cd "$(data n1)" && find . -type f ! -name open.lock -exec sha256sum {} + | sort); }
was=$(whole)
run at n1 bash -c 'ocf-sync dump | head -c 10 >/dev/null; echo "${PIPESTATUS[0]} $?"'
is "who reads no further is no error of the store's" "$err" ""
fails "a full disk is told" 74 'No space' at n1 ocf-sync dump /dev/full
is "dumping changed no byte" "$(whole)" "$was"
run at n1 ocf-sync load "$TMP/offline"
is "loading it again changes nothing" "$status $(tail -n 1 <<<"$out")" \
	"0 table   0 new, 4 unchanged" || diag "$err"
names "another value" 'worker row 0 of .* is not signed by its owner' 's/wc/rm/'
run at n1 ocf-sync load --strict --json "$TMP/bad"
is "--strict stops there" "$status $(jq -c '[.unchanged, .refused, .is_stopped]' <<<"$out")" \
	'1 [2,1,true]'
sed "1s/\"cluster\":\"[^\"]*\"/\"cluster\":\"$n1\"/" "$TMP/dump" >"$TMP/bad"
refuses "a dump of another cluster is refused" "dump of the cluster $n1"

# Rows that are missing come back, in any order of lines.
"$surgeon" "$(data n1)" drop worker "$n2" 0
"$surgeon" "$(data n1)" drop node "$n2"
grep -v '"end"' "$TMP/offline" | jq -c "select(.owner != \"$n2\" or .kind != \"node\")" >"$TMP/bad"
run at n1 ocf-sync load "$TMP/bad" --json
is "a row whose owner nobody knows is left aside" \
	"$status $(jq -c '[.read, .new, .unchanged, .refused, .aside]' <<<"$out")" '1 [3,0,2,0,1]'
like "and named" "$err" "line [0-9]+: worker row 0 of $n2 cannot be checked"
{
	head -n 1 "$TMP/offline"
	rows_of "$TMP/offline" | grep -v '"kind":"node"'
	rows_of "$TMP/offline" | grep '"kind":"node"'
	tail -n 1 "$TMP/offline"
} >"$TMP/backwards"
run at n1 ocf-sync load "$TMP/backwards" --json
is "whose node row comes last is loaded all the same" \
	"$status $(jq -c '[.read, .new, .unchanged, .refused, .aside]' <<<"$out")" '0 [4,2,2,0,0]' ||
	diag "$err"
is "and the table is what it was" "$(at n1 ocf-sync root)" \
	"$(head -n 1 "$TMP/offline" | jq -r .root)"
run at n1 ocf-sync verify
is "and sound" "$status" 0 || diag "$out$err"

# ---- rows that are loaded go to the others, who cannot have them from anywhere else

worker_stop w1
worker_stop w2
node_start n2
worker_start n2 late --service rev -- rev
run at n2 ocf-sync dump "$TMP/late"
is "n2 has a new row and dumps it" "$status" 0
worker_kill late
node_kill n2
node_start n1
node_join n3 n1
node_start n3
knows() { at "$1" ocf-sync dump | grep -q '\\"id\\":\\"late\\"'; }
ok "n3 is there" wait_until "$CLUSTER_SECONDS" sees_nodes n3 2
ok "neither of the others has it" eval '! knows n1 && ! knows n3'
run at n1 ocf-sync load "$TMP/late" --json
is "n1 loads it" "$status $(jq -c '[.new > 0, .refused, .aside]' <<<"$out")" '0 [true,0,0]' ||
	diag "$out$err"
ok "n3 has it then" wait_until "$CLUSTER_SECONDS" knows n3
ok "and the tables are equal" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n3

if [ "$(id -u)" -eq 0 ]; then
	stranger=(setpriv --reuid 65534 --regid 65534 --clear-groups env PATH="$PATH")
	socket=$(node_field n1 socket)
	chmod 711 "$TMP" "$TMP/n1"
	run "${stranger[@]}" ocf-sync dump --socket "$socket"
	is "a stranger gets no dump" "$status$out" 77
	chmod 700 "$TMP"
fi
cluster_done
