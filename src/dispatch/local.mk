noinst_LIBRARIES += %D%/libdispatch.a
%C%_libdispatch_a_SOURCES = \
	%D%/core.h \
	%D%/dispatch.c %D%/dispatch.h \
	%D%/parts.c \
	%D%/queries.c \
	%D%/runs.c \
	%D%/workers.c
