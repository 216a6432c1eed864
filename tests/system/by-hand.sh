#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The README's walk-through, line by line, as somebody would type it. Only the ports differ:
# the test's must not meet anybody's, so the kernel picks them.
# shellcheck source=tests/lib/cluster.sh
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"

sed -n '/<!-- by hand -->/,/<!-- end of by hand -->/p' "$OCF_TEST_SRCDIR/README.md" |
	sed -n '/^```sh/,/^```/p' | grep -vE '^(```|$)' >"$TMP/lines"
ok "README.md has a walk-through" test "$(wc -l <"$TMP/lines")" -ge 8

mkdir -p "$TMP/alpha/home/config/ocf" "$TMP/alpha/home/run"
printf '[http]\nlisten = 127.0.0.1:0\n[peer]\nlisten = 127.0.0.1:0\n[bus]\nlisten = 127.0.0.1:0\n' \
	>"$TMP/alpha/home/config/ocf/ocf.conf"
export XDG_CONFIG_HOME=$TMP/alpha/home/config XDG_STATE_HOME=$TMP/alpha/home/state
export XDG_RUNTIME_DIR=$TMP/alpha/home/run
mkdir "$TMP/alpha/build"
cp "$OCF_TEST_SRCDIR/README.md" "$TMP/alpha/"
cd "$TMP/alpha" || exit 99

# The end of each line is waited for: a daemon until it is ready, a worker until it is listed.
started=0
run_json() { find "$TMP/alpha" -name run.json | wc -l; }
settled() {
	case $1 in
	*ocfd*) [ "$(run_json)" -eq "$started" ] ;;
	*ocf-worker*) ocf services --json | jq -e 'any(.[]; .name == "wc")' ;;
	esac
}
i=0
while IFS= read -r line <&3; do
	case $line in '#'* | *PATH=*) continue ;; esac
	i=$((i + 1))
	case $line in *ocfd*'&'*) started=$((started + 1)) ;; esac
	status=0
	eval "$line" >"$TMP/line.$i" 2>"$TMP/line.$i.err" </dev/null || status=$?
	case $line in
	*'&'*)
		[[ $line != *ocfd* ]] || NODE_PID[program$i]=$!
		[[ $line != *ocf-worker* ]] || WORKER_PID[program$i]=$!
		ok "$line" wait_until "$CLUSTER_SECONDS" settled "$line" || diag <"$TMP/line.$i.err"
		;;
	*)
		is "$line" "$status" 0 || diag <"$TMP/line.$i.err"
		;;
	esac
	last=$line
done 3<"$TMP/lines"
like "the last line is the query" "$last" 'ocf query wc --file README.md'
is "its answer is right" "$(tr -d '[:space:]' <"$TMP/line.$i")" "$(wc -w <README.md)"
like "ocf nodes lists both" "$(ocf nodes)" 'alpha.*beta|beta.*alpha'
like "one worker is not called several" "$(ocf status)" ' 3 rows: 1 worker, 1 service \([0-9]+ stored, root '
cluster_done
