#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whoever reaches a node's ports and is nobody: he may hold a bounded number of connections,
# of one address fewer, and others are served beside him. What each of them is told, and the
# log, stands in refusals.sh.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

ulimit -Sn 1024
node_init n1
node_start n1
files() { awk '/^Max open files/ { print ($4 >= 8192 || $4 == $5) ? "enough" : $4 }' "/proc/${NODE_PID[n1]}/limits"; }
is "a node may open as many files as its limits need" "$(files)" enough

# Connections to the port for nodes that never say a word, held until we let go of them.
open_files() { find "/proc/${NODE_PID[n1]}/fd" -mindepth 1 | wc -l; }
before=$(open_files)
peer=$(node_field n1 peer)
mkfifo "$TMP/hold"
exec 9<>"$TMP/hold"
knockers=()
knock() { # SOURCE COUNT
	"$OCF_TEST_BUILDDIR/tests/lib/knock" "$1" "127.0.0.1:${peer##*:}" "$2" 600 \
		<"$TMP/hold" >"$TMP/knock.$1" 2>&1 &
	knockers+=($!)
}
has_knocked() { grep -q connected "$TMP/knock.$1"; }
held() { [ $(($(open_files) - before)) -ge "$1" ]; }

knock 127.0.0.11 100
ok "a stranger may knock a hundred times" wait_until 10 has_knocked 127.0.0.11
ok "the node takes what it may of one address" wait_until 10 held 32
ok "and no more" test "$(open_files)" -lt $((before + 50))
node_folder n2
token=$(at n1 ocf invite 2>/dev/null)
run at n2 ocf join --name n2 "$token"
is "a guest with a token comes in beside it" "$status" 0 || diag "$err"

for i in $(seq 12 21); do knock "127.0.0.$i" 40; done
ok "strangers at ten addresses are taken up to a limit" wait_until 10 held 250
ok "and no more" test "$(open_files)" -lt $((before + 300))
ok "the node goes on" at n1 ocf status
all_gone() { [ "$(open_files)" -lt $((before + 10)) ]; }
ok "they are thrown out, since they do not greet" wait_until 20 all_gone
wait "${knockers[@]}"
is "all of them saw it" "$(cat "$TMP"/knock.* | grep -c '^closed')" 500

node_folder n3
token=$(at n1 ocf invite 2>/dev/null)
run at n3 ocf join --name n3 "$token"
is "a guest with a token comes in afterwards" "$status" 0 || diag "$err"
cluster_done
