/* SPDX-License-Identifier: Apache-2.0 */
/* The dashboard: a page, its style and its script, which lie in the program and load nothing
 * from elsewhere. It shows what the other routes tell and holds no data of its own. */
#ifndef OCF_HTTP_DASHBOARD_H
#define OCF_HTTP_DASHBOARD_H

#include "http/routes.h"

/* A route's `view`. */
enum dashboard_file { DASHBOARD_PAGE, DASHBOARD_STYLE, DASHBOARD_SCRIPT };

/* The files, made by embed.awk. */
extern const char dashboard_page[], dashboard_style[], dashboard_script[];

/* GET / and /dashboard/… */
void dashboard_run(const struct api_call *call);

#endif
