/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "sim/policy-plot.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

enum { WIDTH = 720, HEIGHT = 440, LEFT = 60, RIGHT = 150, TOP = 30, BOTTOM = 40 };

/* Decades, from 100 ms: what is longer than 100 s leaves the picture. */
static const double y_min = 100, y_max = 100000;

static double
plot_x(const struct plot *p, double load)
{
	double first = p->loads[0], last = p->loads[p->loads_len - 1];
	double part = last > first ? (load - first) / (last - first) : 0;

	return LEFT + part * (WIDTH - LEFT - RIGHT);
}

static double
plot_y(double ms)
{
	double part;

	ms = ms < y_min ? y_min : ms > y_max ? y_max : ms;
	part = log(ms / y_min) / log(y_max / y_min);
	return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

static void
plot_axes(const struct plot *p, FILE *out)
{
	fprintf(out,
		"<text x=\"%d\" y=\"18\">99th percentile (ms) of a query's time, by load"
		"</text>\n",
		LEFT);
	for (double ms = y_min; ms <= y_max; ms *= 10)
		fprintf(out,
			"<path d=\"M%d %.1fH%d\" stroke=\"#ccc\"/>"
			"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n",
			LEFT, plot_y(ms), WIDTH - RIGHT, LEFT - 6, plot_y(ms) + 4, ms);
	for (int i = 0; i < p->loads_len; i++)
		fprintf(out,
			"<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.2f</text>\n",
			plot_x(p, p->loads[i]), HEIGHT - BOTTOM + 20, p->loads[i]);
}

static void
plot_one(const struct plot *p, int line, double label_y, FILE *out)
{
	static const char *const colours[] = { "#c00", "#06c", "#080", "#a60",
					       "#909", "#088", "#666", "#000" };
	const struct plot_line *l = &p->lines[line];
	const char *colour = colours[line % 8];

	fprintf(out,
		"<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%d\" points=\"",
		colour, line == 0 ? 3 : 1);
	for (int i = 0; i < p->loads_len; i++)
		fprintf(out, "%.1f,%.1f ", plot_x(p, p->loads[i]), plot_y(l->p99_ms[i]));
	fprintf(out, "\"/>\n<text x=\"%d\" y=\"%.1f\" fill=\"%s\">%s</text>\n",
		WIDTH - RIGHT + 8, label_y, colour, l->name);
}

/* Names stand by the end of their line, below each other where lines end together. */
static void
plot_lines(const struct plot *p, FILE *out)
{
	bool is_done[PLOT_LINES_MAX] = { false };
	double last_y = -100;

	for (int n = 0; n < p->lines_len; n++) {
		int top = -1;
		double y;

		for (int i = 0; i < p->lines_len; i++)
			if (!is_done[i] &&
			    (top < 0 || p->lines[i].p99_ms[p->loads_len - 1] >
						p->lines[top].p99_ms[p->loads_len - 1]))
				top = i;
		is_done[top] = true;
		y = plot_y(p->lines[top].p99_ms[p->loads_len - 1]) + 4;
		y = y < last_y + 14 ? last_y + 14 : y;
		last_y = y;
		plot_one(p, top, y, out);
	}
}

int
plot_write(const struct plot *plot, const char *path)
{
	FILE *out = fopen(path, "w");

	if (out == NULL)
		return -1;
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		WIDTH, HEIGHT);
	plot_axes(plot, out);
	plot_lines(plot, out);
	fprintf(out, "</svg>\n");
	return fclose(out);
}
