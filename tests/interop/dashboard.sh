#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The dashboard in headless Chromium: what it shows of a cluster that lives, on a desk and on a
# phone, light and dark. The pictures are left in the build folder, in tests/interop/screens.
# shellcheck source=tests/interop/lib.sh
. "$OCF_TEST_SRCDIR/tests/interop/lib.sh"
interop_need python3 python3
chromium=$(command -v chromium || command -v chromium-browser) || interop_skip "there is no chromium; install it"
screens=$OCF_TEST_BUILDDIR/tests/interop/screens
mkdir -p "$screens"

mkfifo "$TMP/orders" "$TMP/answers"
python3 "$HERE/browser.py" "$chromium" "$TMP/chromium" <"$TMP/orders" >"$TMP/answers" 2>"$TMP/browser.log" &
browser=$!
exec {orders}>"$TMP/orders" {answers}<"$TMP/answers"
# The nodes have inherited the pipe: its end would not be seen.
browser_quit() {
	[ -n "$browser" ] || return
	kill -0 "$browser" 2>/dev/null && echo quit >&"$orders"
	wait "$browser"
	browser=
}
cleanup() {
	browser_quit
	cluster_cleanup
}
trap cleanup EXIT
tell() { # LINE: the answer
	local answer
	printf '%s\n' "$*" >&"$orders"
	IFS= read -r -t 60 answer <&"$answers" || cluster_fail "the browser does not answer" "$TMP/browser.log"
	printf '%s' "$answer"
}
# JavaScript that is true on the page, now or soon.
page_has() { wait_until "$CLUSTER_SECONDS" page_is "$1"; }
page_is() { [ "$(tell "eval $1")" = true ]; }
row_says() { printf '[...document.querySelectorAll("#l-%s tbody tr")].some(r => r.textContent.includes("%s") && r.textContent.includes("%s"))' "$@"; }
looks_right() { # WHAT
	is "$1: nothing is wider than the page" "$(tell 'eval document.documentElement.scrollWidth <= innerWidth')" true
	is "$1: nor cut off in a tile" "$(tell 'eval [...document.querySelectorAll("dd,dt,figcaption,h2")].every(e => e.scrollWidth <= e.clientWidth + 1)')" true
	is "$1: every control has a label" \
		"$(tell 'eval [...document.querySelectorAll("input,button,a,canvas,[tabindex]")].every(e => e.labels?.length || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim())')" true
	is "$1: nothing is wrong on the console" "$(tell errors)" "[]"
	tell "shot $screens/$1.png" >/dev/null
}

cluster_start 3
worker_start n2 reader --service ocr --match lang=en --slots 2 -- cat
url=$(node_url n1)/
is "a window" "$(tell size 1280 900 light)" "done"
is "the page opens" "$(tell "open $url")" "done"
ok "it is live" page_has 'document.getElementById("live").textContent === "live"' ||
	diag <<<"$(tell errors)"
ok "it shows the nodes" page_has "$(row_says nodes n3 alive)"
ok "and the service, with its match" page_has "$(row_says services ocr lang=en)"
looks_right idle-light

is "all that it loads comes from this node, less than 100 KB of it" \
	"$(tell 'eval performance.getEntriesByType("resource").every(e => e.name.startsWith(location.origin))') $(
		tell 'eval Promise.all(["", "dashboard/dashboard.css", "dashboard/dashboard.js"].map(p => fetch("/" + p).then(r => r.text()))).then(t => t.join("").length < 100000)'
	)" "true true"

worker_start n3 counter --service wc -- wc -w
ok "a worker that joins is on the page" page_has "$(row_says workers counter n3)"
ok "and in what happened" page_has 'document.getElementById("l-events").textContent.includes("worker counter at n3 came: ready")'
for i in 1 2 3; do at n1 ocf query wc --data "a b c" >/dev/null; done
ok "queries are counted" page_has 'document.getElementById("t-latency").textContent !== "–"'
tell size 1280 900 dark >/dev/null
looks_right busy-dark

find_worker() {
	tell "eval (() => { const i = document.querySelector('[data-find=workers]'); i.value = '$1'; i.dispatchEvent(new Event('input')); })()" >/dev/null
}
find_worker reader
is "a word finds a worker" "$(tell 'eval document.getElementById("n-workers").textContent')" '"1 of 2"'
find_worker ""

node_kill n3 2>/dev/null
ok "a node that dies is shown so" page_has "$(row_says nodes n3 dead)"
ok "and in what happened" page_has 'document.getElementById("l-events").textContent.includes("node n3 is dead")'
ok "its worker is hidden" page_has "$(row_says workers counter hidden)"
tell size 390 800 light >/dev/null
looks_right dead-phone

tell 'eval (() => { const a = document.querySelector(".skip"); a.click(); return location.hash; })()' >/dev/null
is "the keyboard gets to the nodes at once" "$(tell 'eval document.activeElement.id')" '"nodes"'
node_start n3
ok "a node that returns is alive again" page_has "$(row_says nodes n3 alive)"

browser_quit
cluster_done
