noinst_LIBRARIES += %D%/libbase.a
%C%_libbase_a_SOURCES = \
	%D%/bytes.c %D%/bytes.h \
	%D%/clock.c %D%/clock.h \
	%D%/error.c %D%/error.h \
	%D%/fasthash.h \
	%D%/file.c %D%/file.h \
	%D%/fork.c %D%/fork.h \
	%D%/hash.c %D%/hash.h \
	%D%/hex.c %D%/hex.h %D%/id.h \
	%D%/limits.h \
	%D%/log.c %D%/log.h \
	%D%/mem.c %D%/mem.h \
	%D%/network.c %D%/network.h \
	%D%/percent.c %D%/percent.h \
	%D%/places.c %D%/places.h \
	%D%/program.c %D%/program.h \
	%D%/query.c %D%/query.h \
	%D%/rng.c %D%/rng.h \
	%D%/tokens.c %D%/tokens.h \
	%D%/utf8.c %D%/utf8.h

if HAVE_CUNIT
base_tests = tests/unit/test-base-bytes tests/unit/test-base-places \
	tests/unit/test-base-query tests/unit/test-base-tokens
check_PROGRAMS += $(base_tests)
TESTS += $(base_tests)
tests_unit_test_base_bytes_SOURCES = tests/unit/test-base-bytes.c
tests_unit_test_base_bytes_LDADD = $(TEST_LIBS) $(BASE_LIBS)
tests_unit_test_base_places_SOURCES = tests/unit/test-base-places.c
tests_unit_test_base_places_LDADD = $(TEST_LIBS) $(BASE_LIBS)
tests_unit_test_base_query_SOURCES = tests/unit/test-base-query.c
tests_unit_test_base_query_LDADD = $(TEST_LIBS) $(BASE_LIBS)
tests_unit_test_base_tokens_SOURCES = tests/unit/test-base-tokens.c
tests_unit_test_base_tokens_LDADD = $(TEST_LIBS) $(BASE_LIBS)
endif
