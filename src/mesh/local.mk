noinst_LIBRARIES += %D%/libmesh.a
%C%_libmesh_a_SOURCES = \
	%D%/core.h \
	%D%/frames.c \
	%D%/links.c \
	%D%/mesh.c %D%/mesh.h \
	%D%/wire.c %D%/wire.h \
	%D%/wire-query.c
