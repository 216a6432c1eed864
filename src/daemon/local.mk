# The composition root of ocfd: everything comes together here, and nothing may use it but
# its own main.
noinst_LIBRARIES += %D%/libdaemon.a
%C%_libdaemon_a_SOURCES = \
	%D%/admin.c \
	%D%/audit.c \
	%D%/daemon.c %D%/daemon.h \
	%D%/drain.c \
	%D%/invite.c \
	%D%/links.c \
	%D%/options.c %D%/options.h \
	%D%/queries.c \
	%D%/repair.c \
	%D%/replica.c %D%/replica.h \
	%D%/rows.c \
	%D%/self.c \
	%D%/verify.c %D%/verify.h \
	%D%/views.c \
	%D%/workers.c

sbin_PROGRAMS += %D%/ocfd
%C%_ocfd_SOURCES = %D%/main.c
%C%_ocfd_LDADD = %D%/libdaemon.a src/http/libhttp.a src/bus/libbus.a src/hw/libhw.a \
	src/dispatch/libdispatch.a src/mesh/libmesh.a src/sync/libsync.a src/table/libtable.a store/libstore.a \
	src/net/libnet.a src/ident/libident.a crdt/libcrdt.a src/base/libbase.a \
	$(EVENT_LIBS) $(OPENSSL_LIBS) $(LMDB_LIBS) $(NATS_LIBS) $(JANSSON_LIBS) $(INIH_LIBS) \
	$(HWLOC_LIBS) $(XXHASH_LIBS) -ldl

if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-daemon-options
TESTS += tests/unit/test-daemon-options
tests_unit_test_daemon_options_SOURCES = tests/unit/test-daemon-options.c
tests_unit_test_daemon_options_LDADD = $(TEST_LIBS) %D%/libdaemon.a $(NET_LIBS) \
	$(INIH_LIBS) $(BASE_LIBS)
endif
