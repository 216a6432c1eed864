#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a client of the bus may not do, each tried on a plain socket; and names of services that
# would be subjects of somebody else's, or two lines of the protocol, tried by announcement,
# over HTTP and by command. A spy that listens to everything sees none of it.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
PATH="$OCF_TEST_BUILDDIR/tests/lib:$PATH"

cluster_start 2
bus=$(node_field n1 bus)

# ---- what is refused
each() { while IFS= read -r line; do echo "$1 $line"; done; } # WORD: in front of each line
try() { hostile "$bus" try 2>"$TMP/errors"; }
refused='SUB worker:status 1
SUB worker:status workers 1
SUB ocf.node 1
SUB ocf.r.> 1
SUB ocf.r.*.*.* 1
SUB ocf.r.x.1.* 1
SUB ocf.n.* 1
SUB $JS.> 1
SUB $JS.API.> 1
SUB $JS.API.INFO 1
SUB $SYS.> 1
SUB $SYS.ACCOUNT.OCF.DISCONNECT 1
SUB $SYS.ACCOUNT.> 1
PUB ocf.hello
PUB ocf.d.x
PUB ocf.c.x
PUB ocf.n.x
PUB ocf.other
PUB $JS.API.INFO
PUB $JS.API.STREAM.CREATE.x
PUB $JS.ACK.x
PUB $SYS.REQ.SERVER.PING
PUB $SYS.REQ.ACCOUNT.OCF.CONNZ
PUB inference:m
PUB svc.0123456789abcdef
PUB wc'
is "each of these is refused" "$(try <<<"$refused")" "$(each refused <<<"$refused")"
is "each with a word about permissions" "$(grep -vc 'Permissions Violation' "$TMP/errors")" 0
allowed='SUB ocf.hello 1
SUB ocf.d.x 1
SUB ocf.c.x 1
SUB inference:m workers 1
SUB svc.0123456789abcdef workers 1
SUB _INBOX.x.* 1
PUB worker:status
PUB ocf.node
PUB ocf.r.x.1.2
PUB _INBOX.x.y'
is "what a worker needs is allowed" "$(try <<<"$allowed")" "$(each allowed <<<"$allowed")"

# ---- wildcards get nothing of what is refused
spied() { sort -u "$TMP/worker-spy.log"; }
hostile "$bus" spy '>' '*' '*:*' 'ocf.>' 'ocf.*' 'ocf.*.*' 'ocf.*.*.*.*' '*.>' '*.*.*' '*.*.*.*.*' '$>' '$*.>' >"$TMP/worker-spy.log" 2>&1 </dev/null &
WORKER_PID[spy]=$!
hostile_start() { # ID SERVICE BEHAVIOUR
	hostile "$bus" worker "$1" "$2" "$3" >"$TMP/worker-$1.log" 2>&1 </dev/null &
	WORKER_PID[$1]=$!
	wait_until "$CLUSTER_SECONDS" sees_worker n2 "$1" || cluster_fail "$1 is not listed" "$TMP/worker-$1.log"
}
hostile_start w1 s1 honest
heard() { grep -qx "$1" "$TMP/worker-spy.log"; }
asked() { [ "$(curl -s --max-time 30 -d q "$(node_url n2)/v1/service/s1")" = honest ] && heard ocf.d.w1; }
ok "a spy hears the queries of other workers" wait_until "$CLUSTER_SECONDS" asked
is "and neither replies, announcements nor the node's own" "$(spied | grep -vx 'ocf\.d\.w1\|ocf\.hello')" ""

# ---- names of services, as text of JSON, as they are, and in a path of HTTP
long=$(head -c 200 /dev/zero | tr '\0' y)
mapped=('a b' '*' '>' 'a.>' 'a.*.b' 'ocf' 'ocf.c.w1' 'ocf.hello' 'ocf.d.w1' 'worker:status' 'worker:status.x' '$JS.API.INFO' '$SYS.REQ.SERVER.PING' '_INBOX.x' '.a' 'a.' 'a..b' '.' 'é')
number=0
for name in "${mapped[@]}"; do
	id=m$((number += 1))
	hostile_start "$id" "$name" minimal
	path=$(jq -rn --arg s "$name" '$s | @uri')
	is "a worker of «$name» is reached over HTTP" "$(curl -s --path-as-is --max-time 30 -d q "$(node_url n2)/v1/service/${path//./%2E}")" honest
	run at n2 ocf query "$name" --data q
	is "… and by command" "$status $out" "0 honest"
	hashes="${hashes:-}$(tail -n 1 "$TMP/worker-spy.log")"$'\n'
	worker_kill "$id"
done
is "each had a subject of its own, svc. and a hash" \
	"$(grep -cE '^svc\.[0-9a-f]{16}$' <<<"$hashes") $(sort -u <<<"$hashes" | grep -c svc)" "${#mapped[@]} ${#mapped[@]}"
hostile_start longest "$long" honest
run at n2 ocf query "$long" --data q
is "a name may have 200 bytes" "$status $out" "0 honest"
worker_kill longest

# ---- and what is no name
code() { curl -s --path-as-is --max-time 30 -o "$TMP/body" -w '%{http_code}' -d q "$(node_url n2)/v1/service/$1"; }
for path in 'a%0D%0APUB%20x%201%0D%0Ay' 'a%0Ab' 'a%0Db' 'a%00b' '%7F' "${long}z" '%FF%FE'; do
	like "«${path:0:30}» is refused over HTTP" "$(code "$path")" '^40[04]$'
done
for name in $'a\r\nPUB x 1\r\ny' $'a\nb' '' "${long}z" $'\xff\xfe'; do
	run at n2 ocf query "$name" --data q
	like "«$(printf %q "${name:0:30}")» is refused by command" "$status" '^[12]$'
done
run at n2 ocf query s1 --match $'k=v\r\nPUB x 1\r\ny' --data q
unlike "a selector with a line end is refused" "$status" '^0$'
for header in $'Ocf-Match: k=v%0d%0aPUB x' $'X-A: a\rPUB x 1' 'traceparent: 00-x'; do
	curl -s --max-time 30 -o "$TMP/body" -H "$header" -d q "$(node_url n2)/v1/service/s1"
done
is "a query with a path of line ends reaches its worker, and no more" \
	"$(curl -s --path-as-is --max-time 30 -d q "$(node_url n2)/v1/service/s1/a%0D%0APUB%20x%201")" honest
is "nothing was sent that a spy could hear but queries" \
	"$(spied | grep -vE '^(ocf\.d\.(w1|longest)|ocf\.hello|svc\.[0-9a-f]{16})$')" ""
ok "the bus was there all the while" test "$(grep -c 'bus is down' "$TMP/n1/log")" -eq 0
worker_kill w1
kill "${WORKER_PID[spy]}"
wait "${WORKER_PID[spy]}" 2>/dev/null
unset "WORKER_PID[spy]"
cluster_done
