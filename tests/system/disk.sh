#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A full disk: the node says so, goes on serving what it has, and is whole again as soon as
# there is room. The disk is a small tmpfs in a mount namespace of the test's own.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "a full disk"
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_folder n1
mount -t tmpfs -o size=24m,nr_inodes=500 none "$TMP/n1/state" || bail "cannot mount a tmpfs"
node_init n1
node_start n1
worker_start n1 before --service wc -- wc -w

disk_fill() {
	local size
	for size in 1M 64k 4k 1k; do
		dd if=/dev/zero of="$TMP/n1/state/filler.$size" bs="$size" status=none 2>/dev/null
	done
}
disk_fill
ok "the disk is full" test "$(df --output=avail "$TMP/n1/state" | tail -n 1)" -lt 8

at_background n1 "$TMP/worker-after.log" ocf-worker --id after --service rev -- rev
WORKER_PID[after]=$!
complained() { grep -qiE 'no space|disk is full' "$TMP/n1/log"; }
ok "the node says that it cannot write" wait_until "$CLUSTER_SECONDS" complained ||
	tail -n 20 "$TMP/n1/log" | diag
is "for what it is" "$(grep -ciE 'input/output' "$TMP/n1/log")" 0
ok "it goes on" at n1 ocf status
ok "it knows the worker of before" sees_worker n1 before
run at n1 ocf query wc --data 'a b c'
is "and has it answer" "$status ${out//[[:space:]]/}" "0 3" || diag "$err"

run at n1 ocf doctor
like "the doctor names the disk, and what to do" "$status $out" \
	'^1 .*problem +disk .*full.*make room on the file system'

run at n1 ocf backup "$TMP/n1/state/copy"
like "a backup says that there is no room" "$status $err" '^74 .*(No space|full)'
run at n1 ocf backup "$TMP/copy"
is "also one to another disk, for the node makes it beside its store" "$status" 74 || diag "$out$err"
is "nothing is left of either" "$(ls "$TMP"/n1/state/copy* "$TMP"/copy* 2>/dev/null)" ""

rm -f "$TMP"/n1/state/filler.*
ok "with room again, the other worker's row is written" \
	wait_until "$CLUSTER_SECONDS" sees_worker n1 after || tail -n 20 "$TMP/n1/log" | diag
run at n1 ocf query rev --data abc
is "and that answers" "$status ${out//[[:space:]]/}" "0 cba" || diag "$err"

# Started on a full disk it runs, and is found once there is room.
node_kill n1
rm -f "$TMP/n1/state/ocf/run.json"
disk_fill
at_background n1 "$TMP/n1/log" ocfd "${CLUSTER_LISTEN[@]}" --bus.server=none
NODE_PID[n1]=$!
cannot_say() { grep -q 'run\.json: No space' "$TMP/n1/log"; }
ok "a node that starts on a full disk cannot say where it is" \
	wait_until "$CLUSTER_SECONDS" cannot_say
rm -f "$TMP"/n1/state/filler.*
ok "with room again, it does" wait_until "$CLUSTER_SECONDS" node_is_ready n1
node_stop n1

# One with a bus, whose server has files of its own, can make none of them.
mkdir "$TMP/n1/state/filler"
for i in $(seq 500); do true 2>/dev/null >"$TMP/n1/state/filler/$i" || break; done
ok "the disk takes no file more" test "$i" -lt 500
: >"$TMP/n1/log"
at_background n1 "$TMP/n1/log" ocfd "${CLUSTER_LISTEN[@]}"
NODE_PID[n1]=$!
has_no_bus() { grep -qE 'bus.*[Nn]o space' "$TMP/n1/log"; }
ok "a node that starts on a full disk has no bus" wait_until "$CLUSTER_SECONDS" has_no_bus ||
	tail -n 20 "$TMP/n1/log" | diag
ok "and waits for room" at n1 ocf status
rm -rf "$TMP/n1/state/filler"
has_bus() { [ "$(at n1 ocf status --json | jq -r .bus.state)" = up ]; }
ok "with room again, it has one" wait_until 60 has_bus || tail -n 20 "$TMP/n1/log" | diag

# A disk that can be read only, as a kernel makes it of one with errors: what it holds can be
# saved.
node_stop n1
root=$(at n1 ocf-sync root)
mount -o remount,bind,ro "$TMP/n1/state" || bail "cannot mount it again"
is "on a disk that cannot be written the table can be read" "$(at n1 ocf-sync root)" "$root"
run at n1 ocf-sync dump "$TMP/saved"
is "and dumped" "$status $(tail -n 1 "$TMP/saved" | jq -r .root)" "0 $root" || diag "$err"
run at n1 ocf-sync load "$TMP/saved"
like "but not written, for what it is" "$status $err" '^7[47] .*Read-only file system'
unlike "not for whose it is" "$err" 'user'
cluster_done
