noinst_LIBRARIES += %D%/libsync.a
%C%_libsync_a_SOURCES = \
	%D%/answer.c \
	%D%/check.c \
	%D%/compare.c %D%/compare.h \
	%D%/core.h \
	%D%/lists.c \
	%D%/schedule.c \
	%D%/session.c \
	%D%/sync.c %D%/sync.h \
	%D%/walk.c \
	%D%/wire.c %D%/wire.h

EXTRA_PROGRAMS += tests/bench/bench-sync
tests_bench_bench_sync_SOURCES = tests/bench/bench-sync.c
tests_bench_bench_sync_LDADD = $(SYNC_LIBS)

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
