noinst_LIBRARIES += %D%/libhttp.a
%C%_libhttp_a_SOURCES = \
	%D%/access.c %D%/access.h \
	%D%/admin.c \
	%D%/api.c %D%/api.h \
	%D%/dashboard.c %D%/dashboard.h \
	%D%/events.c %D%/events.h \
	%D%/exchange.c %D%/exchange.h \
	%D%/legacy.c %D%/legacy.h \
	%D%/metrics.c %D%/metrics.h \
	%D%/openai.c %D%/openai.h \
	%D%/opentela.c %D%/opentela.h \
	%D%/parse.c %D%/parse.h \
	%D%/problem.c %D%/problem.h \
	%D%/request.c %D%/request.h \
	%D%/routes.h \
	%D%/server.c %D%/server.h \
	%D%/service.c \
	%D%/user.c %D%/user.h
nodist_%C%_libhttp_a_SOURCES = $(HTTP_EMBEDDED)

# What is served from the program itself.
HTTP_EMBEDDED = %D%/openapi.c %D%/dashboard-page.c %D%/dashboard-style.c %D%/dashboard-script.c
HTTP_EMBED = $(MKDIR_P) $(@D) && $(AWK) -f $(srcdir)/src/http/embed.awk
%D%/openapi.c: %D%/openapi.yaml %D%/embed.awk
	$(AM_V_GEN)$(HTTP_EMBED) -v name=openapi_yaml -v header=http/api.h \
		$(srcdir)/src/http/openapi.yaml >$@.new && mv $@.new $@
%D%/dashboard-page.c: %D%/dashboard/index.html %D%/embed.awk
	$(AM_V_GEN)$(HTTP_EMBED) -v name=dashboard_page -v header=http/dashboard.h \
		$(srcdir)/src/http/dashboard/index.html >$@.new && mv $@.new $@
%D%/dashboard-style.c: %D%/dashboard/dashboard.css %D%/embed.awk
	$(AM_V_GEN)$(HTTP_EMBED) -v name=dashboard_style -v header=http/dashboard.h \
		$(srcdir)/src/http/dashboard/dashboard.css >$@.new && mv $@.new $@
%D%/dashboard-script.c: %D%/dashboard/dashboard.js %D%/embed.awk
	$(AM_V_GEN)$(HTTP_EMBED) -v name=dashboard_script -v header=http/dashboard.h \
		$(srcdir)/src/http/dashboard/dashboard.js >$@.new && mv $@.new $@
EXTRA_DIST += %D%/openapi.yaml %D%/embed.awk %D%/dashboard/index.html %D%/dashboard/dashboard.css \
	%D%/dashboard/dashboard.js
CLEANFILES += $(HTTP_EMBEDDED)

# The fuzz target of the parser; without --enable-fuzzing it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz-http
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz-http.c tests/fuzz/replay.c
tests_fuzz_fuzz_http_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_http_LDADD = %D%/libhttp.a $(BASE_LIBS)
if !FUZZING
TESTS += tests/fuzz/fuzz-http
endif
EXTRA_DIST += tests/fuzz/corpus/http

if HAVE_CUNIT
HTTP_TESTS = tests/unit/test-http-access tests/unit/test-http-api \
	tests/unit/test-http-events tests/unit/test-http-legacy \
	tests/unit/test-http-openai tests/unit/test-http-opentela \
	tests/unit/test-http-parse tests/unit/test-http-server \
	tests/unit/test-http-user
check_PROGRAMS += $(HTTP_TESTS)
TESTS += $(HTTP_TESTS)
tests_unit_test_http_access_SOURCES = tests/unit/test-http-access.c \
	tests/unit/http-bench.c tests/unit/http-bench.h \
	tests/unit/http-raw.c tests/unit/http-raw.h
tests_unit_test_http_access_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
tests_unit_test_http_api_SOURCES = tests/unit/test-http-api.c \
	tests/unit/http-bench.c tests/unit/http-bench.h \
	tests/unit/http-raw.c tests/unit/http-raw.h
tests_unit_test_http_api_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
tests_unit_test_http_events_SOURCES = tests/unit/test-http-events.c \
	tests/unit/http-bench.c tests/unit/http-bench.h \
	tests/unit/http-raw.c tests/unit/http-raw.h
tests_unit_test_http_events_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
tests_unit_test_http_legacy_SOURCES = tests/unit/test-http-legacy.c \
	tests/unit/http-bench.c tests/unit/http-bench.h \
	tests/unit/http-raw.c tests/unit/http-raw.h
tests_unit_test_http_legacy_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
tests_unit_test_http_openai_SOURCES = tests/unit/test-http-openai.c \
	tests/unit/http-bench.c tests/unit/http-bench.h \
	tests/unit/http-raw.c tests/unit/http-raw.h
tests_unit_test_http_openai_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
tests_unit_test_http_opentela_SOURCES = tests/unit/test-http-opentela.c \
	tests/unit/http-bench.c tests/unit/http-bench.h \
	tests/unit/http-raw.c tests/unit/http-raw.h
tests_unit_test_http_opentela_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
tests_unit_test_http_parse_SOURCES = tests/unit/test-http-parse.c
tests_unit_test_http_parse_LDADD = $(TEST_LIBS) %D%/libhttp.a $(BASE_LIBS)
tests_unit_test_http_server_SOURCES = tests/unit/test-http-server.c \
	tests/unit/http-raw.c tests/unit/http-raw.h
tests_unit_test_http_server_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
tests_unit_test_http_user_SOURCES = tests/unit/test-http-user.c
tests_unit_test_http_user_LDADD = $(TEST_LIBS) %D%/libhttp.a $(NET_LIBS) $(JANSSON_LIBS)
endif
