#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tokens of HTTP: made, listed and revoked with `ocf token`, by the running node and
# without it; an address that others reach is not served without a token file; what a token is
# limited to. (Tokens of invitations: tokens.sh.)
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

node_init n1
file=$TMP/tokens
secrets=()

# ---- without a node

listen=(--http.listen=0.0.0.0:0 --http.local_tokens=yes --http.token_file="$file")
run at n1 ocfd "${CLUSTER_LISTEN[@]}" --http.listen=0.0.0.0:0
is "an address that others reach needs tokens" "$status" 78
like "or http.public, it says" "$err" 'http\.token_file.*ocf token add.*http\.public = yes'
run at n1 ocfd "${CLUSTER_LISTEN[@]}" "${listen[@]}"
is "and a file that is there" "$status" 78
like "with the word that makes it" "$err" "$file is not there; 'ocf token add NAME' makes it"
run at n1 ocf token list
is "which file it is must be told" "$status" 78
like "as http.token_file or --file" "$err" 'http\.token_file is not set.*--file'
mkdir -p "$TMP/n1/config/ocf"
printf '[http]\nlisten = 0.0.0.0:0\ntoken_file = %s\n' "$file" >"$TMP/n1/config/ocf/ocf.conf"
run at n1 ocf token add alice --rate 2.5 --concurrency 4 --services 'llm,ocr'
is "without a node the file is written directly" "$status" 0 || diag "$err"
like "and it says so" "$err" "added in $file; no ocfd runs here"
like "the token is on standard output, alone" "$out" '^ocft-[0-9a-f]{64}$'
alice=$out
secrets+=("$out")
is "the file holds its hash and limits" "$(cat "$file")" \
	"alice:$(printf %s "$alice" | sha256sum | cut -d' ' -f1):rate=2.5,concurrency=4,service=llm,service=ocr"
is "and is the owner's alone" "$(stat -c %a "$file")" 600
echo '# by hand' >>"$file"
run at n1 ocf token add alice
is "a name is taken once" "$status" 1
like "and where" "$err" "$file:1: there is a token of this name"
for wrong in '--rate 0' '--rate x' '--concurrency 0' '--burst 3' '--share 1001' '--services ,' '--services a,,b'; do
	# shellcheck disable=SC2086 # two words
	run at n1 ocf token add bob $wrong
	is "$wrong is wrong usage" "$status" 2
done
run at n1 ocf token add 'b b'
is "so is a name that is none" "$status" 2
run at n1 ocf token rename alice
is "and another verb" "$status" 2
run at n1 ocf token revoke bob
is "who is not there cannot be revoked" "$status" 1
run at n1 ocf token list --json
is "the list has limits, and no hashes" "$(jq -c . <<<"$out")" \
	'[{"name":"alice","rate":2.5,"burst":null,"concurrency":4,"share":null,"services":["llm","ocr"]}]'
run at n1 ocf token add bob --file "$TMP/other"
is "--file is another file" "$status $(cut -c 1-4 "$TMP/other")" "0 bob:"
secrets+=("$out")

# ---- by the node

node_start n1 "${listen[@]}"
worker_start n1 echo --service echo -- cat
worker_start n1 slow --service slow -- bash -c "$(gated)"
url=http://127.0.0.1:$(node_field n1 http | sed 's/.*://')
get() { # TOKEN ARG… of curl
	curl -s --max-time 20 -o "$TMP/body" -D "$TMP/head" -w '%{http_code}' -H "Authorization: Bearer $1" "${@:2}"
}
is "nobody gets in without a token" "$(curl -s -D "$TMP/head" -o /dev/null -w '%{http_code}' "$url/v1/status")" 401
like "and is told what is missing" "$(cat "$TMP/head")" 'WWW-Authenticate: Bearer|www-authenticate: Bearer'
is "a token that was made before lets in" "$(get "$alice" "$url/v1/status")" 200
is "but not to another service" "$(get "$alice" -d x "$url/v1/service/echo")" 403
like "and says so" "$(cat "$TMP/body")" 'the token alice is not for the service echo'
run at n1 ocf token add carol --concurrency 1
is "a running node adds one itself" "$status" 0 || diag "$err"
like "and says so" "$err" "by the running node, in $file: it holds from now on"
carol=$out
secrets+=("$out")
is "it lets in at once" "$(get "$carol" -d fine "$url/v1/service/echo")$(cat "$TMP/body")" 200fine
is "comments and others' lines are as they were" "$(sed -n 2p "$file")" '# by hand'
is "the node's list is the file's" "$(at n1 ocf token list --json)" "$(at n1 ocf token list --json --file "$file")"
run at n1 ocf token list
like "and a table" "$out" $'^NAME +RATE +BURST +CONCURRENCY +SHARE +SERVICES\nalice +2.5 +- +4 +- +llm, ocr\ncarol +- +- +1 +- +-'
run at n1 ocf --url "$url" token list
is "but not over HTTP" "$status" 77

# ---- limits

curl -s --max-time 60 -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $carol" -d held \
	"$url/v1/service/slow" >"$TMP/slow.status" &
slow=$!
ok "a request of carol's is under way" wait_until "$CLUSTER_SECONDS" runs n1 1
is "she may have one" "$(get "$carol" "$url/v1/status")" 429
like "and is told when to come again" "$(cat "$TMP/head")" '[Rr]etry-[Aa]fter: [1-9]'
run at n1 env OCF_TOKEN="$carol" ocf --url "$url" status
is "ocf ends with: later" "$status" 75
run at n1 ocf token revoke carol
is "she is revoked" "$status" 0 || diag "$err"
is "and does not get in any more" "$(get "$carol" "$url/v1/status")" 401
touch "$TMP/gate"
wait "$slow"
is "what ran is finished" "$(cat "$TMP/slow.status")" 200
at n1 ocf token add dave --rate 0.01 --burst 2 >"$TMP/dave" 2>/dev/null
dave=$(cat "$TMP/dave")
rm "$TMP/dave"
secrets+=("$dave")
is "two at once, and then one in 100 s" \
	"$(for _ in 1 2 3; do get "$dave" "$url/v1/status"; echo; done | tr '\n' ' ')" "200 200 429 "
like "which is when to come again" "$(cat "$TMP/head")" '[Rr]etry-[Aa]fter: ([89][0-9]|100)[^0-9]'
metrics=$(node_metrics n1)
like "the metrics count by name" "$metrics" 'ocf_http_token_requests_total\{token="carol"\} 2'
like "and why somebody was refused" "$metrics" 'ocf_http_token_refused_total\{token="dave",reason="rate"\} 1'
like "none runs any more" "$metrics" 'ocf_http_token_running\{token="carol"\} 0'

# ---- by hand, and read again

logged() { grep -q "$1" "$TMP/n1/log"; }
sed -i '/^dave:/s/burst=2/burst=2,pace=3/' "$file"
kill -HUP "${NODE_PID[n1]}"
ok "a line that cannot be read is told" wait_until "$CLUSTER_SECONDS" logged "$file:3: 'pace' is none of"
is "and what was read before stays" "$(get "$alice" "$url/v1/status")" 200
run at n1 ocf token add erin
is "such a file is not edited" "$status" 1
like "for the same reason" "$err" "$file:3: 'pace' is none of"
sed -i '/^dave:/d; /^alice:/d' "$file"
kill -HUP "${NODE_PID[n1]}"
gone() { [ "$(get "$alice" "$url/v1/status")" = 401 ]; }
ok "who is gone from the file does not get in" wait_until "$CLUSTER_SECONDS" gone
is "the socket needs no token" "$(at n1 ocf token list --json)" '[]'

# ---- without the right to write

if [ "$(id -u)" -ne 0 ]; then
	mkdir "$TMP/locked"
	cp "$file" "$TMP/locked/tokens"
	chmod 500 "$TMP/locked"
	run at n1 ocf token add frank --file "$TMP/locked/tokens"
	is "who may not write the folder is told" "$status" 77
	chmod 700 "$TMP/locked"
fi

shown=
for secret in "${secrets[@]}"; do
	shown=$shown$(grep -rlaF -e "${secret#ocft-}" "$TMP/n1" "$file" "$TMP/other")
done
is "no log, no folder and no token file holds a token" "$shown" ""
cluster_done
