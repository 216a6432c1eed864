noinst_LIBRARIES += %D%/libcrdt.a
%C%_libcrdt_a_SOURCES = \
	%D%/codec.c %D%/codec.h \
	%D%/digest.c %D%/digest.h \
	%D%/row.c %D%/row.h \
	%D%/stamp.c %D%/stamp.h
