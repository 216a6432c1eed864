#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The programs, as their --help tells them, against the manuals and the completion: each
# option and command stands in both, and none that does not exist; each option of the
# configuration stands in ocf.conf(5), and in the example that is installed; each metric in
# ocfd(8); each number and name
# of the protocols in ocf-protocol(7); each test that ocf-cap(7) and SECURITY.md name exists.
# shellcheck source=tests/lib/tap.sh
. "$OCF_TEST_SRCDIR/tests/lib/tap.sh"
man=$OCF_TEST_SRCDIR/man
PATH="$OCF_TEST_BUILDDIR/src/daemon:$OCF_TEST_BUILDDIR/src/cli:$OCF_TEST_BUILDDIR/src/worker:$PATH"
programs="ocf:1 ocf-sync:1 ocf-worker:1 ocfd:8"

# ---- what there is

commands_of() { # PROGRAM
	"$1" --help | sed -nE '/^Commands:/,/^$/s/^  ([a-z][a-z-]*) .*/\1/p' | sort
}

# Options in a text of help, without those of ocfd's configuration.
options_in_help() {
	sed -nE -e 's/^ +(-[A-Za-z]), (--[a-z][a-z-]*)( .*)?$/\1\n\2/p; t' \
		-e 's/^ +(--[a-z][a-z-]*)( .*)?$/\1/p' | sort -u
}

options_of() { # PROGRAM: with those of all its commands
	{
		"$1" --help
		commands_of "$1" | while read -r command; do "$1" "$command" --help; done
	} | options_in_help
}

# Options that a manual's text (standard input) names.
options_in_manual() {
	grep -oE '\<Fl (-[a-z][a-z-]*|[A-Za-z])\>' | sed -E 's/^Fl (-[a-z])/-\1/; s/^Fl ([A-Za-z])$/-\1/' | sort -u
}

# What a manual says of one command: from its own line to the next command's.
manual_of_command() { # FILE COMMAND
	awk -v command="$2" '
		/^\.It Cm / { is_in = $3 == command }
		/^\.Sh/ { is_in = 0 }
		is_in' "$1"
}

only_first() { comm -23 <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

# ---- the manuals

for entry in $programs; do
	program=${entry%:*}
	page=$man/$program.${entry#*:}
	ok "$program has a manual" test -f "$page" || continue
	there=$(options_of "$program")
	ok "$program --help lists options" test "$(wc -l <<<"$there")" -ge 4
	told=$(options_in_manual <"$page")
	is "each option of $program stands in its manual" "$(only_first "$there" "$told")" ""
	is "its manual has no other" "$(only_first "$told" "$there")" ""
	commands=$(commands_of "$program")
	[ -n "$commands" ] || continue
	told=$(sed -nE 's/^\.It Cm ([a-z][a-z-]*).*/\1/p' "$page" | sort)
	ok "$program --help lists commands" test "$(wc -l <<<"$commands")" -ge 4
	is "each command of $program stands in its manual" "$(only_first "$commands" "$told")" ""
	is "its manual has no other command" "$(only_first "$told" "$commands")" ""
	common=$("$program" --help | options_in_help)
	wrong=
	for command in $commands; do
		here=$("$program" "$command" --help | options_in_help)
		told=$(manual_of_command "$page" "$command" | options_in_manual)
		# The help's paragraphs: usage, its own options if any, those of all, the manual.
		own=$("$program" "$command" --help |
			awk -v RS= '{ text[NR] = $0 } END { if (NR >= 4) print text[2] }' |
			options_in_help)
		for option in $(only_first "$own" "$told"); do wrong="$wrong $command:$option"; done
		for option in $(only_first "$told" "$here"); do
			grep -qxF -e "$option" <<<"$common" || wrong="$wrong $command:no$option"
		done
	done
	is "each command's own options stand under it, and no other's" "$wrong" ""
done

# ---- the configuration

there=$(ocfd --help | grep -oE '^ +--[a-z]+\.[a-z_]+' | tr -d ' -' | sort)
told=$(awk '/^\.Sh \[/ { gsub(/[][]/, "", $2); section = $2 }
	/^\.It Ic/ && section { print section "." $3 }' "$man/ocf.conf.5" | sort)
ok "ocfd --help lists options of the configuration" test "$(wc -l <<<"$there")" -ge 10
is "each of them stands in ocf.conf(5)" "$(only_first "$there" "$told")" ""
is "ocf.conf(5) has no other" "$(only_first "$told" "$there")" ""

example=$OCF_TEST_BUILDDIR/src/daemon/ocf.conf
told=$(awk '/^\[/ { gsub(/[][]/, ""); section = $0 }
	/^;[a-z_]+ =/ { print section "." substr($1, 2) }' "$example" | sort)
is "the example has exactly these" "$told" "$there"
sed -E 's/^;([a-z_]+ =)/\1/' "$example" >"$TMP/all.conf"
ok "the example is valid as it is" ocfd --check-config --config "$example"
ok "it is valid with every line in force" ocfd --check-config --config "$TMP/all.conf"
is "and says nothing then but the defaults" \
	"$(grep -E '^[a-z_]+ =' "$TMP/all.conf" | sed 's/^[a-z_]* = *//')" \
	"$(ocfd --help | sed -nE 's/^ +--[a-z]+\.[a-z_]+=//p' | sed 's/^…$//')"

# The service is stopped later than the node needs to drain. Spans are whole seconds there.
drain=$(ocfd --help | sed -nE 's/^ +--node\.drain_timeout=([0-9]+)s$/\1/p')
stop=$(sed -nE 's/^TimeoutStopSec=([0-9]+)s$/\1/p' "$OCF_TEST_SRCDIR/src/daemon/ocfd.service.in")
ok "the unit's TimeoutStopSec is above node.drain_timeout (${drain:-0} s)" \
	test "$stop" -gt $((${drain:-0} + 10))

# ---- the metrics

metrics=$(grep -rhoE '"ocf_[a-z_]+"' "$OCF_TEST_SRCDIR/src/daemon" "$OCF_TEST_SRCDIR/src/http" --include='*.c' | tr -d '"' | sort -u)
told=$(awk '/^\.Sh / { is_in = $2 == "METRICS" } is_in && /^\.It Ic/' "$man/ocfd.8" | grep -oE 'ocf_[a-z_]+' | sort)
ok "there are metrics" test "$(wc -l <<<"$metrics")" -ge 20
is "each metric stands in ocfd(8)" "$(only_first "$metrics" "$told")" ""
is "ocfd(8) has no other, and none twice" "$(only_first "$told" "$metrics")" ""

# ---- the completion

# shellcheck source=src/cli/completion/ocf
. "$OCF_TEST_SRCDIR/src/cli/completion/ocf"

completed() { # WORD…: the last one is being typed
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	_ocf
	[ "${#COMPREPLY[@]}" -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}" | sort
}

for entry in $programs; do
	program=${entry%:*}
	is "the completion of $program has its options" \
		"$(completed "$program" - | grep -v '=$')" "$("$program" --help | options_in_help)"
	commands=$(commands_of "$program")
	[ -n "$commands" ] || continue
	is "… and its commands" "$(completed "$program" '' | grep -vx help)" "$commands"
	wrong=
	for command in $commands; do
		[ "$(completed "$program" "$command" -)" = "$("$program" "$command" --help | options_in_help)" ] ||
			wrong="$wrong $command"
	done
	is "… and the options of each command" "$wrong" ""
done
# shellcheck disable=SC2086 # one word each
is "the completion of ocfd has the configuration" \
	"$(completed ocfd -- | sed -n 's/=$//p' | sort)" "$(printf -- '--%s\n' $there)"
is "choices are completed" "$(completed ocfd --log.format = '')" "$(printf 'json\ntext')"
is "a value in the same word, too" "$(completed ocfd --log.level = w)" warn
is "an option's value may be a file" "$(completed ocf query --file "$TMP/all.c")" "$TMP/all.conf"
is "a kind of list is completed" "$(completed ocf-worker --discover o)" openai
is "the path of a server is no file" "$(completed ocf-worker --health /)" ""
is "behind -- stands a command" "$(completed ocf-worker --service x -- ocf-work | sort -u)" ocf-worker

# Names come from other people's nodes: none is run, and none that needs quotes is offered.
_ocf_ask() {
	# shellcheck disable=SC2016 # it must not be expanded
	printf '%s\n' node1 'node$(touch '"$TMP"'/run)' 'node`id`' 'node;id'
}
is "names of nodes are completed" "$(completed ocf query x --node n)" node1
ok "… and never run" test ! -e "$TMP/run"
is "names of services stand behind query" "$(completed ocf query n)" node1
# ---- the protocols

protocol=$man/ocf-protocol.7
# "NUMBER NAME" of an enum, in which each name has PREFIX; numbers may follow from the first.
enum_of() { # FILE ENUM PREFIX
	awk -v name="$2" -v prefix="$3" '
		$1 == "enum" && $2 == name { is_in = 1; next }
		is_in && /^}/ { exit }
		is_in { sub(/\/\*.*/, ""); gsub(/[,;]/, ""); if ($1 == "") next
			n = $2 == "=" ? $3 : n + 1
			sub("^" prefix, "", $1); print n, $1 }' "$OCF_TEST_SRCDIR/$1" | grep -v _TYPES
}
told_in() { # SECTION: its numbered lines
	awk -v section="$1" '/^\.S[hs] / { title = $0; sub(/^\.S[hs] /, "", title); is_in = title == section }
		is_in && /^[0-9]+ +[A-Z][A-Z_]+/ { print $1, $2 }' "$protocol"
}
is "ocf-protocol(7) has each type of frame and its number" \
	"$(told_in 'FRAMES BETWEEN NODES')" "$(enum_of src/mesh/wire.h wire_type WIRE_)"
is "… each message and entry of a comparison" "$(told_in 'COMPARING TABLES')" \
	"$(enum_of src/sync/wire.h sync_frame_type SYNC_; enum_of src/sync/wire.h sync_entry_type SYNC_)"
missing=
while read -r word; do
	grep -qF -e "$word" "$protocol" || missing="$missing $word"
done < <(sed -nE 's/^#define BUS_(H|SUBJECT)_[A-Z_]+ +"([^"]*)".*/\2/p' "$OCF_TEST_SRCDIR/src/bus/protocol.h" |
	grep -vE '^ocf\.[rn]\.$') # those are the node's own
is "… each subject and header of the workers" "$missing" ""
number_of() { # FILE NAME
	sed -nE "s/.*\b$2 = ([0-9x]+).*/\1/p" "$OCF_TEST_SRCDIR/$1"
}
for limit in src/mesh/wire.h:WIRE_HELLO_BYTES_MAX src/mesh/wire.h:WIRE_WANT_MAX src/mesh/wire.h:WIRE_GOODBYE_BYTES_MAX \
	src/mesh/wire.h:WIRE_ADDRESS_BYTES_MAX crdt/row.h:ROW_CONTEXT_MAX crdt/row.h:ROW_NAME_BYTES_MAX \
	src/base/query.h:QUERY_ERROR_BYTES_MAX src/net/join.h:JOIN_SENTENCE_BYTES_MAX src/ident/token.h:TOKEN_ADDRESSES_MAX \
	src/sync/wire.h:SYNC_SMALL_ROWS_MAX src/sync/wire.h:SYNC_SHOWN_ROWS_MAX src/bus/protocol.h:BUS_HEARTBEAT_S_MAX; do
	number=$(number_of "${limit%:*}" "${limit#*:}")
	ok "… the limit ${limit#*:} ($number)" grep -qwF -e "${number:-none}" "$protocol"
done

# The workers that it shows are those that tests/interop runs. The markup is undone; a file's
# first line is its licence.
shown_in_manual() { # FILE
	awk -v name="$1" '/^\.\\"/ && $2 == name { is_next = 1; next }
		is_next && /^\.Bd/ { is_in = 1; is_next = 0; next }
		is_in && /^\.Ed/ { exit }
		is_in' "$protocol" |
		sed -e 's/^\\&//; s/\\-/-/g; s/\\(aq/'"'"'/g; s/\\(ga/`/g; s/\\(ti/~/g; s/\\(ha/^/g; s/\\e/\\/g'
}
for name in node/worker.js go/worker.go python/worker2023.py; do
	is "… the worker tests/interop/$name as it is tested" \
		"$(shown_in_manual "tests/interop/$name")" "$(tail -n +2 "$OCF_TEST_SRCDIR/tests/interop/$name")"
done

# ---- promises and the tests that show them

grep -oE 'tests/[a-z]+/[a-z-]+(\.sh)?' "$man/ocf-cap.7" | sort -u >"$TMP/tests"
ok "ocf-cap(7) names tests" test "$(wc -l <"$TMP/tests")" -ge 10
grep -oE 'tests/[a-z]+/[a-z-]+(\.sh)?' "$OCF_TEST_SRCDIR/SECURITY.md" | sort -u >"$TMP/tests.security"
ok "SECURITY.md does, too" test "$(wc -l <"$TMP/tests.security")" -ge 10
cat "$TMP/tests.security" >>"$TMP/tests"
missing=
while read -r name; do
	[ -f "$OCF_TEST_SRCDIR/$name" ] || [ -f "$OCF_TEST_SRCDIR/$name.c" ] || missing="$missing $name"
done <"$TMP/tests"
is "each of them exists" "$missing" ""
tap_done
