noinst_LIBRARIES += %D%/libnet.a
%C%_libnet_a_SOURCES = \
	%D%/address.c %D%/address.h \
	%D%/event.h \
	%D%/io.c %D%/io.h \
	%D%/join.h %D%/join-client.c %D%/join-server.c \
	%D%/join-wire.c %D%/join-wire.h \
	%D%/listener.c \
	%D%/loop.c %D%/loop.h \
	%D%/resolve.c %D%/resolve.h \
	%D%/stream.c %D%/stream.h %D%/stream-dial.c %D%/stream-private.h \
	%D%/tls.c %D%/tls.h %D%/tls-session.h

if HAVE_CUNIT
net_tests = tests/unit/test-net-loop \
	tests/unit/test-net-stream \
	tests/unit/test-net-tls \
	tests/unit/test-net-join
check_PROGRAMS += $(net_tests)
TESTS += $(net_tests)
tests_unit_test_net_loop_SOURCES = tests/unit/test-net-loop.c
tests_unit_test_net_loop_LDADD = $(TEST_LIBS) $(NET_LIBS)
tests_unit_test_net_stream_SOURCES = tests/unit/test-net-stream.c
tests_unit_test_net_stream_LDADD = $(TEST_LIBS) $(NET_LIBS)
tests_unit_test_net_tls_SOURCES = tests/unit/test-net-tls.c
tests_unit_test_net_tls_LDADD = $(TEST_LIBS) $(NET_LIBS)
tests_unit_test_net_join_SOURCES = tests/unit/test-net-join.c
tests_unit_test_net_join_LDADD = $(TEST_LIBS) $(NET_LIBS)
endif
