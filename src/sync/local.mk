noinst_LIBRARIES += %D%/libsync.a
%C%_libsync_a_SOURCES = \
	%D%/answer.c \
	%D%/check.c \
	%D%/compare.c %D%/compare.h \
	%D%/core.h \
	%D%/join.c \
	%D%/lists.c \
	%D%/schedule.c \
	%D%/session.c \
	%D%/sync.c %D%/sync.h \
	%D%/walk.c \
	%D%/wire.c %D%/wire.h

EXTRA_PROGRAMS += tests/bench/bench-reconcile
tests_bench_bench_reconcile_SOURCES = tests/bench/bench-reconcile.c
tests_bench_bench_reconcile_LDADD = src/daemon/libdaemon.a src/sync/libsync.a \
	src/ident/libident.a $(STORE_LIBS) $(OPENSSL_LIBS)

# Without --enable-fuzzing it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz-sync
tests_fuzz_fuzz_sync_SOURCES = tests/fuzz/fuzz-sync.c tests/fuzz/replay.c \
	tests/lib/rowset.c tests/lib/rowset.h tests/lib/sha256.c tests/lib/sha256.h
tests_fuzz_fuzz_sync_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_sync_LDADD = $(SYNC_LIBS) $(OPENSSL_LIBS)
if !FUZZING
TESTS += tests/fuzz/fuzz-sync
endif
EXTRA_DIST += tests/fuzz/corpus/sync

if HAVE_CUNIT
sync_tests = tests/unit/test-sync-answer tests/unit/test-sync-schedule \
	tests/unit/test-sync-budget tests/unit/test-sync-sync tests/unit/test-sync-wire
check_PROGRAMS += $(sync_tests)
TESTS += $(sync_tests)
sync_rig = tests/unit/sync-rig.c tests/unit/sync-rig.h \
	tests/lib/rowset.c tests/lib/rowset.h tests/lib/sha256.c tests/lib/sha256.h
sync_rig_libs = $(TEST_LIBS) $(SYNC_LIBS) $(OPENSSL_LIBS)
tests_unit_test_sync_answer_SOURCES = tests/unit/test-sync-answer.c $(sync_rig)
tests_unit_test_sync_answer_LDADD = $(sync_rig_libs)
tests_unit_test_sync_budget_SOURCES = tests/unit/test-sync-budget.c
tests_unit_test_sync_budget_LDADD = $(TEST_LIBS) $(SYNC_LIBS)
tests_unit_test_sync_schedule_SOURCES = tests/unit/test-sync-schedule.c $(sync_rig)
tests_unit_test_sync_schedule_LDADD = $(sync_rig_libs)
tests_unit_test_sync_sync_SOURCES = tests/unit/test-sync-sync.c $(sync_rig)
tests_unit_test_sync_sync_LDADD = $(sync_rig_libs)
tests_unit_test_sync_wire_SOURCES = tests/unit/test-sync-wire.c
tests_unit_test_sync_wire_LDADD = $(TEST_LIBS) $(SYNC_LIBS)
endif
