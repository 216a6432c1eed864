noinst_LIBRARIES += %D%/libtable.a
%C%_libtable_a_SOURCES = \
	%D%/base64.c %D%/base64.h \
	%D%/catalog.c %D%/catalog.h %D%/catalog-private.h \
	%D%/catalog-json.c %D%/catalog-lookup.c \
	%D%/keys.c %D%/keys.h \
	%D%/rows.c %D%/rows.h %D%/rows-decode.c %D%/rows-encode.c
if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-table-rows tests/unit/test-table-catalog
TESTS += tests/unit/test-table-rows tests/unit/test-table-catalog
tests_unit_test_table_rows_SOURCES = tests/unit/test-table-rows.c
tests_unit_test_table_rows_LDADD = $(TEST_LIBS) $(TABLE_LIBS)
tests_unit_test_table_catalog_SOURCES = tests/unit/test-table-catalog.c
tests_unit_test_table_catalog_LDADD = $(TEST_LIBS) $(TABLE_LIBS)
endif
