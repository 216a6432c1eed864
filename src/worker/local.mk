noinst_LIBRARIES += %D%/libworker.a
%C%_libworker_a_SOURCES = \
	%D%/announcement.c %D%/announcement.h \
	%D%/backend.h \
	%D%/command.c %D%/command.h \
	%D%/commands.c %D%/commands.h \
	%D%/fetch.c %D%/fetch.h \
	%D%/guard.c %D%/guard.h \
	%D%/health.c %D%/health.h \
	%D%/job.c %D%/job.h \
	%D%/models.c %D%/models.h \
	%D%/multi.c %D%/multi.h \
	%D%/options.c %D%/options.h \
	%D%/target.c %D%/target.h \
	%D%/worker.c %D%/worker.h
WORKER_LIBS = src/worker/libworker.a src/hw/libhw.a $(BUS_LIBS) $(HWLOC_LIBS) $(CURL_LIBS)
bin_PROGRAMS += %D%/ocf-worker
%C%_ocf_worker_SOURCES = %D%/main.c
%C%_ocf_worker_LDADD = $(WORKER_LIBS)
if HAVE_CUNIT
WORKER_TESTS = tests/unit/test-worker-announcement tests/unit/test-worker-http \
	tests/unit/test-worker-models tests/unit/test-worker-target tests/unit/test-worker-worker
check_PROGRAMS += $(WORKER_TESTS)
TESTS += $(WORKER_TESTS)
tests_unit_test_worker_announcement_SOURCES = tests/unit/test-worker-announcement.c
tests_unit_test_worker_announcement_LDADD = $(TEST_LIBS) $(WORKER_LIBS)
tests_unit_test_worker_http_SOURCES = tests/unit/test-worker-http.c \
	tests/unit/worker-rig.c tests/unit/worker-rig.h \
	tests/unit/bus-fixture.c tests/unit/bus-fixture.h
tests_unit_test_worker_http_LDADD = $(TEST_LIBS) $(BUS_LIBS)
tests_unit_test_worker_models_SOURCES = tests/unit/test-worker-models.c
tests_unit_test_worker_models_LDADD = $(TEST_LIBS) $(WORKER_LIBS)
tests_unit_test_worker_target_SOURCES = tests/unit/test-worker-target.c
tests_unit_test_worker_target_LDADD = $(TEST_LIBS) $(WORKER_LIBS)
tests_unit_test_worker_worker_SOURCES = tests/unit/test-worker-worker.c \
	tests/unit/bus-fixture.c tests/unit/bus-fixture.h
tests_unit_test_worker_worker_LDADD = $(TEST_LIBS) $(BUS_LIBS)
endif
