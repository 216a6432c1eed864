#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which workers may answer, over HTTP: matches that are equal, `k=*` and `all` with the client's
# leave, none at all, and a node that is asked for by name.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

cluster_start 2
# What each answers is its name.
worker_start n1 exact --service s --match k=a -- echo exact
worker_start n2 star --service s --match 'k=*' -- echo star
worker_start n2 any --service s --match all -- echo any
worker_start n1 here --service both -- echo here
worker_start n2 there --service both -- echo there
for node in n1 n2; do
	for id in exact star any here there; do
		wait_until "$CLUSTER_SECONDS" sees_worker $node $id || bail "$node is not told of $id"
	done
done

# Who answered, a few times over; or the status.
answers() { # URL-PATH CURL-ARG…
	local path=$1 i
	shift
	for i in 1 2 3 4 5 6; do
		curl -s --max-time 30 -o "$TMP/body" -w '%{http_code}\n' -d x "$@" "$(node_url n1)$path" >"$TMP/code"
		if [ "$(cat "$TMP/code")" = 200 ]; then cat "$TMP/body"; else cat "$TMP/code"; fi
	done | sort -u | xargs
}
among() { # ALLOWED FOUND: something was found, and nothing else
	[ -n "$2" ] || return 1
	for word in $2; do [[ " $1 " == *" $word "* ]] || return 1; done
}
by() { answers /v1/service/s "$@"; }

is "an equal match is found at once" "$(by -H 'Ocf-Match: k=a')" exact
is "one that nobody announced is a 404" "$(by -H 'Ocf-Match: k=b')" 404
is "at level 0 as well" "$(by -H 'Ocf-Match: k=b' -H 'X-Otela-Fallback: 0')" 404
is "at level 1 k=* serves it" "$(by -H 'Ocf-Match: k=b' -H 'X-Otela-Fallback: 1')" star
is "but no other key" "$(by -H 'Ocf-Match: l=b' -H 'X-Otela-Fallback: 1')" 404
is "which at level 2 all serves" "$(by -H 'Ocf-Match: l=b' -H 'X-Otela-Fallback: 2')" any
found=$(by -H 'Ocf-Match: k=b' -H 'X-Otela-Fallback: 2')
ok "level 2 has k=* and all ($found)" among "star any" "$found"
found=$(by -H 'Ocf-Match: k=a' -H 'X-Otela-Fallback: 2')
ok "and what is equal ($found)" among "exact star any" "$found"
found=$(by)
ok "without a selector anybody answers ($found)" among "exact star any" "$found"
is "level 3 is refused" "$(by -H 'Ocf-Match: k=b' -H 'X-Otela-Fallback: 3')" 400
is "OpenTela's header is a selector" "$(by -H 'X-Otela-Identity-Group: k=a')" exact
is "Ocf-Match goes before it" "$(by -H 'X-Otela-Identity-Group: k=b' -H 'Ocf-Match: k=a')" exact

# A node by its id.
for node in n1 n2; do
	name=here
	[ $node = n1 ] || name=there
	is "only $node answers what is for it" "$(answers /v1/service/both -H "Ocf-Node: $(node_id $node)")" $name
done
is "a node that does not offer it is no answer" "$(by -H "Ocf-Node: $(node_id n2)" -H 'Ocf-Match: k=a')" 404
is "nor is one that is none" "$(by -H 'Ocf-Node: somebody')" 400
run at n1 ocf query both --node n2 --data x --verbose
is "ocf query --node takes a name" "$status $out" "0 there"
like "and says who answered" "$err" 'n2'
worker_stop there
wait_until "$CLUSTER_SECONDS" sees_no_worker n1 there
is "no other node steps in" "$(answers /v1/service/both -H "Ocf-Node: $(node_id n2)")" 404
is "but for a query that is for any" "$(answers /v1/service/both)" here
cluster_done
