#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# More HTTP connections than a node takes: of one address some are closed at once, of all
# together some wait, and neither keeps out the unix socket.
# shellcheck source=tests/lib/namespace.sh
. "$OCF_TEST_SRCDIR/tests/lib/namespace.sh"
namespace_enter "$0" "a crowd of HTTP clients" net
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

# Addresses of this machine that are not loopback's.
if ! { ip link set lo up && ip address add 10.84.0.1/24 dev lo && ip address add 10.84.0.2/24 dev lo; }; then
	bail "no addresses can be given"
fi
node_init n1
node_start n1 --http.listen=0.0.0.0:0 --http.public=yes --http.max_connections=30 \
	--http.max_address_connections=12
http=$(node_field n1 http)
port=${http##*:}
socket=$(node_field n1 socket)
mkfifo "$TMP/hold"
exec 9<>"$TMP/hold"
knock() { # SOURCE ADDRESS COUNT
	"$OCF_TEST_BUILDDIR/tests/lib/knock" "$1" "$2:$port" "$3" 600 <"$TMP/hold" >"$TMP/knock.$1" 2>&1 &
	WORKER_PID[knock.$1]=$!
}
metric() { curl -s --unix-socket "$socket" http://localhost/metrics | awk -v name="$1" '$1 == name { print $2 }'; }
holds() { [ "$(metric ocf_http_connections)" -eq $(($1 + 1)) ]; } # beside who asks
has_closed() { [ "$(grep -c ^closed "$TMP/knock.$1")" -eq "$2" ]; }
get() { curl -s --max-time "$2" --interface "$1" -o "$TMP/body" -w '%{http_code}' "http://10.84.0.1:$port/healthz"; }

knock 10.84.0.1 10.84.0.1 20
ok "one address is left what it may have" wait_until 10 holds 12
ok "what is more is closed at once" wait_until 10 has_closed 10.84.0.1 8
is "and counted" "$(metric ocf_http_turned_away_total)" 8
like "and told in the log, once" "$(grep -c 'http.max_address_connections' "$TMP/n1/log")" '^1$'
is "it gets no further one" "$(get 10.84.0.1 20)" 000
is "another address is served" "$(get 10.84.0.2 20)" 200
knock 127.0.0.1 127.0.0.1 40
ok "loopback may have more than an address, up to what all may" wait_until 10 holds 30
is "then nobody is served over TCP" "$(get 10.84.0.2 1)" 000
run at n1 ocf status
is "but on the unix socket" "$status" 0 || diag "$err"
worker_stop knock.127.0.0.1
ok "when they leave there is room again" wait_until 10 holds 12
is "also for others" "$(get 10.84.0.2 20)" 200
worker_stop knock.10.84.0.1
ok "and when that address leaves" wait_until 10 holds 0
is "it is served, too" "$(get 10.84.0.1 20)" 200
unset "PROGRAM_STATUS[knock.127.0.0.1]" "PROGRAM_STATUS[knock.10.84.0.1]" # killed
cluster_done
