noinst_LIBRARIES += %D%/libcrdt.a
%C%_libcrdt_a_SOURCES = \
	%D%/codec.c %D%/codec.h \
	%D%/digest.c %D%/digest.h \
	%D%/lease.c %D%/lease.h \
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
check_PROGRAMS += tests/unit/test-crdt-codec tests/unit/test-crdt-row
TESTS += tests/unit/test-crdt-codec tests/unit/test-crdt-row
tests_unit_test_crdt_codec_SOURCES = tests/unit/test-crdt-codec.c tests/lib/sha256.c tests/lib/sha256.h
tests_unit_test_crdt_codec_LDADD = $(TEST_LIBS) $(CRDT_LIBS) $(OPENSSL_LIBS)
tests_unit_test_crdt_row_SOURCES = tests/unit/test-crdt-row.c tests/lib/model.c tests/lib/model.h \
	tests/lib/sha256.c tests/lib/sha256.h
tests_unit_test_crdt_row_LDADD = $(TEST_LIBS) $(CRDT_LIBS) $(OPENSSL_LIBS)
endif
