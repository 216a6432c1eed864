#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tokens in the wrong hands, at the wrong time, or mistyped: each is refused with a sentence
# that says why, leaves nothing behind, and uses nothing up. Those that are open can be listed
# and revoked. A token is a password: nothing shows it but its maker's standard output.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

HOUR_MS=3600000
DAY_MS=86400000
joiners=0

# A fresh folder for somebody who wants in: $joiner.
new_joiner() {
	joiner=j$((++joiners))
	node_folder "$joiner"
}
invite() { # [ARG… of `ocf invite`]: $token
	run at n1 ocf invite "$@"
	[ "$status" -eq 0 ] || cluster_fail "ocf invite $*: $err" "$TMP/n1/log"
	token=$out
}
uses_left() { # ID
	at n1 ocf invite --list --json | jq -r --arg id "$1" '.[] | select(.id == $id) | .uses_left'
}
id_of() { at n1 ocf invite --show "$1" | sed -n 's/^id  *//p'; } # TOKEN
state_of() { at n1 ocf invite --show "$1" | sed -n 's/^state  *//p'; }

# Try it, and judge all: exit status, sentence, what the inviting node says of it ("":
# nothing; it says five such things in ten seconds at most), and that no file is left.
misuse() { # WHAT STATUS SENTENCE LOGGED TEXT [VARIABLE=VALUE…]
	local what=$1 wanted=$2 sentence=$3 logged=$4 text=$5 before bad='' AT
	shift 5
	new_joiner
	before=$(wc -c <"$TMP/n1/log")
	said() { tail -c "+$((before + 1))" "$TMP/n1/log" | grep 'would join.*is refused: '; }
	logged_it() { [ -z "$logged" ] || [[ $(said) =~ $logged ]]; }
	at_words "$joiner"
	run env "$@" "${AT[@]}" ocf join --name "$joiner" "$text"
	[ "$status" -eq "$wanted" ] || bad="$bad; exit $status"
	[[ $err =~ $sentence ]] || bad="$bad; said: $err"
	wait_until 10 logged_it || bad="$bad; logged: $(said)"
	[ -n "$logged" ] || [ -z "$(said)" ] || bad="$bad; logged: $(said)"
	[ -z "$(find "$TMP/$joiner/state" -mindepth 1)" ] || bad="$bad; left: $(find "$TMP/$joiner/state")"
	is "$what: refused, and why" "$bad" ""
}

# A token with another body and a checksum that fits: from its byte AT on it is HEX. (Its
# secret begins at 34, the text of its first address at 60; see ident/token.h.)
forge() { # TOKEN AT HEX
	local digits=${1#ocf1-} hex body
	digits=${digits^^}
	while [ $((${#digits} % 8)) -ne 0 ]; do digits=$digits=; done
	hex=$(basenc --base32 -d <<<"$digits" | od -An -v -tx1 | tr -d ' \n')
	body=${hex:0:${#hex}-8}
	body=${body:0:$2*2}$3${body:$2*2+${#3}}
	hex=$body$(unhex "$body" | sha256sum | cut -c 1-8)
	printf 'ocf1-%s\n' "$(unhex "$hex" | basenc -w 0 --base32 | tr -d = | tr '[:upper:]' '[:lower:]')"
}
unhex() {
	local i
	for ((i = 0; i < ${#1}; i += 2)); do printf '%b' "\\x${1:i:2}"; done
}

# The cluster is some days old, so that a clock may be a day behind and no certificate too.
node_folder n1
OCF_TEST_CLOCK_MS=-$((10 * DAY_MS)) at n1 ocf init --name n1 >/dev/null || bail "ocf init"
node_start n1
invite --uses 500
good=$token
good_id=$(id_of "$good")
like "an invitation has an id" "$good_id" '^[0-9a-f]{8}$'

# ---- mistyped, or with words around it

m=60
while [ "${good:m:1}" = "${good:m+1:1}" ]; do m=$((m + 1)); done
a=${good:m:1}
b=${good:m+1:1}
other=q
[ "$a" != q ] || other=r
misuse "a letter is another" 1 "character $((m + 1)) should be '$a' and is '$other'" "" \
	"${good:0:m}$other${good:m+1}"
misuse "two have changed places" 1 "characters [0-9]+ and [0-9]+ have changed places" "" \
	"${good:0:m}$b$a${good:m+2}"
misuse "a letter is missing" 1 "behind its character [0-9]+ a '$a' is missing" "" "${good:0:m}${good:m+1}"
misuse "a letter is there twice" 1 "'$a', is one too many" "" "${good:0:m}$a${good:m}"
# What the rest looks like depends on its random bytes.
misuse "a line is missing in the middle" 1 'mistyped|cut off|behind the token' "" "${good:0:40}${good:70}"
misuse "its end is missing" 1 'cut off: it goes on behind its character 100' "" "${good:0:100}"
misuse "all but its beginning is missing" 1 'cut off' "" ocf1-
misuse "nothing is there" 1 "must begin with 'ocf1-'" "" ""
misuse "another word" 1 "must begin with 'ocf1-'" "" swordfish
misuse "words in front" 1 "other words in front" "" "your token: $good"
misuse "words behind" 1 "something behind the token" "" "$good see you"
misuse "two of them" 1 "something behind the token" "" "$good $good"
misuse "a digit that no token has" 1 "is it 'l'" "" "${good:0:m}1${good:m+1}"
misuse "of a later version of the token" 1 'another version of ocf' "" "ocf2-${good#ocf1-}"
misuse "of a later version inside" 1 'newer version of ocf' "" "$(forge "$good" 0 02)"
is "none of these used it up" "$(uses_left "$good_id")" 500

# ---- made up

misuse "a secret that nobody made" 1 'does not know the invitation' 'is refused: .*does not know' \
	"$(forge "$good" 40 0000000000)"
misuse "another cluster's at this node's address" 75 'not the cluster that the invitation was made for' "" \
	"$(forge "$good" 10 0000000000)"
misuse "a port where nobody is" 75 'refused.*no address of the invitation could be used' "" \
	"$(forge "$good" 70 3635353334)" # 65534, and not what the kernel picked
is "none of these used it up" "$(uses_left "$good_id")" 500

# ---- used, expired, revoked

invite
used=$token
new_joiner
first=$joiner
at "$first" ocf join --name "$first" "$used" >/dev/null 2>"$TMP/err" || bail "join: $(cat "$TMP/err")"
misuse "one that was used" 1 'was used already; ask for a new one' 'is refused: the invitation was used already' "$used"
is "which its maker can see" "$(state_of "$used")" "used up, 1 node came by it"
run at n1 ocf invite --revoke "$used"
is "there is nothing to revoke then" "$status" 1
like "and why" "$err" 'used up, and 1 node came by it'

invite --ttl 1s
expired=$token
expires() { [[ $(state_of "$expired") == expired* ]]; }
ok "one expires" wait_until "$CLUSTER_SECONDS" expires
misuse "one that expired" 1 "expired at .* this machine's clock says .*set the clock" "" "$expired"
misuse "one that expired, by the inviting node's clock alone" 1 "expired at .* inviting node's clock says" \
	'is refused: the invitation expired' "$expired" OCF_TEST_CLOCK_MS=-$HOUR_MS
run at n1 ocf invite --revoke "$expired"
is "there is nothing to revoke then" "$status" 1
like "and why" "$err" 'needs no revoking: it expired'

invite --uses 2
revoked=$token
new_joiner
at "$joiner" ocf join --name "$joiner" "$revoked" >/dev/null 2>&1 || bail "join"
run at n1 bash -c 'echo "$1" | ocf invite --revoke -' - "$revoked"
is "one can be revoked" "$status" 0 || diag "$err"
like "and its id is told" "$out" "^The invitation $(id_of "$revoked") is revoked"
like "and who came by it before" "$err" '1 node came by it before'
misuse "one that was revoked" 1 'was revoked at .*ask for a new one' 'is refused: the invitation was revoked' "$revoked"
like "which its maker can see" "$(state_of "$revoked")" '^revoked at .*, 1 node came by it$'
run at n1 ocf invite --revoke "$revoked"
is "nor is it revoked again" "$status" 1
like "and why" "$err" 'revoked already'

invite
lost_id=$(id_of "$token")
run at n1 ocf invite --revoke "$lost_id"
is "the id is enough to revoke one whose token is lost" "$status" 0 || diag "$err"
misuse "that token" 1 'was revoked' 'is refused: the invitation was revoked' "$token"
run at n1 ocf invite --revoke 0123456789abcdef
is "what nobody made cannot be revoked" "$status" 1
like "and why" "$err" 'does not know the invitation'
run at n1 ocf invite --revoke "$(forge "$good" 40 0000000000)"
like "but where it may be revoked is told" "$err" "node that made it is reached at: $(node_field n1 peer)"
run at n1 ocf invite --revoke "${good:0:m}$other${good:m+1}"
like "nor what is mistyped" "$err" 'should be'
node_start "$first"
run at "$first" ocf invite --revoke "$good"
is "nor on another node" "$status" 1
node_stop "$first"

# ---- listed

run at n1 ocf invite --list
like "those that are open are listed" "$out" "$good_id +node +500 +0 "
is "and no others" "$(wc -l <<<"$out")" 2
run at n1 ocf invite --list --json
is "also as JSON" "$(jq -c '[.[] | [.id, .state, .uses_left, .admin]]' <<<"$out")" "[[\"$good_id\",\"open\",500,false]]"
run at n1 ocf invite --list --uses 2
is "to list is not to make" "$status" 2
run at "$first" ocf invite --list
is "without a node there is no list" "$status" 69
run at "$first" ocf invite --show "$good"
is "but a token shows what it holds" "$status" 0
unlike "and not what became of it" "$out" '^state'

# ---- two at once

invite
new_joiner
one=$joiner
new_joiner
two=$joiner
at_background "$one" "$TMP/one.log" ocf join --name "$one" "$token"
pid1=$!
at_background "$two" "$TMP/two.log" ocf join --name "$two" "$token"
pid2=$!
program_wait one "$pid1"
program_wait two "$pid2"
is "of two who use one at once, one comes in" \
	"$(printf '%s\n' "${PROGRAM_STATUS[one]}" "${PROGRAM_STATUS[two]}" | sort | tr '\n' ' ')" "0 1 "
unset "PROGRAM_STATUS[one]" "PROGRAM_STATUS[two]"

# ---- made admin by hand

new_joiner
run at "$joiner" ocf join --name "$joiner" "$(forge "$good" 1 01)"
is "one that was made an admin's by hand lets a node in" "$status" 0 || diag "$err"
ok "without the CA key" test ! -e "$TMP/$joiner/state/ocf/ca.key"
is "as any other" "$(uses_left "$good_id")" 499

# ---- through a chat window

new_joiner
run at "$joiner" bash -c 'printf "> \"%s\n> %s\"\n" "${2:0:50}" "${2:50}" | ocf join --name "$1" -' - "$joiner" "$good"
is "quotes and a line's end do no harm" "$status" 0 || diag "$err"
new_joiner
run at "$joiner" ocf join --name "$joiner" "${good^^}"
is "nor does upper case" "$status" 0 || diag "$err"

# ---- clocks

new_joiner
OCF_TEST_CLOCK_MS=-$HOUR_MS run at "$joiner" ocf join --name "$joiner" "$good"
is "a machine whose clock is an hour behind joins" "$status" 0
like "and is told" "$err" "clock is (1 h|1 h 0 min|60 min|59 min.*) behind that of the inviting node.*exchange no rows"
new_joiner
OCF_TEST_CLOCK_MS=$HOUR_MS run at "$joiner" ocf join --name "$joiner" "$good"
is "one whose clock is an hour ahead, too" "$status" 0
like "and is told" "$err" "ahead of that of the inviting node"
new_joiner
OCF_TEST_CLOCK_MS=-$((2 * DAY_MS)) run at "$joiner" ocf join --name "$joiner" "$good"
is "one whose clock is two days behind, too" "$status" 0
like "and is told" "$err" "behind .*before that ocfd does not start"
OCF_TEST_CLOCK_MS=-$((2 * DAY_MS)) run at "$joiner" timeout 20 ocfd "${CLUSTER_LISTEN[@]}"
is "which is so" "$status" 78
like "and why" "$err" "not valid yet; check the clock of this machine"
new_joiner
run at "$joiner" ocf join --name "$joiner" "$good"
is "with a right clock nothing is said of it" "$status $err" "0 ocf: $(node_field n1 peer) answered"
left=$(uses_left "$good_id")
misuse "a clock far behind that of the cluster" 75 'not valid yet; check the clock' "" "$good" \
	OCF_TEST_CLOCK_MS=-$((20 * DAY_MS))
is "which uses nothing up" "$(uses_left "$good_id")" "$left"
node_stop n1
OCF_TEST_CLOCK_MS=-$HOUR_MS node_start n1
invite --ttl 30m
misuse "one whose maker's clock is an hour behind, and good for less" 1 "expired at .*this machine's clock says" "" "$token"
invite
new_joiner
run at "$joiner" ocf join --name "$joiner" "$token"
is "one that is good for a day lets in" "$status" 0
like "and tells of the clocks" "$err" "ahead of that of the inviting node"

# ---- it is shown nowhere

kill -STOP "${NODE_PID[n1]}"
new_joiner
at_background "$joiner" "$TMP/wait.log" ocf join --name "$joiner" "$token"
pid=$!
words() { tr '\0' ' ' <"/proc/$pid/cmdline"; }
hides() { [[ $(words) == *"ocf join --name $joiner xxxxx"* ]]; }
ok "while it joins, the command line shows no token" wait_until 4 hides
unlike "nothing of it" "$(words)" "${token:0:12}"
kill -CONT "${NODE_PID[n1]}"
program_wait waiting "$pid"
unset "PROGRAM_STATUS[waiting]"
secrets=$(grep -rlaF -e "${token#ocf1-}" -e "${good#ocf1-}" "$TMP"/n1 "$TMP"/j*/state "$TMP"/*.log)
is "no log and no data folder holds a token" "$secrets" ""
is "the book is the owner's alone" "$(stat -c %a "$TMP/n1/state/ocf/invites")" 600
cluster_done
