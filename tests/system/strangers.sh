#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whoever reaches a node's ports and is nobody: he may hold a bounded number of connections,
# and members are served beside him.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

ulimit -Sn 1024
node_init n1
node_start n1
files() { awk '/^Max open files/ { print ($4 >= 8192 || $4 == $5) ? "enough" : $4 }' "/proc/${NODE_PID[n1]}/limits"; }
is "a node may open as many files as its limits need" "$(files)" enough

# Connections to the port for nodes that never say a word.
open_files() { find "/proc/${NODE_PID[n1]}/fd" -mindepth 1 | wc -l; }
before=$(open_files)
peer=$(node_field n1 peer)
fds=()
for _ in $(seq 1 400); do
	exec {fd}<>"/dev/tcp/127.0.0.1/${peer##*:}" && fds+=("$fd")
done
is "a stranger may knock 400 times" "${#fds[@]}" 400
all_taken() { [ "$(open_files)" -ge $((before + 256)) ]; }
ok "the node takes what it may" wait_until 5 all_taken
ok "and no more" test "$(open_files)" -lt $((before + 300))
ok "it goes on" at n1 ocf status
all_gone() { [ "$(open_files)" -lt $((before + 10)) ]; }
ok "they are thrown out, since they do not greet" wait_until 20 all_gone
for fd in "${fds[@]}"; do exec {fd}>&-; done

node_folder n2
token=$(at n1 ocf invite 2>/dev/null)
run at n2 ocf join --name n2 "$token"
is "a guest with a token comes in afterwards" "$status" 0 || diag "$err"
cluster_done
