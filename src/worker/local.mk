bin_PROGRAMS += %D%/ocf-worker
%C%_ocf_worker_SOURCES = \
	%D%/command.c %D%/command.h \
	%D%/guard.c %D%/guard.h \
	%D%/job.c %D%/job.h \
	%D%/main.c \
	%D%/worker.c %D%/worker.h
%C%_ocf_worker_LDADD = src/hw/libhw.a $(BUS_LIBS) $(HWLOC_LIBS)
