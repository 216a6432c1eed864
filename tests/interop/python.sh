#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A worker in Python, on nats-py.
# shellcheck source=tests/interop/lib.sh
. "$OCF_TEST_SRCDIR/tests/interop/lib.sh"
interop_need python3 python3
python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' || interop_skip "python3 is older than 3.8"
python3 -m pip --version >/dev/null 2>&1 || interop_skip "there is no pip; install python3-pip"
if ! cmp -s "$HERE/python/requirements.txt" "$CACHE/python/fetched"; then
	rm -rf "$CACHE/python"
	mkdir -p "$CACHE/python"
	interop_fetch "the Python package nats-py" python3 -m pip install --quiet --no-cache-dir --no-input \
		--disable-pip-version-check --retries 0 --only-binary :all: --no-deps --require-hashes --target "$CACHE/python" \
		-r "$HERE/python/requirements.txt"
	cp "$HERE/python/requirements.txt" "$CACHE/python/fetched"
fi
export PYTHONPATH="$CACHE/python" PYTHONDONTWRITEBYTECODE=1
diag "$(python3 --version), nats-py $(python3 -c 'from importlib.metadata import version; print(version("nats-py"))')"
interop_shows_all python python3 "$HERE/python/worker.py" URL ID
