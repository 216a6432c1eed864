#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# HTTP over TLS with a certificate of one's own, and SIGHUP: what is read again, and that all
# stays as it was when one of the files cannot be used.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/raw.sh
. "$OCF_TEST_SRCDIR/tests/lib/raw.sh"

certificate() { # NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
		-addext "subjectAltName=IP:127.0.0.1" -keyout "$TMP/$1.key" -out "$TMP/$1.pem" \
		>"$TMP/openssl.log" 2>&1 || cluster_fail "no certificate" "$TMP/openssl.log"
	chmod 600 "$TMP/$1.key"
}
use() { cp "$TMP/$1.pem" "$TMP/now.pem" && cp "$TMP/$1.key" "$TMP/now.key"; } # NAME
use_token() { # TOKEN
	(umask 077 && echo "me:$(printf %s "$1" | sha256sum | cut -d' ' -f1)" >"$TMP/tokens")
}
certificate old
certificate new
use old
use_token one
node_init n1

run at n1 ocfd --http.cert="$TMP/now.pem" --check-config
is "a certificate without a key is refused" "$status" 78
like "and the remedy told" "$err" 'http.cert and http.key need each other'
run at n1 ocfd --http.cert="$TMP/now.pem" --http.key="$TMP/new.key" --check-config
like "so is a key of another certificate" "$status $err" '^78 .*new.key is not that of the certificate in'
chmod 644 "$TMP/new.key"
run at n1 ocfd --http.cert="$TMP/new.pem" --http.key="$TMP/new.key" --check-config
like "and a key that others can read" "$status $err" '^7[78] .*new.key can be read by others'
chmod 600 "$TMP/new.key"
run at n1 ocfd --http.cert="$TMP/none.pem" --http.key="$TMP/new.key" --check-config
like "and a file that is not there" "$status $err" '^78 .*none.pem'

node_start n1 --http.cert="$TMP/now.pem" --http.key="$TMP/now.key" --http.token_file="$TMP/tokens" \
	--http.local_tokens=yes --http.access_log=yes
worker_start n1 echo --service echo -- cat
http=$(node_field n1 http)
url=https://$http
get() { # CERTIFICATE TOKEN ARG…
	local cert=$1 token=$2
	shift 2
	curl -s --max-time 20 --cacert "$TMP/$cert.pem" -H "Authorization: Bearer $token" -o "$TMP/body" \
		-w '%{http_code}' "$@"
}
is "/healthz over TLS" "$(get old one "$url/healthz")" 200
is "a query over TLS" "$(get old one -d 'hello' "$url/v1/service/echo"; cat "$TMP/body")" 200hello
head -c 3000000 /dev/urandom >"$TMP/large"
is "a large one" "$(get old one --data-binary "@$TMP/large" "$url/v1/service/echo")" 200
ok "comes back as it was" cmp "$TMP/large" "$TMP/body"
is "many on one connection" "$(get old one "$url/healthz?[1-20]" --write-out '%{http_code} %{num_connects}\n' |
	sort | uniq -c | tr -s ' \n' ' ')" " 19 200 0 1 200 1 "
is "a TLS 1.2 client is served" "$(get old one --tls-max 1.2 "$url/healthz")" 200
is "one of TLS 1.1 is not" "$(get old one --tls-max 1.1 --ciphers 'DEFAULT:@SECLEVEL=0' "$url/healthz")" 000
is "plain HTTP is not spoken there" "$(get old one "http://$http/healthz")" 400
like "and its client told so" "$(cat "$TMP/body")" 'speaks HTTPS'
unlike "who speaks neither is not" "$(raw_send "$http" 'hello\r\n' 10 | tr -d '\0')" 'HTTP'
is "but on the unix socket" "$(get old none --unix-socket "$(node_field n1 socket)" http://localhost/v1/status)" 200
is "nobody trusts another certificate" "$(get new one "$url/healthz")" 000
run at n1 env OCF_TOKEN=one ocf status
is "ocf goes by the socket" "$status" 0 || diag "$err"
run at n1 env OCF_TOKEN=one ocf --url "$url" status
like "over the network it trusts nobody unknown" "$status $err" '^1 .*certificate.*OCF_CA'
run at n1 env OCF_TOKEN=one OCF_CA="$TMP/old.pem" ocf --url "$url" status
is "but whom it is told to" "$status" 0 || diag "$err"

# Who is in the middle of something keeps it.
(
	exec 3>&1
	gated_body() { echo first; wait_until 20 test -e "$TMP/go"; echo second; }
	gated_body | curl -s --max-time 30 --cacert "$TMP/old.pem" -H "Authorization: Bearer one" \
		-T - -X POST "$url/v1/service/echo" >"$TMP/slow.out"
) &
slow=$!
is_asking() { curl -s --unix-socket "$(node_field n1 socket)" http://localhost/metrics | grep -q '^ocf_http_running [2-9]'; }
ok "a query is under way" wait_until 10 is_asking

like "the access log tells requests, here as text" "$(grep access: "$TMP/n1/log")" \
	'peer=127.0.0.1:[0-9]+ method=GET target=/healthz status=200 received=0 sent=3 ms=[0-9]+'

hangup() { kill -HUP "${NODE_PID[n1]}"; }
said() { [ "$(grep -c "$1" "$TMP/n1/log")" -ge "$2" ]; } # WORDS TIMES
use new
use_token two
hangup
ok "SIGHUP reads the files again" wait_until 10 said 'certificate and key were read again' 1
is "the new certificate is shown, and the new token counts" "$(get new two "$url/v1/status")" 200
is "the old certificate is not shown any more" "$(get old two "$url/v1/status")" 000
is "the old token does not count any more" "$(get new one "$url/v1/status")" 401
touch "$TMP/go"
wait "$slow"
is "what was under way ends as it began" "$(tr '\n' ' ' <"$TMP/slow.out")" "first second "

# All or nothing: each of the files is broken in turn, the others are good and different.
cp "$TMP/old.pem" "$TMP/now.pem" # and the key of the new one
use_token three
hangup
ok "a certificate that does not fit its key is refused" wait_until 10 said 'nothing was read again' 1
is "the certificate stays" "$(get new two "$url/v1/status")" 200
is "and with it the tokens" "$(get new three "$url/v1/status")" 401
use old
echo 'not a line of tokens' >"$TMP/tokens"
hangup
ok "tokens that cannot be read are refused" wait_until 10 said 'nothing was read again' 2
is "the tokens stay, and with them the certificate" "$(get new two "$url/v1/status")" 200
like "the log says why" "$(grep 'nothing was read' "$TMP/n1/log" | tail -n 1)" 'tokens:1: not NAME'
use_token three
hangup
ok "when all are good again they are taken" wait_until 10 said 'certificate and key were read again' 2
is "and count" "$(get old three "$url/v1/status")" 200
cluster_done
