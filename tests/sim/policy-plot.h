/* SPDX-License-Identifier: Apache-2.0 */
/* Lines over loads as a picture: SVG, the 99th percentile by a logarithmic scale. */
#ifndef OCF_TESTS_SIM_POLICY_PLOT_H
#define OCF_TESTS_SIM_POLICY_PLOT_H

enum { PLOT_LOADS_MAX = 8, PLOT_LINES_MAX = 16 };

struct plot_line {
	const char *name;
	double p99_ms[PLOT_LOADS_MAX];
};

struct plot {
	double loads[PLOT_LOADS_MAX]; /* rising */
	int loads_len;
	struct plot_line lines[PLOT_LINES_MAX];
	int lines_len;
};

/* 0, or -1 with errno. */
int plot_write(const struct plot *plot, const char *path);

#endif
