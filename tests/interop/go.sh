#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A worker in Go, on Debian's package of the client when it is there, else on the module of
# the same version.
# shellcheck source=tests/interop/lib.sh
. "$OCF_TEST_SRCDIR/tests/interop/lib.sh"
interop_need go "golang-go, 1.18 or later"
mkdir -p "$CACHE/go"
cp "$HERE/go/worker.go" "$HERE/go/go.mod" "$HERE/go/go.sum" "$CACHE/go/"
export GOPATH="$CACHE/gopath" GOCACHE="$CACHE/go-build" GOFLAGS=-modcacherw GOTOOLCHAIN=local CGO_ENABLED=0
cd "$CACHE/go" || bail "no folder"
if [ -d /usr/share/gocode/src/github.com/nats-io/nats.go ]; then
	export GO111MODULE=off GOPATH="$GOPATH:/usr/share/gocode"
	diag "$(go version), Debian's nats.go"
else
	interop_fetch "the Go module nats.go" go mod download
	diag "$(go version), $(go list -m github.com/nats-io/nats.go)"
fi
go build -o worker worker.go >"$TMP/build.log" 2>&1 || {
	diag <"$TMP/build.log"
	bail "the worker does not build"
}
cd - >/dev/null || exit
interop_shows_all go "$CACHE/go/worker" URL ID
