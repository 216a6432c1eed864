#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Nobody else gets in, one row for each way to try: what the other side saw, what the node's
# log said, how long it took. What a member may not say once it is greeted stands in
# members.sh, what tokens are good for in invitation.sh, floods in strangers.sh.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

trap '' PIPE # whoever is refused while it still speaks
HANDSHAKE_MS=5000 JOIN_MS=5000 HELLO_MS=10000 # the limits that are shown
SOON_MS=$((3000 * ${OCF_TEST_PATIENCE:-1}))   # for anything that waits for no limit

node_init n1
node_start n1
peer=$(node_field n1 peer)
log=$TMP/n1/log
members=11
for i in $(seq "$members"); do node_join "m$i" n1; done
node_init other # another cluster
other=$TMP/other/state/ocf/keys
mkdir "$TMP/self"
openssl req -x509 -newkey ed25519 -nodes -subj /CN=nobody -days 30 \
	-keyout "$TMP/self/key" -out "$TMP/self/crt" 2>/dev/null || bail "openssl makes no certificate"
mkfifo "$TMP/hold" # an input that neither says anything nor ends
exec 9<>"$TMP/hold"

# ---- how it is tried; each prints what it saw

now_ms() { echo $(($(date +%s%N) / 1000000)); }
# What comes back over a plain socket, in hex, until the other side closes.
plain() { # COMMAND ARG…: prints what is said
	local fd
	exec {fd}<>"/dev/tcp/${peer%:*}/${peer##*:}" || return
	{ "$@" >&"$fd"; } 2>/dev/null
	timeout 30 od -An -v -tx1 <&"$fd" 2>/dev/null
	[ $? -ne 124 ] && echo closed # or reset
	exec {fd}>&-
}
http_get() { printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'; }
random_bytes() { head -c 2000 /dev/urandom; }
nothing() { :; }
dripping() { # HEX: one byte a second
	local byte
	for byte in $1; do
		printf '%b' "\\x$byte" || return
		sleep 1
	done 2>/dev/null
}
# The beginning of a ClientHello, and it never ends.
slow_hello() { dripping '16 03 01 02 00 01 00 01 fc 03 03 aa aa aa aa'; }
# OpenSSL as a client that trusts whom it finds.
tls() { # ARG…
	timeout 30 openssl s_client -connect "$peer" -quiet "$@" 2>&1 <"$TMP/hold"
	[ $? -ne 124 ] && echo closed
}
tls_says() { # ALPN COMMAND ARG…: prints what is said
	local alpn=$1 fifo=$TMP/says.$BASHPID in
	shift
	mkfifo "$fifo"
	exec {in}<>"$fifo" # so that it does not end
	"$@" >&"$in" &
	timeout 30 openssl s_client -connect "$peer" -quiet -alpn "$alpn" 2>&1 <"$fifo" | tr -d '\0'
	[ "${PIPESTATUS[0]}" -ne 124 ] && echo closed
	exec {in}>&-
	kill $! 2>/dev/null
	wait $!
	rm "$fifo"
}
# A member and its HELLO; what it is told in words.
# shellcheck disable=SC2001 # pairs of digits
text_of() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }
member() { # DATA-NODE ARG… of tests/lib/member, from its fourth
	local node=$1 type flags payload
	shift
	timeout 30 "$OCF_TEST_BUILDDIR/tests/lib/member" "$TMP/$node/state/ocf" "$peer" 0 "$@" \
		<"$TMP/hold" 2>&1 |
		while read -r type flags payload; do
			case $type in
			1) echo HELLO ;;
			5) echo "GOODBYE: $(text_of "${payload:2}")" ;;
			closed | member:) echo "$type $flags $payload" ;;
			esac
		done
}
member_id() { openssl pkey -in "$TMP/$1/state/ocf/keys/node.key" -pubout -outform DER | tail -c 32 | sha256sum | head -c 32; }
join_with() { # TOKEN
	node_folder guest
	at guest ocf join --name guest - <<<"$1" 2>&1
	echo "exit $?"
}

# ---- what came of it

# Try it, and keep beside what it saw how long it took.
try() { # FILE COMMAND ARG…
	local file=$1 since
	shift
	since=$(now_ms)
	"$@" >"$file" 2>&1 </dev/null
	echo $(($(now_ms) - since)) >"$file.ms"
}

says_since() { # LINE REGEX: so the log says behind that line
	tail -n "+$1" "$log" | grep -qE "$2"
}
judge() { # NAME FILE LINE MIN-MS MAX-MS SAW LOG: regexes
	local ms
	ms=$(cat "$2.ms")
	like "$1: the other side sees it" "$(cat "$2")" "$6"
	ok "$1: the log says why" wait_until 5 says_since "$3" "$7" || tail -n "+$3" "$log" | diag
	if [ "$ms" -ge "$4" ] && [ "$ms" -le "$5" ]; then
		pass "$1: it takes no longer than it may"
	else
		fail "$1: it takes $ms ms, and should $4 to $5"
	fi
}

row_number=0
row() { # NAME SAW LOG COMMAND ARG…: it is refused at once
	local name=$1 saw=$2 said=$3 line
	shift 3
	row_number=$((row_number + 1))
	line=$(($(wc -l <"$log") + 1))
	try "$TMP/row.$row_number" "$@"
	judge "$name" "$TMP/row.$row_number" "$line" 0 "$SOON_MS" "$saw" "$said"
}

# One that is refused when a time is over; all of them wait beside the other rows.
late_rows=()
late() { # NAME MS SAW LOG COMMAND ARG…
	local file
	file=$TMP/late.${#late_rows[@]}
	late_rows+=("$1" "$2" "$3" "$4" "$file" $(($(wc -l <"$log") + 1)))
	shift 4
	try "$file" "$@" &
	late_pids+=($!)
}
late_pids=()
late_judge() {
	local i
	wait "${late_pids[@]}"
	for ((i = 0; i < ${#late_rows[@]}; i += 6)); do
		judge "${late_rows[i]}" "${late_rows[i + 4]}" "${late_rows[i + 5]}" \
			$((late_rows[i + 1] - 100)) $((late_rows[i + 1] + SOON_MS)) \
			"${late_rows[i + 2]}" "${late_rows[i + 3]}"
	done
}

from='127\.0\.0\.1:[0-9]+ is refused: '
from_member='node [0-9a-f]{32} at 127\.0\.0\.1:[0-9]+ is refused: '
joiner='would join from 127\.0\.0\.1:[0-9]+ is refused: '

# ---- the rows

late 'a connection that says nothing' $HANDSHAKE_MS '^closed$' \
	"${from}.*did not finish the TLS handshake in time" plain nothing
late 'a TLS client that says a byte a second' $HANDSHAKE_MS '^closed$' \
	"${from}.*did not finish the TLS handshake in time" plain slow_hello
late 'a member that never greets' $HELLO_MS 'GOODBYE: no HELLO within 10 s' \
	"${from_member}no HELLO within 10 s" member m1 times=0
late 'a joiner that says a byte a second' $JOIN_MS 'did not come in time.*closed' \
	"${joiner}the request did not come in time" \
	tls_says ocf-join/1 dripping '00 00 00 ff 01 01 01 01 01 01 01 01'
late 'a joiner that says nothing' $JOIN_MS 'did not come in time.*closed' \
	"${joiner}the request did not come in time" tls_says ocf-join/1 nothing

# TLS alerts, RFC 8446, 6.2: 70 protocol_version, 116 certificate_required, 48 unknown_ca, 120
# no_application_protocol.
alert_plain='^( 15 03 0[13] 00 02 02 [0-9a-f]{2}.)?closed$'
row 'an HTTP client' "$alert_plain" "${from}the other side does not speak TLS 1\.3" plain http_get
row 'random bytes' "$alert_plain" "${from}" plain random_bytes
row 'TLS 1.2' 'alert number 70.*closed' "${from}the other side does not speak TLS 1\.3" \
	tls -tls1_2 -alpn ocf/1
row 'TLS without a certificate' 'alert number 116.*closed' \
	"${from}the other side showed no certificate" tls -alpn ocf/1
row 'TLS with a self-signed certificate' 'alert number [0-9]+.*closed' \
	"${from}the other side's certificate is refused" \
	tls -alpn ocf/1 -cert "$TMP/self/crt" -key "$TMP/self/key"
row "TLS with another cluster's certificate" 'alert number 48.*closed' \
	"${from}the other side's certificate is refused" \
	tls -alpn ocf/1 -cert "$other/node.crt" -key "$other/node.key"
row "TLS with another cluster's CA as the node" 'alert number [0-9]+.*closed' \
	"${from}the other side's certificate is refused" \
	tls -alpn ocf/1 -cert "$other/ca.crt" -key "$other/ca.key"
row 'a scanner, which names no protocol' 'alert number 116.*closed' \
	"${from}the other side showed no certificate" tls
row 'another protocol' 'alert number 120.*closed' \
	"${from}the other side speaks neither ocf/1 nor ocf-join/1" tls -alpn h2
row 'another protocol, by a member' 'does not speak h2' \
	"${from}the other side speaks neither ocf/1 nor ocf-join/1" member m2 alpn=h2

zeros=00000000000000000000000000000000
row 'a HELLO of another node' 'GOODBYE: its HELLO names another node' \
	"${from_member}its HELLO names another node than its certificate" member m2 node=$zeros
row 'a HELLO of another cluster' 'GOODBYE: it belongs to cluster 0+, this node to' \
	"${from_member}it belongs to cluster 0+" member m2 cluster=$zeros
row 'a HELLO with another retention' 'GOODBYE: other cluster constants: .* retention 1000 ms' \
	"${from_member}other cluster constants" member m2 retention=1000
row 'a HELLO with other rows per node' 'GOODBYE: other cluster constants: .* 5 rows a node' \
	"${from_member}other cluster constants" member m2 rows-per-node=5
row 'a HELLO of another format' 'GOODBYE: other cluster constants: format 9' \
	"${from_member}other cluster constants" member m2 format=9
row 'a HELLO of a later protocol' 'GOODBYE: it speaks protocol 7 to 7' \
	"${from_member}it speaks protocol 7" member m2 protocol=7
row 'a HELLO of 5 KiB' 'GOODBYE: a frame longer than 4096 bytes' \
	"${from_member}a frame longer than 4096 bytes" member m3 pad=5120
row 'two HELLOs' 'GOODBYE: a second HELLO' "${from_member}a second HELLO" member m4 times=2
row 'the same member, back at once' 'GOODBYE: it sent what it must not and may come back' \
	"${from_member}it sent what it must not" member m4

# A clock an hour off lets nobody out, but no row over.
"$OCF_TEST_BUILDDIR/tests/lib/member" "$TMP/m5/state/ocf" "$peer" 0 clock=3600000 \
	<"$TMP/hold" >"$TMP/clock" 2>&1 &
clock_pid=$!
is_rowless() { at n1 ocf peers --json | jq -e --arg n "$(member_id m5)" 'any(.[]; .node == $n and .rowless)'; }
ok "a clock an hour off: the link carries no rows" wait_until 10 is_rowless
ok "a clock an hour off: the log says so" says_since 1 'linked to node .*, but without rows: .*clock'
kill "$clock_pid"
wait "$clock_pid" 2>/dev/null

# The secret of a token is all that a joiner has.
token=$(at n1 ocf invite 2>/dev/null)
cp "$TMP/n1/state/ocf/invites" "$TMP/invites"
sed -i '/^[0-9a-f]/d' "$TMP/n1/state/ocf/invites"
row 'a token whose secret is wrong' 'does not know the invitation.*exit 1$' \
	"${joiner}this node does not know the invitation" join_with "$token"
row 'a joiner that says garbage' 'the request makes no sense.*closed' \
	"${joiner}the request makes no sense" \
	tls_says ocf-join/1 printf '\0\0\0\10\1arbage!'
row 'a joiner that says too much' 'the request is too large.*closed' \
	"${joiner}the request is too large" tls_says ocf-join/1 printf '\377\377\377\377'

# ---- too many at a time

knock() { "$OCF_TEST_BUILDDIR/tests/lib/knock" 127.0.0.9 "127.0.0.1:${peer##*:}" 40 30 <"$TMP/hold"; }
line=$(($(wc -l <"$log") + 1))
try "$TMP/knock" knock
early() { awk '/^closed/ && $2 < 4500' "$TMP/knock" | wc -l; }
is "40 connections from one address: 8 are closed at once" "$(early)" 8
judge '40 connections from one address' "$TMP/knock" "$line" $((HANDSHAKE_MS - 100)) \
	$((HANDSHAKE_MS + SOON_MS)) 'open 0$' \
	'127\.0\.0\.9:[0-9]+ is refused: 32 connections from its address'
lines=$(tail -n "+$line" "$log" | grep -c '127\.0\.0\.9:[0-9]* is refused')
ok "40 connections from one address: the log has few lines of it ($lines)" test "$lines" -le 10

late_judge
like "nobody of them is in the table" "$(at n1 ocf nodes --json | jq -r '[.[].name] | join(" ")')" '^n1$'
# The controls: the same, and all is right.
line=$(($(wc -l <"$log") + 1))
cp "$TMP/invites" "$TMP/n1/state/ocf/invites"
like "the right token lets its bearer in" "$(join_with "$token")" 'exit 0$'
"$OCF_TEST_BUILDDIR/tests/lib/member" "$TMP/m6/state/ocf" "$peer" 0 pad=3000 \
	<"$TMP/hold" >"$TMP/right" 2>&1 &
right_pid=$!
is_linked() { at n1 ocf peers --json | jq -e --arg n "$(member_id m6)" 'any(.[]; .node == $n and .state == "up")'; }
ok "a member whose HELLO is right is linked" wait_until 10 is_linked
is "and the log speaks of no refusal" "$(tail -n "+$line" "$log" | grep -c refused)" 0
kill "$right_pid"
wait "$right_pid" 2>/dev/null
cluster_done
