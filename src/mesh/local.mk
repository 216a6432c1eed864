noinst_LIBRARIES += %D%/libmesh.a
%C%_libmesh_a_SOURCES = \
	%D%/beats.c \
	%D%/core.h \
	%D%/dials.c \
	%D%/frames.c \
	%D%/homes.c \
	%D%/inbound.c \
	%D%/links.c \
	%D%/liveness.c \
	%D%/mesh.c %D%/mesh.h \
	%D%/overlay.c \
	%D%/reach.c \
	%D%/relay.c \
	%D%/rings.c \
	%D%/spread.c \
	%D%/tree.c \
	%D%/votes.c \
	%D%/ways.c \
	%D%/wire.c %D%/wire.h \
	%D%/wire-live.c \
	%D%/wire-query.c

# The fuzz target of the frames; without --enable-fuzzing it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz-wire
tests_fuzz_fuzz_wire_SOURCES = tests/fuzz/fuzz-wire.c tests/fuzz/replay.c
tests_fuzz_fuzz_wire_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_wire_LDADD = $(MESH_LIBS)
if !FUZZING
TESTS += tests/fuzz/fuzz-wire
endif
EXTRA_DIST += tests/fuzz/corpus/wire

if HAVE_CUNIT
mesh_tests = tests/unit/test-mesh-beats tests/unit/test-mesh-crowd \
	tests/unit/test-mesh-frames tests/unit/test-mesh-homes tests/unit/test-mesh-inbound \
	tests/unit/test-mesh-links tests/unit/test-mesh-mesh tests/unit/test-mesh-overlay \
	tests/unit/test-mesh-relay tests/unit/test-mesh-rings tests/unit/test-mesh-spread \
	tests/unit/test-mesh-tree tests/unit/test-mesh-votes tests/unit/test-mesh-ways \
	tests/unit/test-mesh-wire
check_PROGRAMS += $(mesh_tests)
TESTS += $(mesh_tests)
tests_unit_test_mesh_beats_SOURCES = tests/unit/test-mesh-beats.c \
	tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_beats_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_crowd_SOURCES = tests/unit/test-mesh-crowd.c \
	tests/unit/mesh-crowd.c tests/unit/mesh-crowd.h tests/unit/mesh-rig.c \
	tests/unit/mesh-rig.h tests/sim/sim.c tests/sim/sim.h
tests_unit_test_mesh_crowd_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_frames_SOURCES = tests/unit/test-mesh-frames.c \
	tests/unit/mesh-script.c tests/unit/mesh-script.h
tests_unit_test_mesh_frames_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_homes_SOURCES = tests/unit/test-mesh-homes.c \
	tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_homes_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_inbound_SOURCES = tests/unit/test-mesh-inbound.c \
	tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_inbound_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_links_SOURCES = tests/unit/test-mesh-links.c \
	tests/unit/mesh-script.c tests/unit/mesh-script.h
tests_unit_test_mesh_links_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_mesh_SOURCES = tests/unit/test-mesh-mesh.c \
	tests/unit/mesh-script.c tests/unit/mesh-script.h
tests_unit_test_mesh_mesh_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_relay_SOURCES = tests/unit/test-mesh-relay.c \
	tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_relay_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_spread_SOURCES = tests/unit/test-mesh-spread.c \
	tests/unit/mesh-net.c tests/unit/mesh-net.h tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_spread_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_tree_SOURCES = tests/unit/test-mesh-tree.c \
	tests/unit/mesh-net.c tests/unit/mesh-net.h tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_tree_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_rings_SOURCES = tests/unit/test-mesh-rings.c
tests_unit_test_mesh_rings_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_overlay_SOURCES = tests/unit/test-mesh-overlay.c \
	tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_overlay_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_ways_SOURCES = tests/unit/test-mesh-ways.c \
	tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_ways_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_votes_SOURCES = tests/unit/test-mesh-votes.c \
	tests/unit/mesh-rig.c tests/unit/mesh-rig.h
tests_unit_test_mesh_votes_LDADD = $(TEST_LIBS) $(MESH_LIBS)
tests_unit_test_mesh_wire_SOURCES = tests/unit/test-mesh-wire.c
tests_unit_test_mesh_wire_LDADD = $(TEST_LIBS) $(MESH_LIBS)
endif
