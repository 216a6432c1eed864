/* SPDX-License-Identifier: Apache-2.0 */
/* OpenTela's shapes, made of what the nodes' and workers' views show. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "http/opentela.h"
#include "lib/tap.h"
#include "unit/http-bench.h"

static const char nodes_text
	[] = "[{'id':'a1','alive':true,"
	     "  'addresses':['192.0.2.1:8093','[2001:db8::1]:8093','h.example:1'],"
	     "  'rtt_ms':null,'last_seen_s':null,'version':'0.1.0',"
	     "  'hardware':{'cpus':2,'memory':77,'gpus':[]}},"
	     " {'id':'b2','alive':true,'addresses':[],'rtt_ms':1.9,'last_seen_s':3.5,"
	     "  'version':'','hardware':{'cpus':2,'memory':8,"
	     "  'gpus':[{'name':'G','memory':9,'memory_used':5}]}},"
	     " {'id':'c3','alive':false,'addresses':['192.0.2.3:1'],'rtt_ms':1,"
	     "  'last_seen_s':1000,'version':'','hardware':{'gpus':[]}}]";

static const char workers_text[] =
	"[{'node':'b2','state':'ready','services':[{'name':'llm','match':['model=m','model=*']},"
	"  {'name':'wc','match':[]}],'hardware':{'memory':4,'gpus':[{'name':'G','memory':9}]}},"
	" {'node':'b2','state':'draining','services':[{'name':'x','match':[]}],'hardware':{}},"
	" {'node':'c3','state':'hidden','services':[{'name':'y','match':[]}],'hardware':{}}]";

/* JSON with ' for ". */
static json_t *
parse(const char *text)
{
	json_error_t why;
	json_t *value;
	char *copy = strdup(text);

	for (char *at = copy; *at != '\0'; at++)
		if (*at == '\'')
			*at = '"';
	value = json_loads(copy, 0, &why);
	if (value == NULL)
		fprintf(stderr, "# %s, at %d\n", why.text, why.position);
	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	free(copy);
	return value;
}

static void
expect(json_t *got, const char *text)
{
	json_t *wanted = parse(text);
	char *told = json_dumps(got, JSON_COMPACT);

	if (!json_equal(got, wanted))
		fprintf(stderr, "# %s\n", told);
	CU_ASSERT(json_equal(got, wanted));
	free(told);
	json_decref(wanted);
	json_decref(got);
}

static void
test_table(void)
{
	json_t *nodes = parse(nodes_text), *workers = parse(workers_text);

	expect(opentela_table(nodes, workers, 1000000),
	       "{'/a1':{'id':'a1','latency':0,'privileged':false,'owner':'','current_offering':[],"
	       "'role':[],'status':'connected','available_offering':[],'service':[],"
	       "'last_seen':1000,'version':'0.1.0','public_address':'192.0.2.1',"
	       "'hardware':{'gpus':[],'host_memory':77,'host_memory_bandwidth':0,"
	       "'host_memory_used':0},'connected':true,'load':[]},"
	       "'/b2':{'id':'b2','latency':1,'privileged':false,'owner':'','current_offering':[],"
	       "'role':[],'status':'connected','available_offering':[],'service':["
	       "{'name':'llm','hardware':{'gpus':[{'name':'G','total_memory':9,'used_memory':0}],"
	       "'host_memory':4,'host_memory_bandwidth':0,'host_memory_used':0},"
	       "'status':'connected','host':'','port':'','identity_group':['model=m','model=*']},"
	       "{'name':'wc','hardware':{'gpus':[{'name':'G','total_memory':9,'used_memory':0}],"
	       "'host_memory':4,'host_memory_bandwidth':0,'host_memory_used':0},"
	       "'status':'connected','host':'','port':'','identity_group':['all']}],"
	       "'last_seen':997,'version':'','public_address':'',"
	       "'hardware':{'gpus':[{'name':'G','total_memory':9,'used_memory':5}],"
	       "'host_memory':8,'host_memory_bandwidth':0,'host_memory_used':0},"
	       "'connected':true,'load':[]}}");
	json_decref(nodes);
	json_decref(workers);
}

static void
test_peers(void)
{
	json_t *nodes = parse(nodes_text);

	expect(opentela_peers(nodes),
	       "{'peers':[{'ID':'a1','Addrs':['/ip4/192.0.2.1/tcp/8093',"
	       "'/ip6/2001:db8::1/tcp/8093','/dns/h.example/tcp/1']},{'ID':'b2','Addrs':[]}]}");
	expect(opentela_stats(nodes),
	       "{'connected_peers':2,'total_peers_known':3,'connected_peer_details':["
	       "{'ID':'a1','Addrs':['/ip4/192.0.2.1/tcp/8093','/ip6/2001:db8::1/tcp/8093',"
	       "'/dns/h.example/tcp/1']},{'ID':'b2','Addrs':[]}],"
	       "'all_peer_details':[{'id':'a1','connectedness':'Connected'},"
	       "{'id':'b2','connectedness':'Connected'},"
	       "{'id':'c3','connectedness':'NotConnected'}],"
	       "'message':'GET /metrics has what this node uses'}");
	json_decref(nodes);
}

static void
test_routes(void)
{
	struct bench b;

	bench_open(&b, (struct access_config){ 0 });
	bench_ask(&b, &b.raw, GET("/v1/health"), 200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), "{\"status\":\"ok\"}\n");
	bench_ask(&b, &b.raw, GET("/v1/dnt/table"), 200);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body), "{}\n");
	bench_ask(&b, &b.raw, GET("/v1/dnt/peers"), 200);
	bench_ask(&b, &b.raw, GET("/v1/dnt/stats"), 200);
	bench_ask(&b, &b.raw, "POST /v1/dnt/table HTTP/1.1\r\n" H "\r\n", 405);
	CU_ASSERT_STRING_EQUAL(buf_text(&b.reply.body),
			       "{\"error\":\"this path has no such method\"}\n");
	bench_close(&b);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "the table is an object of peers", test_table },
		{ "peers have multiaddresses, and are counted", test_peers },
		{ "the routes answer", test_routes },
	};
	return TAP_MAIN(argc, argv, tests);
}
