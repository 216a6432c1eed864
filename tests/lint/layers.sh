#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every #include against the table of layers in ARCHITECTURE.md, so that picture and code
# cannot part. A row says what a folder may include: other folders, single headers
# (`net/loop.h`), exceptions (`not base/log.h`), and outside libraries. The tests may include
# anything of ours; programs' tests of one folder are bound by the linker instead.
# shellcheck source=tests/lib/tap.sh
. "${OCF_TEST_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib/tap.sh"
cd "$OCF_TEST_SRCDIR" || exit 99

# The table: lines `| folder | may include | outside |` between the two marks.
layers_table() {
	sed -n '/<!-- layers -->/,/<!-- end of layers -->/p' ARCHITECTURE.md | tr -d '`' |
		awk -F'|' 'NF >= 4 && $2 !~ /folder|---/ {
			gsub(/^ +| +$/, "", $2); gsub(/^ +| +$/, "", $3); gsub(/^ +| +$/, "", $4)
			print $2 "\t" $3 "\t" $4 }'
}

# Every include line of the C files under the given folders: file:line:header, quotes or
# angle brackets kept.
layers_includes() {
	find "$@" \( -name '*.c' -o -name '*.h' \) -exec \
		grep -HnoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]*[">]' {} + |
		sed -E 's/^([^:]*:[0-9]+:)[^"<]*/\1/'
}

# Judge them; prints a line for each that the table does not allow.
layers_judge() { # TABLE, includes on standard input
	awk -v table="$1" '
	function trim(s) { gsub(/^ +| +$/, "", s); return s }
	function library(h) { # of a header in <>; "" for libc
		if (h ~ /^event2\// || h == "event.h") return "libevent"
		if (h == "lmdb.h") return "lmdb"
		if (h ~ /^(nats\/|nats\.h)/) return "nats"
		if (h ~ /^openssl\//) return "openssl"
		if (h == "jansson.h") return "jansson"
		if (h ~ /^curl\//) return "curl"
		if (h ~ /^libsmartcols/) return "smartcols"
		if (h ~ /^hwloc/) return "hwloc"
		if (h == "ini.h") return "inih"
		if (h ~ /^xxh/) return "xxhash"
		if (h ~ /^CUnit\//) return "cunit"
		return ""
	}
	BEGIN {
		FS = "\t"
		while ((getline line < table) > 0) {
			split(line, col, "\t")
			folder = col[1]
			known[folder] = 1
			may[folder, folder] = 1
			n = split(col[2], item, ",")
			for (i = 1; i <= n; i++) {
				word = trim(item[i])
				if (word ~ /^not /) never[folder, trim(substr(word, 5))] = 1
				else if (word == "all") may_all[folder] = 1
				else may[folder, word] = 1
			}
			n = split(col[3], item, ",")
			for (i = 1; i <= n; i++) may_outside[folder, trim(item[i])] = 1
		}
	}
	{
		match($0, /:[0-9]+:/)
		file = substr($0, 1, RSTART - 1)
		place = substr($0, 1, RSTART + RLENGTH - 2)
		header = substr($0, RSTART + RLENGTH + 1)
		is_quoted = substr($0, RSTART + RLENGTH, 1) == "\""
		sub(/[">]$/, "", header)
		folder = file
		sub(/^src\//, "", folder)
		sub(/\/.*/, "", folder)
		if (!(folder in known)) {
			print place ": the folder " folder " is not in the table of layers"
			next
		}
		if (!is_quoted) {
			lib = library(header)
			if (lib != "" && !((folder, lib) in may_outside))
				print place ": " folder " may not include <" header "> (" lib ")"
			next
		}
		if (header == "config.h" || header ~ /^ut(hash|list|array|string|stack)\.h$/) next
		target = header
		sub(/\/.*/, "", target)
		if (header !~ /\//)
			print place ": \"" header "\" must be included as \"folder/file.h\""
		else if (!(target in known) && !(folder == "tests" && target ~ /^(lib|unit|sim|fuzz|bench)$/))
			print place ": \"" header "\" is in no folder of the table"
		else if ((folder, header) in never)
			print place ": " folder " may not include \"" header "\""
		else if (!((folder, target) in may) && !((folder, header) in may) && !(folder in may_all))
			print place ": " folder " may not include \"" header "\""

	}'
}

layers_table >"$TMP/layers"
ok "ARCHITECTURE.md has a table of layers" test "$(wc -l <"$TMP/layers")" -ge 10

folders=$(find src -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | tr '\n' ' ')
missing=
for folder in $folders crdt store tests; do
	grep -q "^$folder	" "$TMP/layers" || missing="$missing $folder"
done
is "every folder stands in it" "$missing" ""

layers_includes crdt store src tests | layers_judge "$TMP/layers" >"$TMP/wrong"
is "no include goes against it" "$(cat "$TMP/wrong")" ""

# The judge itself: what it must refuse and what it must let pass.
judge() { printf '%s\n' "$1" | layers_judge "$TMP/layers"; }
unlike "crdt may include base" "$(judge 'crdt/row.c:3:"base/bytes.h"')" .
like "crdt may not include store" "$(judge 'crdt/row.c:3:"store/store.h"')" 'crdt may not'
like "crdt may not include the log" "$(judge 'crdt/row.c:3:"base/log.h"')" 'crdt may not'
like "mesh may not include libevent" "$(judge 'src/mesh/mesh.c:3:<event2/event.h>')" libevent
unlike "bus may include net/loop.h" "$(judge 'src/bus/bus.c:3:"net/loop.h"')" .
like "bus may not include net/stream.h" "$(judge 'src/bus/bus.c:3:"net/stream.h"')" 'bus may not'
like "only store may include lmdb.h" "$(judge 'src/daemon/main.c:3:<lmdb.h>')" lmdb
like "a header needs its folder" "$(judge 'src/base/log.c:3:"log.h"')" 'folder/file.h'
tap_done
