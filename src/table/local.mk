noinst_LIBRARIES += %D%/libtable.a
%C%_libtable_a_SOURCES = \
	%D%/base64.c %D%/base64.h \
	%D%/catalog.c %D%/catalog.h %D%/catalog-private.h \
	%D%/catalog-json.c %D%/catalog-lookup.c %D%/catalog-offers.c \
	%D%/catalog-watch.c \
	%D%/dump.c %D%/dump.h \
	%D%/rows.c %D%/rows.h %D%/rows-decode.c %D%/rows-encode.c \
	%D%/token-json.c %D%/token-json.h
if HAVE_CUNIT
table_tests = tests/unit/test-table-rows tests/unit/test-table-catalog \
	tests/unit/test-table-dump tests/unit/test-table-token-json \
	tests/unit/test-table-watch
check_PROGRAMS += $(table_tests)
TESTS += $(table_tests)
tests_unit_test_table_dump_SOURCES = tests/unit/test-table-dump.c \
	tests/lib/sha256.c tests/lib/sha256.h
tests_unit_test_table_dump_LDADD = $(TEST_LIBS) $(TABLE_LIBS) $(OPENSSL_LIBS)
tests_unit_test_table_token_json_SOURCES = tests/unit/test-table-token-json.c
tests_unit_test_table_token_json_LDADD = $(TEST_LIBS) $(TABLE_LIBS)
tests_unit_test_table_watch_SOURCES = tests/unit/test-table-watch.c
tests_unit_test_table_watch_LDADD = $(TEST_LIBS) $(TABLE_LIBS)
tests_unit_test_table_rows_SOURCES = tests/unit/test-table-rows.c
tests_unit_test_table_rows_LDADD = $(TEST_LIBS) $(TABLE_LIBS)
tests_unit_test_table_catalog_SOURCES = tests/unit/test-table-catalog.c
tests_unit_test_table_catalog_LDADD = $(TEST_LIBS) $(TABLE_LIBS)
endif

# Without --enable-fuzzing it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz-rows
tests_fuzz_fuzz_rows_SOURCES = tests/fuzz/fuzz-rows.c tests/fuzz/replay.c
tests_fuzz_fuzz_rows_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_rows_LDADD = $(TABLE_LIBS)
if !FUZZING
TESTS += tests/fuzz/fuzz-rows
endif
EXTRA_DIST += tests/fuzz/corpus/rows

check_PROGRAMS += tests/fuzz/fuzz-load
tests_fuzz_fuzz_load_SOURCES = tests/fuzz/fuzz-load.c tests/fuzz/replay.c
tests_fuzz_fuzz_load_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_load_LDADD = $(TABLE_LIBS)
if !FUZZING
TESTS += tests/fuzz/fuzz-load
endif
EXTRA_DIST += tests/fuzz/corpus/load
