#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job, shown: three nodes on this machine, each with its own store and its own bus,
# linked over mutual TLS; workers at the second and the third; queries sent to the first,
# which has none; then a node that comes late, and one that is killed and returns. `./bootstrap demo` builds and calls this. Every answer is compared with
# what it ought to be: a demonstration that only prints proves nothing.
#
# usage: demo.sh [--build=DIR] [--keep]
set -u
keep=
OCF_TEST_SRCDIR=$(cd "$(dirname "$0")/../.." && pwd)
build=build
for word in "$@"; do
	case $word in
	--build=?*) build=${word#--build=} ;;
	--keep) keep=yes ;;
	*)
		echo "usage: $0 [--build=DIR] [--keep]" >&2
		exit 2
		;;
	esac
done
OCF_TEST_BUILDDIR=$(cd "$OCF_TEST_SRCDIR" && cd "$build" && pwd) || exit 1
OCF_TEST_TMP=$(mktemp -d "${TMPDIR:-/tmp}/ocf-demo.XXXXXX") || exit 1
for name in "${!OCF_@}"; do
	case $name in OCF_TEST_*) ;; *) unset "$name" ;; esac
done
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
[ -z "$keep" ] || CLUSTER_DETACH=(setsid)

cd "$OCF_TEST_SRCDIR" || exit 1
page=tests/data/page.png
page_text=tests/data/page.txt
export OMP_THREAD_LIMIT=1 # tesseract is fastest so on one page

# ---- how it is told

step_number=0
step() {
	step_number=$((step_number + 1))
	printf '\n%d. %s\n' "$step_number" "$*"
}
tell() { printf '   %s\n' "$*"; }
show() { sed 's/^/     /'; }
bail() {
	printf '\nThe demonstration failed: %s\n' "$*" >&2
	exit 1
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

demo_end() {
	local status=$?
	cluster_cleanup
	rm -rf "$TMP"
	exit "$status"
}
trap demo_end EXIT

# Run a command as somebody on this node, shown as it would be typed, and show its output.
shown() { # NODE COMMAND ARG…
	local node=$1
	shift
	tell "$node\$ $*"
	run at "$node" "$@"
	printf '%s\n' "$out" | show
	[ "$status" -eq 0 ] || cluster_fail "$*: exit status $status: $err" "$TMP/$node/log"
}

# How many words of the wanted text ($2) stand, in order, in the text got ($1)?
words_right() {
	diff <(tr -s '[:space:]' '\n' <"$1") <(tr -s '[:space:]' '\n' <"$2") |
		awk -v all="$(wc -w <"$2")" '/^> ./ { wrong++ } END { print all - wrong }'
}

# Have node 1 get the page read; sets $answered to the worker that did it.
read_page() {
	local started right all
	tell "node1\$ ocf query ocr --file $page --verbose"
	started=$(now_ms)
	at node1 ocf query ocr --file "$page" --verbose >"$TMP/answer" 2>"$TMP/verbose" ||
		cluster_fail "no answer: $(cat "$TMP/verbose")" "$TMP"/*/log "$TMP"/worker-*.log
	tell "the answer, after $(($(now_ms) - started)) ms in all:"
	grep . "$TMP/answer" | head -n 6 | show
	tell "  …"
	tell "what ocf says about it:"
	show <"$TMP/verbose"
	all=$(wc -w <"$page_text")
	right=$(words_right "$TMP/answer" "$page_text")
	tell "$right of the $all words on the page are right"
	[ $((right * 20)) -ge $((all * 19)) ] || bail "too few words are right"
	answered=$(grep -oE 'reader-[23]' "$TMP/verbose" | head -n 1)
	[ -n "$answered" ] || bail "ocf query --verbose names no worker"
}

# Have node 1 count the words of the page's text, and compare.
count_words() {
	local wanted
	wanted=$(wc -w <"$page_text")
	shown node1 ocf query wc --file "$page_text"
	[ "${out//[[:space:]]/}" = "$wanted" ] || bail "that should be $wanted"
}

counts_words() { # NODE
	[ "$(at "$1" ocf query wc --data "one two" 2>/dev/null | tr -d '[:space:]')" = 2 ]
}

# A node comes in by an invitation of node1 and starts.
join_and_start() { # NODE
	local node=$1 token
	tell "node1\$ ocf invite"
	run at node1 ocf invite
	[ "$status" -eq 0 ] || cluster_fail "ocf invite: $err" "$TMP/node1/log"
	token=$out
	printf '%s…\n' "${token:0:60}" | show
	node_folder "$node"
	tell "$node\$ ocf join --name $node TOKEN"
	run at "$node" ocf join --name "$node" "$token"
	printf '%s\n' "$out" | show
	[ "$status" -eq 0 ] || cluster_fail "ocf join: $err" "$TMP/node1/log"
	node_start "$node"
	tell "$node\$ ocfd &   (http $(node_field "$node" http), peers $(node_field "$node" peer), bus $(node_field "$node" bus))"
}

# ---- what is told

started=$(now_ms)
echo "One machine, three nodes: $TMP"

step "node1 makes a cluster and starts"
node_folder node1
shown node1 ocf init --name node1
node_start node1
tell "node1\$ ocfd &   (http $(node_field node1 http), peers $(node_field node1 peer), bus $(node_field node1 bus))"

for node in node2 node3; do
	step "$node joins by an invitation and starts"
	join_and_start "$node"
done
for node in node1 node2 node3; do
	wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 3 ||
		cluster_fail "$node does not see three nodes" "$TMP"/node*/log
done

step "workers attach to node2 and node3; node1 has none"
for i in 2 3; do
	tell "node$i\$ ocf-worker --id reader-$i --service ocr -- tesseract - - &"
	worker_start "node$i" "reader-$i" --service ocr -- tesseract - -
done
tell "node3\$ ocf-worker --id counter-3 --service wc -- wc -w &"
worker_start node3 counter-3 --service wc -- wc -w
for id in reader-2 reader-3 counter-3; do
	wait_until "$CLUSTER_SECONDS" sees_worker node1 "$id" ||
		cluster_fail "node1 was not told of $id" "$TMP"/node*/log
done

step "the table, as node1 sees it"
shown node1 ocf nodes
shown node1 ocf services
shown node1 ocf workers

step "a page as a picture in, its text out: sent to node1, answered elsewhere"
read_page
first=$answered

step "a plain text tool beside it"
count_words

step "$first goes; the table follows, and the other reader answers"
tell "kill $first"
gone=$(now_ms)
worker_stop "$first"
wait_until "$CLUSTER_SECONDS" sees_no_worker node1 "$first" ||
	cluster_fail "node1 still lists $first" "$TMP"/node*/log
tell "node1 does not list it any more, $(($(now_ms) - gone)) ms after"
shown node1 ocf workers
read_page
[ "$answered" != "$first" ] || bail "$first answered, but it is gone"

step "node4 comes late: the table that the others made meanwhile is brought to it"
join_and_start node4
for node in node1 node2 node3 node4; do
	wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 4 ||
		cluster_fail "$node does not see four nodes" "$TMP"/node*/log
done
wait_until "$CLUSTER_SECONDS" tables_are_equal node1 node2 node3 node4 ||
	cluster_fail "the tables are not equal" "$TMP"/node*/log
shown node4 ocf services
shown node4 ocf-sync compare --with node1
tell "a query at node4 is answered by a worker of node3:"
shown node4 ocf query wc --data "how many words are these"
[ "${out//[[:space:]]/}" = 5 ] || bail "that should be 5"

step "node3 is killed, with its bus; the others go on, and it returns"
tell "kill -9 the ocfd of node3"
gone=$(now_ms)
node_kill node3
wait_until "$CLUSTER_SECONDS" sees_nodes node1 3 ||
	cluster_fail "node1 does not notice" "$TMP"/node*/log
tell "node1 calls it dead, $(($(now_ms) - gone)) ms after; a page of the text is read again meanwhile"
worker_start node2 reader-2b --service ocr -- tesseract - -
read_page
node_start node3
tell "node3\$ ocfd &   (again: http $(node_field node3 http))"
for node in node1 node2 node3 node4; do
	wait_until "$CLUSTER_SECONDS" sees_nodes "$node" 4 ||
		cluster_fail "$node does not see node3 again" "$TMP"/node*/log
done
# Its row stayed in the table, so that node1 lists it before it has connected again.
wait_until "$CLUSTER_SECONDS" counts_words node1 ||
	cluster_fail "the worker of node3 has not come back" "$TMP"/*/log "$TMP"/worker-*.log
tell "it is back after $(($(now_ms) - gone)) ms in all, and so is its worker, which was never stopped"
count_words
wait_until "$CLUSTER_SECONDS" tables_are_equal node1 node2 node3 node4 ||
	cluster_fail "the tables are not equal" "$TMP"/node*/log
shown node3 ocf-sync compare

if [ -n "$keep" ]; then
	step "kept running"
	for node in node1 node2 node3 node4; do
		cat >"$TMP/$node.env" <<-TEXT
			export XDG_CONFIG_HOME='$TMP/$node/config' XDG_STATE_HOME='$TMP/$node/state'
			export XDG_RUNTIME_DIR='$TMP/$node/run'
			PATH='$OCF_TEST_BUILDDIR/src/cli:$OCF_TEST_BUILDDIR/src/worker':\$PATH
		TEXT
	done
	{
		echo '#!/bin/sh'
		echo '# Stop the demonstration and remove its folder.'
		echo "kill ${WORKER_PID[*]} 2>/dev/null"
		echo "kill ${NODE_PID[*]} 2>/dev/null"
		echo "for pid in ${WORKER_PID[*]} ${NODE_PID[*]}; do"
		echo '	n=0'
		# shellcheck disable=SC2016 # for the script
		echo '	while kill -0 "$pid" 2>/dev/null && [ $((n += 1)) -lt 200 ]; do sleep 0.1; done'
		echo 'done'
		echo "rm -rf '$TMP'"
	} >"$TMP/stop"
	chmod +x "$TMP/stop"
	trap - EXIT
	tell "use it as somebody on node1 (in a shell of your own):"
	tell "  . $TMP/node1.env"
	tell "  ocf nodes; ocf query wc --data 'how many words are these'"
	tell "  curl --data-binary @tests/data/page.png $(node_url node1)/v1/service/ocr"
	tell "stop it, and remove its folder:"
	tell "  $TMP/stop"
	exit 0
fi

step "all programs stop"
cluster_stop
for name in "${!PROGRAM_STATUS[@]}"; do
	[ "${PROGRAM_STATUS[$name]}" -eq 0 ] ||
		cluster_fail "$name ended with ${PROGRAM_STATUS[$name]}" "$TMP"/*/log
done
wait_until 10 cluster_is_gone || bail "left behind: $(cluster_leftovers)"
tell "nothing is left running; all in all $(($(now_ms) - started)) ms"
