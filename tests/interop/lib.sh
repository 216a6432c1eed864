# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Workers in other languages, for `make check-interop`: what they need is fetched into a
# folder below the build folder, exact versions, and nothing outside of that is written or
# read. Without the language, its package or the registry the test is skipped, with a word.

# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck disable=SC2034 # for the tests
HERE=$OCF_TEST_SRCDIR/tests/interop
CACHE=$OCF_TEST_BUILDDIR/tests/interop/cache
FETCH_SECONDS=60
PATH=$PATH:/usr/local/go/bin # where Go's own packages put it
mkdir -p "$CACHE/home"
export HOME="$CACHE/home"

interop_skip() { # REASON
	echo "1..0 # SKIP $1"
	exit 0
}

# The program, or the end of the test.
interop_need() { # PROGRAM WHAT-TO-INSTALL
	command -v "$1" >/dev/null || interop_skip "there is no $1; install $2"
}

# Run an installer. One that did not get through is no failure of ours; anything else is.
interop_fetch() { # WHAT COMMAND ARG…
	local what=$1 status=0
	shift
	timeout "$FETCH_SECONDS" "$@" >"$TMP/fetch.log" 2>&1 || status=$?
	[ "$status" -ne 0 ] || return 0
	diag <"$TMP/fetch.log"
	[ "$status" -eq 124 ] || grep -qiE 'ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|no such host|dial tcp|name resolution|NewConnectionError|ConnectTimeout|timed out|\(from versions: none\)' "$TMP/fetch.log" &&
		interop_skip "$what cannot be fetched: its registry is not reached"
	bail "$what cannot be installed"
}

# What is in the folder NAME, with the packages that its lock names. (By --prefix npm would look
# for its own configuration in another place.)
interop_npm() { # NAME
	mkdir -p "$CACHE/$1"
	cp "$HERE/$1"/*.js "$HERE/$1/package.json" "$CACHE/$1/"
	if ! cmp -s "$HERE/$1/package-lock.json" "$CACHE/$1/fetched"; then
		cp "$HERE/$1/package-lock.json" "$CACHE/$1/"
		interop_fetch "the npm packages of $1" env -C "$CACHE/$1" npm_config_cache="$CACHE/npm" \
			npm_config_update_notifier=false npm_config_fetch_retries=0 npm ci --ignore-scripts --no-audit --no-fund
		cp "$HERE/$1/package-lock.json" "$CACHE/$1/fetched"
	fi
	diag "node $(node --version), $(jq -r '.dependencies | to_entries[] | .key + " " + .value' "$HERE/$1/package.json")"
}

# Start a worker of ours at a node; words are its command, URL and ID stand for themselves.
interop_start() { # NODE ID WORD…
	local node=$1 id=$2 words
	words=("${@:3}")
	words=("${words[@]/#URL/nats://$(node_field "$node" bus)}")
	"${words[@]/#ID/$id}" >>"$TMP/worker-$id.log" 2>&1 </dev/null &
	WORKER_PID[$id]=$!
}

# ---- the test as a node: a plain NATS server, and bash

server_is_ready() { SERVER=$(jq -re '.nats[0]' "$TMP/ports"/*.ports) && SERVER=${SERVER#nats://}; }
server_start() {
	mkdir -p "$TMP/ports"
	nats-server -a 127.0.0.1 -p -1 --ports_file_dir "$TMP/ports" >>"$TMP/server.log" 2>&1 &
	WORKER_PID[server]=$!
	wait_until 10 server_is_ready || cluster_fail "nats-server does not start" "$TMP/server.log"
	exec {server_fd}<>"/dev/tcp/${SERVER%:*}/${SERVER##*:}"
	printf 'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB worker:status 1\r\nSUB test.reply 2\r\n' >&"$server_fd"
}
# Count lines that match until there are so many, or none came for SECONDS.
hear() { # COUNT REGEX SECONDS: prints the count
	local heard=0 line
	while [ "$heard" -lt "$1" ] && IFS= read -r -t "$3" line <&"$server_fd"; do
		[[ $line =~ $2 ]] && heard=$((heard + 1))
		[[ $line != PING* ]] || printf 'PONG\r\n' >&"$server_fd"
	done
	echo "$heard"
}
say() { # SUBJECT BODY
	printf 'PUB %s %d\r\n%s\r\n' "$1" "${#2}" "$2" >&"$server_fd"
}
query() { # ID REQUEST-ID BODY
	local head=$'NATS/1.0\r\nOcf-Req-Id: '$2$'\r\nOcf-Service: count\r\n\r\n'
	printf 'HPUB ocf.d.%s test.reply %d %d\r\n%s%s\r\n' "$1" "${#head}" $((${#head} + ${#3})) "$head" "$3" >&"$server_fd"
}

# ---- what every worker of today must do

service_of() { # NODE LANGUAGE: its match, nodes, workers, slots
	at "$1" ocf services --json | jq -c --arg m "lang=$2" '.[] | select(.name == "count" and .match == $m) | [.nodes, .workers, .slots]'
}
ask_count() { at "$1" ocf query count --match "lang=$2" --data "$3"; } # NODE LANGUAGE BODY
post_count() { # NODE LANGUAGE BODY
	exec curl -sN --max-time 60 -H "Ocf-Match: lang=$2" -d "$3" "$(node_url "$1")/v1/service/count"
}
lines_of() { [ "$(wc -l <"$1")" -ge "$2" ]; }
is_state() { [ "$(at "$1" ocf workers --json | jq -r --arg id "$2" '.[] | select(.id == $id) | .state')" = "$3" ]; }

interop_shows_all() { # LANGUAGE WORD… of the command
	local lang=$1 client
	shift
	cluster_start 2
	interop_start n1 "w-$lang" "$@"
	ok "it attaches, and the other node lists it" wait_until "$CLUSTER_SECONDS" sees_worker n2 "w-$lang" ||
		cluster_fail "it does not" "$TMP/worker-w-$lang.log" "$TMP/n1/log"
	is "with its service, match and slots" "$(service_of n2 "$lang")" '[1,1,4]'

	run ask_count n2 "$lang" 7
	is "it answers" "$status $out" "0 so many: 7"
	run ask_count n2 "$lang" "1000 0"
	is "it streams, in more parts than the window holds" "$status $(cksum <<<"$out")" "0 $(seq 0 999 | cksum)"
	run ask_count n2 "$lang" "none"
	is "its error is the query's" "$status" 1
	like "in its own words" "$err" 'say a number'
	is "with its own status" "$(curl -s -o "$TMP/body" -w '%{http_code}' -H "Ocf-Match: lang=$lang" -d none "$(node_url n1)/v1/service/count")" 400

	post_count n2 "$lang" "1000000 1" >"$TMP/endless" &
	client=$!
	ok "a client reads" wait_until "$CLUSTER_SECONDS" lines_of "$TMP/endless" 3
	kill "$client"
	wait "$client" 2>/dev/null
	ok "when it leaves, the worker is told" wait_until "$CLUSTER_SECONDS" grep -q '^cancelled ' "$TMP/worker-w-$lang.log"
	ok "and says that it has stopped: its slot is free" wait_until "$CLUSTER_SECONDS" node_is_idle n1

	post_count n2 "$lang" "30 100" >"$TMP/last" &
	client=$!
	ok "another client reads" wait_until "$CLUSTER_SECONDS" lines_of "$TMP/last" 1
	kill -TERM "${WORKER_PID[w-$lang]}"
	ok "told to stop, it drains" wait_until 2 is_state n2 "w-$lang" draining
	run ask_count n2 "$lang" 7
	is "it is given no more queries" "$status" 75
	wait "$client"
	is "the one that it had has its whole reply" "$(cksum <"$TMP/last")" "$(seq 0 29 | cksum)"
	program_wait "w-$lang" "${WORKER_PID[w-$lang]}"
	unset "WORKER_PID[w-$lang]"
	ok "then it leaves" wait_until "$CLUSTER_SECONDS" sees_no_worker n2 "w-$lang"

	server_start
	words=("${@/#URL/nats://$SERVER}")
	"${words[@]/#ID/alone}" >>"$TMP/worker-alone.log" 2>&1 </dev/null &
	WORKER_PID[alone]=$!
	is "to a node that the test plays it announces itself" "$(hear 1 '"status" ?: ?"connected"' 10)" 1
	query alone q1 "500 0"
	is "it sends the 16 parts of the window" "$(hear 16 '^Ocf-Seq:' 10)" 16
	is "and waits" "$(hear 1 '^Ocf-Seq:' 0.5)" 0
	say ocf.c.alone '{"op":"credit","id":"q1","n":3}'
	is "with credit for three it sends three" "$(hear 3 '^Ocf-Seq:' 10) $(hear 1 '^Ocf-Seq:' 0.5)" "3 0"
	say ocf.c.alone '{"op":"cancel","id":"q1"}'
	is "cancelled while it waits it says that it has stopped, and sends no more" \
		"$(hear 1 '^(Nats-Service-Error-Code: 499|Ocf-Seq:)' 10) $(hear 1 '^Ocf-Seq:' 0.5)" "1 0"
	exec {server_fd}>&-
	worker_stop alone
	worker_kill server # its status after a signal is 1
	cluster_done
}
