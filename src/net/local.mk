noinst_LIBRARIES += %D%/libnet.a
%C%_libnet_a_SOURCES = \
	%D%/address.c %D%/address.h \
	%D%/event.h \
	%D%/io.c %D%/io.h \
	%D%/join.h %D%/join-client.c %D%/join-server.c \
	%D%/join-wire.c %D%/join-wire.h \
	%D%/lane.c %D%/lane.h \
	%D%/listener.c \
	%D%/loop.c %D%/loop.h \
	%D%/resolve.c %D%/resolve.h \
	%D%/strangers.c %D%/strangers.h \
	%D%/stream.c %D%/stream.h %D%/stream-dial.c %D%/stream-private.h \
	%D%/tls.c %D%/tls.h %D%/tls-session.h \
	%D%/tls-files.c %D%/tls-files.h

# Without --enable-fuzzing it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz-join
tests_fuzz_fuzz_join_SOURCES = tests/fuzz/fuzz-join.c tests/fuzz/replay.c
tests_fuzz_fuzz_join_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_join_LDADD = $(NET_LIBS)
if !FUZZING
TESTS += tests/fuzz/fuzz-join
endif
EXTRA_DIST += tests/fuzz/corpus/join

if HAVE_CUNIT
net_tests = tests/unit/test-net-loop \
	tests/unit/test-net-strangers \
	tests/unit/test-net-stream \
	tests/unit/test-net-tls \
	tests/unit/test-net-join
check_PROGRAMS += $(net_tests)
TESTS += $(net_tests)
tests_unit_test_net_loop_SOURCES = tests/unit/test-net-loop.c
tests_unit_test_net_loop_LDADD = $(TEST_LIBS) $(NET_LIBS)
tests_unit_test_net_strangers_SOURCES = tests/unit/test-net-strangers.c
tests_unit_test_net_strangers_LDADD = $(TEST_LIBS) $(NET_LIBS)
tests_unit_test_net_stream_SOURCES = tests/unit/test-net-stream.c
tests_unit_test_net_stream_LDADD = $(TEST_LIBS) $(NET_LIBS)
tests_unit_test_net_tls_SOURCES = tests/unit/test-net-tls.c
tests_unit_test_net_tls_LDADD = $(TEST_LIBS) $(NET_LIBS)
tests_unit_test_net_join_SOURCES = tests/unit/test-net-join.c
tests_unit_test_net_join_LDADD = $(TEST_LIBS) $(NET_LIBS)
endif
