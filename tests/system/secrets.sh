#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keys and secrets: files that others can read are refused, and neither logs, metrics, what
# HTTP shows, run.json nor a command line holds a byte of them.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
data=$TMP/n1/state/ocf
node_start n1 --log.level=debug
at n1 ocf invite >/dev/null 2>&1

# ---- modes

modes() { find "$data/$1" -printf '%m %P\n' | sort -k 2 | tr '\n' ';'; }
is "keys are the owner's alone" "$(modes keys)" "700 ;644 ca.crt;600 ca.key;644 node.crt;600 node.key;"
is "and so are invitations" "$(modes invites)" "600 ;"
is "and what the bus is told" "$(find "$data" -name 'nats*.conf' -printf '%m')" 600
others=$(find "$data" -type f ! -path '*/jetstream/*' -perm /077 -printf '%P ' | tr ' ' '\n' | sort | xargs)
reachable=
for file in $others; do
	folder=$(dirname "$data/$file")
	[ "$(stat -c %a "$folder")" = 700 ] || reachable="$reachable $file"
done
is "others can reach no file but run.json and the lock" \
	"$(xargs -n1 <<<"$reachable" | grep -vxE 'run\.json|lock|.*\.pid' | xargs)" ""

# Each mode bit that lets somebody else read or write.
refused_key() { # FILE MODE
	chmod "$2" "$data/keys/$1"
	run at n1 ocfd "${CLUSTER_LISTEN[@]}"
	chmod 600 "$data/keys/$1"
	like "ocfd does not start with $1 of mode $2" "$status $err" "^(77|78) .*$1 can be read by others; run: chmod 600"
}
node_stop n1
refused_key node.key 640
refused_key node.key 602
refused_key ca.key 604
node_start n1 --log.level=debug
token=$(at n1 ocf invite --uses 2 2>/dev/null)
chmod 640 "$data/invites"
run at n1 ocf invite
like "ocf invite refuses a book that others can read" "$status $err" '^[1-9].*invites can be read by others; run: chmod 600'
node_folder guest
run at guest ocf join --name guest - <<<"$token"
is "nobody is let in by such a book" "$status" 1
chmod 600 "$data/invites"
printf 'me:%064d\n' 0 >"$TMP/tokens"
chmod 644 "$TMP/tokens"
run at n1 ocfd "${CLUSTER_LISTEN[@]}" --data "$TMP/elsewhere" --http.token_file "$TMP/tokens"
like "nor does ocfd take tokens for HTTP that others can read" "$status $err" '^[1-9]'

# ---- a life in which all of them are used

node_folder n2
at n2 ocf join --name n2 - <<<"$token" >"$TMP/join.out" 2>&1 || cluster_fail "n2 does not join" "$TMP/join.out"
node_start n2 --log.level=debug
wait_until "$CLUSTER_SECONDS" sees_nodes n1 2 || cluster_fail "not linked" "$TMP"/n?/log
worker_start n2 counter --service wc -- wc -w
run at n1 ocf query wc --data 'a b c'
is "a query is answered" "$out" 3
at n1 ocf backup "$TMP/backup" >/dev/null 2>&1
is "a backup with keys is the owner's alone" "$(stat -c %a "$TMP/backup")" 600
# One that is wrong, one that is used up, one in an argument.
node_folder n3
{
	at n3 ocf join --name n3 "${token}x"
	at n3 ocf join --name n3 - <<<"$token"
	rm -r "$TMP/n3"
	node_folder n3
	at n3 ocf join --name n3 - <<<"$token"
} >>"$TMP/join.out" 2>&1
curl -s "$(node_url n1)/v1/service/wc" -H 'Authorization: Bearer the-bearer-of-http' -d 'a b' >/dev/null

# ---- what is secret, in all the forms that it may take

hex_of() { od -An -v -tx1 | tr -d ' \n'; }
seed_of() { openssl pkey -in "$1" -outform DER | tail -c 32; }
{
	echo "${token: -40:30}" # the secret is in its text
	for file in n1/state/ocf/keys/node.key n1/state/ocf/keys/ca.key n2/state/ocf/keys/node.key; do
		grep -v -- ----- "$TMP/$file"
		seed_of "$TMP/$file" | hex_of
		echo
		seed_of "$TMP/$file" | base64
	done
	sed -nE 's/.*password: "?([^" ]{8,})"?.*/\1/p' "$(find "$data" -name nats-server.conf)"
	echo the-bearer-of-http
} | grep -v '^$' >"$TMP/secret"
ok "there is what to look for: a token, three keys, passwords of the bus" \
	test "$(wc -l <"$TMP/secret")" -ge 12
has_secret() { grep -qiFf "$TMP/secret" -- "$@"; }
is "no secret is a line that anything has" "$(awk 'length < 20 && !/bearer/' "$TMP/secret")" ""

# ---- where it must not be

for path in /metrics /v1/status /v1/nodes /v1/workers /v1/services /v1/peers /v1/dnt/table /v1/dnt/peers \
	/v1/dnt/stats /v1/health /healthz /readyz /openapi.yaml /api/v1/status/table; do
	for node in n1 n2; do
		curl -sg --unix-socket "$(node_field "$node" socket)" "http://localhost$path"
		curl -sg "$(node_url "$node")$path"
	done
done >"$TMP/http"
at n1 ocf-sync dump >"$TMP/dump"
ok "HTTP was asked for something" test "$(wc -c <"$TMP/http")" -gt 5000
ok "and the table" test "$(wc -c <"$TMP/dump")" -gt 500
ok "logs are at level debug" grep -q debug "$TMP/n1/log"
lines_of_commands() {
	for file in /proc/[0-9]*/cmdline; do
		tr '\0' ' ' <"$file"
		echo
	done 2>/dev/null
}
lines_of_commands >"$TMP/commands"
ok "no log has a secret" test "$(grep -ciFf "$TMP/secret" "$TMP"/n1/log "$TMP"/n2/log "$TMP"/worker-counter.log "$TMP/join.out" | cut -d: -f2 | xargs)" = "0 0 0 0"
ok "nor has anything that HTTP shows" eval '! has_secret "$TMP/http"'
ok "nor a dump of the table" eval '! has_secret "$TMP/dump"'
ok "nor run.json" eval '! has_secret "$data/run.json" "$TMP/n2/state/ocf/run.json"'
ok "nor a command line" eval '! has_secret "$TMP/commands"'

# A token in an argument is overwritten as soon as it was read. The inviter stands still, so
# that the joiner waits.
node_folder n4
kill -STOP "${NODE_PID[n1]}"
at_background n4 "$TMP/n4/log" ocf join --name n4 "$token"
joiner=$!
is_overwritten() { tr '\0' ' ' <"/proc/$joiner/cmdline" | grep -qF 'xxxx'; }
ok "a token in an argument is overwritten" wait_until 4 is_overwritten
lines_of_commands >"$TMP/commands"
ok "and is in no command line then" eval '! has_secret "$TMP/commands"'
kill "$joiner"
wait "$joiner" 2>/dev/null
kill -CONT "${NODE_PID[n1]}"

# ---- the controls: it is found where it is

ok "a secret is found where it is: a key" has_secret "$data/keys/node.key"
ok "a secret is found where it is: a token" has_secret - <<<"$token"
(exec -a "ocf $token" tail -f /dev/null) >/dev/null &
shown=$!
is_shown() { lines_of_commands | has_secret -; }
ok "a secret is found where it is: a command line" wait_until 5 is_shown
kill "$shown"
cluster_done
