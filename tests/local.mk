# tests/lib: what several tests share. Unit tests stand in the local.mk of the folder they
# test; here are the tests that belong to no single folder.
if HAVE_CUNIT
check_LIBRARIES += %D%/lib/libtest.a
%C%_lib_libtest_a_SOURCES = %D%/lib/tap.c %D%/lib/tap.h
endif
EXTRA_DIST += %D%/run %D%/skips.txt %D%/tsan.supp %D%/valgrind.supp

# A node of the cluster that says what a test tells it to.
check_PROGRAMS += %D%/lib/member
%C%_lib_member_SOURCES = %D%/lib/member.c
%C%_lib_member_LDADD = src/mesh/libmesh.a crdt/libcrdt.a $(NET_LIBS)

# Connects and says nothing, for system/{strangers,refusals}.sh.
check_PROGRAMS += %D%/lib/knock
%C%_lib_knock_SOURCES = %D%/lib/knock.c %D%/lib/enemy.c %D%/lib/enemy.h
%C%_lib_knock_LDADD =

# Lets a part through, for system/join.sh.
check_PROGRAMS += %D%/lib/gate
%C%_lib_gate_SOURCES = %D%/lib/gate.c
%C%_lib_gate_LDADD =

# A server behind `ocf-worker --http`, for unit/test-worker-http.c and system/worker-http*.sh.
check_PROGRAMS += %D%/lib/upstream
%C%_lib_upstream_SOURCES = %D%/lib/upstream.c
%C%_lib_upstream_LDADD = $(OPENSSL_LIBS)

# What a driver's libnvidia-ml.so.1 could be, for unit/test-hw-hw.c and test-worker-worker.c.
# A program to automake, since there is no libtool; never linked to anything.
check_PROGRAMS += %D%/lib/nvml.so
%C%_lib_nvml_so_SOURCES = %D%/lib/nvml.c
%C%_lib_nvml_so_CFLAGS = $(WARN_CFLAGS) -fPIC
%C%_lib_nvml_so_LDFLAGS = -shared
%C%_lib_nvml_so_LDADD =

# Writes rows, as workers that announce themselves do.
check_PROGRAMS += %D%/lib/announcer
%C%_lib_announcer_SOURCES = %D%/lib/announcer.c
%C%_lib_announcer_LDADD =

# A client of the bus that means harm, for system/hostile-*.sh.
check_PROGRAMS += %D%/lib/hostile
%C%_lib_hostile_SOURCES = %D%/lib/hostile.c %D%/lib/enemy.c %D%/lib/enemy.h
%C%_lib_hostile_LDADD = $(BASE_LIBS)

# A worker of the 2023 protocol, for system/legacy.sh: plain sockets, nothing of ours.
check_PROGRAMS += %D%/system/old-worker
%C%_system_old_worker_SOURCES = %D%/system/old-worker.c
%C%_system_old_worker_LDADD =

dist_check_SCRIPTS += \
	%D%/lint/layers.sh \
	%D%/lint/manuals.sh \
	%D%/lint/style.sh \
	%D%/system/backup.sh \
	%D%/system/ban.sh \
	%D%/system/bodies.sh \
	%D%/system/by-hand.sh \
	%D%/system/bus.sh \
	%D%/system/bus-cluster.sh \
	%D%/system/bus-faults.sh \
	%D%/system/bus-url.sh \
	%D%/system/cancel.sh \
	%D%/system/clocks.sh \
	%D%/system/clone.sh \
	%D%/system/configuration.sh \
	%D%/system/crash.sh \
	%D%/system/death-bus.sh \
	%D%/system/death-node.sh \
	%D%/system/death-silent.sh \
	%D%/system/death-start.sh \
	%D%/system/death-worker.sh \
	%D%/system/disk.sh \
	%D%/system/doctor.sh \
	%D%/system/drain.sh \
	%D%/system/dump.sh \
	%D%/system/examples.sh \
	%D%/system/forget.sh \
	%D%/system/hedge.sh \
	%D%/system/holders.sh \
	%D%/system/hops.sh \
	%D%/system/hostile-announce.sh \
	%D%/system/hostile-subjects.sh \
	%D%/system/hostile-worker.sh \
	%D%/system/http.sh \
	%D%/system/http-crowd.sh \
	%D%/system/http-tokens.sh \
	%D%/system/https.sh \
	%D%/system/install.sh \
	%D%/system/invitation.sh \
	%D%/system/join.sh \
	%D%/system/leave.sh \
	%D%/system/legacy.sh \
	%D%/system/isolation.sh \
	%D%/system/many.sh \
	%D%/system/match.sh \
	%D%/system/mayhem.sh \
	%D%/system/members.sh \
	%D%/system/missing.sh \
	%D%/system/names.sh \
	%D%/system/nat.sh \
	%D%/system/net-advertise.sh \
	%D%/system/net-ipv6.sh \
	%D%/system/net-kills.sh \
	%D%/system/net-loss.sh \
	%D%/system/net-oneway.sh \
	%D%/system/net-split.sh \
	%D%/system/openai.sh \
	%D%/system/overlay.sh \
	%D%/system/overload.sh \
	%D%/system/partition.sh \
	%D%/system/query.sh \
	%D%/system/refusals.sh \
	%D%/system/rollback.sh \
	%D%/system/scrub.sh \
	%D%/system/secrets.sh \
	%D%/system/service.sh \
	%D%/system/slow.sh \
	%D%/system/strangers.sh \
	%D%/system/streams.sh \
	%D%/system/sync-offline.sh \
	%D%/system/sync.sh \
	%D%/system/tenants.sh \
	%D%/system/tokens.sh \
	%D%/system/watch.sh \
	%D%/system/wire.sh \
	%D%/system/worker-http.sh \
	%D%/system/worker-https.sh
TESTS += $(dist_check_SCRIPTS)
EXTRA_DIST += \
	%D%/system/demo.sh %D%/system/installed.sh \
	%D%/lib/tap.sh %D%/lib/beside.sh %D%/lib/cluster.sh %D%/lib/death.sh %D%/lib/hostile.sh %D%/lib/load.sh %D%/lib/nats.sh %D%/lib/raw.sh %D%/lib/namespace.sh \
	%D%/lib/network.sh %D%/lib/writers.sh \
	%D%/data/README %D%/data/nats-keys %D%/data/page.png %D%/data/page.txt %D%/data/store-1.mdb.gz \
	%D%/lint/lint.sh %D%/lint/words.txt %D%/lint/cppcheck.txt

# Workers in other languages, which need these, their packages and the registries. Never a part
# of `make check`; a test that lacks something is skipped and says what.
INTEROP_TESTS = %D%/interop/dashboard.sh %D%/interop/go.sh %D%/interop/node.sh %D%/interop/openai.sh %D%/interop/python.sh \
	%D%/interop/python-2023.sh
EXTRA_DIST += $(INTEROP_TESTS) %D%/interop/lib.sh %D%/interop/browser.py %D%/interop/go/go.mod %D%/interop/go/go.sum \
	%D%/interop/go/worker.go %D%/interop/node/package.json %D%/interop/node/package-lock.json \
	%D%/interop/node/worker.js %D%/interop/openai/client.js %D%/interop/openai/package.json \
	%D%/interop/openai/package-lock.json %D%/interop/openai/server.py %D%/interop/python/requirements.txt \
	%D%/interop/python/worker.py %D%/interop/python/worker2023.py
.PHONY: check-interop
check-interop: all
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(INTEROP_TESTS)'
clean-local:
	rm -rf %D%/interop/cache %D%/interop/screens

# Damages stores, for system tests.
check_PROGRAMS += %D%/lib/surgeon
%C%_lib_surgeon_SOURCES = %D%/lib/surgeon.c
%C%_lib_surgeon_LDADD = src/table/libtable.a store/libstore.a src/ident/libident.a \
	$(CRDT_LIBS) $(LMDB_LIBS) $(JANSSON_LIBS) $(OPENSSL_LIBS)

# The installed programs, beside what automake asks of each (--help and --version).
installcheck-local:
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) \
	OCF_TEST_PROGRAMS='$(DESTDIR)$(sbindir):$(DESTDIR)$(bindir)' \
	OCF_TEST_MANUALS='$(DESTDIR)$(mandir)' OCF_TEST_CONF='$(DESTDIR)$(sysconfdir)/ocf/ocf.conf' \
		$(SHELL) $(top_srcdir)/tests/run $(top_srcdir)/tests/system/installed.sh

# Checks beside the tests, with whatever tools are there (./bootstrap dev installs them).
.PHONY: lint format
lint:
	$(AM_V_at)OCF_TEST_BUILDDIR='$(abs_top_builddir)' bash $(top_srcdir)/tests/lint/lint.sh
format:
	$(AM_V_at)cd $(top_srcdir) && find crdt store src tests -name '*.[ch]' -exec clang-format -i {} +

# What takes too long for every change: the unit tests with other seeds at full length, a
# million histories of the table, 300 of the mesh, the real nodes under load and in networks
# that fail for longer, then the unit tests under valgrind (not in sanitized builds, which
# valgrind cannot run).
SLOW_SEEDS = 1 2 3 4 5 6 7 8
.PHONY: check-slow
check-slow: all
	$(AM_V_at)units=; for test in $(TESTS); do \
		case $$test in tests/unit/*) units="$$units $$test" ;; esac; \
	done; \
	for seed in $(SLOW_SEEDS); do \
		OCF_TEST_SEED=$$seed OCF_TEST_LEVEL=slow OCF_TEST_SECONDS=3600 \
			$(MAKE) $(AM_MAKEFLAGS) check TESTS="$$units" || exit 1; \
	done; \
	OCF_TEST_LEVEL=slow OCF_TEST_SECONDS=43200 \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS=tests/sim/test-sim-table || exit 1; \
	nets=; for test in $(TESTS); do \
		case $$test in */net-*.sh|*/overload.sh|*/mayhem.sh) nets="$$nets $$test" ;; esac; \
	done; \
	OCF_TEST_LEVEL=slow OCF_TEST_SECONDS=3600 \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS="$$nets" || exit 1; \
	OCF_TEST_SIM_SEEDS=300 OCF_TEST_SECONDS=43200 \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS=tests/sim/test-sim-swarm || exit 1; \
	OCF_TEST_VALGRIND=yes OCF_TEST_LEVEL=quick OCF_TEST_SECONDS=3600 \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS="$$units"

# Figures, for a machine that does nothing else: `make bench`, or some of them, `make bench
# BENCH="merge lookup"`. Each prints JSON lines; a bench NAME is the program bench/bench-NAME
# (- for _), run with a folder of its own, which is gone afterwards.
BENCH = store_put merge lookup memory rebuild reconcile tls dispatch
.PHONY: bench
bench:
	$(AM_V_at)for bench in $(BENCH); do \
		program=tests/bench/bench-`echo $$bench | tr _ -`; \
		$(MAKE) $(AM_MAKEFLAGS) -s $$program >&2 || exit 1; \
		folder=`mktemp -d "$${TMPDIR:-/tmp}/ocf-bench.XXXXXX"` || exit 1; \
		$$program "$$folder"; status=$$?; \
		rm -rf "$$folder"; \
		[ $$status -eq 0 ] || exit $$status; \
	done

# The same for the mesh, with real daemons: `make bench-mesh BENCH_NODES="3 10 25"`. Ends with an
# error when one costs more bytes than its budget (bench/bench-mesh.sh).
BENCH_NODES = 10
.PHONY: bench-mesh
bench-mesh: all
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) -s tests/bench/mesh-probe tests/bench/bench-tools \
		tests/lib/announcer >&2 || exit 1; \
	status=0; \
	for nodes in $(BENCH_NODES); do \
		$(AM_TESTS_ENVIRONMENT) bash $(top_srcdir)/tests/bench/bench-mesh.sh $$nodes || status=1; \
	done; \
	exit $$status

# Built by .ci/run, so that they go on linking.
.PHONY: bench-programs
bench-programs: $(EXTRA_PROGRAMS)

bench_sources = tests/bench/bench.c tests/bench/bench.h
bench_libs = src/table/libtable.a store/libstore.a src/ident/libident.a $(CRDT_LIBS) \
	$(LMDB_LIBS) $(JANSSON_LIBS) $(OPENSSL_LIBS)
EXTRA_PROGRAMS += %D%/bench/bench-lookup %D%/bench/bench-memory %D%/bench/bench-merge \
	%D%/bench/bench-rebuild %D%/bench/bench-store-put %D%/bench/bench-tls
%C%_bench_bench_lookup_SOURCES = %D%/bench/bench-lookup.c $(bench_sources)
%C%_bench_bench_lookup_LDADD = $(bench_libs)
%C%_bench_bench_memory_SOURCES = %D%/bench/bench-memory.c $(bench_sources)
%C%_bench_bench_memory_LDADD = $(bench_libs)
%C%_bench_bench_merge_SOURCES = %D%/bench/bench-merge.c $(bench_sources)
%C%_bench_bench_merge_LDADD = $(bench_libs)
%C%_bench_bench_rebuild_SOURCES = %D%/bench/bench-rebuild.c $(bench_sources)
%C%_bench_bench_rebuild_LDADD = $(bench_libs)
%C%_bench_bench_store_put_SOURCES = %D%/bench/bench-store-put.c $(bench_sources)
%C%_bench_bench_store_put_LDADD = $(bench_libs)
%C%_bench_bench_tls_SOURCES = %D%/bench/bench-tls.c $(bench_sources)
%C%_bench_bench_tls_LDADD = src/mesh/libmesh.a src/net/libnet.a $(bench_libs) $(EVENT_LIBS)
histogram_sources = tests/bench/histogram.c tests/bench/histogram.h
# bench-worker and bench-http-* answer and ask in bench-dispatch and bench-queries.sh.
EXTRA_PROGRAMS += %D%/bench/bench-worker %D%/bench/bench-dispatch
%C%_bench_bench_worker_SOURCES = %D%/bench/bench-worker.c %D%/bench/raw-nats.c %D%/bench/raw-nats.h
%C%_bench_bench_worker_LDADD = src/net/libnet.a src/ident/libident.a $(CRDT_LIBS) $(NATS_LIBS) \
	$(EVENT_LIBS) $(OPENSSL_LIBS)
%C%_bench_bench_dispatch_SOURCES = %D%/bench/bench-dispatch.c %D%/bench/raw-nats.c \
	%D%/bench/raw-nats.h $(histogram_sources) $(bench_sources)
%C%_bench_bench_dispatch_LDADD = src/daemon/libdaemon.a src/http/libhttp.a src/bus/libbus.a \
	src/dispatch/libdispatch.a src/mesh/libmesh.a src/net/libnet.a $(bench_libs) $(NATS_LIBS) \
	$(EVENT_LIBS) $(INIH_LIBS)
EXTRA_%C%_bench_bench_dispatch_DEPENDENCIES = %D%/bench/bench-worker$(EXEEXT)
# Load, and servers that take it: also for system/{overload,mayhem}.sh (lib/load.sh).
check_PROGRAMS += %D%/bench/bench-http-server %D%/bench/bench-http-load
bench_net_libs = src/net/libnet.a src/ident/libident.a $(CRDT_LIBS) $(EVENT_LIBS) $(OPENSSL_LIBS)
%C%_bench_bench_http_server_SOURCES = %D%/bench/bench-http-server.c
%C%_bench_bench_http_server_LDADD = $(bench_net_libs)
%C%_bench_bench_http_load_SOURCES = %D%/bench/bench-http-load.c $(histogram_sources)
%C%_bench_bench_http_load_LDADD = $(bench_net_libs)

EXTRA_PROGRAMS += %D%/bench/bench-http-idle
%C%_bench_bench_http_idle_SOURCES = %D%/bench/bench-http-idle.c
%C%_bench_bench_http_idle_LDADD = $(bench_net_libs)

# Queries with real daemons: `make bench-queries BENCH_FIGURES="http cancel"` (bench/bench-queries.sh).
BENCH_FIGURES =
.PHONY: bench-queries
bench-queries: all
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) -s tests/bench/bench-worker tests/bench/bench-http-server \
		tests/bench/bench-http-load >&2 || exit 1; \
	$(AM_TESTS_ENVIRONMENT) bash $(top_srcdir)/tests/bench/bench-queries.sh $(BENCH_FIGURES)
EXTRA_DIST += %D%/bench/bench-queries.sh

# The HTTP server beside nginx: `make bench-http BENCH_FIGURES=idle` (bench/bench-http.sh).
.PHONY: bench-http
bench-http: all
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) -s tests/bench/bench-worker tests/bench/bench-http-server \
		tests/bench/bench-http-idle >&2 || exit 1; \
	$(AM_TESTS_ENVIRONMENT) bash $(top_srcdir)/tests/bench/bench-http.sh $(BENCH_FIGURES)
EXTRA_DIST += %D%/bench/bench-http.sh
