#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The manuals against the programs: every option of ocfd's table stands in ocf.conf(5), and
# none that does not exist; every command of ocf stands in ocf(1).
# shellcheck source=tests/lib/tap.sh
. "$OCF_TEST_SRCDIR/tests/lib/tap.sh"
man=$OCF_TEST_SRCDIR/man

"$OCF_TEST_BUILDDIR/src/daemon/ocfd" --help |
	grep -oE '^ +(--)?[a-z]+\.[a-z_]+' | tr -d ' -' | sort >"$TMP/options"
awk '/^\.Sh \[/ { gsub(/[][]/, "", $2); section = $2 }
	/^\.It Ic/ && section { print section "." $3 }' "$man/ocf.conf.5" | sort >"$TMP/described"
ok "ocfd --help lists options" test "$(wc -l <"$TMP/options")" -ge 10
is "each option of ocfd stands in ocf.conf(5)" "$(comm -23 "$TMP/options" "$TMP/described")" ""
is "ocf.conf(5) has no other" "$(comm -13 "$TMP/options" "$TMP/described")" ""

"$OCF_TEST_BUILDDIR/src/cli/ocf" --help | grep -oE '^  [a-z]+' | tr -d ' ' | sort >"$TMP/commands"
sed -nE 's/^\.It Cm ([a-z]+).*/\1/p' "$man/ocf.1" | sort >"$TMP/described"
ok "ocf --help lists commands" test "$(wc -l <"$TMP/commands")" -ge 8
is "each command of ocf stands in ocf(1)" "$(comm -23 "$TMP/commands" "$TMP/described")" ""
is "ocf(1) has no other" "$(comm -13 "$TMP/commands" "$TMP/described")" ""
tap_done
