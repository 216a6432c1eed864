#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Who may come in: by a token, as often and as long as it says.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
node_start n1
for node in n2 n3 n4 other; do node_folder "$node"; done

run at n1 ocf invite
is "ocf invite prints one line" "$status $(wc -l <<<"$out")" "0 1"
like "with private addresses alone it says what to do" "$err" \
	"private \\(127\\.0\\.0\\.1:.* forward TCP [0-9]+ .*peer\\.advertise.* VPN"
token=$out
run at n2 ocf join --name n2 "$token"
is "which lets one node in" "$status" 0 || diag "$err"
run at n2 ocf join --name n2 "$token"
is "joining the same cluster again changes nothing" "$status" 0 || diag "$err"
run at n3 ocf join --name n3 "$token"
is "a used token lets nobody else in" "$status" 1
like "and says so" "$err" '[Uu]sed|[Ee]xpired|no longer|not valid|refused'

run at n1 ocf invite --uses 2
token=$out
run at n3 bash -c 'echo "$1" | ocf join --name n3 -' - "$token"
is "a token for two lets one in, read from stdin" "$status" 0 || diag "$err"
run at n4 ocf join --name n4 "$token"
is "and a second" "$status" 0 || diag "$err"

node_folder n5
run at n1 ocf invite --ttl 1s
token=$out
made=$SECONDS
until [ $((SECONDS - made)) -ge 3 ]; do sleep 0.2; done
run at n5 ocf join --name n5 "$token"
is "an expired token lets nobody in" "$status" 1
like "and says so" "$err" '[Ee]xpired'

run at n5 ocf join --name n5 "not-a-token"
like "what is no token is refused" "$status" '^[12]$'
like "with a word on it" "$err" 'token'
run at n1 ocf invite
token=$out
middle=$((${#token} / 2))
letter=${token:middle:1}
other=a
[ "$letter" != a ] || other=b
run at n5 ocf join --name n5 "${token:0:middle}$other${token:middle+1}"
like "a token with one letter wrong is refused" "$status" '^(1|2|75)$'
run at n5 ocf join --name n5 "$token"
is "the right one still works" "$status" 0 || diag "$err"

run at other ocf init --name other
run at n1 ocf invite
token=$out
run at other ocf join --name other "$token"
is "a node of another cluster does not join this one" "$status" 1
like "and is told so" "$err" 'cluster'

node_start n2
ok "a node that joined is seen" wait_until "$CLUSTER_SECONDS" sees_nodes n1 2
node_stop n1
node_folder n6
run at n6 ocf join --name n6 "$token"
is "with nobody there, try later" "$status" 75 || diag "$err"
cluster_done
