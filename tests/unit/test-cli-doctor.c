/* SPDX-License-Identifier: Apache-2.0 */
/* What `ocf doctor` makes of what it found: a node that is well, and then one thing at a time
 * that is not. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/doctor.h"
#include "lib/tap.h"

/* Commands of `ocf` are not linked; nor is anything printed. */
const struct program program = { .name = "ocf" };

/* In 2026; the certificate is good for ten years, the CA for thirty. */
static const char healthy[] =
	"{'now_ms':1795000000000,'user':1000,'is_named':false,"
	"'places':{'data':'/d','config':'/c/ocf.conf','socket':'/r/ocfd.sock'},"
	"'node':{'socket':'/r/ocfd.sock','rc':0,'status':0,'said':'','reply':{"
	"'pid':12,'data':'/d','ready':true,'http':'127.0.0.1:8092','peer':'[::]:8093',"
	"'ca_key':true,'sync_interval_ms':60000,'addresses':['192.0.2.1:8093'],"
	"'status':{'node':{'id':'aa','name':'n1','version':'" PACKAGE_VERSION
	"','uptime_s':90,"
	"'silent':null},'cluster':{'ca_holders':2},"
	"'bus':{'state':'up','url':'127.0.0.1:8094','embedded':true},"
	"'sync':{'last_ok_s':30,'joining':null}},"
	"'nodes':[{'id':'aa','name':'n1','alive':true,'state':'alive','inbound':true,"
	"'addresses':['192.0.2.1:8093'],'version':'" PACKAGE_VERSION "','last_seen_s':0},"
	"{'id':'bb','name':'n2','alive':true,'state':'alive','inbound':true,"
	"'addresses':['192.0.2.2:8093'],'version':'" PACKAGE_VERSION
	"','last_seen_s':0}],"
	"'peers':[{'node':'bb','name':'n2','direction':'in','state':'up','rowless':false,"
	"'clock_skew_ms':12,'protocol':1}],"
	"'dials':[],'inbound':{'count':1,'last_s':60},"
	"'files':{'limit':8192,'open':30,'needed':2688},"
	"'store':{'bytes':65536,'rows':2,'pending_rows':0,'error':null,'damaged':0,"
	"'faults':0,'repaired':0},'bus':{'restarts':0}}},"
	"'run':{'pid':12,'is_alive':true,'state':'S','socket':'/r/ocfd.sock'},"
	"'config':{'program':'/usr/sbin/ocfd','file':'/c/ocf.conf','is_there':true,'status':0,"
	"'said':'','options':{'bus.server':'auto','bus.url':''}},"
	"'folder':{'path':'/d','owner':'ocf','uid':1000,'mode':488,'is_folder':true,"
	"'free':90000000000,'size':100000000000,'store_bytes':65536},"
	"'keys':{'is_there':true,'denied':false,'has_ca_key':true,'open':[],'certs':["
	"{'name':'node.crt','from_ms':1790000000000,'until_ms':2105000000000},"
	"{'name':'ca.crt','from_ms':1790000000000,'until_ms':2736000000000}]},"
	"'ports':[{'option':'peer.listen','address':'[::]:8093','state':'listening','by':''}],"
	"'server':{'program':'/usr/sbin/nats-server','version':'2.9.10'},"
	"'system':{'files':8192,'memory':16e9,'memory_free':8e9,'is_clock_kept':true}}";

/* JSON with ' for ". */
static json_t *
parse(const char *text)
{
	char *copy = mem_strdup(text);
	json_error_t why;
	json_t *json;

	for (char *p = copy; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	json = json_loads(copy, JSON_DECODE_ANY, &why);
	if (json == NULL)
		tap_note("%s: %s", text, why.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	free(copy);
	return json;
}

/* One member, "a.b.c", becomes another; without a value it is gone. A name with dots of its
 * own is the last: "config.options:bus.url". */
static void
change(json_t *facts, const char *path, const char *value)
{
	size_t len = strcspn(path, ".:");
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)len, path);
	if (path[len] == '.') {
		change(json_object_get(facts, name), path + len + 1, value);
		return;
	}
	if (path[len] == ':') {
		facts = json_object_get(facts, name);
		snprintf(name, sizeof(name), "%s", path + len + 1);
	}
	if (value != NULL)
		json_object_set_new(facts, name, parse(value));
	else
		json_object_del(facts, name);
}

struct finding_case {
	const char *path, *value; /* what is changed */
	const char *also, *also_value;
	const char *check, *state;
	const char *text, *remedy; /* of which parts are these; NULL: no remedy */
};

static bool
holds(const json_t *finding, const char *member, const char *part)
{
	const char *text = json_string_value(json_object_get(finding, member));

	return part == NULL ? text == NULL : text != NULL && strstr(text, part) != NULL;
}

static void
judge_case(const struct finding_case *c)
{
	json_t *facts = parse(healthy), *findings, *finding;
	bool is_there = false, is_bad = strcmp(c->state, "problem") == 0;
	size_t i;

	change(facts, c->path, c->value);
	if (c->also != NULL)
		change(facts, c->also, c->also_value);
	findings = doctor_judge(facts);
	json_array_foreach(findings, i, finding)
	{
		is_there = is_there || (holds(finding, "check", c->check) &&
					holds(finding, "state", c->state) &&
					holds(finding, "text", c->text) &&
					holds(finding, "remedy", c->remedy));
	}
	if (!is_there) {
		char *text = json_dumps(findings, JSON_INDENT(1));

		tap_note("%s = %s: no %s of %s in %s", c->path,
			 c->value != NULL ? c->value : "(nothing)", c->state, c->check,
			 text);
		free(text);
	}
	CU_ASSERT(is_there);
	if (is_bad)
		CU_ASSERT_EQUAL(doctor_exit_status(findings), EXIT_FAILURE);
	json_decref(findings);
	json_decref(facts);
}

#define JUDGE(cases)                                                                     \
	for (size_t case_at = 0; case_at < sizeof(cases) / sizeof((cases)[0]);           \
	     case_at++)                                                                  \
	judge_case(&(cases)[case_at])

static void
test_a_node_that_is_well(void)
{
	json_t *facts = parse(healthy), *findings = doctor_judge(facts), *finding;
	size_t i;

	json_array_foreach(findings, i, finding)
	{
		CU_ASSERT_EQUAL(doctor_state_of(finding), DOCTOR_OK);
		CU_ASSERT(json_is_null(json_object_get(finding, "remedy")));
		if (doctor_state_of(finding) != DOCTOR_OK)
			tap_note("%s", doctor_text(finding, "text"));
	}
	CU_ASSERT_EQUAL(json_array_size(findings), 19);
	CU_ASSERT_EQUAL(doctor_exit_status(findings), EXIT_SUCCESS);
	json_decref(findings);
	json_decref(facts);
}

#define GONE "node.reply", NULL
#define REFUSED "node.rc", "-111"

static void
test_the_daemon(void)
{
	static const struct finding_case cases[] = {
		{ "node.socket", "'/d/ocfd.sock'", NULL, NULL, "daemon", "warning",
		  "answers at /d/ocfd.sock, and not at /r/ocfd.sock",
		  "OCF_SOCKET=/d/ocfd" },
		{ "node.reply.ready", "false", NULL, NULL, "daemon", "warning",
		  "starting or stopping", "the log" },
		{ "node",
		  "{'socket':'/r/ocfd.sock','rc':-13,'status':77,'said':'x','group':'ocf'}",
		  NULL, NULL, "daemon", "problem", "members of the group 'ocf'",
		  "usermod -aG ocf" },
		{ GONE, "node.status", "75", "daemon", "problem", "gives no answer",
		  "start it again" },
		{ "node", NULL, "run.state", "'T'", "daemon", "problem",
		  "(pid 12) was stopped", "kill -CONT 12" },
		{ "node", "{'rc':0,'status':75}", "run.state", "'D'", "daemon", "problem",
		  "waits for the disk", "dmesg" },
		{ "node", "{'rc':0,'status':1,'said':'no such route'}", NULL, NULL,
		  "daemon", "problem", "no such route", "this version" },
		{ "node", "{'rc':-111,'status':69}", NULL, NULL, "daemon", "problem",
		  "its socket /r/ocfd.sock is gone", "kill 12" },
		{ "node", "{'rc':-111,'status':69}", "run", "{}", "daemon", "problem",
		  "ocfd does not run", "start it: ocfd" },
		{ "node", "{'rc':-111,'status':69}", "run", "{'pid':9,'is_alive':false}",
		  "daemon", "problem", "was killed, or it crashed", "see the log" },
		{ "node", "{'rc':-2,'status':69}", "keys.is_there", "false", "daemon",
		  "problem", "there is no node in /d", "ocf join -" },
	};

	JUDGE(cases);
}

static void
test_the_places(void)
{
	static const struct finding_case cases[] = {
		{ "config.status", "78", "config.said", "'/c/ocf.conf:2: bad'",
		  "configuration", "problem", "ocf.conf:2: bad", "--check-config" },
		{ "config.program", "null", NULL, NULL, "configuration", "problem",
		  "ocfd was not found", "PATH" },
		{ "config.status", "-2", NULL, NULL, "configuration", "ok",
		  "the defaults hold", NULL },
		{ "config.status", "-13", NULL, NULL, "configuration", "unknown",
		  "not for this user", "sudo" },
		{ "config", NULL, NULL, NULL, "configuration", "unknown", "in time",
		  NULL },
		{ "folder.mode", "511", NULL, NULL, "folder", "problem",
		  "others may write in /d (mode 0777)", "chmod 750 '/d'" },
		{ "folder.mode", "493", NULL, NULL, "folder", "warning", "mode 0755",
		  "chmod 750 '/d'" },
		{ "folder.strange", "'/d/store'", NULL, NULL, "folder", "problem",
		  "/d/store belongs to another user", "chown" },
		{ "folder.file_system", "'it is on NFS'", NULL, NULL, "folder", "problem",
		  "NFS", "local disk" },
		{ "folder.uid", "7", GONE, "folder", "problem", "another user, ocf",
		  "sudo -u ocf" },
		{ "folder", NULL, NULL, NULL, "folder", "unknown", "in time", NULL },
		{ "folder.free", "1000000", NULL, NULL, "disk", "problem", "976.6 KiB",
		  "make room" },
		{ "folder.free", "500000000", NULL, NULL, "disk", "warning", "are free",
		  "make room" },
		{ "folder.store_bytes", "95000000000", NULL, NULL, "disk", "warning",
		  "a backup takes as much", "make room" },
		{ "node.reply.store.error", "'No space left on device'", NULL, NULL,
		  "disk", "problem", "the disk is full", "make room" },
		{ "folder.has_no_files_left", "true", NULL, NULL, "disk", "problem",
		  "no further file", "df -i" },
		{ "folder.is_read_only", "true", NULL, NULL, "disk", "problem",
		  "can only be read", "dmesg" },
	};

	JUDGE(cases);
}

static void
test_the_keys(void)
{
	static const struct finding_case cases[] = {
		{ "keys.open", "[{'path':'/d/keys/node.key','mode':420,'right':384}]",
		  NULL, NULL, "keys", "problem", "can be read by others (mode 0644)",
		  "chmod 600 '/d/keys/node.key'" },
		{ "keys.error", "'it belongs to another key'", NULL, NULL, "keys",
		  "problem", "another key", "ocf-sync restore" },
		{ "keys.denied", "true", NULL, NULL, "keys", "unknown", "for its owner",
		  "sudo" },
		/* 20 days before its end, behind it, and before its beginning. */
		{ "now_ms", "2103272000000", NULL, NULL, "certificates", "warning",
		  "node.crt expires on 2036-09-14, in 20 days", "ocf join TOKEN" },
		{ "now_ms", "2200000000000", NULL, NULL, "certificates", "problem",
		  "node.crt has expired", "ocf join TOKEN" },
		{ "now_ms", "2800000000000", NULL, NULL, "certificates", "problem",
		  "ca.crt has expired", "new cluster" },
		{ "now_ms", "1700000000000", NULL, NULL, "certificates", "problem",
		  "clock shows 2023-11-14T22:13: it is behind", "set-ntp" },
		{ "node.reply.status.cluster.ca_holders", "1", NULL, NULL, "ca",
		  "warning", "at one node alone", "ocf invite --admin here" },
		{ "node.reply.status.cluster.ca_holders", "0", NULL, NULL, "ca",
		  "warning", "at no node", "restore" },
		{ "node.reply.status.cluster", "{}", NULL, NULL, "ca", "unknown",
		  "is held here; who else", "ocf backup" },
		{ "node.reply.status.cluster.ca_holders", "2", NULL, NULL, "ca", "ok",
		  "2 nodes hold", NULL },
	};

	JUDGE(cases);
}

#define PORT(state, by)                                                                  \
	"[{'option':'http.listen','address':'127.0.0.1:80','state':'" state              \
	"','by':'" by "'}]"

static void
test_ports_bus_and_limits(void)
{
	static const struct finding_case cases[] = {
		{ "ports", PORT("taken", "nginx (pid 7)"), NULL, NULL, "ports", "problem",
		  "127.0.0.1:80 is in use by nginx (pid 7)", "set http.listen" },
		{ "ports", PORT("taken", ""), NULL, NULL, "ports", "problem",
		  "another program (as root: which)", "set http.listen" },
		{ "ports", PORT("denied", ""), NULL, NULL, "ports", "problem",
		  "only root", "above 1023" },
		{ "ports", PORT("elsewhere", ""), NULL, NULL, "ports", "problem",
		  "no such address", "ip address" },
		{ "ports", PORT("unresolved", ""), NULL, NULL, "ports", "problem",
		  "nobody knows", "number" },
		{ "ports", PORT("silent", ""), NULL, NULL, "ports", "warning",
		  "namespace", "container" },
		{ GONE, "server", "{}", "bus", "problem", "was not found",
		  "apt install nats-server" },
		{ GONE, "config.options:bus.server", "'none'", "bus", "ok",
		  "without workers", NULL },
		{ GONE, "config.options:bus.url", "'nats://u:secret@10.0.0.1:4222'",
		  "bus", "unknown", "bus at 10.0.0.1:4222", NULL },
		{ "node.reply.status.bus.state", "'down'", NULL, NULL, "bus", "problem",
		  "is down", "the log" },
		{ "node.reply.status.bus",
		  "{'state':'down','embedded':false,'url':'nats://u:p@h:1'}", NULL, NULL,
		  "bus", "problem", "the bus at h:1 is down", "bus.credentials" },
		{ "node.reply.bus.restarts", "3", NULL, NULL, "bus", "warning",
		  "ended 3 times", "memory" },
		{ "server.version", "'2.1.9'", NULL, NULL, "bus", "warning",
		  "older than 2.9", "install" },
		{ "node.reply.files.limit", "1024", NULL, NULL, "files", "warning",
		  "may have 1024 files open", "LimitNOFILE=8192" },
		{ "node.reply.files.open", "7000", NULL, NULL, "files", "problem",
		  "7000 of the 8192", "LimitNOFILE=8192" },
		{ "system.files", "256", GONE, "files", "warning", "256", "ulimit -Hn" },
		{ "system.memory_free", "1e8", NULL, NULL, "memory", "warning",
		  "95.4 MiB", "ps" },
	};

	JUDGE(cases);
}

#define LINK(skew, rowless)                                                              \
	"[{'node':'bb','name':'n2','direction':'out','state':'up','rowless':" rowless    \
	",'clock_skew_ms':" skew "}]"

static void
test_clock_store_and_table(void)
{
	static const struct finding_case cases[] = {
		{ "node.reply.peers", LINK("-3600000", "true"), NULL, NULL, "clock",
		  "problem", "over 1 of 1 links: the clock of n2 is 1 h behind ours",
		  "set-ntp" },
		{ "node.reply.peers", LINK("45000", "false"), NULL, NULL, "clock",
		  "warning", "n2 is 45 s ahead of ours", "set-ntp" },
		{ "node.reply.status.node.silent", "'this clock disagrees'",
		  "node.reply.peers", LINK("-3600000", "true"), "clock", "problem",
		  "writes nothing", "here: timedatectl" },
		{ "system.is_clock_kept", "false", NULL, NULL, "clock", "warning",
		  "no time service", "chrony" },
		{ "node.reply.peers", "[]", NULL, NULL, "clock", "ok",
		  "no node is linked", NULL },
		{ "node.reply.store.error", "'Input/output error'", NULL, NULL, "store",
		  "problem", "cannot be written: Input/output", "replace the disk" },
		{ "node.reply.store.faults", "2", NULL, NULL, "store", "warning",
		  "2 faults", "verify --repair" },
		{ "node.reply.store.damaged", "1", NULL, NULL, "store", "warning",
		  "1 damaged", "smartctl" },
		{ "node.reply.store.pending_rows", "20000", NULL, NULL, "store",
		  "warning", "20000 rows wait", "iotop" },
		{ "node.reply.status.sync.last_ok_s", "2000", NULL, NULL, "table",
		  "warning", "33 min ago", "ocf-sync run" },
		{ "node.reply.status.sync.last_ok_s", "900", NULL, NULL, "table", "ok",
		  "15 min ago", NULL },
		{ "node.reply.status.sync.last_ok_s", "null",
		  "node.reply.status.node.uptime_s", "5000", "table", "warning",
		  "never found equal", "ocf-sync run" },
		{ "node.reply.status.sync.joining", "{'rows':5,'of':10}", NULL, NULL,
		  "table", "ok", "5 of 10 rows", NULL },
		{ "node.reply.peers",
		  "[{'state':'up','protocol':1},{'state':'up','protocol':2}]", NULL, NULL,
		  "versions", "warning", "protocol 1 still, others 2",
		  "start ocfd again" },
		{ "node.reply.status.node.version", "'0.0.9'", NULL, NULL, "versions",
		  "warning", "2 of 2 nodes have another version", "one after the other" },
	};

	JUDGE(cases);
}

#define NODES(state, alive, address)                                                       \
	"[{'id':'aa','name':'n1','alive':true,'state':'alive','version':'" PACKAGE_VERSION \
	"'},{'id':'bb','name':'n2','alive':" alive ",'state':'" state                      \
	"','last_seen_s':180,'version':'" PACKAGE_VERSION "','addresses':['" address       \
	"']}]"
#define FAILED                                                                           \
	"[{'node':'bb','address':'192.0.2.2:8093','error':'Connection refused',"         \
	"'fails':3,'age_s':5}]"

static void
test_the_others(void)
{
	static const struct finding_case cases[] = {
		{ "node.reply.peers", "[]", "node.reply.dials", FAILED, "links",
		  "problem",
		  "cut off: no other is linked; of the last one dialled: 192.0.2.2:8093: "
		  "Connection refused",
		  "peer.seeds" },
		{ "node.reply.peers", "[]", NULL, NULL, "links", "problem",
		  "none of 1 other node", "peer.seeds" },
		{ "node.reply.status.node.barred", "'banned by n2: noise'", NULL, NULL,
		  "links", "problem", "no member any more: banned by n2: noise",
		  "ocf unban" },
		{ "node.reply.peers", "[]", "node.reply.nodes",
		  "[{'id':'aa','alive':true,'state':'alive'}]", "links", "ok",
		  "the only one", NULL },
		{ "node.reply.inbound.count", "0", "node.reply.nodes",
		  NODES("alive", "true", "192.0.2.2:1"), "inbound", "unknown",
		  "not known", "8093" },
		{ "node.reply.inbound.count", "0", NULL, NULL, "inbound", "ok",
		  "one has dialled it to see", NULL },
		{ "node.reply.nodes",
		  "[{'id':'aa','alive':true,'state':'alive','inbound':false}]", NULL,
		  NULL, "inbound", "warning", "one has tried", "forward it" },
		{ "node.reply.addresses", "[]", NULL, NULL, "addresses", "warning",
		  "no address", "peer.advertise" },
		{ "node.reply.addresses", "['127.0.0.1:8093','[::1]:8093']", NULL, NULL,
		  "addresses", "warning", "this machine itself", "peer.listen" },
		{ "node.reply.addresses", "['10.1.2.3:8093']", NULL, NULL, "addresses",
		  "warning", "only private addresses (10.1.2.3:8093)", "peer.advertise" },
		{ "node.reply.addresses", "['10.1.2.3:8093']", "node.reply.nodes",
		  NODES("alive", "true", "10.1.2.4:8093"), "addresses", "ok", "10.1.2.3",
		  NULL },
		{ "node.reply.nodes", NODES("dead", "false", "192.0.2.2:8093"),
		  "node.reply.dials", FAILED, "nodes", "warning",
		  "1 of 2 nodes does not answer: n2 (dead, last seen 3 min ago; "
		  "192.0.2.2:8093: Connection refused)",
		  "ocf forget" },
		{ "node.reply.nodes", NODES("unreachable", "false", "192.0.2.2:8093"),
		  NULL, NULL, "nodes", "warning", "n2 (unreachable", "network" },
		{ "node.reply.nodes", NODES("banned", "false", "192.0.2.2:8093"), NULL,
		  NULL, "nodes", "ok", "none is lost", NULL },
	};

	JUDGE(cases);
}

/* The state of each finding, in order of the checks. */
static int
count(const json_t *findings, enum doctor_state state)
{
	int n = 0;

	for (size_t i = 0; i < json_array_size(findings); i++)
		n += doctor_state_of(json_array_get(findings, i)) == state;
	return n;
}

static void
test_nothing_to_look_at(void)
{
	json_t *facts = parse("{'is_named':true,'places':{'socket':'/x'},"
			      "'node':{'rc':-2,'status':69,'why':'No such file'}}");
	json_t *findings = doctor_judge(facts);

	CU_ASSERT_EQUAL(doctor_exit_status(findings), EXIT_STATUS_UNREACHABLE);
	CU_ASSERT_EQUAL(count(findings, DOCTOR_PROBLEM), 1);
	CU_ASSERT_EQUAL(count(findings, DOCTOR_UNKNOWN), 18);
	json_decref(findings);
	json_decref(facts);
	/* Everything hangs: no fact came in time. */
	facts = parse("{'is_named':false,'places':{'socket':'/x'}}");
	findings = doctor_judge(facts);
	CU_ASSERT_EQUAL(doctor_exit_status(findings), EXIT_STATUS_UNREACHABLE);
	CU_ASSERT_EQUAL(json_array_size(findings), 19);
	json_decref(findings);
	json_decref(facts);
}

/* ---- looking ---- */

static json_t *
look_at_once(const struct cli *cli, const json_t *facts)
{
	(void)cli;
	return json_string(doctor_text(facts, "before"));
}

static json_t *
look_for_ever(const struct cli *cli, const json_t *facts)
{
	char sleep[] = "/bin/sleep", long_[] = "1000", error[512];
	char *argv[] = { sleep, long_, NULL };
	struct buf out = BUF_INIT;

	(void)cli;
	(void)facts;
	doctor_run(argv, &out, error);
	return json_true();
}

static json_t *
look_and_crash(const struct cli *cli, const json_t *facts)
{
	(void)cli;
	(void)facts;
	_Exit(3);
}

static void
test_what_hangs_costs_its_own_answer(void)
{
	static const struct doctor_part parts[] = {
		{ "hangs", look_for_ever },
		{ "crashes", look_and_crash },
		{ "answers", look_at_once },
	};
	json_t *facts = parse("{'before':'yes'}");
	ms_t started = clock_mono_ms();

	doctor_look_at(NULL, parts, 3, 300, facts);
	CU_ASSERT_STRING_EQUAL(doctor_text(facts, "answers"), "yes");
	CU_ASSERT_PTR_NULL(json_object_get(facts, "hangs"));
	CU_ASSERT_PTR_NULL(json_object_get(facts, "crashes"));
	CU_ASSERT(clock_mono_ms() - started >= 300);
	CU_ASSERT(clock_mono_ms() - started < 100 * MS_SECOND);
	json_decref(facts);
}

static const struct tap_test tests[] = {
	{ "of a node that is well each check says ok, once", test_a_node_that_is_well },
	{ "a daemon that does not answer is told with the reason", test_the_daemon },
	{ "configuration, folder and disk are judged", test_the_places },
	{ "keys, certificates and the holders of the CA are judged", test_the_keys },
	{ "ports, bus, open files and memory are judged", test_ports_bus_and_limits },
	{ "clock, store, table and versions are judged", test_clock_store_and_table },
	{ "links, inbound, addresses and lost nodes are judged", test_the_others },
	{ "where nothing could be looked at the exit status is 69",
	  test_nothing_to_look_at },
	{ "what hangs or crashes costs its own answer alone",
	  test_what_hangs_costs_its_own_answer },
};

int
main(int argc, char **argv)
{
	return TAP_MAIN(argc, argv, tests);
}
