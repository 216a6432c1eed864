noinst_LIBRARIES += %D%/libstore.a
%C%_libstore_a_SOURCES = \
	%D%/buckets.c \
	%D%/env.c \
	%D%/page.c \
	%D%/pending.c \
	%D%/private.h \
	%D%/rows.c \
	%D%/store.c %D%/store.h \
	%D%/verify.c \
	%D%/writer.c
