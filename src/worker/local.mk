noinst_LIBRARIES += %D%/libworker.a
%C%_libworker_a_SOURCES = \
	%D%/announcement.c %D%/announcement.h \
	%D%/backend.h \
	%D%/command.c %D%/command.h \
	%D%/commands.c %D%/commands.h \
	%D%/guard.c %D%/guard.h \
	%D%/job.c %D%/job.h \
	%D%/worker.c %D%/worker.h
WORKER_LIBS = %D%/libworker.a src/hw/libhw.a $(BUS_LIBS) $(HWLOC_LIBS)
bin_PROGRAMS += %D%/ocf-worker
%C%_ocf_worker_SOURCES = %D%/main.c
%C%_ocf_worker_LDADD = $(WORKER_LIBS)
if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-worker-worker
TESTS += tests/unit/test-worker-worker
tests_unit_test_worker_worker_SOURCES = tests/unit/test-worker-worker.c \
	tests/unit/bus-fixture.c tests/unit/bus-fixture.h
tests_unit_test_worker_worker_LDADD = $(TEST_LIBS) $(BUS_LIBS)
endif
