#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Long bodies, from a client over two nodes to a worker and back: nobody holds more of one than
# the windows allow, whoever is the slowest.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

BYTES=$((256 * 1024 * 1024))
# Sent and not taken at the other end: a window of parts, what a query keeps to be sent again,
# two pipes, and what the kernel holds for sockets, which is the most of it.
AHEAD=$((24 * 1024 * 1024))
# That a program may need more for a body of any length. A window is about one MiB, but nats.c
# frees messages on a thread of its own, which comes late where the machine is busy.
MEMORY_KIB=$((64 * 1024))

CLUSTER_LISTEN+=(--http.max_body=1073741824)
cluster_start 2
worker_start n2 count --service count -- wc -c
worker_start n2 make --service make --stream -- sh -c "echo \$\$ >'$TMP/make.pid'; exec head -c $BYTES /dev/zero"
worker_start n2 late --service late -- sh -c "while [ ! -e '$TMP/gate' ]; do sleep 0.05; done; wc -c"
for id in count make late; do
	ok "n1 is told of worker $id" wait_until "$CLUSTER_SECONDS" sees_worker n1 "$id"
done
url=$(node_url n1)/v1/service

peak() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$1/status"; }
declare -A PIDS=([n1]=${NODE_PID[n1]} [n2]=${NODE_PID[n2]} [count]=${WORKER_PID[count]} [make]=${WORKER_PID[make]})
declare -A WAS=()
peaks_begin() {
	local name
	for name in "${!PIDS[@]}"; do WAS[$name]=$(peak "${PIDS[$name]}"); done
}
peaks_end() { # SENTENCE PROGRAM…: none of them has grown by more than it may
	local sentence=$1 name grown bad=
	shift
	if [ "${OCF_TEST_PATIENCE:-1}" -gt 1 ]; then
		skip "$sentence" "an instrumented program keeps what it has freed"
		return
	fi
	for name in "$@"; do
		grown=$(($(peak "${PIDS[$name]}") - WAS[$name]))
		diag "$name: $grown KiB more than before"
		[ "$grown" -le "$MEMORY_KIB" ] || bad="$bad $name: $grown KiB"
	done
	is "$sentence" "$bad" ""
}

# ---- as fast as it goes

# A short one first: code, threads and caches that any query needs.
run curl -s --data-binary abc "$url/count"
is "a short body is counted" "${out// /}" 3
peaks_begin
run bash -c "head -c $BYTES /dev/zero | curl -s -T - -X POST '$url/count'"
is "256 MiB reach the worker" "${out// /}" "$BYTES"
peaks_end "and no program has needed memory for them" n1 n2 count
peaks_begin
run bash -c "curl -s -d x '$url/make' | wc -c"
is "256 MiB come from a worker" "$out" "$BYTES"
peaks_end "and no program has needed memory for them" n1 n2 make

# ---- one end is slow

written() { awk '$1 == "wchar:" { print $2 }' "/proc/$1/io" 2>/dev/null || echo 0; }
rests() { # PID: it has begun, and writes no more
	local was
	was=$(written "$1")
	sleep 0.3
	[ "${was:-0}" -gt 65536 ] && [ "$(written "$1")" = "$was" ]
}

address=$(node_field n1 http)
exec {fd}<>"/dev/tcp/${address%:*}/${address##*:}"
rm -f "$TMP/make.pid"
printf 'POST /v1/service/make HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx' >&"$fd"
has_pid() { test -s "$TMP/make.pid"; }
ok "a worker's command begins to write" wait_until "$CLUSTER_SECONDS" has_pid
maker=$(cat "$TMP/make.pid")
ok "while nobody reads, it comes to rest" wait_until "$CLUSTER_SECONDS" rests "$maker"
ahead=$(written "$maker")
diag "it has written $ahead bytes"
ok "having written no more than the windows let it" test "$ahead" -le "$AHEAD"
peaks_end "and nobody has gathered it" n1 n2 make
# With the chunks' sizes it is a little more than the body.
ok "when it is read, all of it comes" test "$(cat <&"$fd" | wc -c)" -gt "$BYTES"
exec {fd}>&-

peaks_begin
mkfifo "$TMP/body"
head -c "$BYTES" /dev/zero >"$TMP/body" &
giver=$!
ask late curl -s -T "$TMP/body" -X POST -H 'Expect:' "$url/late"
ok "while the worker does not read, the client comes to rest" wait_until "$CLUSTER_SECONDS" rests "$giver"
ahead=$(written "$giver")
diag "it has sent $ahead bytes"
ok "having sent no more than the windows let it" test "$ahead" -le "$AHEAD"
peaks_end "and nobody has gathered it" n1 n2
touch "$TMP/gate"
ok "when the worker reads, the client is answered" answered late
is "and all of the body was there" "$(tr -d ' ' <"$TMP/late.out")" "$BYTES"
wait "$giver"

buffered() { curl -s "$(node_url "$1")/metrics" | awk '$1 == "ocf_query_buffered_bytes" { print $2 + 0 }'; }
is "nothing of it is held any more" "$(buffered n1) $(buffered n2)" "0 0"
cluster_done
