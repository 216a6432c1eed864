noinst_LIBRARIES += %D%/libdispatch.a
%C%_libdispatch_a_SOURCES = \
	%D%/bounds.c \
	%D%/budgets.c %D%/budgets.h \
	%D%/choose.c \
	%D%/core.h \
	%D%/dispatch.c %D%/dispatch.h \
	%D%/heap.c %D%/heap.h \
	%D%/hedges.c \
	%D%/loads.c %D%/loads.h \
	%D%/moves.c \
	%D%/paces.c \
	%D%/parts.c \
	%D%/queries.c \
	%D%/runs.c \
	%D%/tenants.c %D%/tenants.h \
	%D%/workers.c

if HAVE_CUNIT
dispatch_tests = tests/unit/test-dispatch-bodies tests/unit/test-dispatch-bounds \
	tests/unit/test-dispatch-budgets tests/unit/test-dispatch-dispatch \
	tests/unit/test-dispatch-moves tests/unit/test-dispatch-paces \
	tests/unit/test-dispatch-tenants tests/unit/test-dispatch-ways
check_PROGRAMS += $(dispatch_tests)
TESTS += $(dispatch_tests)
tests_unit_test_dispatch_budgets_SOURCES = tests/unit/test-dispatch-budgets.c
tests_unit_test_dispatch_budgets_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
tests_unit_test_dispatch_paces_SOURCES = tests/unit/test-dispatch-paces.c
tests_unit_test_dispatch_paces_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS) -lm
tests_unit_test_dispatch_moves_SOURCES = tests/unit/test-dispatch-moves.c
tests_unit_test_dispatch_moves_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
dispatch_desk = tests/unit/dispatch-desk.c tests/unit/dispatch-desk.h
tests_unit_test_dispatch_bodies_SOURCES = tests/unit/test-dispatch-bodies.c $(dispatch_desk)
tests_unit_test_dispatch_bodies_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
tests_unit_test_dispatch_ways_SOURCES = tests/unit/test-dispatch-ways.c $(dispatch_desk)
tests_unit_test_dispatch_ways_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
tests_unit_test_dispatch_dispatch_SOURCES = tests/unit/test-dispatch-dispatch.c $(dispatch_desk)
tests_unit_test_dispatch_dispatch_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
tests_unit_test_dispatch_bounds_SOURCES = tests/unit/test-dispatch-bounds.c
tests_unit_test_dispatch_bounds_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
tests_unit_test_dispatch_tenants_SOURCES = tests/unit/test-dispatch-tenants.c
tests_unit_test_dispatch_tenants_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
endif
