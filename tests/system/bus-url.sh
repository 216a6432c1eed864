#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Somebody's NATS server instead of the node's own: all ways to show it who we are, TLS, and
# what is said when it does not fit.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
# shellcheck source=tests/lib/nats.sh
. "$OCF_TEST_SRCDIR/tests/lib/nats.sh"

node_init n1
secrets=$TMP/secrets
mkdir -m 700 "$secrets"
secret() { # NAME, from standard input
	(umask 077 && cat >"$secrets/$1")
}
printf '%s\n' "$NATS_NKEY_SEED" | secret nkey
printf '%s\n' "$NATS_OTHER_SEED" | secret other-nkey
printf 'node:pass "word\\\n' | secret password
printf 'a-token\n' | secret token
creds() { # JWT SEED
	printf -- '-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n' "$1"
	printf '*** IMPORTANT ***\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n' "$2"
}
creds "$NATS_USER_JWT" "$NATS_USER_SEED" | secret jwt
creds "$NATS_EXPIRED_JWT" "$NATS_USER_SEED" | secret expired
creds "$NATS_USER_JWT" "$NATS_OTHER_SEED" | secret foreign
nats_ca ca
nats_ca other-ca
nats_certificate server ca IP:127.0.0.1
nats_certificate elsewhere ca DNS:elsewhere.example
nats_certificate client ca
nats_certificate stranger other-ca

# ---- what is wrong is said before anything starts

wrong() { # SENTENCE REGEX ARG…
	local sentence=$1 regex=$2
	shift 2
	run at n1 ocfd --check-config "$@"
	is "$sentence: exit 78" "$status" 78
	like "$sentence: the reason is said" "$err" "$regex"
	unlike "$sentence: and nothing secret" "$err" "hush|$NATS_NKEY_SEED|$NATS_USER_SEED"
}
url=--bus.url=nats://127.0.0.1:4222
wrong "a scheme that NATS does not have" 'bus\.url: https:// is not spoken here' --bus.url=https://example.org
wrong "a port that is none" "bus\.url: '127\.0\.0\.1:99999' is not host" --bus.url=nats://127.0.0.1:99999
wrong "the second of two" "bus\.url: 'a b' is not host" "--bus.url=nats://hush:hush@127.0.0.1:4222, a b"
wrong "a comma in a password" 'bus\.url: .*a password with a comma in it is written with %2C' --bus.url=nats://u:hu,hush@h
wrong "a percent sign in a password" 'bus\.url: in front of the @ of h:1 .* a % itself is written %25' --bus.url=nats://u:hush%hush@h:1
wrong "a line end in a password" 'bus\.url: .* a control character' --bus.url=nats://u:hush%0Ahush@h:1
wrong "a password without its user" 'bus\.url: in front of the @ of h:1' --bus.url=nats://:hush@h:1
wrong "no server at all" 'bus\.url: it names no server' --bus.url=,
long=$(seq -s, -f 'h%g:4222' 600)
wrong "a url of 5 KiB" 'bus\.url: longer than 4096' --bus.url="$long"
run at n1 ocf-worker --service s --bus "$long" -- true
is "a worker's url of 5 KiB: exit 78" "$status" 78
like "a worker's url of 5 KiB: it is not cut" "$err" '--bus: longer than 4096'
wrong "33 servers" 'bus\.url: more than 32' --bus.url="$(seq -s, -f 'h%g' 33)"
wrong "credentials without a url" 'bus\.credentials needs bus\.url' --bus.credentials="$secrets/nkey"
wrong "a CA without a url" 'bus\.ca needs bus\.url' --bus.ca="$TMP/tls/ca.pem"
wrong "credentials that are not there" "bus\.credentials: $secrets/none: No such file" "$url" --bus.credentials="$secrets/none"
chmod 640 "$secrets/nkey"
wrong "credentials that others can read" "bus\.credentials: $secrets/nkey can be read by others.*chmod 600" \
	"$url" --bus.credentials="$secrets/nkey"
chmod 600 "$secrets/nkey"
wrong "user and credentials" 'bus\.url has a user.*bus\.credentials is given, too' \
	--bus.url=nats://u:hush@h --bus.credentials="$secrets/nkey"
tr 2-7 7-9A <"$secrets/nkey" | secret broken
wrong "a seed with other characters" 'bus\.credentials: .*neither|bus\.credentials: .*58 characters|check sum' \
	"$url" --bus.credentials="$secrets/broken"
sed 's/^\(S.\{20\}\)\(.\)\(.\)/\1\3\2/' "$secrets/nkey" | secret swapped
wrong "a seed with two characters swapped" 'check sum is wrong' "$url" --bus.credentials="$secrets/swapped"
printf '%s\n' "$NATS_ACCOUNT_SEED" | secret account
wrong "an account's seed" "not a user's seed" "$url" --bus.credentials="$secrets/account"
wrong "a JWT and a seed of two users" "the JWT is of $NATS_USER, the seed of U" "$url" --bus.credentials="$secrets/foreign"
sed 's/^eyJ0.*$/eyJ0.eyJ0/' "$secrets/jwt" | secret no-jwt
wrong "a JWT that is none" 'its JWT is not one' "$url" --bus.credentials="$secrets/no-jwt"
grep -v '^SU' "$secrets/jwt" | secret no-seed
wrong "credentials without their seed" 'the seed is missing' "$url" --bus.credentials="$secrets/no-seed"
secret empty </dev/null
wrong "empty credentials" 'neither a NATS credentials file nor one line' "$url" --bus.credentials="$secrets/empty"
printf 'one\ntwo\n' | secret lines
wrong "two lines" 'neither a NATS credentials file nor one line' "$url" --bus.credentials="$secrets/lines"
wrong "a certificate for credentials" 'this is a PEM file' "$url" --bus.credentials="$TMP/tls/client.key"
wrong "a CA that is none" "bus\.ca: $secrets/token holds no certificate" "$url" --bus.ca="$secrets/token"
wrong "a certificate without its key" 'bus\.key is missing' "$url" --bus.cert="$TMP/tls/client.pem"
wrong "a key without its certificate" 'bus\.cert is missing' "$url" --bus.key="$TMP/tls/client.key"
wrong "another's key" "the key in .*server\.key is not that of the certificate in .*client\.pem" \
	"$url" --bus.cert="$TMP/tls/client.pem" --bus.key="$TMP/tls/server.key"
cp "$TMP/tls/client.key" "$TMP/tls/open.key"
chmod 644 "$TMP/tls/open.key"
wrong "a key that others can read" 'open\.key can be read by others' \
	"$url" --bus.cert="$TMP/tls/client.pem" --bus.key="$TMP/tls/open.key"
run at n1 timeout 20 ocf-worker --service s --bus nats://h:1 --credentials "$secrets/none" -- cat
is "a worker's credentials that are not there: exit 78" "$status" 78
like "with the option" "$err" "--credentials: $secrets/none"
run at n1 timeout 20 ocf-worker --service s --bus nats://h:99999 -- cat
like "a worker's bus that is none: the option" "$status $err" "^78 .*--bus: 'h:99999' is not host"

# ---- servers of every kind

nats_start plain </dev/null
nats_start password <<-END
	authorization { users: [
	  { user: node, password: "pass \"word\\\\" }
	  { user: other, password: "pass:word" } ] }
END
nats_start token <<-END
	authorization { token: a-token }
END
nats_start nkey <<-END
	authorization { users: [ { nkey: $NATS_NKEY } ] }
END
nats_start jwt <<-END
	operator: $NATS_OPERATOR_JWT
	resolver: MEMORY
	resolver_preload: { $NATS_ACCOUNT: $NATS_ACCOUNT_JWT }
END
nats_start tls <<-END
	tls { cert_file: "$TMP/tls/server.pem", key_file: "$TMP/tls/server.key" }
END
nats_start mutual <<-END
	tls { cert_file: "$TMP/tls/server.pem", key_file: "$TMP/tls/server.key", ca_file: "$TMP/tls/ca.pem", verify: true }
END
nats_start elsewhere <<-END
	tls { cert_file: "$TMP/tls/elsewhere.pem", key_file: "$TMP/tls/elsewhere.key" }
END

# A node with these options has its bus up, a worker of these attaches and answers.
works() { # SENTENCE SERVER SCHEME-AND-USER [--OPTION VALUE]… as ocf-worker has them
	local sentence=$1 where=${3}127.0.0.1:${NATS_PORT[$2]} option=() i
	shift 3
	for ((i = 1; i < $#; i += 2)); do option+=("--bus.${*:i:1}=${*:i+1:1}"); done
	option=("${option[@]/#--bus.--/--bus.}")
	node_start n1 --bus.url="$where" "${option[@]}"
	ok "$sentence: the bus is up" wait_until "$CLUSTER_SECONDS" bus_is n1 up || tail -n 5 "$TMP/n1/log" | diag
	unlike "$sentence: what is shown of it is not secret" "$(at n1 ocf status --json; cat "$TMP/n1/state/ocf/run.json")" 'pass|a-token'
	worker_start n1 w --service wc --bus "$where" "$@" -- wc -w
	run at n1 ocf query wc --data 'a b c'
	is "$sentence: a query is answered" "${out//[[:space:]]/}" 3
	# More than a TLS record, a tunnel's buffer and a window hold.
	if [ -n "${more:-}" ]; then
		worker_start n1 echo --service echo --bus "$where" "$@" -- cat
		head -c 3000000 /dev/urandom >"$TMP/large"
		at n1 ocf query echo --file "$TMP/large" >"$TMP/back"
		ok "$sentence: three megabytes go there and back" cmp "$TMP/large" "$TMP/back"
		worker_stop echo
	fi
	worker_stop w
	node_stop n1
}
# The bus stays down, the reason is in the log and in `ocf status`, and the node goes on.
refused() { # SENTENCE REGEX SERVER SCHEME-AND-USER ARG…
	local sentence=$1 regex=$2 where=${4}127.0.0.1:${NATS_PORT[$3]}
	shift 4
	: >"$TMP/n1/log"
	at_background n1 "$TMP/n1/log" ocfd "${CLUSTER_LISTEN[@]}" --bus.url="$where" "$@"
	NODE_PID[n1]=$!
	said() { grep -qE "cannot be used: .*($regex)" "$TMP/n1/log"; }
	ok "$sentence: the log says why" wait_until "$CLUSTER_SECONDS" said || tail -n 5 "$TMP/n1/log" | diag
	told() { [[ $(bus_trouble n1) =~ $regex ]] && bus_is n1 down; }
	ok "$sentence: so does ocf status" wait_until "$CLUSTER_SECONDS" told
	unlike "$sentence: nothing secret is in the log" "$(cat "$TMP/n1/log")" 'wrongly|pass|a-token'
	node_stop n1
}

works "a plain server" plain ""
works "user and password in the url" password nats://other:pass:word@
works "user and password in a file" password "" --credentials "$secrets/password"
works "… percent-encoded" password 'nats://node:p%61ss%20%22word%5C@'
works "a token in the url" token a-token@
works "a token in a file" token "" --credentials "$secrets/token"
works "an NKEY" nkey "" --credentials "$secrets/nkey"
works "a JWT" jwt "" --credentials "$secrets/jwt"
more=yes works "TLS" tls tls:// --ca "$TMP/tls/ca.pem"
works "TLS that the server asks for" tls "" --ca "$TMP/tls/ca.pem"
works "certificates of both sides" mutual "" --ca "$TMP/tls/ca.pem" --cert "$TMP/tls/client.pem" --key "$TMP/tls/client.key"

refused "no user" 'Authorization Violation' password ""
refused "another password" 'Authorization Violation' password nats://node:wrongly@
refused "another token" 'Authorization Violation' token wrongly@
refused "another NKEY" 'Authorization Violation' nkey "" --bus.credentials="$secrets/other-nkey"
refused "an NKEY where none is asked for" 'asks for no NKEY' password "" --bus.credentials="$secrets/nkey"
refused "a JWT that has ended" 'JWT in the credentials file has expired' jwt "" --bus.credentials="$secrets/expired"
refused "TLS where there is none" 'TLS is wanted, and this NATS server offers none' plain tls://
refused "a CA where there is no TLS" 'TLS is wanted' plain "" --bus.ca="$TMP/tls/ca.pem"
refused "a certificate of nobody known" 'TLS: its certificate is refused: ' tls tls://
refused "a certificate of another CA" 'TLS: its certificate is refused: ' tls "" --bus.ca="$TMP/tls/other-ca.pem"
refused "another server's certificate" 'TLS: its certificate is not one of 127\.0\.0\.1' elsewhere "" \
	--bus.ca="$TMP/tls/ca.pem"
refused "no certificate of ours" 'TLS: .*certificate required|TLS: .*bad certificate' mutual "" --bus.ca="$TMP/tls/ca.pem"
refused "one of a stranger" 'TLS: .*certificate' mutual "" --bus.ca="$TMP/tls/ca.pem" \
	--bus.cert="$TMP/tls/stranger.pem" --bus.key="$TMP/tls/stranger.key"

# ---- files are read anew

cp "$secrets/other-nkey" "$secrets/turns"
at_background n1 "$TMP/n1/log" ocfd "${CLUSTER_LISTEN[@]}" --bus.url="127.0.0.1:${NATS_PORT[nkey]}" \
	--bus.credentials="$secrets/turns"
NODE_PID[n1]=$!
told() { [[ $(bus_trouble n1) = *Authorization* ]]; }
ok "with another's key the bus is down" wait_until "$CLUSTER_SECONDS" told
cp "$secrets/nkey" "$secrets/turns"
ok "once the file has the right one, it is up, without a restart" wait_until "$CLUSTER_SECONDS" bus_is n1 up
is "and there is no trouble" "$(bus_trouble n1)" ""
chmod 644 "$secrets/turns"
nats_kill nkey
nats_again nkey
told() { [[ $(bus_trouble n1) = *"can be read by others"* ]]; }
ok "a file that others can read by then is not used" wait_until "$CLUSTER_SECONDS" told
chmod 600 "$secrets/turns"
ok "until it is mended" wait_until "$CLUSTER_SECONDS" bus_is n1 up
nats_stop_all
cluster_done
