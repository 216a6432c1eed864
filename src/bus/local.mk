noinst_LIBRARIES += %D%/libbus.a
%C%_libbus_a_SOURCES = \
	%D%/announce.c %D%/announce.h \
	%D%/bus.c %D%/bus.h \
	%D%/calls.c %D%/calls.h \
	%D%/conn.c %D%/conn.h \
	%D%/protocol.c %D%/protocol.h \
	%D%/registry.c %D%/registry.h \
	%D%/server.c %D%/server.h
if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-bus-bus
TESTS += tests/unit/test-bus-bus
tests_unit_test_bus_bus_SOURCES = tests/unit/test-bus-bus.c tests/unit/bus-fixture.c \
	tests/unit/bus-fixture.h
tests_unit_test_bus_bus_LDADD = $(TEST_LIBS) $(BUS_LIBS)
endif
