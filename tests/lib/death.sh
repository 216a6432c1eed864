# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of death and return share: random moments from a seed, clients that ask all
# the while and judge every answer, and what «healed» means. Sourced after cluster.sh.

: "${OCF_TEST_SEED:=$((SRANDOM % 100000))}"
diag "seed $OCF_TEST_SEED (OCF_TEST_SEED)"
RANDOM=$OCF_TEST_SEED

# A fault comes at a random moment; nothing is waited for here.
death_moment() { # MILLISECONDS-AT-MOST
	local ms=$((RANDOM % ($1 + 1)))
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}
picked=
death_pick() { # WORD…: one of them, in $picked
	local words=("$@")
	# shellcheck disable=SC2034 # for the test
	picked=${words[RANDOM % $#]}
}

# ---- clients

# Three clients at a time ask this node for the service «echo», each time with other bytes.
# «repeatable» ones allow a second attempt; those that say «once» do not. One letter a query:
#	.  answered, byte for byte            e  a problem object: 502, 503, 504
#	W  a wrong answer                     H  no answer at all in time
#	C  the connection was cut             B  an error that is none of those
declare -A LOAD_PID=()
load_ask() { # URL KIND BODY
	local got rc=0 more=()
	[ "$2" = once ] || more=(-H "Idempotency-Key: $3")
	got=$(curl -s -m $((45 * ${OCF_TEST_PATIENCE:-1})) -w '|%{http_code}|%{content_type}' \
		-H 'Content-Type: text/plain' "${more[@]}" --data-binary "$3" \
		"$1/v1/service/echo" </dev/null) || rc=$?
	case "$rc $got" in
	"0 $3|200|"*) printf . ;;
	"0 "*'|200|'*) printf W && echo "$2 $3: $got" >>"$TMP/load.strange" ;;
	"0 "*'|50'[234]'|application/problem+json') printf e && echo "$2 $3: $got" >>"$TMP/load.errors" ;;
	"28 "*) printf H && echo "$2 $3: $got" >>"$TMP/load.strange" ;;
	"0 "*) printf B && echo "$2 $3: $got" >>"$TMP/load.strange" ;;
	*) printf C && echo "$2 $3: $rc $got" >>"$TMP/load.strange" ;;
	esac
}
load_start() { # NODE KIND
	local url
	url=$(node_url "$1")
	rm -f "$TMP/load.stop"
	(
		trap - EXIT
		i=0
		while [ ! -e "$TMP/load.stop" ]; do
			i=$((i + 1))
			for j in 1 2 3; do load_ask "$url" "$2" "$1-$2-$i-$j" & done
			wait
		done >>"$TMP/load.$1.$2"
	) &
	LOAD_PID[$1.$2]=$!
}
load_has() { # NODE KIND COUNT: so many queries have ended
	[ "$(wc -c <"$TMP/load.$1.$2")" -ge "$3" ]
}
# So many more have ended, of every client that asks.
load_goes_on() { # COUNT
	local name had
	for name in "${!LOAD_PID[@]}"; do
		had=$(wc -c <"$TMP/load.$name")
		wait_until 60 load_has "${name%.*}" "${name#*.}" $((had + $1)) || return 1
	done
}
# End all clients, and judge: who allowed a repetition was always answered; who did not was
# answered, or told clearly that it failed.
load_judge() { # SENTENCE
	local name said bad=
	touch "$TMP/load.stop"
	for name in "${!LOAD_PID[@]}"; do
		wait "${LOAD_PID[$name]}"
		said=$(cat "$TMP/load.$name")
		diag "$name: ${#said} queries, $(tr -cd e <<<"$said" | wc -c) told that they failed"
		case $name in
		*.repeatable) [ -z "${said//[.]/}" ] || bad="$bad $name: $said" ;;
		*) [ -z "${said//[.e]/}" ] || bad="$bad $name: $said" ;;
		esac
		[[ $said == *.* ]] || bad="$bad $name: none was answered"
		: >"$TMP/load.$name"
	done
	LOAD_PID=()
	is "$1" "$bad" "" || cat "$TMP/load.strange" "$TMP/load.errors" 2>/dev/null | tail -n 20 | diag
}

# ---- healed

root_of() { at "$1" ocf status --json | jq -r .table.root; }
roots_are_equal() {
	local node first='' root
	for node in "${!NODE_PID[@]}"; do
		root=$(root_of "$node")
		[ -n "$root" ] && [ "${first:=$root}" = "$root" ] || return 1
	done
}
# Every node sees every other one, and every worker named.
all_see() { # WORKER…
	local node id
	for node in "${!NODE_PID[@]}"; do
		sees_nodes "$node" "${#NODE_PID[@]}" || return 1
		for id in "$@"; do sees_worker "$node" "$id" || return 1; done
	done
}
# A query to each node, to be answered by each that has a worker: nothing is only shown.
all_answer() { # NODE-WITH-A-WORKER…
	local asked by
	for asked in "${!NODE_PID[@]}"; do
		for by in "$@"; do
			[ "$(at "$asked" ocf query echo --node "$by" --data "$asked $by" 2>/dev/null)" = "$asked $by" ] ||
				return 1
		done
	done
}
# shellcheck disable=SC2086 # lists of words
healed() { # WHAT "NODE-WITH-A-WORKER…" "WORKER…"
	local node
	ok "$1: every node sees all nodes and workers" wait_until "$CLUSTER_SECONDS" all_see $3
	ok "$1: queries from everywhere are answered everywhere" wait_until "$CLUSTER_SECONDS" all_answer $2
	ok "$1: all tables are equal" wait_until 60 roots_are_equal ||
		for node in "${!NODE_PID[@]}"; do diag "$node: $(root_of "$node")"; done
}

# ---- processes

server_of() { # NODE: the process id of its nats-server
	cluster_leftovers | grep nats-server | grep "$TMP/$1/" | cut -d: -f1
}
server_is_gone() { [ -z "$(server_of "$1")" ]; }
# Three nodes, each with a worker that echoes, e1 … e3.
death_cluster() {
	local i
	cluster_start 3
	for i in 1 2 3; do
		worker_start "n$i" "e$i" --service echo --slots 4 -- sh -c 'sleep 0.1; cat'
	done
	wait_until "$CLUSTER_SECONDS" all_see e1 e2 e3 || bail "the workers are not seen everywhere"
}
