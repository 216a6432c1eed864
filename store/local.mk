noinst_LIBRARIES += %D%/libstore.a
%C%_libstore_a_SOURCES = \
	%D%/apply.c \
	%D%/buckets.c \
	%D%/backup.c %D%/backup.h \
	%D%/env.c \
	%D%/migrate.c \
	%D%/open.c \
	%D%/page.c \
	%D%/pending.c \
	%D%/private.h \
	%D%/recent.c \
	%D%/rows.c \
	%D%/scrub.c %D%/scrub-private.h \
	%D%/scrub-bucket.c \
	%D%/scrub-list.c \
	%D%/store.c %D%/store.h \
	%D%/verify.c \
	%D%/writer.c

if HAVE_CUNIT
store_tests = tests/unit/test-store-backup tests/unit/test-store-crash tests/unit/test-store-damage \
	tests/unit/test-store-digests tests/unit/test-store-env tests/unit/test-store-migrate tests/unit/test-store-scrub tests/unit/test-store-store
store_test_sources = tests/lib/rows.c tests/lib/rows.h tests/lib/sha256.c tests/lib/sha256.h
store_fault_sources = tests/lib/faults.c tests/lib/faults.h
store_test_libs = $(TEST_LIBS) $(STORE_LIBS) $(OPENSSL_LIBS)
check_PROGRAMS += $(store_tests)
TESTS += $(store_tests)
# The fuzz target of damaged files; without --enable-fuzzing it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz-store
tests_fuzz_fuzz_store_SOURCES = tests/fuzz/fuzz-store.c tests/fuzz/replay.c $(store_test_sources)
tests_fuzz_fuzz_store_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_store_LDADD = $(store_test_libs)
if !FUZZING
TESTS += tests/fuzz/fuzz-store
endif
EXTRA_DIST += tests/fuzz/corpus/store
tests_unit_test_store_backup_SOURCES = tests/unit/test-store-backup.c $(store_test_sources)
tests_unit_test_store_backup_LDADD = $(store_test_libs)
tests_unit_test_store_crash_SOURCES = tests/unit/test-store-crash.c $(store_test_sources)
tests_unit_test_store_crash_LDADD = $(store_test_libs)
tests_unit_test_store_damage_SOURCES = tests/unit/test-store-damage.c $(store_test_sources)
tests_unit_test_store_damage_LDADD = $(store_test_libs)
tests_unit_test_store_digests_SOURCES = tests/unit/test-store-digests.c $(store_test_sources)
tests_unit_test_store_digests_LDADD = $(store_test_libs)
tests_unit_test_store_env_SOURCES = tests/unit/test-store-env.c $(store_fault_sources) $(store_test_sources)
tests_unit_test_store_env_LDADD = $(store_test_libs)
tests_unit_test_store_migrate_SOURCES = tests/unit/test-store-migrate.c $(store_fault_sources) $(store_test_sources)
tests_unit_test_store_migrate_LDADD = $(store_test_libs)
tests_unit_test_store_scrub_SOURCES = tests/unit/test-store-scrub.c $(store_test_sources)
tests_unit_test_store_scrub_LDADD = $(store_test_libs)
tests_unit_test_store_store_SOURCES = tests/unit/test-store-store.c $(store_test_sources)
tests_unit_test_store_store_LDADD = $(store_test_libs)
endif
