# The composition root of ocfd: everything comes together here, and nothing may use it but
# its own main.
noinst_LIBRARIES += %D%/libdaemon.a
%C%_libdaemon_a_SOURCES = \
	%D%/admin.c \
	%D%/aside.c %D%/aside.h \
	%D%/audit.c \
	%D%/backup.c \
	%D%/bars.c \
	%D%/ca.c \
	%D%/daemon.c %D%/daemon.h \
	%D%/dials.c %D%/dials.h \
	%D%/doctor.c \
	%D%/drain.c \
	%D%/dump.c \
	%D%/invite.c \
	%D%/leave.c \
	%D%/links.c %D%/links.h %D%/links-feed.c %D%/links-views.c \
	%D%/load.c \
	%D%/options.c %D%/options.h \
	%D%/outbox.c %D%/outbox.h \
	%D%/own.c \
	%D%/probes.c %D%/probes.h \
	%D%/queries.c %D%/queries.h %D%/queries-bus.c %D%/queries-load.c \
	%D%/repair.c \
	%D%/refresh.c %D%/refresh.h \
	%D%/refusals.c %D%/refusals.h \
	%D%/replica.c %D%/replica.h \
	%D%/requests.c %D%/requests.h \
	%D%/rows.c %D%/rows.h \
	%D%/scrub.c \
	%D%/self.c \
	%D%/starts.c %D%/starts.h \
	%D%/sweep.c \
	%D%/verify.c %D%/verify.h \
	%D%/views.c \
	%D%/work.c %D%/work.h \
	%D%/workers.c

sbin_PROGRAMS += %D%/ocfd
%C%_ocfd_SOURCES = %D%/main.c
%C%_ocfd_LDADD = %D%/libdaemon.a src/http/libhttp.a src/bus/libbus.a src/hw/libhw.a \
	src/dispatch/libdispatch.a src/mesh/libmesh.a src/sync/libsync.a src/table/libtable.a store/libstore.a \
	src/net/libnet.a src/ident/libident.a crdt/libcrdt.a src/base/libbase.a \
	$(EVENT_LIBS) $(OPENSSL_LIBS) $(LMDB_LIBS) $(NATS_LIBS) $(JANSSON_LIBS) $(INIH_LIBS) \
	$(HWLOC_LIBS) $(XXHASH_LIBS) -ldl

# What a system needs to run it. The unit holds the folders of this build.
if INSTALL_SYSTEMDSYSTEMUNITDIR
systemdsystemunit_DATA = %D%/ocfd.service
endif
if INSTALL_SYSUSERSDIR
sysusers_DATA = %D%/sysusers.d/ocf.conf
endif
if INSTALL_TMPFILESDIR
tmpfiles_DATA = %D%/tmpfiles.d/ocf.conf
endif
EXTRA_DIST += %D%/ocfd.service.in %D%/sysusers.d/ocf.conf %D%/tmpfiles.d/ocf.conf
CLEANFILES += %D%/ocfd.service
%D%/ocfd.service: %D%/ocfd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D)
	$(AM_V_at)sed -e 's|[@]sbindir@|$(sbindir)|g' -e 's|[@]sysconfdir@|$(sysconfdir)|g' \
		$(srcdir)/src/daemon/ocfd.service.in >$@.new
	$(AM_V_at)mv $@.new $@

# The annotated ocf.conf is made of the option table, as the program tells it. It goes among
# the documents, and where ocfd looks for it only if none is there.
doc_DATA = %D%/ocf.conf
EXTRA_DIST += %D%/example.awk
CLEANFILES += %D%/ocf.conf
%D%/ocf.conf: %D%/ocfd$(EXEEXT) %D%/example.awk
	$(AM_V_GEN)%D%/ocfd --help >$@.help
	$(AM_V_at)LC_ALL=C $(AWK) -f $(srcdir)/src/daemon/example.awk $@.help >$@.new
	$(AM_V_at)rm -f $@.help && mv $@.new $@

conffolder = $(sysconfdir)/ocf
install-data-local: %D%/ocf.conf
	$(AM_V_at)if test -e '$(DESTDIR)$(conffolder)/ocf.conf'; then \
		echo '$(conffolder)/ocf.conf is kept; $(docdir)/ocf.conf is the new example'; \
	else \
		$(MKDIR_P) '$(DESTDIR)$(conffolder)' && \
		$(INSTALL_DATA) %D%/ocf.conf '$(DESTDIR)$(conffolder)/ocf.conf'; \
	fi
# Only what nobody has changed since.
uninstall-local: %D%/ocf.conf
	$(AM_V_at)if cmp -s %D%/ocf.conf '$(DESTDIR)$(conffolder)/ocf.conf'; then \
		rm -f '$(DESTDIR)$(conffolder)/ocf.conf' && \
		{ rmdir '$(DESTDIR)$(conffolder)' 2>/dev/null || :; }; \
	elif test -e '$(DESTDIR)$(conffolder)/ocf.conf'; then \
		echo '$(conffolder)/ocf.conf was changed and is kept'; \
	fi

if HAVE_CUNIT
daemon_tests = tests/unit/test-daemon-aside tests/unit/test-daemon-ca tests/unit/test-daemon-dials \
	tests/unit/test-daemon-options tests/unit/test-daemon-outbox tests/unit/test-daemon-refusals \
	tests/unit/test-daemon-replica tests/unit/test-daemon-requests tests/unit/test-daemon-rows \
	tests/unit/test-daemon-starts
check_PROGRAMS += $(daemon_tests)
TESTS += $(daemon_tests)
tests_unit_test_daemon_aside_SOURCES = tests/unit/test-daemon-aside.c
tests_unit_test_daemon_aside_LDADD = $(TEST_LIBS) %D%/libdaemon.a $(CRDT_LIBS)
tests_unit_test_daemon_dials_SOURCES = tests/unit/test-daemon-dials.c
tests_unit_test_daemon_dials_LDADD = $(TEST_LIBS) %D%/libdaemon.a $(CRDT_LIBS) $(JANSSON_LIBS)
tests_unit_test_daemon_ca_SOURCES = tests/unit/test-daemon-ca.c
tests_unit_test_daemon_ca_LDADD = $(TEST_LIBS) %D%/libdaemon.a src/table/libtable.a store/libstore.a \
	$(NET_LIBS) $(LMDB_LIBS) $(JANSSON_LIBS)
tests_unit_test_daemon_options_SOURCES = tests/unit/test-daemon-options.c
tests_unit_test_daemon_options_LDADD = $(TEST_LIBS) %D%/libdaemon.a $(BUS_LIBS) \
	$(INIH_LIBS) $(BASE_LIBS)
tests_unit_test_daemon_refusals_SOURCES = tests/unit/test-daemon-refusals.c
tests_unit_test_daemon_refusals_LDADD = $(TEST_LIBS) %D%/libdaemon.a $(BASE_LIBS)
tests_unit_test_daemon_replica_SOURCES = tests/unit/test-daemon-replica.c \
	tests/lib/rows.c tests/lib/rows.h tests/lib/sha256.c tests/lib/sha256.h
tests_unit_test_daemon_replica_LDADD = $(TEST_LIBS) %D%/libdaemon.a src/sync/libsync.a \
	$(STORE_LIBS) $(OPENSSL_LIBS)
tests_unit_test_daemon_requests_SOURCES = tests/unit/test-daemon-requests.c
tests_unit_test_daemon_requests_LDADD = $(TEST_LIBS) %D%/libdaemon.a $(CRDT_LIBS) \
	$(JANSSON_LIBS)
tests_unit_test_daemon_rows_SOURCES = tests/unit/test-daemon-rows.c
tests_unit_test_daemon_rows_LDADD = $(TEST_LIBS) %D%/libdaemon.a src/table/libtable.a store/libstore.a \
	$(NET_LIBS) $(LMDB_LIBS) $(JANSSON_LIBS)
tests_unit_test_daemon_starts_SOURCES = tests/unit/test-daemon-starts.c \
	tests/lib/rows.c tests/lib/rows.h tests/lib/sha256.c tests/lib/sha256.h
tests_unit_test_daemon_starts_LDADD = $(TEST_LIBS) %D%/libdaemon.a $(STORE_LIBS) $(OPENSSL_LIBS)
tests_unit_test_daemon_outbox_SOURCES = tests/unit/test-daemon-outbox.c
tests_unit_test_daemon_outbox_LDADD = $(TEST_LIBS) %D%/libdaemon.a src/mesh/libmesh.a \
	$(CRDT_LIBS)
endif
