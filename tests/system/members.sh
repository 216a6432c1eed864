#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A member with a valid certificate that says what it must not: frames and sessions that are
# malformed, oversize, contradictory or endless, rows that nobody signed. Each time the link
# ends with a reason, the table stays as it was, and the other members are served meanwhile.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

trap '' PIPE # a member may be gone while it is told to speak
HELLO=1 GOODBYE=5 ROWS=16 SYNC=17 SYNC_ROWS=18

cluster_start 2
worker_start n2 counter --service wc -- wc -w
wait_until "$CLUSTER_SECONDS" sees_worker n1 counter || cluster_fail "no worker" "$TMP"/n*/log
wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2 || cluster_fail "not equal" "$TMP"/n*/log
victim=$(node_field n1 peer)

# ---- a member as a coprocess: frames in, frames out

# A new one each time, for one that was thrown out is refused for a while. It joins as a
# node, and never runs one.
members=0
member_open() { # [ROWS it claims to hold]
	members=$((members + 1))
	node_join "m$members" n1
	member_again "$@" || cluster_fail "the member is not greeted" "$TMP/member.log" "$TMP/n1/log"
}
member_again() {
	coproc MEMBER { exec "$OCF_TEST_BUILDDIR/tests/lib/member" "$TMP/m$members/state/ocf" "$victim" "$@" \
		2>>"$TMP/member.log"; }
	# shellcheck disable=SC2153 # bash sets it
	member_pid=$MEMBER_PID
	exec {member_in}>&"${MEMBER[1]}" {member_out}<&"${MEMBER[0]}"
	member_read "$HELLO"
}
member_close() {
	exec {member_in}>&- {member_out}<&-
	kill "$member_pid" 2>/dev/null
	wait "$member_pid" 2>/dev/null
}
member_say() { printf '%s\n' "$*" >&"$member_in"; } 2>/dev/null
# The next frame of this type; its payload is in $payload.
member_read() { # TYPE
	local type
	while IFS=' ' read -r -t 40 -u "$member_out" type _ payload; do
		[ "$type" != "$GOODBYE" ] || goodbye=$payload
		[ "$type" != "$1" ] || return 0
		[ "$type" != closed ] || break
	done
	payload=
	return 1
}
# shellcheck disable=SC2001 # pairs of digits
text_of() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }
# Why the other side says goodbye.
member_goodbye() {
	member_read "$GOODBYE" && text_of "${payload:2}"
}
zeros() { printf "%0$((2 * $1))d" 0; } # BYTES

root_before=$(node_root n1)
# What the link ends with; and that the node is none the worse for it.
ends_with() { # NAME REASON
	like "$1: the link ends with a reason" "$(member_goodbye)" "$2"
	member_close
	is "$1: nothing of it is in the table" "$(node_root n1)" "$root_before"
	run at n1 ocf query wc --data 'a b c'
	is "$1: the others are served" "$out" 3 || diag "$err"
}

# ---- frames

sid=0badcafe
# WHOLE, of 5 rows
open=01${sid}02$(zeros 8)$(zeros 8)$(zeros 8)$(zeros 16)$(zeros 7)05

member_open 0
member_say "$SYNC" 80 "${open:0:60}"
ends_with "an OPEN cut short" 'cut off'

member_open 0
member_say "$SYNC" 80 "63$sid"
ends_with "a message of no known kind" 'no known type'

member_open 0
member_say "$SYNC" 80 ""
ends_with "an empty message" 'no known type'

member_open 0
member_say raw ffff1180
ends_with "a frame longer than a frame may be" 'longer than 65532'

member_open 0
member_say "$SYNC" 80 "05${sid}000000$(zeros 8)"
ends_with "an ASK without a session" 'not opened'

member_open 0
member_say "$SYNC" 80 "06${sid}$(zeros 8)"
ends_with "an ANSWER that nobody asked for" '.'

member_open 0
for _ in $(seq 200); do member_say "$SYNC" 80 "$open"; done
ends_with "OPENs without end" 'faster|at a time'

# It comes back at once.
member_again 0
is "a member that was thrown out is refused" $? 1
like "and told for how long" "$(text_of "${goodbye:2}")" 'may come back in [0-9]+ s'
member_close

# ---- the node compares, the member answers

# One that claims more rows than it shows is asked, since the node has fewer.
member_open 100
ok "the node begins a session" member_read "$SYNC"
like "with an OPEN" "$payload" '^01'
sid=${payload:2:8}
digests=$(seq 256 | awk '{ printf "%06x", $1 }')
member_say "$SYNC" 80 "03${sid}$(zeros 7)6410$digests" # 100 rows, all differs
ok "it asks on" member_read "$SYNC"
like "with an ASK" "$payload" "^05$sid"
seq=${payload:10:4}
# CHILDREN of a node that was not asked about, at depth 60.
member_say "$SYNC" 80 "06${sid}${seq}000100000000$(printf '2f%s' "$(zeros 8)$(zeros 48)")"
ends_with "an answer to another question" '.'

# Never satisfied: each answer says that it was all answered, and claims rows that never came.
member_open 100
member_read "$SYNC"
sid=${payload:2:8}
member_say "$SYNC" 80 "03${sid}$(zeros 7)6410$digests"
member_read "$SYNC"
seq=${payload:10:4}
member_say "$SYNC" 80 "06${sid}${seq}ffffffffffff"
ends_with "an answer that claims too much" '.'

# ---- rows

member_open 0
member_say "$SYNC_ROWS" 80 "$(zeros 40)"
ends_with "rows that are none" 'rows that cannot be read'

member_open 0
for _ in $(seq 8); do member_say "$SYNC_ROWS" c0 "$(zeros 60000)"; done
ends_with "a row without end" 'more than'

# A row of n2, well-formed, with a signature of zeros: its key is owner | kind | name.
owner=$(node_id n2)
row=${owner}020177 # worker 7… the name is "7" below
row=${owner}020137
version=$(zeros 7)01$(zeros 7)ff$(zeros 7)ff$(zeros 8)000002$(zeros 64)7b7d
member_open 0
member_say "$ROWS" 80 "${row}01$version"
ends_with "a row that its owner did not sign" 'not signed by its owner'

member_open 0
member_say "$SYNC_ROWS" 80 "${row}01$version"
ends_with "the same, as of a comparison" 'not signed by its owner'

like "the log names what was wrong" "$(cat "$TMP/n1/log")" 'not signed by it'
ok "the two honest nodes agree as before" wait_until "$CLUSTER_SECONDS" tables_are_equal n1 n2
cluster_done
