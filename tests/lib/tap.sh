# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# TAP (testanything.org) for tests in shell: one line per statement shown, the plan last.
# A test file sources this or cluster.sh, states what it shows, and ends with `tap_done`.

set -u
export LC_ALL=C.UTF-8
: "${OCF_TEST_SRCDIR:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${OCF_TEST_BUILDDIR:=$OCF_TEST_SRCDIR/build}"
if [ -z "${OCF_TEST_TMP:-}" ]; then
	OCF_TEST_TMP=$(mktemp -d "${TMPDIR:-/tmp}/ocf-test.XXXXXX") || exit 99
fi
TMP=$OCF_TEST_TMP

tap_number=0
tap_failed=0

# A line of diagnosis, or all of standard input.
diag() {
	if [ $# -gt 0 ]; then
		printf '%s\n' "$*"
	else
		cat
	fi | sed 's/^/# /'
}

pass() {
	tap_number=$((tap_number + 1))
	echo "ok $tap_number - $1"
}

fail() {
	tap_number=$((tap_number + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_number - $1"
}

skip() { # SENTENCE REASON
	tap_number=$((tap_number + 1))
	echo "ok $tap_number - $1 # SKIP $2"
}

# The command's success is the statement.
ok() { # SENTENCE COMMAND ARG…
	local ok_sentence=$1
	shift
	if "$@" >"$TMP/ok.out" 2>&1; then
		pass "$ok_sentence"
	else
		fail "$ok_sentence"
		diag "exit status not 0: $*"
		diag <"$TMP/ok.out"
		return 1
	fi
}

is() { # SENTENCE GOT WANTED
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1"
		diag "got:    $2"
		diag "wanted: $3"
		return 1
	fi
}

like() { # SENTENCE TEXT EXTENDED-REGEX (of the whole text; . matches a line end, too)
	if [[ $2 =~ $3 ]]; then
		pass "$1"
	else
		fail "$1"
		diag "got:       $2"
		diag "no match:  $3"
		return 1
	fi
}

unlike() { # SENTENCE TEXT EXTENDED-REGEX
	if [[ $2 =~ $3 ]]; then
		fail "$1"
		diag "got:     $2"
		diag "matches: $3"
		return 1
	fi
	pass "$1"
}

# Run a command; afterwards $status, $out and $err are what it left.
# shellcheck disable=SC2034 # they are for the test
run() {
	status=0
	"$@" >"$TMP/run.out" 2>"$TMP/run.err" </dev/null || status=$?
	out=$(tr -d '\0' <"$TMP/run.out")
	err=$(tr -d '\0' <"$TMP/run.err")
}

# Ask until the command succeeds: 10 times a second, for at most that many seconds (three
# times as many in sanitized or instrumented builds, see OCF_TEST_PATIENCE).
wait_until() { # SECONDS COMMAND ARG…
	local wait_limit=$(($1 * ${OCF_TEST_PATIENCE:-1})) wait_since=$SECONDS
	shift
	until "$@" >/dev/null 2>&1; do
		[ $((SECONDS - wait_since)) -le "$wait_limit" ] || return 1
		sleep 0.1
	done
}

# Nothing further can be shown.
bail() {
	echo "Bail out! $*"
	exit 1
}

tap_done() {
	echo "1..$tap_number"
	[ "$tap_failed" -eq 0 ] && [ "$tap_number" -gt 0 ]
	exit
}
