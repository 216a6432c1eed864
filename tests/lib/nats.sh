# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# NATS servers that are nobody's node's: real ones, each with a configuration of a test's.
# Sourced after cluster.sh; ends with nats_stop_all in front of cluster_done.

declare -A NATS_PID=() NATS_PORT=() NATS_ROUTES=()
# NATS_…: an operator with one account and one user (JWTs without an end but for EXPIRED),
# and two NKEYs; made once for these tests, and used for nothing else.
# shellcheck source=tests/data/nats-keys
. "$OCF_TEST_SRCDIR/tests/data/nats-keys"

nats_program() { PATH=$PATH:/usr/sbin:/usr/local/sbin type -P nats-server; }

nats_ports=
nats_has_ports() { # NAME: its ports file is there, and whole; in $nats_ports
	nats_ports=$(cat "$TMP/nats-$1"/*.ports 2>/dev/null) && jq -e '.nats[0]' <<<"$nats_ports"
}
nats_run() { # NAME: as it is configured
	"$(nats_program)" -c "$TMP/nats-$1.conf" >>"$TMP/nats-$1.log" 2>&1 </dev/null &
	NATS_PID[$1]=$!
	wait_until 10 nats_has_ports "$1" || {
		tail -n 20 "$TMP/nats-$1.log" | diag
		bail "the nats-server $1 does not start"
	}
}
# Its configuration, but for the ports, from standard input. It keeps the port that it got.
nats_start() { # NAME
	local name=$1 text
	text=$(cat)
	mkdir -p "$TMP/nats-$name"
	rm -f "$TMP/nats-$name"/*
	printf 'host: 127.0.0.1\nport: %s\nports_file_dir: "%s"\n%s\n' \
		"${NATS_PORT[$name]:--1}" "$TMP/nats-$name" "$text" >"$TMP/nats-$name.conf"
	nats_run "$name"
	NATS_PORT[$name]=$(jq -r '.nats[0]' <<<"$nats_ports" | sed 's/.*://')
	NATS_ROUTES[$name]=$(jq -r '.cluster[0] // empty' <<<"$nats_ports" | sed 's/.*://')
	sed -i "s/^port: -1\$/port: ${NATS_PORT[$name]}/
		s/127\.0\.0\.1:-1/127.0.0.1:${NATS_ROUTES[$name]:-0}/" "$TMP/nats-$name.conf"
}
nats_again() { # NAME: after nats_kill
	rm -f "$TMP/nats-$1"/*
	nats_run "$1"
}
nats_kill() { # NAME
	kill -KILL "${NATS_PID[$1]}"
	wait "${NATS_PID[$1]}" 2>/dev/null
	unset "NATS_PID[$1]"
}
nats_stop_all() {
	local name
	for name in "${!NATS_PID[@]}"; do
		kill -CONT "${NATS_PID[$name]}" 2>/dev/null
		nats_kill "$name"
	done
}
nats_cleanup() {
	cluster_cleanup
	nats_stop_all 2>/dev/null
}
trap nats_cleanup EXIT

# ---- certificates

# A CA, and certificates of it: $TMP/tls/NAME.pem and .key.
nats_ca() { # NAME
	mkdir -p "$TMP/tls"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
		-keyout "$TMP/tls/$1.key" -out "$TMP/tls/$1.pem" >"$TMP/openssl.log" 2>&1
}
nats_certificate() { # NAME CA [SUBJECT-ALTERNATIVE-NAME]
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
		-keyout "$TMP/tls/$1.key" -out "$TMP/tls/$1.csr" >"$TMP/openssl.log" 2>&1 &&
		openssl x509 -req -in "$TMP/tls/$1.csr" -CA "$TMP/tls/$2.pem" -CAkey "$TMP/tls/$2.key" \
			-CAcreateserial -days 30 -out "$TMP/tls/$1.pem" \
			-extfile <(printf '%s\n' "${3:+subjectAltName=$3}") >>"$TMP/openssl.log" 2>&1
}

# ---- what a node says of its bus

bus_is() { # NODE STATE
	[ "$(at "$1" ocf status --json | jq -r .bus.state)" = "$2" ]
}
bus_trouble() { at "$1" ocf status --json | jq -r '.bus.trouble // empty'; } # NODE
