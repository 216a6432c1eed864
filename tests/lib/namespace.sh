# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Tests that mount something, or make a network, do it in namespaces of their own, which any
# user may make on most machines. Source this first, with a word for what is then not tested.
# WHO such a user is in there: root, unless words of unshare(1) say otherwise. Several kinds are
# words in one argument: "net mount".

namespace_enter() { # SCRIPT WHAT [KINDS [WHO]]
	local kinds=${3:-mount} who=${4:---map-root-user} way
	[ -z "${OCF_TEST_NAMESPACE:-}" ] || return 0
	for way in "--${kinds// / --}" "$who --${kinds// / --}"; do
		# shellcheck disable=SC2086 # several words
		if unshare $way true 2>/dev/null; then
			OCF_TEST_NAMESPACE=1 exec unshare $way bash "$1"
		fi
	done
	# shellcheck source=tests/lib/tap.sh
	. "$OCF_TEST_SRCDIR/tests/lib/tap.sh"
	skip "$2" "nobody may make such namespaces here: $kinds"
	tap_done
}
