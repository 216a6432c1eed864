noinst_LIBRARIES += %D%/libhttp.a
%C%_libhttp_a_SOURCES = \
	%D%/access.c %D%/access.h \
	%D%/exchange.c %D%/exchange.h \
	%D%/metrics.c %D%/metrics.h \
	%D%/parse.c %D%/parse.h \
	%D%/problem.c %D%/problem.h \
	%D%/server.c %D%/server.h

if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-http-parse
TESTS += tests/unit/test-http-parse
tests_unit_test_http_parse_SOURCES = tests/unit/test-http-parse.c
tests_unit_test_http_parse_LDADD = $(TEST_LIBS) %D%/libhttp.a $(BASE_LIBS)
endif
