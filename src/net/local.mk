noinst_LIBRARIES += %D%/libnet.a
%C%_libnet_a_SOURCES = \
	%D%/address.c %D%/address.h \
	%D%/event.h \
	%D%/io.c %D%/io.h \
	%D%/join.h \
	%D%/listener.c \
	%D%/loop.c %D%/loop.h \
	%D%/resolve.c %D%/resolve.h \
	%D%/stream.c %D%/stream.h %D%/stream-accept.h \
	%D%/tls.h
