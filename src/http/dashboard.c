/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http/dashboard.h"

/* Nothing but these files and this node's routes, in no frame of others. */
static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
	"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

void
dashboard_run(const struct api_call *call)
{
	static const struct {
		const char *type, *text;
	} files[] = {
		[DASHBOARD_PAGE] = { "text/html; charset=utf-8", dashboard_page },
		[DASHBOARD_STYLE] = { "text/css; charset=utf-8", dashboard_style },
		[DASHBOARD_SCRIPT] = { "text/javascript; charset=utf-8",
				       dashboard_script },
	};
	struct http_fields fields = { .len = 0 };

	http_fields_add(&fields, "content-security-policy", policy);
	http_fields_add(&fields, "referrer-policy", "no-referrer");
	api_send(call, 200, files[call->route->view].type, &fields,
		 bytes_text(files[call->route->view].text));
}
