bin_PROGRAMS += %D%/ocf-worker
%C%_ocf_worker_SOURCES = \
	%D%/command.c %D%/command.h \
	%D%/guard.c %D%/guard.h \
	%D%/job.c %D%/job.h \
	%D%/main.c \
	%D%/worker.c %D%/worker.h
%C%_ocf_worker_LDADD = src/hw/libhw.a $(BUS_LIBS) $(HWLOC_LIBS)
if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-worker-worker
TESTS += tests/unit/test-worker-worker
tests_unit_test_worker_worker_SOURCES = tests/unit/test-worker-worker.c \
	tests/unit/bus-fixture.c tests/unit/bus-fixture.h
tests_unit_test_worker_worker_LDADD = $(TEST_LIBS) $(BUS_LIBS)
endif
