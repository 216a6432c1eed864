#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The examples of ocf-sync(1), line by line, as they stand in the manual: page and test
# cannot differ. What they need around them is a cluster of three, whose third node is
# there to reconcile with, and two words that mean something else here: systemctl, which
# stops and starts the node, and ssh, which goes to another one.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE ALSO/s/^\.Dl //p' "$OCF_TEST_SRCDIR/man/ocf-sync.1" |
	sed 's/\\(dq/"/g' >"$TMP/examples"
ok "ocf-sync(1) has examples" test "$(wc -l <"$TMP/examples")" -ge 9
for command in $(ocf-sync --help | sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p'); do
	[ "$command" != root ] || continue
	ok "there is one of $command" grep -qE "ocf-sync $command\\>" "$TMP/examples"
done

cluster_start 3
worker_start n1 w1 --service wc -- wc -w
worker_start n2 w2 --service wc -- wc -w
for node in n1 n2 n3; do
	ok "$node sees both workers" wait_until "$CLUSTER_SECONDS" eval \
		"sees_worker $node w1 && sees_worker $node w2"
done

export XDG_CONFIG_HOME=$TMP/n1/config XDG_STATE_HOME=$TMP/n1/state XDG_RUNTIME_DIR=$TMP/n1/run
systemctl() {
	case "$*" in
	'stop ocfd') node_stop n1 ;;
	'start ocfd') node_start n1 ;;
	*) return 1 ;;
	esac
}
ssh() { # NODE COMMAND
	at "$1" bash -c "$2"
}
compares() { ocf-sync compare --with n2; }
sees_all() { sees_nodes n1 3 && sees_nodes n2 3 && sees_nodes n3 3; }

mkdir "$TMP/here"
cd "$TMP/here" || exit 99
while IFS= read -r line <&3; do
	wait_until "$CLUSTER_SECONDS" compares || diag "the tables do not become equal"
	status=0
	eval "$line" >"$TMP/line.out" 2>"$TMP/line.err" </dev/null || status=$?
	is "$line" "$status" 0 || diag "$(cat "$TMP/line.out" "$TMP/line.err")"
	case $line in
	jq*) is "… shows the rows of both workers" \
		"$(sort <"$TMP/line.out")" "$(printf '%s 0\n%s 0\n' "$(node_id n1)" "$(node_id n2)" | sort)" ;;
	*systemctl*) ok "… and the node is there again" wait_until 60 sees_all ;;
	esac
done 3<"$TMP/examples"

for node in n1 n2 n3; do
	ok "in the end $node sees both workers" wait_until 60 eval \
		"sees_worker $node w1 && sees_worker $node w2"
done
ok "and the tables are equal" wait_until 60 tables_are_equal n1 n2 n3
cluster_done
