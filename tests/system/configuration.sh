#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a wrong configuration or a wrong surrounding gets: one line that says what is wrong,
# where, and what to do, and the exit status for it.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
file=$TMP/n1/config/ocf/ocf.conf

# The line that says why: the last of level error, or the last of all.
reason() {
	grep -E '^[^ ]+ error ' <<<"$err" | tail -n 1 | grep . || tail -n 1 <<<"$err"
}

# ocfd must end by itself, with a status, and say one line that matches.
refused() { # SENTENCE STATUS REGEX ARG… of ocfd
	local sentence=$1 wanted=$2 regex=$3
	shift 3
	run timeout 30 env XDG_CONFIG_HOME="$TMP/n1/config" XDG_STATE_HOME="$TMP/n1/state" \
		XDG_RUNTIME_DIR="$TMP/n1/run" ocfd "$@"
	is "$sentence: exit $wanted" "$status" "$wanted" || diag "$err"
	like "$sentence: the reason is said" "$(reason)" "$regex"
}
# The same, for what is found before anything is started: nothing but that line.
wrong() {
	refused "$@"
	is "$1: in one line" "$(wc -l <<<"$err")" 1
}

printf '[http]\nlisen = 127.0.0.1:0\n' >"$file"
wrong "an unknown key" 78 "$file:2.*http\.lisen.*http\.listen" --check-config
printf '[htp]\nlisten = 127.0.0.1:0\n' >"$file"
wrong "an unknown section" 78 "$file:2.*htp\.listen.*http\.listen" --check-config
printf '[http]\n\n; words\nmax_body = huge\n' >"$file"
wrong "a value that is no size" 78 "$file:4.*http\.max_body.*huge" --check-config
printf '[dispatch]\nqueue_max = 0\n' >"$file"
wrong "a value out of range" 78 "$file:2.*dispatch\.queue_max" --check-config
printf '[node]\nname = %s\n' "$(head -c 300 /dev/zero | tr '\0' x)" >"$file"
wrong "a line too long" 78 "$file:2.*199" --check-config
printf 'listen = 127.0.0.1:0\n' >"$file"
wrong "a key in no section" 78 "$file:1: 'listen' stands in front of the first" --check-config
rm "$file"
wrong "an unknown option" 78 'http\.lisen.*http\.listen' --http.lisen=127.0.0.1:0
OCF_HTTP_LISEN=127.0.0.1:0 wrong "an unknown variable" 78 'OCF_HTTP_LISEN.*http\.listen|OCF_HTTP_LISEN.*OCF_HTTP_LISTEN' --check-config
OCF_FOO=1 wrong "a variable like no option" 78 'OCF_FOO.*ocfd --help'
wrong "an option like no other" 78 'frobnicate\.all.*ocfd --help' --frobnicate.all=1
wrong "a file that is not there" 78 "$TMP/none\.conf" --config "$TMP/none.conf"
wrong "a folder instead of a file" 78 "$TMP: Is a directory" --config "$TMP"
wrong "no address" 78 'peer\.listen.*nowhere' --peer.listen=nowhere

wrong "HTTP for everybody without tokens" 78 'http\.token_file|http\.public' --check-config \
	--http.listen=0.0.0.0:0
wrong "tokens that are not there" 78 "$TMP/no-tokens" --check-config --http.token_file="$TMP/no-tokens"

run at n1 ocfd --check-config
is "the defaults are valid" "$status" 0
printf '[http]\nlisten = none\n[node]\nlabels = a=b, c=d\n' >"$file"
run at n1 ocfd --print-config --sync.interval=2m
is "all options in force are printed" "$status $(wc -l <<<"$out")" \
	"0 $(ocfd --help | grep -cE '^ +--[a-z]+\.[a-z_]+=')"
like "as files and arguments say" "$out" $'node.labels=a=b,c=d\n.*http.listen=none\n.*sync.interval=120000ms\n'
hidden() { # SENTENCE COMMAND…: ocfd with a bus that needs a password
	run at n1 "${@:2}" --print-config
	is "$1 is printed without its password" "$(grep '^bus\.url' <<<"$out")" 'bus.url=nats://me:***@h:1'
	unlike "… which is nowhere else" "$out$err" hush
}
printf '[bus]\nurl = nats://me:hush@h:1\n' >"$file"
hidden "bus.url of a file" ocfd
rm "$file"
hidden "bus.url as an argument" ocfd --bus.url=nats://me:hush@h:1
hidden "bus.url in the environment" env OCF_BUS_URL=me:hush@h:1 ocfd
run at n1 ocfd --bus.url=hush@h --print-config
like "of a token nothing is printed" "$out" $'\nbus\.url=nats://\\*\\*\\*@h:4222\n'
unsaid() { # SENTENCE ARG…
	run at n1 ocfd "${@:2}"
	unlike "a password in $1 is not told with what is wrong" "$status $err" '^0|hush'
}
unsaid "an argument of its own" --bus.url nats://me:hush@h:1
unsaid "an argument without =" --bus.url:nats://me:hush@h
unsaid "an option that there is not" --bus.uri=nats://me:hush@h
printf '[http]\nlisten = nowhere\n' >"$file"
wrong "what is wrong is not printed" 78 "$file:2.*nowhere" --print-config
rm "$file"
run at n1 ocfd --frobnicate
is "an unknown argument is wrong usage" "$status" 2
run at n1 ocfd --version
like "--version" "$out" '^ocfd \(ocf\) [0-9]'
version=$out
run at n1 ocfd -V
is "-V is the same" "$out" "$version"
run at n1 ocfd -h
is "-h is --help" "$status $out" "0 $(ocfd --help)"

wrong_listen() { refused "$@" --peer.listen=127.0.0.1:0 --bus.listen=127.0.0.1:0; }
wrong_listen "HTTP for everybody without tokens" 78 'http\.token_file|http\.public' --http.listen=0.0.0.0:0
refused "a name that no row can hold" 78 'node cannot be described' "${CLUSTER_LISTEN[@]}" --node.name=$'a\tb'
refused "no nats-server" 78 'bus\.server.*nats-server' "${CLUSTER_LISTEN[@]}" --bus.server="$TMP/none/nats-server"

refused "a name that is not UTF-8" 78 'node cannot be described' "${CLUSTER_LISTEN[@]}" \
	--node.name=$'n\xff1'
refused "a label without a name" 78 'node cannot be described' "${CLUSTER_LISTEN[@]}" --node.labels==v
refused "more addresses than a node has" 78 'peer\.advertise.*9' "${CLUSTER_LISTEN[@]}" \
	--peer.advertise=a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1
refused "a data folder that is not UTF-8" 78 'UTF-8' "${CLUSTER_LISTEN[@]}" --data "$TMP"/$'d\xff'
# A node that has lost its store, and one that is somebody else's.
mv "$TMP/n1/state/ocf/store" "$TMP/n1/store"
refused "a store that is gone" 78 'restore a backup.*join again' "${CLUSTER_LISTEN[@]}"
mv "$TMP/n1/store" "$TMP/n1/state/ocf/store"
if [ "$(id -u)" -ne 0 ]; then # whom nothing is denied
	chmod 000 "$TMP/n1/state/ocf/keys"
	refused "keys that cannot be read" 77 'Permission denied' "${CLUSTER_LISTEN[@]}"
	chmod 700 "$TMP/n1/state/ocf/keys"
fi

# A node that was never made.
node_folder n9
run timeout 30 env XDG_CONFIG_HOME="$TMP/n9/config" XDG_STATE_HOME="$TMP/n9/state" \
	XDG_RUNTIME_DIR="$TMP/n9/run" ocfd "${CLUSTER_LISTEN[@]}"
is "ocfd without a cluster: exit 78" "$status" 78 || diag "$err"
like "it names the two ways to one" "$err" 'ocf init.*ocf join'

# A socket address has room for 107 bytes.
long=$TMP/$(head -c 100 /dev/zero | tr '\0' l)
mkdir -p "$long"
run timeout 30 env XDG_CONFIG_HOME="$TMP/n1/config" XDG_STATE_HOME="$TMP/n1/state" \
	XDG_RUNTIME_DIR="$long" ocfd "${CLUSTER_LISTEN[@]}"
is "a socket's path that is too long: exit 78" "$status" 78 || diag "$err"
like "it says how long it may be" "$err" 107

# Options of ocf may stand before the command; one that the command does not take is wrong.
run at n1 ocf --json --socket "$TMP/none.sock" status
is "options before the command are the command's" "$status" 69
run at n1 ocf --json invite
is "--json before a command that lists nothing: exit 2" "$status" 2
like "and why" "$err" '^ocf invite: --json is for commands that list'
run at n1 ocf --url http://localhost:1 init
is "--url before a command that asks no daemon: exit 2" "$status" 2

node_start n1
run at n1 ocf init
is "ocf init on a node that is made is refused" "$status" 1
refused "a second ocfd on the same data folder" 1 "another ocfd runs on .*--data" "${CLUSTER_LISTEN[@]}"
ok "the first one goes on" at n1 ocf status

# A port that somebody has.
node_folder n2
token=$(at n1 ocf invite 2>/dev/null)
run at n2 ocf join --name n2 "$token"
is "a second node joins" "$status" 0
taken=$(node_field n1 http)
for option in http.listen peer.listen bus.listen; do
	run timeout 30 env XDG_CONFIG_HOME="$TMP/n2/config" XDG_STATE_HOME="$TMP/n2/state" \
		XDG_RUNTIME_DIR="$TMP/n2/run" ocfd "${CLUSTER_LISTEN[@]}" --"$option=$taken"
	like "a taken port for $option: not a success, not a crash" "$status" '^(1|69|74|78)$' || diag "$err"
	like "the reason names the address" "$(reason)" "$taken"
	like "and the option to change" "$(reason)" "$option"
done
run at n2 ocf status
is "without a daemon, ocf exits 69" "$status" 69
like "and says how to start one" "$err" ocfd
cluster_done
