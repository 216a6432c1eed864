/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulated cluster costs and how long it takes, beside what it may. */
#ifndef OCF_TESTS_SIM_MESH_REPORT_H
#define OCF_TESTS_SIM_MESH_REPORT_H

#include "base/clock.h"

/* What can be measured, from 0 on; NULL behind the last. */
const char *report_measure_name(int measure);
/* A table with a column for each of the sizes, of those measures (a bit each). `span`: of what
 * is measured for long. */
void report_print(const int *sizes, int len, unsigned which, ms_t span, uint64_t seed);

#endif
