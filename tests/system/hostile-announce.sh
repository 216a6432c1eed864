#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Announcements that mean harm: wrong in each way, and as many as the line takes of nonsense, of
# turns, of changes, of workers. None of it gets into the table that should not; while they
# come, the worker beside them answers, and log and memory stay within bounds.
# shellcheck source=tests/lib/hostile.sh
. "$OCF_TEST_SRCDIR/tests/lib/hostile.sh"
# shellcheck source=tests/lib/raw.sh
. "$OCF_TEST_SRCDIR/tests/lib/raw.sh"


# ---- announcements
announce() { # JSON
	raw_nats_publish "$bus" worker:status "$1" >"$TMP/said"
}
warned() { grep -qE "$1" "$TMP/n1/log"; }
bad=0
refused() { # JSON
	announce "$1"
	bad=$((bad + 1))
}
wrong() { # MEMBERS, of one that has an id and a status
	refused "{\"v\":1,\"id\":\"wrong\",\"status\":\"connected\",$1}"
}
many() { # COUNT FORMAT: with commas
	local text
	# shellcheck disable=SC2059 # it is a format
	text=$(printf "$2," $(seq "$1"))
	echo "${text%,}"
}
long=$(head -c 1000000 /dev/zero | tr '\0' x)
refused "{\"v\":1,\"id\":\"huge\",\"service\":\"s\",\"status\":\"connected\",\"metadata\":{\"x\":\"$long\"}}"
ok "a megabyte of metadata: a warning" wait_until 10 warned 'announcement of [0-9]+ bytes is over the limit'
wrong "\"service\":\"s\",\"metadata\":{\"x\":\"${long:0:5000}\"}"
ok "5 kB of it: a warning" wait_until 10 warned 'wrong.*metadata'
wrong "\"services\":[$(many 33 '{"name":"s%d"}')]"
wrong "\"services\":[$(many 1000 '{"name":"%d"}')]"
wrong "\"services\":[{\"name\":\"s\",\"match\":[$(many 65 '"k=%d"')]}]"
wrong '"services":[]'
wrong '"services":[{"name":"s"},{"name":"s"}]'
for number in 0 -1 4097 9223372036854775807 99999999999999999999 1.5 '"1"' null '[]'; do
	wrong "\"service\":\"s\",\"slots\":$number"
	wrong "\"service\":\"s\",\"slots\":1,\"hb_s\":$number"
done
# 4097 was a heartbeat too long, too; 1 to 3600 are right.
for name in 'a\r\nPUB x 1' 'a\nb' 'a\tb' '' "${long:0:201}" 'a\u0000b' 'a\u007f'; do wrong "\"service\":\"$name\""; done
for id in 'a b' 'a/b' '../x' '*' '>' "${long:0:65}" '' '.' 'a..b' 'a\u0000b' 'a\nb'; do
	refused "{\"v\":1,\"id\":\"$id\",\"service\":\"s\",\"status\":\"connected\"}"
done
all_refused() { [ "$(counter ocf_bus_announcements_bad_total)" = "$bad" ]; }
ok "all $bad are refused and counted: services, matches, slots, heartbeats, names and ids" wait_until 10 all_refused ||
	diag "counted: $(counter ocf_bus_announcements_bad_total)"
is "none of it is a worker" "$(at n1 ocf workers --json | jq -c '[.[].id]')" '["good"]'
announce '{"v":1,"id":"last","service":"s","slots":4096,"hb_s":3600,"status":"connected"}'
ok "the largest numbers are allowed" wait_until 10 sees_worker n1 last
announce '{"v":1,"id":"last","status":"disconnected"}'
ok "… and that one leaves" wait_until 10 sees_no_worker n1 last
ok "the worker beside it answers" good_answers n2

# ---- as many as the line takes
flood() { # KIND COUNT: while it is told, queries are answered, and known workers stay
	local kind=$1 count=$2 lines before missing=0 asked=0 hold
	mkfifo "$TMP/hold.$kind"
	lines=$(wc -l <"$TMP/n1/log")
	before=$(resident_kib n1)
	hostile "$bus" announce "$kind" "$count" <"$TMP/hold.$kind" >"$TMP/worker-$kind.log" 2>&1 &
	WORKER_PID[$kind]=$!
	exec {hold}>"$TMP/hold.$kind"
	while [ "$asked" -lt 5 ] || { [ ! -s "$TMP/worker-$kind.log" ] && [ "$asked" -lt 1000 ]; }; do
		asked=$((asked + 1))
		good_answers n2 || missing=$((missing + 1))
	done
	is "$count of $kind: all of $asked queries to the worker beside are answered" "$missing" 0
	exec {hold}>&-
	ok "… the node has dealt with them" wait_until 180 node_is_idle n1
	lines=$(($(wc -l <"$TMP/n1/log") - lines))
	ok "… the log has no line for each ($lines)" test "$lines" -lt $((count / 2))
	unlike "… the bus was not lost" "$(cat "$TMP/n1/log")" 'bus is down'
	diag "n1 grew by $((($(resident_kib n1) - before) / 1024)) MiB"
	wait "${WORKER_PID[$kind]}"
	unset "WORKER_PID[$kind]"
}
case ${OCF_TEST_LEVEL:-} in quick) some=20000 ;; *) some=100000 ;; esac
# Instrumented nodes take a row each in many times the time.
[ "${OCF_TEST_PATIENCE:-1}" -eq 1 ] || some=2000
flood nonsense $((3 * some))
flood wrong $((3 * some))
flood turns "$some"
flood change "$some"
flood ids "$some"
ok "all that those were is gone with their connections" wait_until "$CLUSTER_SECONDS" sees_no_worker n1 change
no_ids() { [ "$(counter ocf_workers)" = 1 ]; }
ok "… however many" wait_until 60 no_ids
ok "a row that went astray is nobody's" wait_until 60 tables_are_equal n1 n2
total=$((($(resident_kib n1)) / 1024))
[ "${OCF_TEST_PATIENCE:-1}" -ne 1 ] || ok "n1 takes less than 300 MiB ($total)" test "$total" -lt 300

worker_stop good
cluster_done
