#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ocf doctor on real nodes: a healthy cluster has no problem; then one trouble after the other is
# made, and is named with its remedy. A full disk is in disk.sh; what cannot be made here (another
# user's socket, a network file system) is judged in tests/unit/test-cli-doctor.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

YEAR=31557600000 # ms
DOCTOR_SECONDS_MAX=10

# What the doctor says of a check, all its lines: "state text -> remedy".
doctor_says() { # NODE CHECK
	at "$1" ocf doctor --json |
		jq -r --arg check "$2" '.[] | select(.check == $check) | "\(.state) \(.text) -> \(.remedy)"'
}
# It must name the trouble, and exit with the status for it.
doctor_names() { # SENTENCE NODE STATUS CHECK REGEX
	run at "$2" ocf doctor
	is "$1: exit $3" "$status" "$3" || diag "$out"
	like "$1: it is named with its remedy" "$(doctor_says "$2" "$4")" "$5" || diag "$out"
}
says_so() { # NODE CHECK REGEX
	[[ "$(doctor_says "$1" "$2")" =~ $3 ]]
}

# ---- nothing there yet

node_folder n3
doctor_names "no node" n3 1 daemon 'problem there is no node in .*n3/state/ocf yet -> ocf init .*ocf join -'
run at n3 ocf doctor --socket "$TMP/none.sock"
is "a socket at which nobody is, and nothing else to look at: exit 69" "$status" 69
run at n3 ocf doctor --url http://127.0.0.1:1
is "the doctor does not go over a URL: exit 77" "$status" 77

# ---- two nodes that are well

cluster_start 2
for node in n1 n2; do
	run at "$node" ocf doctor
	is "$node is well: exit 0" "$status" 0
	is "$node has no problem" "$(grep '^problem' <<<"$out")" "" || diag "$out"
	diag <<<"$out"
	is "each check of $node has its line" \
		"$(awk '/^[a-z]/ { print $2 }' <<<"$out" | sort -u | wc -l)" 19
done
run at n1 ocf doctor --json
is "the checks are an array with four members each" \
	"$(jq -r '[.[] | keys | join(" ")] | unique | join("; ")' <<<"$out")" "check remedy state text"
is "their states are the four" \
	"$(jq -r '[.[].state] | unique - ["ok", "warning", "problem", "unknown"] | length' <<<"$out")" 0
like "links are counted" "$(doctor_says n1 links)$(doctor_says n2 links)" '1 of 1 other node is linked'
like "one of the two was dialled" "$(doctor_says n1 inbound)$(doctor_says n2 inbound)" 'ok others reach this node: they dialled it 1 time'
like "the bus has its version" "$(doctor_says n1 bus)" 'ok nats-server 2\.[0-9.]+ at 127\.0\.0\.1:[0-9]+, up'
like "the certificate's end is told" "$(doctor_says n1 certificates)" 'ok valid: node\.crt until 20[0-9-]+, ca\.crt until 20'
like "clock skew is in /v1/peers" "$(at n1 ocf peers --json | jq '.[0].clock_skew_ms')" '^-?[0-9]+$'
# It looks, and that is all.
ls -lR --time-style=full-iso "$TMP/n1/state/ocf/keys" "$TMP/n1/config" >"$TMP/before"
lines=$(wc -l <"$TMP/n1/log")
run at n1 ocf doctor
ls -lR --time-style=full-iso "$TMP/n1/state/ocf/keys" "$TMP/n1/config" >"$TMP/after"
ok "nothing is changed by it" cmp "$TMP/before" "$TMP/after"
is "nor does the node log anything" "$(wc -l <"$TMP/n1/log")" "$lines" || tail -n 3 "$TMP/n1/log" | diag
is "secrets are not printed" "$(grep -c -e PRIVATE -e "$(sed -n 2p "$TMP/n1/state/ocf/keys/node.key")" <<<"$out")" 0

# The daemon looks in another folder for its socket than ocf does.
run env XDG_CONFIG_HOME="$TMP/n1/config" XDG_STATE_HOME="$TMP/n1/state" ocf doctor --json
like "a daemon at another socket is found" "$(jq -r '.[0] | .state + .remedy' <<<"$out")" "warning.*OCF_SOCKET=$TMP/n1/run/ocf/ocfd.sock"

# ---- the other one stops answering

kill -STOP "${NODE_PID[n2]}"
since=$SECONDS
run at n2 ocf doctor
took=$((SECONDS - since))
ok "a daemon that hangs holds the doctor up for $DOCTOR_SECONDS_MAX s at most" \
	test "$took" -le $((DOCTOR_SECONDS_MAX * ${OCF_TEST_PATIENCE:-1}))
doctor_names "a stopped daemon" n2 1 daemon "problem ocfd \(pid ${NODE_PID[n2]}\) was stopped .*-> kill -CONT ${NODE_PID[n2]}"
ok "the other node misses it" wait_until "$CLUSTER_SECONDS" says_so n1 nodes 'n2 \(dead, last seen'
doctor_names "a lost node" n1 1 nodes 'warning 1 of 2 nodes does not answer: n2 .*-> start ocfd there.*ocf forget'
like "and is cut off" "$(doctor_says n1 links)" 'problem this node is cut off'
kill -CONT "${NODE_PID[n2]}"
node_kill n2
ok "why a dial fails is told" wait_until "$CLUSTER_SECONDS" says_so n1 nodes 'n2 \(dead.*efused'
like "and what to look at" "$(doctor_says n1 links)" 'efused.* -> is ocfd up there'
doctor_names "a daemon that was killed" n2 1 daemon 'problem ocfd does not run: it \(pid [0-9]+\) was killed.*-> start it: ocfd; why it ended'

# ---- without a daemon

node_start n2
node_stop n2
doctor_names "a daemon that is not started" n2 1 daemon 'problem ocfd does not run: nobody listens at .*-> start it: ocfd'

file=$TMP/n2/config/ocf/ocf.conf
printf '[http]\nlisen = 127.0.0.1:0\n' >"$file"
doctor_names "a mistake in the configuration" n2 1 configuration "problem $file:2: .*http\.listen.*-> mend that.*--check-config"
taken=$(node_field n1 http)
printf '[http]\nlisten = %s\n' "$taken" >"$file"
doctor_names "a port that somebody has" n2 1 ports "problem http\.listen $taken is in use by ocfd \(pid ${NODE_PID[n1]}\) -> .*set http\.listen"
printf '[peer]\nlisten = 192.0.2.1:80\n' >"$file"
like "an address of no interface" "$(doctor_says n2 ports)" 'problem peer\.listen 192\.0\.2\.1:80: this machine has no such address'
printf '[bus]\nserver = %s/none/nats-server\n' "$TMP" >"$file"
doctor_names "no nats-server" n2 1 bus 'problem bus\.server: .*none/nats-server is not a program.*-> .*ocf\.conf'
# Also where the folder that it is started in has a program of that name.
printf '#!/bin/sh\ntouch "%s/was-run"\n' "$TMP" >"$TMP/none"
chmod 755 "$TMP/none"
printf '[bus]\nserver = none\n' >"$file"
(cd "$TMP" && at n2 ocf doctor >"$TMP/out" 2>&1)
ok "no program is run for a node without a bus" test ! -e "$TMP/was-run"
rm "$TMP/none"
printf '[bus]\nurl = nats://me:geheim@127.0.0.1:1\n' >"$file"
run at n2 ocf doctor
like "a bus of one's own is named" "$out" 'bus at 127\.0\.0\.1:1'
is "without its password" "$(grep -c geheim <<<"$out$err")" 0
rm "$file"

keys=$TMP/n2/state/ocf/keys
chmod 644 "$keys/node.key"
doctor_names "a key that others can read" n2 1 keys "problem $keys/node\.key can be read by others \(mode 0644\).* -> chmod 600 '$keys/node\.key'"
chmod 600 "$keys/node.key"
chmod 777 "$TMP/n2/state/ocf"
doctor_names "a folder that others can write" n2 1 folder "problem others may write .*-> chmod 750"
chmod 750 "$TMP/n2/state/ocf"
mv "$keys/node.crt" "$TMP/node.crt"
cp "$TMP/n1/state/ocf/keys/node.crt" "$keys/node.crt"
doctor_names "a certificate of another key" n2 1 keys 'problem .*another key -> ocf-sync restore'
mv "$TMP/node.crt" "$keys/node.crt"

OCF_TEST_CLOCK_MS=$((10 * YEAR - 20 * 86400000)) run at n2 ocf doctor
like "a certificate near its end" "$out" 'warning +certificates +node\.crt expires on 20[0-9-]+, in (19|20) days.*ocf join TOKEN'
OCF_TEST_CLOCK_MS=$((11 * YEAR)) run at n2 ocf doctor
like "one that has expired" "$out" 'problem +certificates +node\.crt has expired'
OCF_TEST_CLOCK_MS=-$((5 * 86400000)) run at n2 ocf doctor
like "one that is not valid yet is the clock's fault" "$out" 'problem +certificates +node\.crt is not valid before .*it is behind.*set-ntp'

# ---- a clock that is an hour ahead, and few open files

at_background n2 "$TMP/n2/log" bash -c "ulimit -n 512; exec env OCF_TEST_CLOCK_MS=3600000 ocfd ${CLUSTER_LISTEN[*]}"
NODE_PID[n2]=$!
wait_until "$CLUSTER_SECONDS" node_is_ready n2 || cluster_fail "ocfd of n2 is not ready" "$TMP/n2/log"
ok "n2 sees that the clocks differ" wait_until "$CLUSTER_SECONDS" says_so n2 clock 'no rows are exchanged'
doctor_names "a clock that is an hour ahead" n2 1 clock 'problem no rows .*1 of 1 links: the clock of n1 is (1 h|60 min|59 min)[^;]* behind ours -> .*set-ntp'
like "the other one sees it, too" "$(doctor_says n1 clock)" 'problem .*clock of n2 is .* ahead of ours'
like "a low limit of open files" "$(doctor_says n2 files)" 'warning ocfd may have 512 files open.*-> ulimit -Hn 8192'
node_stop n2

# ---- a name that JSON cannot hold

named=$(printf '%s/caf\xe9.conf' "$TMP")
: >"$named"
node_start n2 --config "$named"
says_ok() { at n2 ocf doctor --json | jq -e 'any(.[]; .check == "daemon" and .state == "ok")'; }
ok "a configuration whose name is not UTF-8 does no harm" says_ok
ok "to the daemon either" at n2 ocf status
node_stop n2
cluster_done
