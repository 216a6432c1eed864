#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ocf-sync and ocf backup at a size: bench-tools.sh [ROWS]. One JSON line for each command:
# seconds, the most memory it and its children held at once, and how much of that was the
# store's file, mapped into memory, which the kernel takes back when it wants to. With the
# node running, also what the node held at its end.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
rows=${1:-1000000}

# VmHWM counts the pages of mapped files too; RssAnon is what cannot be taken back, and has
# no high-water mark: it is looked at ten times a second.
field() { # PID NAME: of /proc/PID/status, KiB
	local value
	value=$(awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status" 2>/dev/null)
	echo "${value:-0}"
}

watch_memory() { # PID FILE
	local anon=0 all=0 a r pid
	while kill -0 "$1" 2>/dev/null; do
		a=0 r=0
		for pid in "$1" $(pgrep -P "$1"); do
			a=$((a + $(field "$pid" RssAnon)))
			r=$((r + $(field "$pid" VmRSS)))
		done
		[ "$a" -le "$anon" ] || anon=$a
		[ "$r" -le "$all" ] || all=$r
		echo "$anon $all" >"$2"
		sleep 0.1
	done
}

measure() { # NODE NAME COMMAND ARG…
	local node=$1 name=$2 AT start pid status=0 anon=0 all=0 held=null
	shift 2
	rm -f "$TMP/memory"
	at_words "$node"
	start=$(date +%s%3N)
	"${AT[@]}" "$@" >"$TMP/out" 2>"$TMP/err" </dev/null &
	pid=$!
	watch_memory "$pid" "$TMP/memory" &
	wait "$pid" || status=$?
	read -r anon all 2>/dev/null <"$TMP/memory"
	[ -z "${NODE_PID[$node]:-}" ] || held=$(field "${NODE_PID[$node]}" RssAnon)
	printf '{"bench":"tools","command":"%s","rows":%s,"s":%s,"private_kib":%s,"resident_kib":%s,"node_private_kib":%s,"exit":%s}\n' \
		"$name" "$rows" "$(awk "BEGIN { print ($(date +%s%3N) - $start) / 1000 }")" \
		"$anon" "$all" "$held" "$status"
	[ "$status" -eq 0 ] || head -n 3 "$TMP/err" >&2
}

node_init n1
"$OCF_TEST_BUILDDIR/tests/bench/bench-tools" "$TMP/n1/state/ocf" "$rows" || exit 1
CLUSTER_SECONDS=120
measure n1 "root, offline" ocf-sync root
measure n1 "dump, offline" ocf-sync dump "$TMP/dump"
measure n1 "verify, offline" ocf-sync verify
measure n1 "load what is held, offline" ocf-sync load "$TMP/dump"
measure n1 "backup, offline" ocf backup "$TMP/backup"
measure n1 "restore" ocf-sync restore --force "$TMP/backup"
rm -r "$TMP"/n1/state/ocf/store.old-*
node_start n1
measure n1 "root, online" ocf-sync root
measure n1 "dump, online" ocf-sync dump "$TMP/dump"
measure n1 "load what is held, online" ocf-sync load "$TMP/dump"
measure n1 "backup, online" ocf backup "$TMP/backup"
measure n1 "verify, online" ocf-sync verify
node_join n2 n1
measure n2 "load into an empty store, offline" ocf-sync load "$TMP/dump"
node_start n2
wait_until "$CLUSTER_SECONDS" at n2 ocf-sync compare --with n1
measure n2 "compare, online" ocf-sync compare --with n1
cluster_stop
rm -rf "${TMP:?}"/n1 "$TMP"/n2 "$TMP"/dump "$TMP"/backup
