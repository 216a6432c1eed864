#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make installcheck`: a little life of the installed programs, and of no others.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

programs=$(find "${OCF_TEST_PROGRAMS%:*}" "${OCF_TEST_PROGRAMS#*:}" -maxdepth 1 -name 'ocf*' -type f | sort)
for name in ocf ocf-sync ocf-worker ocfd; do
	like "$name is installed" "$programs" "/$name"$'(\n|$)'
done
for program in $programs; do
	name=${program##*/}
	is "$name is the one that is found" "$(command -v "$name")" "$program"
	run "$program" --version
	like "$name --version" "$status $out" "^0 $name \(ocf\) [0-9]"
	run "$program" --help
	like "$name --help" "$status $out" "^0 Usage: $name "
	page=$(find "$OCF_TEST_MANUALS" -name "$name.[18]")
	ok "$name has a manual" test -f "$page"
done
ok "ocf.conf has a manual" test -f "$OCF_TEST_MANUALS/man5/ocf.conf.5"
ok "the installed configuration is valid" ocfd --check-config --config "$OCF_TEST_CONF"

node_init n1
node_start n1 --config "$OCF_TEST_CONF"
run at n1 ocf status
is "ocf status" "$status" 0 || diag "$err"
like "it names the node" "$out" n1
worker_start n1 counter --service wc -- wc -w
run at n1 ocf query wc --data 'three small words'
is "a query is answered" "${out//[[:space:]]/}" 3 || diag "$err"
cluster_done
