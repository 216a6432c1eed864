noinst_LIBRARIES += %D%/libcrdt.a
%C%_libcrdt_a_SOURCES = \
	%D%/codec.c %D%/codec.h \
	%D%/digest.c %D%/digest.h \
	%D%/lease.c %D%/lease.h \
	%D%/owned.c %D%/owned.h \
	%D%/owner.c %D%/owner.h \
	%D%/row.c %D%/row.h \
	%D%/stamp.c %D%/stamp.h

# The fuzz target of the codec; without --enable-fuzzing it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz-codec
tests_fuzz_fuzz_codec_SOURCES = tests/fuzz/fuzz-codec.c tests/fuzz/replay.c
tests_fuzz_fuzz_codec_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_codec_LDADD = $(CRDT_LIBS)
if !FUZZING
TESTS += tests/fuzz/fuzz-codec
endif
EXTRA_DIST += tests/fuzz/corpus/codec

if HAVE_CUNIT
crdt_tests = tests/unit/test-crdt-codec tests/unit/test-crdt-lease tests/unit/test-crdt-owner \
	tests/unit/test-crdt-row
check_PROGRAMS += $(crdt_tests)
TESTS += $(crdt_tests)
tests_unit_test_crdt_codec_SOURCES = tests/unit/test-crdt-codec.c tests/lib/sha256.c tests/lib/sha256.h
tests_unit_test_crdt_codec_LDADD = $(TEST_LIBS) $(CRDT_LIBS) $(OPENSSL_LIBS)
tests_unit_test_crdt_lease_SOURCES = tests/unit/test-crdt-lease.c $(store_test_sources)
tests_unit_test_crdt_lease_LDADD = $(TEST_LIBS) $(STORE_LIBS) $(OPENSSL_LIBS)
tests_unit_test_crdt_owner_SOURCES = tests/unit/test-crdt-owner.c $(store_test_sources)
tests_unit_test_crdt_owner_LDADD = $(TEST_LIBS) $(STORE_LIBS) $(OPENSSL_LIBS)
tests_unit_test_crdt_row_SOURCES = tests/unit/test-crdt-row.c tests/lib/model.c tests/lib/model.h \
	tests/lib/sha256.c tests/lib/sha256.h
tests_unit_test_crdt_row_LDADD = $(TEST_LIBS) $(CRDT_LIBS) $(OPENSSL_LIBS)
endif
