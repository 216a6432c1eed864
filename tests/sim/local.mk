# Whole clusters in one process, in virtual time.
mesh_world = \
	%D%/mesh-check.c %D%/mesh-commit.c %D%/mesh-faults.c %D%/mesh-node.c %D%/mesh-node.h \
	%D%/mesh-refresh.c %D%/mesh-refresh.h %D%/mesh-rows.c %D%/mesh-stream.c %D%/mesh-stream.h \
	%D%/mesh-sync.c %D%/mesh-sync.h %D%/mesh-table.c %D%/mesh-table.h %D%/mesh-watch.c \
	%D%/mesh-world.c %D%/mesh-world.h %D%/sim.c %D%/sim.h
mesh_world_libs = src/daemon/libdaemon.a src/mesh/libmesh.a $(SYNC_LIBS)

# One history, or what it costs: tests/sim/sim --help.
EXTRA_PROGRAMS += %D%/sim
%C%_sim_SOURCES = %D%/mesh-main.c %D%/mesh-report.c %D%/mesh-report.h $(mesh_world)
%C%_sim_LDADD = $(mesh_world_libs)
CLEANFILES += %D%/sim
SIM_NODES = 3,10,50,100,300
SIM_MINUTES = 10
SIM_ONLY = all

# How long queries take under which policy: tests/sim/policy --help.
policy_world = \
	%D%/policy-opponents.c %D%/policy-world.c %D%/policy-world.h %D%/sim.c %D%/sim.h
EXTRA_PROGRAMS += %D%/policy
%C%_policy_SOURCES = \
	%D%/policy-main.c %D%/policy-plot.c %D%/policy-plot.h $(policy_world)
%C%_policy_LDADD = $(DISPATCH_LIBS) -lm
CLEANFILES += %D%/policy policy.svg
.PHONY: sim sim-report
sim:
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) %D%/sim %D%/policy
sim-report: sim
	$(AM_V_at)%D%/sim --report $(SIM_NODES) --minutes $(SIM_MINUTES) --only $(SIM_ONLY)
	$(AM_V_at)%D%/policy --plot policy.svg
	$(AM_V_at)%D%/policy --stress all

if HAVE_CUNIT
sim_tests = %D%/test-sim-dispatch %D%/test-sim-leases %D%/test-sim-mesh \
	%D%/test-sim-mesh-wrong %D%/test-sim-policy %D%/test-sim-swarm %D%/test-sim-sync \
	%D%/test-sim-table %D%/test-sim-wrong
check_PROGRAMS += $(sim_tests)
TESTS += $(sim_tests)
%C%_test_sim_mesh_SOURCES = %D%/test-sim-mesh.c $(mesh_world)
%C%_test_sim_mesh_LDADD = $(TEST_LIBS) $(mesh_world_libs)
%C%_test_sim_mesh_wrong_SOURCES = %D%/test-sim-mesh-wrong.c $(mesh_world)
%C%_test_sim_mesh_wrong_LDADD = $(TEST_LIBS) $(mesh_world_libs)
%C%_test_sim_mesh_wrong_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=mesh_is_voter \
	-Wl,--wrap=mesh_node_raise -Wl,--wrap=mesh_frame_beacon -Wl,--wrap=refresh_put
%C%_test_sim_swarm_SOURCES = %D%/test-sim-swarm.c $(mesh_world)
%C%_test_sim_swarm_LDADD = $(TEST_LIBS) $(mesh_world_libs)
%C%_test_sim_dispatch_SOURCES = %D%/test-sim-dispatch.c \
	%D%/dispatch-world.c %D%/dispatch-world.h %D%/dispatch-clients.c \
	%D%/dispatch-workers.c \
	%D%/sim.c %D%/sim.h
%C%_test_sim_dispatch_LDADD = $(TEST_LIBS) src/mesh/libmesh.a $(DISPATCH_LIBS)
%C%_test_sim_policy_SOURCES = %D%/test-sim-policy.c $(policy_world)
%C%_test_sim_policy_LDADD = $(TEST_LIBS) $(DISPATCH_LIBS) -lm
%C%_test_sim_leases_SOURCES = %D%/test-sim-leases.c \
	%D%/sync-world.c %D%/sync-world.h %D%/sim.c %D%/sim.h \
	tests/lib/rowset.c tests/lib/rowset.h tests/lib/sha256.c tests/lib/sha256.h \
	tests/lib/rows.c tests/lib/rows.h
%C%_test_sim_leases_LDADD = $(TEST_LIBS) src/sync/libsync.a $(STORE_LIBS) $(OPENSSL_LIBS)
%C%_test_sim_sync_SOURCES = %D%/test-sim-sync.c \
	%D%/sync-world.c %D%/sync-world.h %D%/sim.c %D%/sim.h \
	tests/lib/rowset.c tests/lib/rowset.h tests/lib/sha256.c tests/lib/sha256.h \
	tests/lib/model.c tests/lib/model.h tests/lib/rows.c tests/lib/rows.h
%C%_test_sim_sync_LDADD = $(TEST_LIBS) src/sync/libsync.a $(STORE_LIBS) $(OPENSSL_LIBS)
table_world = \
	%D%/table-check.c %D%/table-disk.c %D%/table-disk.h %D%/table-faults.c %D%/table-node.c \
	%D%/table-session.c %D%/table-world.c %D%/table-world.h \
	tests/lib/history.c tests/lib/history.h tests/lib/rows.c tests/lib/rows.h \
	tests/lib/rowset.c tests/lib/rowset.h tests/lib/sha256.c tests/lib/sha256.h
%C%_test_sim_table_SOURCES = %D%/test-sim-table.c $(table_world)
%C%_test_sim_table_LDADD = $(TEST_LIBS) src/sync/libsync.a $(STORE_LIBS) $(OPENSSL_LIBS)
%C%_test_sim_wrong_SOURCES = %D%/test-sim-wrong.c \
	tests/lib/global-context.c tests/lib/global-context.h $(table_world)
%C%_test_sim_wrong_LDADD = $(TEST_LIBS) src/sync/libsync.a $(STORE_LIBS) $(OPENSSL_LIBS)
endif
