/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker says of itself, as the node will read it. */
#include "config.h"

#include "worker/announcement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bus/announce.h"
#include "bus/registry.h"
#include "lib/tap.h"

static const struct worker_config config = { .id = "w", .service = "s", .slots = 1 };

static void
fill(struct hw_inventory *inv, int gpus, int name_len)
{
	*inv = (struct hw_inventory){ .cpus = 256,
				      .memory = INT64_MAX,
				      .gpus_len = gpus };
	memset(inv->cpu_name, 'c', HW_NAME_SIZE - 1);
	for (int i = 0; i < gpus; i++) {
		memset(inv->gpus[i].name, '"', (size_t)name_len);
		inv->gpus[i].memory = INT64_MAX;
	}
}

/* Does the node take it, in a row with so many processors? */
static bool
is_taken(const struct hw_inventory *inv)
{
	struct announcement a = { .config = &config, .inventory = inv };
	char *text = announcement_text(&a, "connected");
	struct announce parsed;
	int rc = announce_parse(bytes_text(text), &parsed, NULL);

	if (rc == 0)
		announce_fini(&parsed);
	free(text);
	return rc == 0;
}

static void
test_fit(void)
{
	struct hw_inventory inv;
	int before;

	fill(&inv, 8, 20);
	CU_ASSERT(announcement_fit(&inv) == 0 && inv.gpus_len == 8 && is_taken(&inv));
	for (int len = 0; len < HW_NAME_SIZE; len++) {
		fill(&inv, HW_GPUS_MAX, len);
		before = announcement_fit(&inv);
		CU_ASSERT(before + inv.gpus_len == HW_GPUS_MAX && inv.gpus_len > 0);
		CU_ASSERT(is_taken(&inv));
		if (before == 0)
			continue;
		/* No more than must be. */
		inv.gpus_len++;
		CU_ASSERT(!is_taken(&inv));
	}
}

/* The line of the log has who, what, how much, and what may be. */
static void
test_too_much(void)
{
	struct hw_inventory inv;
	struct announcement a = { .config = &config, .inventory = &inv };
	struct announce parsed;
	struct errmsg err = { "" };
	char *text;

	fill(&inv, 50, 0);
	for (int i = 0; i < inv.gpus_len; i++) {
		memset(inv.gpus[i].name, 'g', 60);
		inv.gpus[i].memory = 1;
	}
	text = announcement_text(&a, "connected");
	CU_ASSERT_FATAL(strlen(text) < REGISTRY_ANNOUNCE_BYTES_MAX);
	CU_ASSERT(announce_parse(bytes_text(text), &parsed, &err) == -OCF_EMALFORMED);
	CU_ASSERT(strstr(err.text, "worker `w`: `hardware` is longer than 4096 bytes: it "
				   "has 4") != NULL);
	free(text);
}

int
main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "as many processors are announced as a node takes", test_fit },
		{ "a node says how much more than it takes hardware is", test_too_much },
	};
	return TAP_MAIN(argc, argv, tests);
}
