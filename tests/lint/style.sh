#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# House rules that a machine can check (CONTRIBUTING.md): what each file begins with, how
# long a function may be, which functions are not called, and what the sans-io folders may
# not do.
# shellcheck source=tests/lib/tap.sh
. "${OCF_TEST_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib/tap.sh"
cd "$OCF_TEST_SRCDIR" || exit 99

FUNCTION_LINES_MAX=70
LINE_COLUMNS_MAX=100 # the formatter aims at 90; strings that are searched for stay whole

c_files() { find "$@" \( -name '*.c' -o -name '*.h' \) | sort; }
script_files() {
	echo bootstrap
	echo .ci/run
	echo tests/run
	find m4 tests -name '*.sh' | sort
}

# The code of a file without comments, strings and characters; line numbers stay.
code_only() {
	awk '
	{
		line = $0
		out = ""
		while (line != "") {
			if (in_comment) {
				end = index(line, "*/")
				if (end == 0) break
				line = substr(line, end + 2)
				in_comment = 0
			} else if (match(line, /\/\*|\/\/|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/)) {
				token = substr(line, RSTART, RLENGTH)
				out = out substr(line, 1, RSTART - 1)
				line = substr(line, RSTART + RLENGTH)
				if (token == "/*") in_comment = 1
				else if (token == "//") line = ""
				else out = out "\"\""
			} else {
				out = out line
				line = ""
			}
		}
		print out
	}' "$1"
}

# Lines of the code of the files on standard input that match: file:line: text.
code_grep() { # EXTENDED-REGEX
	local file
	while IFS= read -r file; do
		code_only "$file" | grep -nE "$1" | sed "s|^|$file:|"
	done
}

spdx_missing() {
	{
		c_files crdt store src tests | while IFS= read -r file; do
			head -n 1 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
		done
		script_files | while IFS= read -r file; do
			[ "$file" = m4/version.sh ] ||
				head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
				echo "$file"
		done
	}
}

guards_wrong() {
	c_files crdt store src | grep '\.h$' | while IFS= read -r file; do
		guard=${file#src/}
		guard=OCF_$(echo "$guard" | tr 'a-z/.-' 'A-Z___')
		grep -q "^#ifndef $guard\$" "$file" && grep -q "^#define $guard\$" "$file" ||
			echo "$file: its guard is not $guard"
	done
}

functions_too_long() {
	c_files crdt store src tests | while IFS= read -r file; do
		awk -v max="$FUNCTION_LINES_MAX" -v file="$file" '
			/^[a-z_][a-z0-9_]*\(/ { name = $0; sub(/\(.*/, "", name) }
			/^{/ { start = NR }
			/^}/ && start {
				if (name != "" && NR - start - 1 > max)
					print file ":" start ": " name " has " NR - start - 1 " lines"
				start = 0
				name = ""
			}' "$file"
	done
}

lines_too_long() {
	c_files crdt store src tests | while IFS= read -r file; do
		expand -t 8 "$file" | awk -v max="$LINE_COLUMNS_MAX" -v file="$file" \
			'length($0) > max { print file ":" NR ": " length($0) " columns" }'
	done
}

# Unbounded, locale-bound, hidden state, or a shell in between.
banned='(^|[^a-zA-Z0-9_.>])(gets|strcpy|strcat|stpcpy|sprintf|vsprintf|strtok|atoi|atol|atoll|atof|rand|srand|random|alloca|system|popen|mktemp|tmpnam|tempnam|asctime|ctime|localtime|gmtime|strncpy|strncat)[[:space:]]*\('
# The world, from where only events come.
world='(^|[^a-zA-Z0-9_.>])(time|clock|clock_gettime|gettimeofday|getrandom|getenv|open|close|read|write|send|recv|socket|poll|sleep|usleep|nanosleep|fopen|printf|fprintf|puts|perror|pthread_[a-z_]*|clock_now_ms|rng_seed_random|log_[a-z]+)[[:space:]]*\('

is "each file begins with its licence" "$(spdx_missing)" ""
is "each header has the guard of its name" "$(guards_wrong)" ""
is "no function has over $FUNCTION_LINES_MAX lines" "$(functions_too_long)" ""
is "no line has over $LINE_COLUMNS_MAX columns" "$(lines_too_long)" ""
is "no line ends in white space" \
	"$(c_files crdt store src tests | xargs -d '\n' grep -nE '[[:space:]]+$')" ""
is "no banned function is called" "$(c_files crdt store src | code_grep "$banned")" ""
# A program that runs with other rights than its user's must not load what that one names.
tests_of_others() { xargs grep -nE '(^|[^_a-z])getenv\("OCF_TEST_'; }
is "variables for tests are read by secure_getenv()" "$(c_files crdt store src | tests_of_others)" ""
is "the sans-io folders do not touch the world" \
	"$(c_files crdt src/sync src/mesh src/dispatch | code_grep "$world")" ""
is "nothing is left for later" "$(grep -nIrE '\b(TODO|FIXME|XXX)\b' \
	crdt store src man m4 bootstrap ./*.md configure.ac Makefile.am tests --include='*' |
	grep -v '^tests/lint/style.sh:')" ""

# The checks themselves, on a file that breaks the rules.
mkdir -p "$TMP/bad"
{
	echo '/* strcpy(a, b) in a comment, and "atoi(" in a string, are fine */'
	echo 'char *s = "atoi(x)";'
	echo 'int x = atoi(s);'
	echo 'int y = my_atoi(s) + p->time(0);'
} >"$TMP/bad/a.c"
is "a banned call is found, a comment or a string is not" \
	"$(c_files "$TMP/bad" | code_grep "$banned")" "$TMP/bad/a.c:3:int x = atoi(s);"
echo 'x = getenv("OCF_TEST_X"); y = secure_getenv("OCF_TEST_Y");' >"$TMP/bad/b.c"
echo 'y = secure_getenv("OCF_TEST_Y");' >"$TMP/bad/c.c"
is "so is a variable for tests that is read without care" \
	"$(c_files "$TMP/bad" | tests_of_others | cut -d: -f1)" "$TMP/bad/b.c"
tap_done
