noinst_LIBRARIES += %D%/libhw.a
%C%_libhw_a_SOURCES = \
	%D%/cuda.c \
	%D%/gpu.c %D%/gpu.h \
	%D%/hw.c %D%/hw.h \
	%D%/nvml.c \
	%D%/topology.c %D%/topology.h
if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-hw-hw
TESTS += tests/unit/test-hw-hw
tests_unit_test_hw_hw_SOURCES = tests/unit/test-hw-hw.c
tests_unit_test_hw_hw_LDADD = $(TEST_LIBS) $(HW_LIBS)
endif
