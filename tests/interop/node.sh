#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A worker in Node, on npm's `nats`.
# shellcheck source=tests/interop/lib.sh
. "$OCF_TEST_SRCDIR/tests/interop/lib.sh"
interop_need node "Node 14 or later"
interop_need npm "npm, which fetches the package nats"
interop_npm node
interop_shows_all node node "$CACHE/node/worker.js" URL ID
