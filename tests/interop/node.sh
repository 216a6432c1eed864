#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A worker in Node, on npm's `nats`.
# shellcheck source=tests/interop/lib.sh
. "$OCF_TEST_SRCDIR/tests/interop/lib.sh"
interop_need node "Node 14 or later"
interop_need npm "npm, which fetches the package nats"
mkdir -p "$CACHE/node"
cp "$HERE/node/worker.js" "$HERE/node/package.json" "$CACHE/node/"
if ! cmp -s "$HERE/node/package-lock.json" "$CACHE/node/fetched"; then
	cp "$HERE/node/package-lock.json" "$CACHE/node/"
	cd "$CACHE/node" || bail "no folder"
	interop_fetch "the npm package nats" env npm_config_cache="$CACHE/npm" npm_config_update_notifier=false \
		npm_config_fetch_retries=0 npm ci --ignore-scripts --no-audit --no-fund
	cp "$HERE/node/package-lock.json" "$CACHE/node/fetched"
	cd - >/dev/null || exit
fi
diag "node $(node --version), nats $(jq -r .version "$CACHE/node/node_modules/nats/package.json")"
interop_shows_all node node "$CACHE/node/worker.js" URL ID
