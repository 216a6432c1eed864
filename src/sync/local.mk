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
