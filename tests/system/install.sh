#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make install, installcheck and uninstall, into a folder of our own: everything is there,
# under the prefix; a configuration that is there is kept; uninstall takes away just that.
# shellcheck source=tests/lib/tap.sh
. "$OCF_TEST_SRCDIR/tests/lib/tap.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES TESTS
dest=$TMP/dest

make_here() { # TARGET
	make -C "$OCF_TEST_BUILDDIR" --no-print-directory "$@" DESTDIR="$dest"
}
variable() { # NAME: of the makefile, in full
	printf 'print:\n\t@echo "$(%s)"\n' "$1" |
		make -C "$OCF_TEST_BUILDDIR" --no-print-directory -s -f Makefile -f - print
}
installed() { (cd "$dest" && find . ! -type d | sed 's/^\.//' | sort); }

sysconfdir=$(variable sysconfdir)
sbindir=$(variable sbindir)
bindir=$(variable bindir)
conf=$dest$sysconfdir/ocf/ocf.conf

ok "make install" make_here install
installed >"$TMP/first"
is "nothing is written outside of the folders that configure was told" "$(
	for name in prefix sysconfdir systemdsystemunitdir sysusersdir tmpfilesdir bashcompletiondir; do
		variable "$name"
	done | grep . | sed 's|.*|^&/|' | grep -vEf - "$TMP/first"
)" ""
for file in "$sbindir/ocfd" "$bindir"/ocf{,-sync,-worker} "$sysconfdir/ocf/ocf.conf" \
	"$(variable docdir)/ocf.conf" "$(variable mandir)"/man{8/ocfd.8,1/ocf{,-sync,-worker}.1,5/ocf.conf.5}; do
	ok "$file is there" test -s "$dest$file"
done

# A folder that configure was told to leave out has no name.
optional() { # VARIABLE FILE
	local folder
	folder=$(variable "$1")
	[ -n "$folder" ] && echo "$dest$folder/$2"
}
if unit=$(optional systemdsystemunitdir ocfd.service); then
	is "the unit runs the installed ocfd" "$(sed -n 's/^ExecStart=//p' "$unit")" "$sbindir/ocfd"
	like "… with the installed configuration" "$(cat "$unit")" "XDG_CONFIG_HOME=$sysconfdir "
	unlike "… and nothing in it is left to fill in" "$(cat "$unit")" '@'
	if command -v systemd-analyze >/dev/null; then
		# It looks for the program, which is not there but under our folder.
		sed "s|^ExecStart=|&$dest|" "$unit" >"$TMP/ocfd.service"
		run systemd-analyze verify --man=no "$TMP/ocfd.service"
		is "systemd finds nothing wrong with it" "$status $out$err" "0 "
	fi
fi
if file=$(optional sysusersdir ocf.conf); then
	like "the user is the unit's" "$(grep '^u ' "$file") $(cat "$unit")" '^u ocf .*User=ocf'
fi
if file=$(optional tmpfilesdir ocf.conf); then
	is "its folder is made before" "$(grep -v '^#' "$file")" "d /var/lib/ocf 0750 ocf ocf -"
fi
if file=$(optional bashcompletiondir ocf); then
	for name in ocf ocfd ocf-worker ocf-sync; do
		ok "a completion for $name" bash -c ". '${file%/*}/$name' && complete -p $name"
	done
fi

ok "make installcheck" make_here installcheck

echo '[log]' >>"$conf"
cp "$conf" "$TMP/mine"
ok "make install again" make_here install
ok "a configuration that was changed is kept" cmp "$conf" "$TMP/mine"
installed >"$TMP/second"
ok "nothing else has come" cmp "$TMP/first" "$TMP/second"
mkdir -p "$conf.d"
touch "$dest$bindir/another" "$conf.d/10.conf"
ok "make uninstall" make_here uninstall
is "what is not ours, and what was changed, stays" "$(installed)" \
	"$(printf '%s\n' "$bindir/another" "${conf#"$dest"}" "${conf#"$dest"}.d/10.conf" | sort)"

rm -rf "$dest"
ok "make install in an empty place" make_here install
ok "make uninstall" make_here uninstall
is "leaves nothing" "$(installed)" ""
tap_done
