# tests/lib: what several tests share. Unit tests stand in the local.mk of the folder they
# test; here are the tests that belong to no single folder.
if HAVE_CUNIT
check_LIBRARIES += %D%/lib/libtest.a
%C%_lib_libtest_a_SOURCES = %D%/lib/tap.c %D%/lib/tap.h
endif
EXTRA_DIST += %D%/run
