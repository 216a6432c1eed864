/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/NAME: who answers which. */
#include "config.h"

#include <string.h>

#include "daemon/daemon.h"

int
admin_run(void *daemon, const char *name, const json_t *body, json_t **ret_reply,
	  struct errmsg *err)
{
	static const struct {
		const char *name;
		int (*run)(struct daemon *d, const json_t *body, json_t **ret_reply,
			   struct errmsg *err);
	} routes[] = {
		{ "doctor", doctor_admin }, { "invite", invite_admin },
		{ "sync", repair_admin },   { "token", tokens_admin },
		{ "verify", audits_admin },
	};

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (strcmp(name, routes[i].name) == 0)
			return routes[i].run(daemon, body, ret_reply, err);
	error_set(err, -EINVAL, "there is no such admin route");
	return 404;
}
