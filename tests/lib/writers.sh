# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Rows written at real nodes while the network or the nodes fail, and what must be true of
# them afterwards. Sourced after network.sh, for nodes in namespaces of their own.
#
# Each node has one announcer (lib/announcer.c) whose workers are rows; a worker's id begins
# with its node's name, and its metadata has a number that grows with each write. WRITTEN says
# what was written last.

: "${OCF_TEST_SEED:=$((SRANDOM % 100000))}"
diag "seed $OCF_TEST_SEED (OCF_TEST_SEED)"
RANDOM=$OCF_TEST_SEED
WRITER_BUS=127.0.0.1:8094 # each has a loopback of its own, so that the bus returns there
# shellcheck disable=SC2034 # cluster.sh uses it
CLUSTER_LISTEN=(--http.listen=127.0.0.1:0 --peer.listen=127.0.0.1:0 "--bus.listen=$WRITER_BUS")
WRITER_BYTES=300
declare -A WRITER_FD=() WRITTEN=() # node → what to write into; id → number, or «gone»

writer_start() { # NODE
	local AT fd
	mkfifo "$TMP/$1/writer"
	exec {fd}<>"$TMP/$1/writer"
	WRITER_FD[$1]=$fd
	at_words "$1"
	(exec "${AT[@]}" "$OCF_TEST_BUILDDIR/tests/lib/announcer" "$WRITER_BUS" "$WRITER_BYTES") \
		<&"$fd" >>"$TMP/writer-$1.log" 2>&1 &
	# shellcheck disable=SC2034 # as above
	WORKER_PID["writer-$1"]=$!
}
write_row() { # NODE ID NUMBER|gone
	WRITTEN[$2]=$3
	printf '%s\n' "$2 $3" >&"${WRITER_FD[$1]}"
}
# One of the node's rows, by chance: written again, or removed, or written anew.
WRITE_COUNT=0
write_random() { # NODE
	local id=$1-$((RANDOM % 8))
	WRITE_COUNT=$((WRITE_COUNT + 1))
	if [ $((RANDOM % 4)) -eq 0 ] && [ "${WRITTEN[$id]:-gone}" != gone ]; then
		write_row "$1" "$id" gone
	else
		write_row "$1" "$id" "$WRITE_COUNT"
	fi
}
# The same at random ones of these nodes, some ten times a second.
write_for() { # SECONDS NODE…
	local until=$((SECONDS + $1)) nodes
	shift
	nodes=("$@")
	while [ "$SECONDS" -lt "$until" ]; do
		write_random "${nodes[RANDOM % $#]}"
		sleep 0.1
	done
}

# Lines «ID NUMBER».
written() {
	local id
	for id in "${!WRITTEN[@]}"; do
		[ "${WRITTEN[$id]}" = gone ] || echo "$id ${WRITTEN[$id]}"
	done | sort
}
listed() { # NODE
	at "$1" ocf workers --json |
		jq -r '.[] | select(.metadata.n) | .id + " " + (.metadata.n | tostring)' | sort
}
lists_all_written() { [ "$(listed "$1")" = "$(written)" ]; }
# The first so many bytes of what is wrong.
show_wrong_lists() {
	local node
	for node in "$@"; do
		diff <(written) <(listed "$node") | head -n 20 | sed "s/^/$node: /" | diag
	done
}

# All these nodes have what was written, and one table. Prints how long that took.
are_equal() { # WHAT SECONDS NODE…
	local what=$1 seconds=$2 since=$EPOCHREALTIME node
	shift 2
	for node in "$@"; do
		ok "$what: $node has all that was written, and nothing else" \
			wait_until "$seconds" lists_all_written "$node" || show_wrong_lists "$node"
	done
	ok "$what: all tables are equal" wait_until "$seconds" tables_are_equal "$@" ||
		for node in "$@"; do diag "$node: $(node_root "$node")"; done
	diag "$what: equal after $(since "$since") s"
}
since() { # $EPOCHREALTIME of before
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}

# How often a node was declared dead by these.
deaths() { # NODE…
	local node sum=0
	for node in "$@"; do
		sum=$((sum + $(grep -cE ' node [^ ]+ \([0-9a-f]+\) is dead' "$TMP/$node/log")))
	done
	echo "$sum"
}
all_see_all() { # NODE…
	local node
	for node in "$@"; do sees_nodes "$node" "$#" || return 1; done
}
is_slow() { [ "${OCF_TEST_LEVEL:-}" = slow ]; }
