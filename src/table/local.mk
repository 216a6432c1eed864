noinst_LIBRARIES += %D%/libtable.a
%C%_libtable_a_SOURCES = \
	%D%/base64.c %D%/base64.h \
	%D%/catalog.c %D%/catalog.h %D%/catalog-private.h \
	%D%/catalog-json.c %D%/catalog-lookup.c \
	%D%/keys.c %D%/keys.h \
	%D%/rows.c %D%/rows.h %D%/rows-decode.c %D%/rows-encode.c
