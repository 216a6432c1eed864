# Whole clusters in one process, in virtual time.
if HAVE_CUNIT
check_PROGRAMS += %D%/test-sim-mesh
TESTS += %D%/test-sim-mesh
%C%_test_sim_mesh_SOURCES = %D%/test-sim-mesh.c %D%/sim.c %D%/sim.h
%C%_test_sim_mesh_LDADD = $(TEST_LIBS) $(MESH_LIBS)
endif
