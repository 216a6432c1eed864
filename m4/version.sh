#!/bin/sh
# The version: of a release tarball what it says, else the last tag, else the one below
# (the next release) with the commit behind it.
next=0.1.0
if [ -f .tarball-version ]; then
	cat .tarball-version
elif tag=$(git describe --tags --match 'v[0-9]*' --abbrev=7 2>/dev/null); then
	echo "${tag#v}"
else
	echo "$next"
fi
