noinst_LIBRARIES += %D%/libbus.a
%C%_libbus_a_SOURCES = \
	%D%/access.c %D%/access.h \
	%D%/announce.c %D%/announce.h \
	%D%/attempt.c %D%/attempt.h \
	%D%/bus.c %D%/bus.h %D%/bus-private.h \
	%D%/calls.c %D%/calls.h %D%/calls-private.h \
	%D%/clients.c %D%/clients.h \
	%D%/conn.c %D%/conn.h \
	%D%/credentials.c %D%/credentials.h \
	%D%/dial.c %D%/dial.h \
	%D%/embedded.c \
	%D%/intake.c %D%/intake.h \
	%D%/nkey.c %D%/nkey.h \
	%D%/owner.c %D%/owner.h \
	%D%/protocol.c %D%/protocol.h \
	%D%/registry.c %D%/registry.h \
	%D%/replies.c \
	%D%/server.c %D%/server.h \
	%D%/tunnel.c %D%/tunnel.h
if HAVE_CUNIT
BUS_TESTS = tests/unit/test-bus-access tests/unit/test-bus-bus tests/unit/test-bus-intake \
	tests/unit/test-bus-legacy tests/unit/test-bus-limits \
	tests/unit/test-bus-protocol tests/unit/test-bus-registry
check_PROGRAMS += $(BUS_TESTS)
TESTS += $(BUS_TESTS)
tests_unit_test_bus_access_SOURCES = tests/unit/test-bus-access.c
tests_unit_test_bus_access_LDADD = $(TEST_LIBS) $(BUS_LIBS)
tests_unit_test_bus_bus_SOURCES = tests/unit/test-bus-bus.c tests/unit/bus-fixture.c \
	tests/unit/bus-fixture.h
tests_unit_test_bus_bus_LDADD = $(TEST_LIBS) $(BUS_LIBS)
tests_unit_test_bus_intake_SOURCES = tests/unit/test-bus-intake.c
tests_unit_test_bus_intake_LDADD = $(TEST_LIBS) $(BUS_LIBS)
tests_unit_test_bus_legacy_SOURCES = tests/unit/test-bus-legacy.c tests/unit/bus-fixture.c \
	tests/unit/bus-fixture.h
tests_unit_test_bus_legacy_LDADD = $(TEST_LIBS) $(BUS_LIBS)
tests_unit_test_bus_limits_SOURCES = tests/unit/test-bus-limits.c tests/unit/bus-fixture.c \
	tests/unit/bus-fixture.h
tests_unit_test_bus_limits_LDADD = $(TEST_LIBS) $(BUS_LIBS)
tests_unit_test_bus_protocol_SOURCES = tests/unit/test-bus-protocol.c
tests_unit_test_bus_protocol_LDADD = $(TEST_LIBS) $(BUS_LIBS)
tests_unit_test_bus_registry_SOURCES = tests/unit/test-bus-registry.c
tests_unit_test_bus_registry_LDADD = $(TEST_LIBS) $(BUS_LIBS)
endif
