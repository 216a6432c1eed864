# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Bytes on a socket, as no well-behaved client would send them; bash's /dev/tcp.

# Send the text (printf's escapes) and print whatever comes back until the other side closes
# or SECONDS pass; the status is that of reading: 0 when it closed.
raw_send() { # HOST:PORT TEXT [SECONDS]
	local fd status=0
	exec {fd}<>"/dev/tcp/${1%:*}/${1##*:}" || return 2
	printf '%b' "$2" >&"$fd"
	timeout "${3:-10}" cat <&"$fd" || status=$?
	exec {fd}>&-
	return "$status"
}

# Publish one message to a NATS server: connect, publish, ping, and wait for the pong, so that
# the server has it. Prints what the server said.
raw_nats_publish() { # HOST:PORT SUBJECT BODY
	local fd line
	exec {fd}<>"/dev/tcp/${1%:*}/${1##*:}" || return 2
	printf 'CONNECT {"verbose":false,"pedantic":false,"name":"raw"}\r\nPUB %s %d\r\n%s\r\nPING\r\n' \
		"$2" "$(printf %s "$3" | wc -c)" "$3" >&"$fd"
	while IFS= read -r -t 10 line <&"$fd"; do
		printf '%s\n' "$line"
		case $line in PONG* | -ERR*) break ;; esac
	done
	exec {fd}>&-
}
