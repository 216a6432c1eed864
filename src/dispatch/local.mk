noinst_LIBRARIES += %D%/libdispatch.a
%C%_libdispatch_a_SOURCES = \
	%D%/choose.c \
	%D%/core.h \
	%D%/dispatch.c %D%/dispatch.h \
	%D%/loads.c %D%/loads.h \
	%D%/moves.c \
	%D%/parts.c \
	%D%/queries.c \
	%D%/runs.c \
	%D%/workers.c

if HAVE_CUNIT
dispatch_tests = tests/unit/test-dispatch-bodies tests/unit/test-dispatch-dispatch \
	tests/unit/test-dispatch-moves tests/unit/test-dispatch-ways
check_PROGRAMS += $(dispatch_tests)
TESTS += $(dispatch_tests)
tests_unit_test_dispatch_moves_SOURCES = tests/unit/test-dispatch-moves.c
tests_unit_test_dispatch_moves_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
dispatch_desk = tests/unit/dispatch-desk.c tests/unit/dispatch-desk.h
tests_unit_test_dispatch_bodies_SOURCES = tests/unit/test-dispatch-bodies.c $(dispatch_desk)
tests_unit_test_dispatch_bodies_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
tests_unit_test_dispatch_ways_SOURCES = tests/unit/test-dispatch-ways.c $(dispatch_desk)
tests_unit_test_dispatch_ways_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
tests_unit_test_dispatch_dispatch_SOURCES = tests/unit/test-dispatch-dispatch.c $(dispatch_desk)
tests_unit_test_dispatch_dispatch_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
endif
