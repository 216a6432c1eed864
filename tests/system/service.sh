#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The service, as the installed unit, sysusers.d and tmpfiles.d say, without systemd: root
# makes the node in the folder that the service's user owns, the unit's ExecStart runs as
# that user with the unit's environment and folders and no privilege, on the default ports;
# root's `ocf` finds it; the one signal of KillMode=mixed ends it all. In namespaces of its
# own, where /var/lib, /run and the ports are nobody else's.
# shellcheck source=tests/lib/tap.sh
. "$OCF_TEST_SRCDIR/tests/lib/tap.sh"

if [ -z "${OCF_TEST_NAMESPACE:-}" ]; then
	for way in '--mount --net' '--map-root-user --mount --net'; do
		# shellcheck disable=SC2086 # words
		if command -v ip >/dev/null && unshare $way ip link set lo up 2>/dev/null; then
			OCF_TEST_NAMESPACE=$way exec unshare $way bash "$0"
		fi
	done
	skip "the unit runs" "nobody may make a mount and a network namespace here, or ip(8) is missing"
	tap_done
fi
. "$OCF_TEST_SRCDIR/tests/lib/cluster.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES TESTS
dest=$TMP/dest
make -C "$OCF_TEST_BUILDDIR" install DESTDIR="$dest" >"$TMP/install.log" 2>&1 ||
	cluster_fail "make install" "$TMP/install.log"
unit=$(find "$dest" -name ocfd.service)
if [ -z "$unit" ]; then
	skip "the unit runs" "configured without one"
	tap_done
fi
ip link set lo up
chmod 755 "$TMP"
mount -t tmpfs -o mode=755 none /var/lib
mount -t tmpfs -o mode=755 none /run

said() { sed -n "s/^$1=//p" "$unit"; }

# As real root: another user, by number. Else this user is all there is; a user namespace of
# its own makes it somebody without rights.
user=64321
case $OCF_TEST_NAMESPACE in
*root*)
	owner=0
	as_service=(unshare --user "--map-user=$user" "--map-group=$user")
	;;
*)
	owner=$user
	as_service=(setpriv "--reuid=$user" "--regid=$user" --clear-groups --no-new-privs --inh-caps=-all
		--bounding-set=-all)
	;;
esac
environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/var/lib/ocf USER=ocf
	LOGNAME=ocf "ASAN_OPTIONS=${ASAN_OPTIONS:-}" "UBSAN_OPTIONS=${UBSAN_OPTIONS:-}"
	"LSAN_OPTIONS=${LSAN_OPTIONS:-}" "TSAN_OPTIONS=${TSAN_OPTIONS:-}")

# tmpfiles.d: `d PATH MODE USER GROUP`.
read -r _ folder mode _ _ _ < <(grep '^d ' "$(find "$dest" -path '*tmpfiles.d/ocf.conf')")
is "the folder of tmpfiles.d is the unit's state folder" "$folder" "/var/lib/$(said StateDirectory)"
install -d -m "$mode" -o "$owner" -g "$owner" "$folder"

root() { env -i "${environment[@]}" HOME=/root "$dest$(dirname "$(said ExecStart)")/../bin/$1" "${@:2}"; }
run root ocf init --name served
is "root makes the node" "$status" 0 || diag "$err"
is "all that was made belongs to the service's user" "$(find "$folder" ! -uid "$owner")" ""

# RuntimeDirectory=, made by systemd at each start.
install -d -m "$(said RuntimeDirectoryMode)" -o "$owner" -g "$owner" "/run/$(said RuntimeDirectory)"
read -ra command < <(said ExecStart)
read -ra own < <(said Environment | sed "s|XDG_CONFIG_HOME=|&$dest|")
(
	umask "$(said UMask)"
	exec "${as_service[@]}" env -i "${environment[@]}" "${own[@]}" "$dest${command[0]}" \
		"${command[@]:1}"
) >>"$TMP/served.log" 2>&1 </dev/null &
NODE_PID["served"]=$!

answers() { root ocf status; }
ok "the unit's command runs, and root's ocf finds it" wait_until "$CLUSTER_SECONDS" answers ||
	cluster_fail "it does not answer" "$TMP/served.log"
# The socket is there a moment before the node is ready.
wait_until "$CLUSTER_SECONDS" test -e /var/lib/ocf/run.json || bail "it does not get ready"
is "it listens where everybody expects it" \
	"$(jq -r '[.http, .peer, .bus, .socket] | @text' "$folder/run.json")" \
	'["127.0.0.1:8092","[::]:8093","127.0.0.1:8094","/run/ocf/ocfd.sock"]'
is "others have no way to the socket" "$(stat -c %a "/run/$(said RuntimeDirectory)") $(stat -c %a /run/ocf/ocfd.sock)" \
	"750 660"
is "its folder is closed to others, and so is every key in it" \
	"$(stat -c %a "$folder") $(find "$folder" -name '*.key' -perm /077)" "750 "
run root ocf invite
is "root invites" "$status" 0 || diag "$err"

# KillMode=mixed: the main process alone is told.
is "the unit tells the main process alone" "$(said KillMode)" mixed
kill -TERM "${NODE_PID["served"]}"
program_wait served "${NODE_PID["served"]}"
NODE_PID=()
is "it ends well" "${PROGRAM_STATUS["served"]}" 0 || diag <"$TMP/served.log"
wait_until 10 cluster_is_gone
is "and leaves no process" "$(cluster_leftovers)" ""
is "no sanitizer and no assertion has spoken" "$(cluster_alarms)" ""
tap_done
