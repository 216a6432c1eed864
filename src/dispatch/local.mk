noinst_LIBRARIES += %D%/libdispatch.a
%C%_libdispatch_a_SOURCES = \
	%D%/core.h \
	%D%/dispatch.c %D%/dispatch.h \
	%D%/parts.c \
	%D%/queries.c \
	%D%/runs.c \
	%D%/workers.c

if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-dispatch-dispatch
TESTS += tests/unit/test-dispatch-dispatch
tests_unit_test_dispatch_dispatch_SOURCES = tests/unit/test-dispatch-dispatch.c
tests_unit_test_dispatch_dispatch_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS)
endif
