#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make lint`: the checks that need no build, and those of what the programs of this build
# say of themselves. A tool that is not installed is named and left
# out; ./bootstrap dev installs them all.
set -u
cd "$(dirname "$0")/../.." || exit 1
export LC_ALL=C.UTF-8
failed=0

lint() { # NAME COMMAND ARG…
	local name=$1
	shift
	if "$@" >"$log" 2>&1; then
		echo "lint: $name: clean"
	else
		echo "lint: $name: FAILED"
		sed 's/^/    /' "$log"
		failed=$((failed + 1))
	fi
}
have() {
	command -v "$1" >/dev/null && return 0
	echo "lint: $1 is not installed, left out"
	return 1
}
tap() { sh tests/run "$1" | grep -vE '^(ok|1\.\.)'; [ "${PIPESTATUS[0]}" -eq 0 ]; }

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
mapfile -t c_files < <(find crdt store src tests \( -name '*.c' -o -name '*.h' \) | sort)
mapfile -t scripts < <(printf '%s\n' bootstrap .ci/run tests/run m4/version.sh src/cli/completion/ocf; find tests -name '*.sh' | sort)
mapfile -t manuals < <(find man -name '*.[1-8]' | sort)
mapfile -t texts < <(printf '%s\n' bootstrap .ci/run configure.ac Makefile.am ./*.md NEWS;
	find crdt store src man m4 tests -type f ! -path '*/corpus/*' ! -name '*.png')

lint layers tap tests/lint/layers.sh
lint style tap tests/lint/style.sh
if [ -x "${OCF_TEST_BUILDDIR:=build}/src/daemon/ocfd" ]; then
	OCF_TEST_BUILDDIR=$(cd "$OCF_TEST_BUILDDIR" && pwd)
	export OCF_TEST_BUILDDIR
	lint manuals tap tests/lint/manuals.sh
else
	echo "lint: nothing is built in $OCF_TEST_BUILDDIR, manuals and completion left out"
fi
if have clang-format; then
	lint clang-format clang-format --dry-run -Werror "${c_files[@]}"
fi
if have shellcheck; then
	# Functions called by name, and $ meant for another shell.
	lint shellcheck shellcheck -x -e SC2317,SC2016 "${scripts[@]}"
fi
if have codespell; then
	lint codespell codespell --ignore-words=tests/lint/words.txt "${texts[@]}"
fi
if have mandoc && [ "${#manuals[@]}" -gt 0 ]; then
	lint mandoc mandoc -T lint -W warning "${manuals[@]}"
fi
if have cppcheck; then
	lint cppcheck cppcheck --quiet --enable=warning,performance,portability \
		--include=/usr/include/uthash.h --include=/usr/include/utlist.h --inline-suppr \
		--error-exitcode=1 --std=c11 --suppressions-list=tests/lint/cppcheck.txt -j "$(nproc)" -I. -Isrc crdt store src
fi
echo "lint: $failed failed"
[ "$failed" -eq 0 ]
