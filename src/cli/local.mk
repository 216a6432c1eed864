# The parts that hold no command are an archive, so that tests can link them one by one.
noinst_LIBRARIES += %D%/libcli.a
%C%_libcli_a_SOURCES = \
	%D%/client.c %D%/client.h \
	%D%/command.c %D%/command.h \
	%D%/doctor.c %D%/doctor.h \
	%D%/doctor-daemon.c \
	%D%/doctor-folder.c \
	%D%/doctor-keys.c \
	%D%/doctor-local.c \
	%D%/doctor-look.c \
	%D%/doctor-mesh.c \
	%D%/doctor-node.c \
	%D%/doctor-parts.c \
	%D%/doctor-ports.c \
	%D%/explain.c %D%/explain.h \
	%D%/follow.c %D%/follow.h \
	%D%/format.c %D%/format.h \
	%D%/founding.c %D%/founding.h \
	%D%/linked.c %D%/linked.h \
	%D%/load.c %D%/load.h \
	%D%/names.c %D%/names.h \
	%D%/nearest.c %D%/nearest.h \
	%D%/offline.c %D%/offline.h \
	%D%/offline-rows.c \
	%D%/offline-store.c %D%/offline-store.h \
	%D%/output.c %D%/output.h \
	%D%/program.c \
	%D%/progress.c %D%/progress.h \
	%D%/savefile.c %D%/savefile.h \
	%D%/tokenarg.c %D%/tokenarg.h
CLI_LIBS = %D%/libcli.a src/table/libtable.a store/libstore.a crdt/libcrdt.a \
	$(NET_LIBS) $(LMDB_LIBS) $(JANSSON_LIBS) $(SMARTCOLS_LIBS) $(CURL_LIBS)

bin_PROGRAMS += %D%/ocf
%C%_ocf_SOURCES = \
	%D%/bar.c %D%/bar.h \
	%D%/cmd-backup.c %D%/cmd-ban.c %D%/cmd-doctor.c %D%/cmd-drain.c %D%/cmd-forget.c %D%/cmd-init.c \
	%D%/cmd-invite.c %D%/cmd-join.c %D%/cmd-nodes.c %D%/cmd-peers.c %D%/cmd-query.c \
	%D%/cmd-services.c %D%/cmd-status.c %D%/cmd-token.c %D%/cmd-unban.c \
	%D%/cmd-watch.c %D%/cmd-workers.c \
	%D%/main.c
%C%_ocf_LDADD = $(CLI_LIBS)

bin_PROGRAMS += %D%/ocf-sync
%C%_ocf_sync_SOURCES = \
	%D%/cmd-compare.c %D%/cmd-dump.c %D%/cmd-load.c %D%/cmd-restore.c %D%/cmd-root.c \
	%D%/cmd-run.c %D%/cmd-verify.c \
	%D%/reconcile.c %D%/reconcile.h \
	%D%/sync-main.c
%C%_ocf_sync_LDADD = $(CLI_LIBS)

# One completion for all programs; bash looks for it by each one's name.
EXTRA_DIST += %D%/completion/ocf
if INSTALL_BASHCOMPLETIONDIR
bashcompletion_DATA = %D%/completion/ocf
COMPLETION_NAMES = ocf-sync ocf-worker ocfd
install-data-hook:
	$(AM_V_at)for name in $(COMPLETION_NAMES); do \
		rm -f "$(DESTDIR)$(bashcompletiondir)/$$name" && \
		$(LN_S) ocf "$(DESTDIR)$(bashcompletiondir)/$$name" || exit 1; \
	done
uninstall-hook:
	$(AM_V_at)for name in $(COMPLETION_NAMES); do \
		rm -f "$(DESTDIR)$(bashcompletiondir)/$$name"; \
	done
endif

if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-cli-doctor tests/unit/test-cli-words
TESTS += tests/unit/test-cli-doctor tests/unit/test-cli-words
tests_unit_test_cli_doctor_SOURCES = tests/unit/test-cli-doctor.c
tests_unit_test_cli_doctor_LDADD = $(TEST_LIBS) $(CLI_LIBS)
tests_unit_test_cli_words_SOURCES = tests/unit/test-cli-words.c
tests_unit_test_cli_words_LDADD = $(TEST_LIBS) %D%/libcli.a $(BASE_LIBS) $(JANSSON_LIBS)
endif

# The table for tests/bench/bench-tools.sh.
EXTRA_PROGRAMS += tests/bench/bench-tools
tests_bench_bench_tools_SOURCES = tests/bench/bench-tools.c
tests_bench_bench_tools_LDADD = src/table/libtable.a store/libstore.a $(IDENT_LIBS) \
	$(LMDB_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS)
EXTRA_DIST += tests/bench/bench-tools.sh

# What tests/bench/bench-mesh.sh needs beside it.
EXTRA_PROGRAMS += tests/bench/mesh-probe
tests_bench_mesh_probe_SOURCES = tests/bench/mesh-probe.c
tests_bench_mesh_probe_LDADD = src/table/libtable.a $(IDENT_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS)
EXTRA_DIST += tests/bench/bench-mesh.sh
