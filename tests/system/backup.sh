#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `ocf backup` and `ocf-sync restore`: a node that lost its disk is made of a backup that is
# older than what it wrote last, and afterwards all nodes hold one table in which nothing is
# missing and nothing is too much. And: nothing that is there is lost to a backup or a
# restore that was not meant, or that fails.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
data=$TMP/n1/state/ocf
ids() { at "$1" ocf workers --json | jq -r '[.[] | select(.state != "hidden") | .id] | sort | join(" ")'; }
workers_are() { # IDS: … as all nodes see them, and their tables are equal
	local node
	for node in n1 n2 n3; do [ "$(ids "$node")" = "$1" ] || return 1; done
	tables_are_equal n1 n2 n3
}

cluster_start 3
id=$(node_id n1)
worker_start n1 stays --service wc -- wc -w
worker_start n1 goes --service rev -- rev
worker_start n2 other --service cat -- cat
ok "all see three workers" wait_until "$CLUSTER_SECONDS" workers_are "goes other stays"
actor=$(at n1 ocf status --json | jq -r .node.actor)

# ---- a backup of a running node

cd "$TMP" || exit 99
run at n1 ocf backup one.backup
like "a running node is backed up" "$status $out" "^0 one.backup: .*keep it as safe" || diag "$err"
is "nobody else can read it" "$(stat -c %a one.backup)" 600
ok "the keys are in it" grep -qa 'PRIVATE KEY' one.backup
run at n1 ocf backup --no-keys --json keyless.backup
is "without them, if so wanted" "$status $(jq -c '[.file, .keys, .bytes]' <<<"$out")" \
	"0 [\"keyless.backup\",false,$(stat -c %s keyless.backup)]"
ok "they are not in that" eval '! grep -qa "PRIVATE KEY" keyless.backup'

fails() { # SENTENCE STATUS REGEX COMMAND ARG…
	local sentence=$1 wanted=$2 regex=$3
	shift 3
	run "$@"
	like "$sentence" "$status $err" "^$wanted ocf(-sync)?: .*($regex)"
}
cp one.backup older.backup
run at n1 ocf backup older.backup
is "an older backup is replaced" "$status" 0 || diag "$err"
echo precious >precious
fails "another file is not" 1 'is no backup.*--force' at n1 ocf backup precious
is "… and is what it was" "$(cat precious)" precious
run at n1 ocf backup --force precious
is "unless it is meant" "$status $(head -n 1 precious | tr -d '\0')" "0 ocf-backup 1" || diag "$err"
fails "a folder is no file" 74 'is a folder' at n1 ocf backup "$TMP"
fails "nor is a device" 74 'no plain file' at n1 ocf backup /dev/full
fails "a folder that is not there" 74 'No such file' at n1 ocf backup "$TMP/none/b"
run at n1 ocf backup -
is "standard output is no place for it" "$status" 2
fails "it does not go over a URL" 77 'unix socket' at n1 ocf backup --url "$(node_url n1)" b
fails "a node that runs is not restored" 75 'stop it' at n1 ocf-sync restore one.backup
if [ "$(id -u)" -eq 0 ]; then
	chmod 711 "$TMP" "$TMP/n1" "$TMP/n1/run" "$TMP/n1/run/ocf"
	mkdir -m 777 "$TMP/theirs"
	fails "who may not use the socket gets none" 77 'group' setpriv --reuid 65534 --regid 65534 \
		--clear-groups env PATH="$PATH" ocf backup --socket "$(node_field n1 socket)" theirs/b
	is "and nothing is left of it" "$(ls -A theirs)" ""
	chmod 700 "$TMP" "$TMP/n1/run"
fi

# ---- life goes on; then the disk is lost

worker_stop goes
worker_start n1 later --service sort -- sort
worker_start n1 latest --service tac -- tac
worker_start n2 new --service uniq -- uniq
ok "all see what came later" wait_until "$CLUSTER_SECONDS" workers_are \
	"later latest new other stays"
node_kill n1
worker_kill stays
worker_kill later
worker_kill latest
cp -a "$data" "$TMP/lost"
rm -rf "$data"

# ---- what is no good

no_good() { # SENTENCE REGEX
	fails "$1" 1 "$2" at n1 ocf-sync restore bad.backup
	is "… in one line" "$(wc -l <"$TMP/run.err" | tr -d ' ')$out" 1
	is "… and nothing is made" "$(find "$data" 2>/dev/null)" ""
}
head -c 20000 one.backup >bad.backup
no_good "a backup that was cut short is refused" 'damaged or was cut short'
head -c 3 one.backup >bad.backup
no_good "one that was cut at once" 'not a backup'
: >bad.backup
no_good "an empty file" 'not a backup'
echo "this is none, however long the line is that says so" >bad.backup
no_good "a text" 'not a backup'
sed '1s/ocf-backup 1/ocf-backup 2/' one.backup >bad.backup
no_good "one of a newer version" 'newer version'
cp one.backup bad.backup
printf '\377' | dd of=bad.backup bs=1 seek=9000 conv=notrunc status=none
no_good "one of which a byte is another" 'damaged'
cp keyless.backup bad.backup
no_good "one without keys, where there are none" 'no-keys.*keys first'
fails "a file that is not there" 74 'No such file' at n1 ocf-sync restore none.backup
fails "a folder" 74 'is a folder' at n1 ocf-sync restore "$TMP"
fails "standard input" 2 'from a file' at n1 ocf-sync restore -

# ---- restored

run at n1 ocf-sync restore one.backup
like "the node is restored" "$status $out" "^0 $data: node $id, [0-9]+ rows, a new actor" ||
	diag "$err"
like "it says what comes next" "$out" "start the node with 'ocfd', on this machine only"
run at n1 ocf-sync verify
is "its store is sound" "$status" 0 || diag "$out$err"
is "it has the same identity" "$(cmp "$data/keys/node.key" "$TMP/lost/keys/node.key" &&
	cmp "$data/keys/ca.key" "$TMP/lost/keys/ca.key" && stat -c %a "$data/keys/node.key")" 600
node_start n1
is "it runs under another actor" \
	"$(at n1 ocf status --json | jq -r --arg was "$actor" '.node.id + " " + (.node.actor != $was | tostring)')" \
	"$id true"
worker_start n1 stays --service wc -- wc -w
worker_start n1 latest --service tac -- tac
ok "all hold one table, with the workers that returned and no other" wait_until 60 workers_are \
	"latest new other stays" || diag "n1: $(ids n1); n2: $(ids n2); n3: $(ids n3)"
for node in n1 n2 n3; do
	run at "$node" ocf query tac --data abc
	is "asked at $node, one of them answers" "$status $out" "0 abc" || diag "$err"
	run at "$node" ocf-sync verify
	is "the store of $node is sound" "$status" 0 || diag "$out$err"
done
worker_start n1 after --service rev -- rev
ok "what it writes now is seen" wait_until "$CLUSTER_SECONDS" workers_are \
	"after latest new other stays"
worker_stop after
ok "and what it removes is gone" wait_until "$CLUSTER_SECONDS" workers_are \
	"latest new other stays"
unlike "no node took it for another machine's" "$(cat "$TMP"/n?/log)" 'same identity'

# ---- what is in the way

worker_kill stays
worker_kill latest
node_stop n1
fails "a store that is there is not overwritten" 1 'there is a store.*--force' \
	at n1 ocf-sync restore one.backup
root=$(at n1 ocf-sync root)
head -c 20000 one.backup >bad.backup
fails "--force does not make a bad backup good" 1 'damaged' at n1 ocf-sync restore --force bad.backup
is "… and the store is where it was" "$(at n1 ocf-sync root)" "$root"
is "… and nothing beside it" "$(ls -d "$data"/*old* "$data"/*restoring* 2>/dev/null)" ""
run at n1 ocf-sync restore --force --json keyless.backup
old=$(jq -r .old_store <<<"$out")
is "--force moves it aside, also for a backup without keys" \
	"$status $(jq -r '[.data, .node, .old_keys] | tostring' <<<"$out")" \
	"0 [\"$data\",\"$id\",null]" || diag "$err"
mkdir "$TMP/aside"
mv "$old" "$TMP/aside/store"
cp -a "$data/keys" "$TMP/aside/keys"
is "where it is whole" "$(ocf-sync root --data "$TMP/aside")" "$root"

run at n2 ocf backup n2.backup
is "another node is backed up" "$status" 0 || diag "$err"
rm -r "$data/store"
fails "its backup is not for these keys" 1 \
	"backup of the node $(node_id n2), and the keys in .* are of $id: --force" \
	at n1 ocf-sync restore --data "$data" n2.backup
is "… and the keys are what they were" \
	"$(cmp "$data/keys/node.key" "$TMP/aside/keys/node.key" && echo same)" same
run at n1 ocf-sync restore --force --data "$data" --json n2.backup
is "--force moves them aside, too" "$status $(jq -r .node <<<"$out")" "0 $(node_id n2)" || diag "$err"
is "where they are whole" \
	"$(cmp "$(jq -r .old_keys <<<"$out")/ca.key" "$TMP/aside/keys/ca.key" && echo same)" same
cluster_done
